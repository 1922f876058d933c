/**
 * Consumer of `webhook-deliveries`: attempts that an event store's alarm dispatched. A message is only a hint: whatever is
 * lost here, its store dispatches again.
 */
import { ConsumerInvocation, type DeliveryPorts } from '../delivery/deliver.ts';
import { type Disposition, DONE, RETRY } from '../delivery/disposition.ts';
import { describeError, logWarn } from '../log.ts';
import { Dispatch, QUEUES } from '../outbound/queues.ts';
import type { SubscriptionStatus } from '../storage/subscriptions.ts';
import { acknowledge } from './acknowledge.ts';

interface DeliveriesPorts extends DeliveryPorts {
  findSubscriptionsById(ids: readonly string[]): Promise<ReadonlyMap<string, SubscriptionStatus>>;
}

type Reading = { readonly message: Message<unknown>; readonly dispatch: Dispatch | undefined };

/** Handles a batch. Never rejects: a message that is not done returns to the queue. */
export async function consumeDeliveries(
  messages: readonly Message<unknown>[],
  ports: DeliveriesPorts,
): Promise<void> {
  const readings = messages.map((message) => ({ message, dispatch: Dispatch.safeParse(message.body).data }));
  const dispositions = await deliverAll(readings, ports).catch((error: unknown) => {
    logWarn('batch returned to the queue', {
      queue: QUEUES.deliveries,
      messages: messages.length,
      error: describeError(error),
    });
    return messages.map(() => RETRY);
  });
  // The store dispatches again what was not begun: a message at its last delivery may be dropped.
  const drop = async () => undefined;
  await Promise.all(
    readings.map(({ message }, index) => acknowledge(message, dispositions[index] ?? RETRY, drop)),
  );
}

async function deliverAll(readings: readonly Reading[], ports: DeliveriesPorts): Promise<Disposition[]> {
  const ids = readings.flatMap(({ dispatch }) => (dispatch === undefined ? [] : [dispatch.subscriptionId]));
  const subscriptions = ids.length === 0 ? new Map() : await ports.findSubscriptionsById([...new Set(ids)]);
  const invocation = new ConsumerInvocation(ports);
  return await Promise.all(
    readings.map(async ({ message, dispatch }) => {
      if (dispatch === undefined) {
        logWarn('message not understood', { queue: QUEUES.deliveries, messageId: message.id });
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
        return DONE;
      }
      return await invocation.deliverDispatched(subscription, dispatch);
    }),
  );
}
