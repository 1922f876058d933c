/** Asks the event stores of some subscriptions for their figures (contract 10.14). It reads only; a repeat asks again. */
import type { Sharded } from '../domain/subscription.ts';
import type { EventStoreRpc, StoreFigures } from '../event-store/rpc.ts';
import { askStores } from './ask-stores.ts';

interface FindFiguresNeeds {
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'figures'>;
}

/**
 * @param subscriptions whose stores are asked
 * @param from the beginning of the first hour, ms
 * @returns the figures, in the order of the subscriptions
 * @throws Outage when a store is away: sums without it would be wrong. No further store is asked then
 */
export async function findFigures(
  { eventStore }: FindFiguresNeeds,
  subscriptions: readonly Sharded[],
  from: number,
): Promise<StoreFigures[]> {
  return await askStores(subscriptions, (one) => eventStore(one).figures(from));
}
