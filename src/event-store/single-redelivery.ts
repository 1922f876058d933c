/** The redelivery of one event (contract 5.4): the order of decision, and what it writes. */
import { type Delivery, isKept, redeliver } from '../domain/delivery.ts';
import type { Deliveries } from './deliveries/deliveries.ts';
import type { Dispatching } from './duties/dispatch.ts';
import type { Proofs } from './endpoint/proofs.ts';
import type { Owner } from './owner.ts';
import type { Redelivery } from './rpc.ts';

export interface RedeliveryParts {
  readonly owner: Owner;
  readonly proofs: Proofs;
  readonly deliveries: Deliveries;
  readonly dispatch: Dispatching;
}

/**
 * Decides about a new run for a failed delivery. It changes nothing.
 * @param delivery `undefined`: the event is unknown, or has expired
 * @param intervalMs between two accepted redeliveries of the subscription
 * @returns with `accepted` the delivery as it will be
 */
export function decideRedelivery(
  { owner, proofs }: RedeliveryParts,
  delivery: Delivery | undefined,
  now: number,
  intervalMs: number,
): Redelivery {
  if (delivery === undefined) return { answer: 'not found' };
  if (!owner.enabled) return { answer: 'disabled' };
  const again = redeliver(delivery, now);
  if (delivery.state === 'failure' && !isKept(delivery)) return { answer: 'not failed', because: 'not kept' };
  if (again === undefined) return { answer: 'not failed' };
  if (delivery.proof !== null && !proofs.isGiven(delivery.proof)) return { answer: 'not verified' };
  const waitMs = (owner.redeliveredAt ?? 0) + intervalMs - now;
  if (waitMs > 0) return { answer: 'too soon', waitMs };
  return { answer: 'accepted', delivery: again };
}

/** Begins the run that was decided. */
export function beginRedelivery(
  { owner, deliveries, dispatch }: RedeliveryParts,
  again: Delivery,
  now: number,
): void {
  deliveries.put([again]);
  dispatch.hurry();
  owner.markRedelivered(now);
}
