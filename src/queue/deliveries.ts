/**
 * Consumer of `webhook-deliveries`: deliveries that an event store's alarm handed over. The message is a hint
 * only: whatever is lost here is dispatched again by its store.
 */
import { Delivering, type DeliveryPorts, type Finish } from '../delivery/deliver.ts';
import { describeError, logWarn } from '../log.ts';
import { Dispatch, QUEUES } from '../outbound/queues.ts';
import type { SubscriptionStatus } from '../storage/subscriptions.ts';
import { acknowledge } from './acknowledge.ts';

export interface DeliveriesPorts extends DeliveryPorts {
  findSubscriptionsById(ids: readonly string[]): Promise<ReadonlyMap<string, SubscriptionStatus>>;
}

type Reading = { readonly message: Message<unknown>; readonly dispatch: Dispatch | undefined };

const FINISHED: Finish = { finished: true };
const AGAIN: Finish = { finished: false };

/** Handles a batch. Never rejects: what did not come out is put back. */
export async function consumeDeliveries(
  messages: readonly Message<unknown>[],
  ports: DeliveriesPorts,
): Promise<void> {
  const readings = messages.map((message) => ({ message, dispatch: Dispatch.safeParse(message.body).data }));
  const finishes = await deliverAll(readings, ports).catch((error: unknown) => {
    logWarn('batch returned to the queue', {
      queue: QUEUES.deliveries,
      messages: messages.length,
      error: describeError(error),
    });
    return messages.map(() => AGAIN);
  });
  // The store dispatches again what was not begun: at its last delivery a message may simply go.
  const letGo = async () => undefined;
  await Promise.all(
    readings.map(({ message }, index) => acknowledge(message, finishes[index] ?? AGAIN, letGo)),
  );
}

async function deliverAll(readings: readonly Reading[], ports: DeliveriesPorts): Promise<Finish[]> {
  const ids = readings.flatMap(({ dispatch }) => (dispatch === undefined ? [] : [dispatch.subscriptionId]));
  const subscriptions = ids.length === 0 ? new Map() : await ports.findSubscriptionsById([...new Set(ids)]);
  const delivering = new Delivering(ports);
  return await Promise.all(
    readings.map(async ({ message, dispatch }) => {
      if (dispatch === undefined) {
        logWarn('message not understood', { queue: QUEUES.deliveries, messageId: message.id });
        return FINISHED;
      }
      const subscription = subscriptions.get(dispatch.subscriptionId);
      if (subscription?.customerId !== dispatch.customerId || subscription.deletedAt !== null) {
        // Deleted: its store is being erased. Absent: a lagging or restored database; its store waits.
        logWarn('dispatch without subscription', {
          customerId: dispatch.customerId,
          subscriptionId: dispatch.subscriptionId,
          deleted: subscription !== undefined,
        });
        return FINISHED;
      }
      return await delivering.deliverDispatched(subscription, dispatch);
    }),
  );
}
