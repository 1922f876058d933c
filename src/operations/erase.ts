/**
 * Erasing the event stores of deleted subscriptions. A tombstone in D1 names a store to erase, and is marked once the store
 * has confirmed. An erasure that was cut short is found by its tombstone and repeated; erasing twice is harmless.
 */
import pLimit from 'p-limit';
import type { Config } from '../config.ts';
import type { AuditRow } from '../domain/audit.ts';
import { refOf, type Sharded, type Subscription } from '../domain/subscription.ts';
import type { EventStoreRpc } from '../event-store/rpc.ts';
import { logError } from '../log.ts';
import { deleteCustomer } from '../storage/customers.ts';
import type { Database } from '../storage/database.ts';
import { findUnerased, markErased } from '../storage/subscriptions.ts';
import { logAudit } from './audit-trail.ts';

const STORES_AT_ONCE = 6;

interface EraseNeeds {
  readonly db: Database;
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'erase'>;
}

/**
 * Deletes a customer with everything it owns, then erases its event stores (contract 10.2). When this dies in between, the
 * tombstones are in D1 and the cron erases the stores.
 * @returns false when there is no such customer
 */
export async function eraseCustomer(
  needs: EraseNeeds & { readonly config: Pick<Config, 'maxSubscriptions'> },
  customerId: string,
  now: number,
  audit: AuditRow,
): Promise<boolean> {
  if (!(await deleteCustomer(needs.db, customerId, now, audit))) return false;
  logAudit(audit);
  await eraseDeleted(needs, needs.config.maxSubscriptions, customerId);
  return true;
}

/** Erases up to `limit` stores that are not erased yet, of one customer or of all. @returns how many it could not erase */
export async function eraseDeleted(needs: EraseNeeds, limit: number, customerId?: string): Promise<number> {
  return await eraseStores(needs, await findUnerased(needs.db, limit, customerId));
}

/** Erases the stores of deleted subscriptions. @returns how many could not be erased this time */
export async function eraseStores(needs: EraseNeeds, deleted: readonly Subscription[]): Promise<number> {
  const slots = pLimit(STORES_AT_ONCE);
  let failed = 0;
  await Promise.all(
    deleted.map((subscription) =>
      slots(async () => {
        try {
          await needs.eventStore(subscription).erase(refOf(subscription));
          await markErased(needs.db, subscription.id, Date.now());
        } catch (error) {
          failed++;
          logError('event store not erased', error, { subscriptionId: subscription.id });
        }
      }),
    ),
  );
  return failed;
}
