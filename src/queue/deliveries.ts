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
import type { SubscriptionStatus } from '../storage/recipients.ts';
import { acknowledge, returnAll } from './acknowledge.ts';

interface DeliveriesPorts extends DeliveryPorts {
  findSubscriptionsById(ids: readonly string[]): Promise<ReadonlyMap<string, SubscriptionStatus>>;
}

type Reading = { readonly message: Message<unknown>; readonly dispatch: Dispatch | undefined };

/** Handles a batch. Never rejects: a message that is not done returns to the queue. */
export async function consumeDeliveries(
  messages: readonly Message<unknown>[],
  ports: DeliveriesPorts,
  queue: string = QUEUES.deliveries,
): Promise<void> {
  const readings = messages.map((message) => ({ message, dispatch: readDispatch(message) }));
  const ids = readings.flatMap(({ dispatch }) => (dispatch === undefined ? [] : [dispatch.subscriptionId]));
  let subscriptions: ReadonlyMap<string, SubscriptionStatus>;
  try {
    subscriptions = ids.length === 0 ? new Map() : await ports.findSubscriptionsById([...new Set(ids)]);
  } catch (error) {
    logWarn('batch returned to the queue', {
      queue,
      messages: messages.length,
      error: describeError(error),
    });
    returnAll(messages);
    return;
  }
  const customers = new Set(readings.flatMap(({ dispatch }) => dispatch?.customerId ?? []));
  const invocation = new Invocation(ports, INVOCATION_BUDGET_MS, customers);
  await Promise.all(
    readings.map(async (reading) => {
      const { kind } = await deliverOne(reading, subscriptions, invocation, queue);
      // The store dispatches again what was not begun: a message at its last delivery may be dropped.
      await acknowledge(reading.message, kind === 'done', async () => undefined);
    }),
  );
  await invocation.end();
}

/** @returns `undefined` for a message that is no dispatch. Never throws */
function readDispatch({ body }: Message<unknown>): Dispatch | undefined {
  try {
    return isTooLarge(body) ? undefined : Dispatch.safeParse(body).data;
  } catch {
    return undefined;
  }
}

async function deliverOne(
  { message, dispatch }: Reading,
  subscriptions: ReadonlyMap<string, SubscriptionStatus>,
  invocation: Invocation,
  queue: string,
) {
  if (dispatch === undefined) {
    logWarn('message not understood', { queue, messageId: message.id });
    return DONE;
  }
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
