/**
 * Changes and deletes a subscription. D1 decides: its row changes first, and the event store learns of the change
 * afterwards. When a call dies in between, nothing is lost: every event brings the newer version of the subscription to
 * the store, and a tombstone in D1 has the cron erase the store of a deleted one.
 */
import type { AuditRow } from '../domain/audit.ts';
import { refOf, type Subscription, type SubscriptionChange } from '../domain/subscription.ts';
import type { EventStoreRpc } from '../event-store/rpc.ts';
import { logError } from '../log.ts';
import type { Database } from '../storage/database.ts';
import {
  deleteSubscription,
  type UpdateSubscriptionResult,
  updateSubscription,
} from '../storage/subscriptions.ts';
import { logAudit } from './audit-trail.ts';
import { eraseStores } from './erase.ts';

interface ChangeNeeds {
  readonly db: Database;
  eventStore(subscriptionId: string): Pick<EventStoreRpc, 'adopt' | 'erase'>;
}

/** @param found the subscription as D1 has it; without a member in `change` it stays as it is */
export async function changeSubscription(
  needs: ChangeNeeds,
  found: Subscription,
  change: SubscriptionChange,
  now: number,
): Promise<UpdateSubscriptionResult> {
  if (Object.keys(change).length === 0) return { result: 'updated', subscription: found };
  const result = await updateSubscription(needs.db, found.customerId, found.id, change, now);
  if (result.result === 'updated') await reportChange(needs, found, result.subscription);
  return result;
}

/**
 * Reports a change to the event store before the next event does. A repeat is harmless: the store adopts a newer
 * version only.
 */
async function reportChange(needs: ChangeNeeds, before: Subscription, after: Subscription): Promise<void> {
  const isNext = after.version === before.version + 1; // else another change came in between, and `before` is out of date
  if (isNext && after.enabled === before.enabled && after.endpoint === before.endpoint) return;
  try {
    await needs.eventStore(after.id).adopt(refOf(after));
  } catch (error) {
    logError('change not passed to the event store', error, { subscriptionId: after.id });
  }
}

/**
 * Deletes a subscription, then erases its event store (contract 3).
 * @returns false when the customer has no such subscription
 */
export async function removeSubscription(
  needs: ChangeNeeds,
  customerId: string,
  id: string,
  now: number,
  audit: AuditRow,
): Promise<boolean> {
  const deleted = await deleteSubscription(needs.db, customerId, id, now, audit);
  if (deleted === undefined) return false;
  logAudit(audit);
  await eraseStores(needs, [deleted]);
  return true;
}
