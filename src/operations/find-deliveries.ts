/**
 * Finds where an event went (contract 10.13): asks the event stores of some subscriptions. It reads only; a repeat asks again. A store
 * that never had an event gets no tables by the question.
 */
import pLimit from 'p-limit';
import type { Sharded } from '../domain/subscription.ts';
import type { EventStoreRpc, FoundDelivery } from '../event-store/rpc.ts';

/** Calls of event stores at once: an invocation has six connections. */
const STORES_AT_ONCE = 6;

interface FindDeliveriesNeeds {
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'glance'>;
}

/**
 * @param subscriptions whose stores are asked
 * @returns what they have of the event, by subscription id; those that do not have it are missing
 * @throws Outage when a store is away: without its answer nobody knows where the event went. No further store is asked then
 */
export async function findDeliveries(
  { eventStore }: FindDeliveriesNeeds,
  subscriptions: readonly Sharded[],
  eventId: string,
): Promise<Map<string, FoundDelivery>> {
  const slots = pLimit(STORES_AT_ONCE);
  const found = new Map<string, FoundDelivery>();
  const ask = async (subscription: Sharded) => {
    const delivery = await eventStore(subscription).glance(eventId);
    if (delivery !== undefined) found.set(subscription.id, delivery);
  };
  try {
    await Promise.all(subscriptions.map((one) => slots(ask, one)));
  } finally {
    slots.clearQueue();
  }
  return found;
}
