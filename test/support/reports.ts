/** Reports of consumers, as the tests write them: the facts of a delivery, with the result of an attempt if there was one. */
import type { AttemptResult, DeliveryFacts } from '../../src/domain/delivery.ts';
import type { AttemptReport } from '../../src/event-store/rpc.ts';

export type FlatReport = DeliveryFacts & { readonly result?: AttemptResult };

export function reportOf({ result, ...facts }: FlatReport): AttemptReport {
  return result === undefined ? { ...facts, kind: 'deferred' } : { ...facts, kind: 'attempted', result };
}
