/**
 * Finds where an event went (contract 10.13): asks the event stores of some subscriptions. It reads only; a repeat asks again. A store
 * that never had an event gets no tables by the question.
 */
import type { Sharded } from '../domain/subscription.ts';
import type { EventStoreRpc, FoundDelivery } from '../event-store/rpc.ts';
import { askStores } from './ask-stores.ts';

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
  const found = await askStores(subscriptions, async (subscription) => {
    const delivery = await eventStore(subscription).glance(eventId);
    return delivery === undefined ? [] : ([[subscription.id, delivery]] as const);
  });
  return new Map(found.flat());
}
