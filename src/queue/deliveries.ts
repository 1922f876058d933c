/**
 * Consumer of `webhook-deliveries` and `webhook-unhealthy`: attempts that an event store's alarm dispatched. Endpoints that are
 * not healthy have a queue of their own, so that those that hang delay nobody else's retries (contract 10.4). A message is only
 * a hint: whatever is lost here, its store dispatches again.
 */
import { deliverDispatched, returnPlaces } from '../delivery/dispatched-attempts.ts';
import { DONE, FAILED } from '../delivery/disposition.ts';
import { Invocation } from '../delivery/invocation.ts';
import type { DeliveryPorts } from '../delivery/ports.ts';
import { isTooLarge } from '../domain/json-size.ts';
import { INVOCATION_BUDGET_MS } from '../domain/leases.ts';
import { describeError, logWarn } from '../log.ts';
import { Dispatch, QUEUES } from '../outbound/queues.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';
import type { SubscriptionStatus } from '../storage/recipients.ts';
import { acknowledge, returnAll } from './acknowledge.ts';
import { isForm, readMisplaced } from './event-message.ts';
import { logStored, storeLetters } from './store-letters.ts';

interface DeliveriesPorts extends DeliveryPorts {
  readonly deadLetters: {
    store(letters: readonly DeadLetter[]): Promise<void>;
    send(letters: readonly DeadLetter[]): Promise<void>;
  };
  findSubscriptionsById(ids: readonly string[]): Promise<ReadonlyMap<string, SubscriptionStatus>>;
}

type Reading = { readonly message: Message<unknown>; readonly dispatch: Dispatch };

/** Handles a batch. Never rejects: a message that is not done returns to the queue. */
export async function consumeDeliveries(
  messages: readonly Message<unknown>[],
  ports: DeliveriesPorts,
  queue: string = QUEUES.deliveries,
): Promise<void> {
  const readings: Reading[] = [];
  const others: Message<unknown>[] = [];
  for (const message of messages) {
    const dispatch = readDispatch(message);
    if (dispatch === undefined) others.push(message);
    else if (dispatch !== 'unknown form') readings.push({ message, dispatch });
    else {
      // It has ids alone, and its store dispatches again.
      logWarn('message not understood', { queue, messageId: message.id });
      await acknowledge(message, true, async () => undefined);
    }
  }
  await deliverAll(readings, ports, queue);
  // The reading of other messages keeps the isolate busy, so it comes last.
  await refuseAll(others, ports, queue);
}

async function deliverAll(
  readings: readonly Reading[],
  ports: DeliveriesPorts,
  queue: string,
): Promise<void> {
  if (readings.length === 0) return;
  const ids = new Set(readings.map(({ dispatch }) => dispatch.subscriptionId));
  let subscriptions: ReadonlyMap<string, SubscriptionStatus>;
  try {
    subscriptions = await ports.findSubscriptionsById([...ids]);
  } catch (error) {
    logWarn('batch returned to the queue', {
      queue,
      messages: readings.length,
      error: describeError(error),
    });
    returnAll(readings.map(({ message }) => message));
    return;
  }
  const customers = new Set(readings.map(({ dispatch }) => dispatch.customerId));
  const invocation = new Invocation(ports, INVOCATION_BUDGET_MS, customers);
  await Promise.all(
    readings.map(async (reading) => {
      const { kind } = await deliverOne(reading, subscriptions, invocation);
      // The store dispatches again what was not begun: a message at its last delivery may be dropped.
      await acknowledge(reading.message, kind === 'done', async () => undefined);
    }),
  );
  await invocation.end();
}

/** Messages that are no dispatch become dead letters: they may have events that a producer sent to the wrong queue. */
async function refuseAll(
  messages: readonly Message<unknown>[],
  ports: DeliveriesPorts,
  queue: string,
): Promise<void> {
  const refused = messages.map((message) => ({
    message,
    ...readMisplaced(message, 'is no dispatch', ports.now(), queue),
  }));
  await storeLetters(refused, ports.deadLetters.store, async (some, stored) => {
    logStored(queue, some, stored);
    await Promise.all(
      some.map(({ message, letters }) =>
        acknowledge(message, stored.isStored, () => ports.deadLetters.send(letters())),
      ),
    );
  });
}

/** @returns `undefined` for a message that is no dispatch. Never throws */
function readDispatch({ body }: Message<unknown>): Dispatch | 'unknown form' | undefined {
  try {
    if (isTooLarge(body)) return undefined;
    const { data } = Dispatch.safeParse(body);
    return data ?? (isForm(body, 'eventIds') ? 'unknown form' : undefined);
  } catch {
    return undefined;
  }
}

async function deliverOne(
  { dispatch }: Reading,
  subscriptions: ReadonlyMap<string, SubscriptionStatus>,
  invocation: Invocation,
) {
  const subscription = subscriptions.get(dispatch.subscriptionId);
  if (subscription?.customerId !== dispatch.customerId || subscription.deletedAt !== null) {
    // Deleted: its store is being erased. Absent: a lagging or restored database; its store waits.
    logWarn('dispatch without subscription', {
      customerId: dispatch.customerId,
      subscriptionId: dispatch.subscriptionId,
      deleted: subscription !== undefined,
    });
    returnPlaces(invocation, dispatch);
    return DONE;
  }
  return await deliverDispatched(invocation, subscription, dispatch).catch(() => FAILED);
}
