/**
 * Erasing the event stores of deleted subscriptions. A tombstone in D1 says what is to be erased, and is marked
 * once the store has confirmed; whatever is cut short is found by its tombstone and done again.
 */
import pLimit from 'p-limit';
import { refOf, type Subscription, type SubscriptionRef } from '../domain/subscription.ts';
import { logError } from '../log.ts';

const AT_ONCE = 6;

export interface ErasePorts {
  findUnerased(limit: number, customerId?: string): Promise<readonly Subscription[]>;
  eraseStore(ref: SubscriptionRef): Promise<void>;
  markErased(subscriptionId: string): Promise<void>;
}

/** Erases up to `limit` stores that are not erased yet, of one customer or of all. @returns how many it could not */
export async function eraseDeleted(ports: ErasePorts, limit: number, customerId?: string): Promise<number> {
  return await eraseStores(ports, await ports.findUnerased(limit, customerId));
}

/** Erases the stores of deleted subscriptions. @returns how many could not be erased this time */
export async function eraseStores(ports: ErasePorts, deleted: readonly Subscription[]): Promise<number> {
  const slots = pLimit(AT_ONCE);
  let failed = 0;
  await Promise.all(
    deleted.map((subscription) =>
      slots(async () => {
        try {
          await ports.eraseStore(refOf(subscription));
          await ports.markErased(subscription.id);
        } catch (error) {
          failed++;
          logError('event store not erased', error, { subscriptionId: subscription.id });
        }
      }),
    ),
  );
  return failed;
}
