/** Reports of consumers, as the tests write them: the facts of a delivery, with the result of an attempt if there was one. */
import type { AttemptResult, DeliveryFacts } from '../../src/domain/delivery.ts';
import type { SubscriptionRef } from '../../src/domain/subscription.ts';
import type { AttemptReport } from '../../src/event-store/rpc.ts';
import type { TestSubscription } from './world.ts';

export type FlatReport = DeliveryFacts & { readonly result?: AttemptResult };

export function reportOf({ result, ...facts }: FlatReport): AttemptReport {
  return result === undefined ? { ...facts, kind: 'deferred' } : { ...facts, kind: 'attempted', result };
}

/** A new subscription as its event store knows it, for calls that go to the store directly. */
export function refTo({ id, customer, listener }: TestSubscription): SubscriptionRef {
  const { endpoint } = listener;
  return { customerId: customer.id, subscriptionId: id, version: 1, enabled: true, endpoint };
}
