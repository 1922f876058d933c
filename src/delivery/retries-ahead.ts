/**
 * Sends first retries to the queue ahead of their time: the store has leased them in its answer to the failure, so its alarm need not ring for
 * them (docs/decisions/0045-a-first-retry-is-sent-ahead.md). If the consumer dies before, the lease lapses, and the alarm sends them. If the
 * queue does not take them, the consumer gives them back, and the alarm sends them when they are due.
 */
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { LeasedRetry } from '../event-store/rpc.ts';
import { type Dispatch, packDispatch } from '../outbound/queues.ts';
import type { Deadlines } from './deadlines.ts';
import type { DeliveryPorts, DeliveryStore } from './ports.ts';
import { QUEUE_TAKES_WITHIN_MS } from './tuning.ts';

interface SenderParts {
  readonly ports: Pick<DeliveryPorts, 'sendDispatches'>;
  readonly deadlines: Pick<Deadlines, 'isWithin'>;
  readonly store: Pick<DeliveryStore, 'release'>;
  readonly ref: SubscriptionRef;
  /** The answer of the store. @throws Error when it takes too long */
  answerOf<Answer>(call: Promise<Answer>): Promise<Answer>;
  logFailed(call: string, error: unknown): void;
}

/** Never rejects. */
export async function sendRetries(parts: SenderParts, retries: readonly LeasedRetry[]): Promise<void> {
  const { ports, deadlines, store, ref, answerOf, logFailed } = parts;
  if (retries.length === 0) return;
  const sends = [...Map.groupBy(retries, ({ delaySeconds }) => delaySeconds)].map(([delaySeconds, some]) =>
    ports.sendDispatches(dispatchesOf(ref, some), delaySeconds),
  );
  try {
    const sent = Promise.all(sends);
    if (!(await deadlines.isWithin(sent, QUEUE_TAKES_WITHIN_MS)))
      throw new Error(`the queue did not answer within ${QUEUE_TAKES_WITHIN_MS / 1000} s`);
    await sent;
  } catch (error) {
    logFailed('sendDispatches', error);
    const eventIds = retries.map(({ eventId }) => eventId);
    await answerOf(store.release(eventIds)).catch((failed: unknown) => logFailed('release', failed));
  }
}

/** No place at the host goes with them: no other subscription shares it. */
function dispatchesOf(
  { customerId, subscriptionId }: SubscriptionRef,
  retries: readonly LeasedRetry[],
): Dispatch[] {
  return [...Map.groupBy(retries, ({ leaseToken }) => leaseToken)].flatMap(([token, some]) =>
    packDispatch({ customerId, subscriptionId, token, eventIds: some.map(({ eventId }) => eventId) }),
  );
}
