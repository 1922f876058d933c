/** Asks the event stores of several subscriptions the same question, some at once. */
import pLimit from 'p-limit';

/** Calls of event stores at once: an invocation has six connections. */
const STORES_AT_ONCE = 6;

/**
 * @param ask asks the store of one subscription
 * @returns the answers, in the order of the subscriptions
 * @throws what `ask` throws first; no further store is asked then
 */
export async function askStores<One, Answer>(
  subscriptions: readonly One[],
  ask: (subscription: One) => Promise<Answer>,
): Promise<Answer[]> {
  const slots = pLimit(STORES_AT_ONCE);
  try {
    return await Promise.all(subscriptions.map((one) => slots(ask, one)));
  } finally {
    slots.clearQueue();
  }
}
