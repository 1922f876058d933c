/**
 * Changes and deletes a subscription, and creates the store of a new one. D1 decides: its row changes first, and the event store learns of the change
 * afterwards. When a call dies in between, nothing is lost: every event brings the newer version of the subscription to
 * the store, and a tombstone in D1 has the cron erase the store of a deleted one.
 */
import type { Config } from '../config.ts';
import type { AuditRow } from '../domain/audit.ts';
import { refOf, type Sharded, type Subscription } from '../domain/subscription.ts';
import type { SubscriptionChange } from '../domain/subscription-body.ts';
import type { EventStoreRpc, HealthReport } from '../event-store/rpc.ts';
import { describeError, logError, logWarn } from '../log.ts';
import type { Database } from '../storage/database.ts';
import {
  deleteSubscription,
  type UpdateSubscriptionResult,
  updateSubscription,
} from '../storage/subscriptions.ts';
import { logAudit } from './audit-trail.ts';
import { eraseStores } from './erase.ts';
import { askForProof, type SendTestNeeds } from './send-test.ts';

interface RemoveNeeds {
  readonly db: Database;
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'erase'>;
}

interface ChangeNeeds {
  readonly config: Pick<Config, 'verifyEndpoints'>;
  readonly db: Database;
  readonly signer: SendTestNeeds['signer'];
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'adopt' | 'settle' | 'read'>;
}

type ChangeResult =
  | Exclude<UpdateSubscriptionResult, { readonly result: 'updated' }>
  | {
      readonly result: 'updated';
      readonly subscription: Subscription;
      /** Of the endpoint, if its event store said it with its answer to the change. */
      readonly health?: HealthReport;
    };

/**
 * Creates the event store of a new subscription. An object stays where its first call came from, or where the location hint of
 * that call says, so the first call must not be that of the cron, which runs anywhere. The subscription does not depend on it:
 * while the store is away, its first event creates it.
 */
export async function createStore(
  { eventStore }: { eventStore(subscription: Sharded): Pick<EventStoreRpc, 'adopt'> },
  subscription: Subscription,
): Promise<void> {
  const { id, customerId } = subscription;
  try {
    await eventStore(subscription).adopt(refOf(subscription));
  } catch (error) {
    logWarn('event store not created', { customerId, subscriptionId: id, error: describeError(error) });
  }
}

/**
 * Whether a change is going to send a test notification by itself, because the endpoint must be verified (contract 10.8). It is
 * asked before the change, so that the limit on tests comes first.
 */
export function asksForProof(
  { verifyEndpoints }: Pick<Config, 'verifyEndpoints'>,
  found: Subscription,
  { enabled = found.enabled, endpoint = found.endpoint }: SubscriptionChange,
): boolean {
  if (!verifyEndpoints || !enabled) return false;
  return endpoint !== found.endpoint || (!found.enabled && found.health === 'unverified');
}

/** @param found the subscription as D1 has it; without a member in `change` it stays as it is */
export async function changeSubscription(
  needs: ChangeNeeds,
  found: Subscription,
  change: SubscriptionChange,
  now: number,
): Promise<ChangeResult> {
  if (Object.keys(change).length === 0) return { result: 'updated', subscription: found };
  const { config, db } = needs;
  const { customerId, id } = found;
  const result = await updateSubscription(db, customerId, id, change, now, config.verifyEndpoints);
  if (result.result !== 'updated') return result;
  const { subscription } = result;
  const health = await reportChange(needs, found, subscription);
  // Another call may have changed the endpoint in between: the row says whether this call did.
  const isAsked = subscription.proof === subscription.version || !found.enabled;
  if (config.verifyEndpoints && subscription.enabled && isAsked) {
    await askForProof(needs, subscription, now);
    return result;
  }
  return health === undefined ? result : { ...result, health };
}

/**
 * Reports a change to the event store before the next event does. A repeat is harmless: the store adopts a newer
 * version only.
 */
async function reportChange(
  needs: ChangeNeeds,
  before: Subscription,
  after: Subscription,
): Promise<HealthReport | undefined> {
  const isNext = after.version === before.version + 1; // else another change came in between, and `before` is out of date
  if (isNext && after.enabled === before.enabled && after.endpoint === before.endpoint) return undefined;
  try {
    return await needs.eventStore(after).adopt(refOf(after));
  } catch (error) {
    logError('change not passed to the event store', error, { subscriptionId: after.id });
    return undefined;
  }
}

/**
 * Deletes a subscription, then erases its event store (contract 3).
 * @returns false when the customer has no such subscription
 */
export async function removeSubscription(
  needs: RemoveNeeds,
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
