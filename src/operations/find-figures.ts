/** Asks the event stores of some subscriptions for their figures (contract 10.14). It reads only; a repeat asks again. */
import pLimit from 'p-limit';
import type { Sharded } from '../domain/subscription.ts';
import type { EventStoreRpc, StoreFigures } from '../event-store/rpc.ts';

/** Calls of event stores at once: an invocation has six connections. */
const STORES_AT_ONCE = 6;

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
  const slots = pLimit(STORES_AT_ONCE);
  try {
    return await Promise.all(
      subscriptions.map((one) => slots(async () => await eventStore(one).figures(from))),
    );
  } finally {
    slots.clearQueue();
  }
}
