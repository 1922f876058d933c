/**
 * Gives a subscription another number of event stores (contract 10.17, decision 0042). D1 decides; the stores learn of it afterwards, and
 * from every call. A repeat finds the number and changes nothing. Two calls at once: the second reads again what the first wrote.
 */
import type { AuditRow } from '../domain/audit.ts';
import { withShards } from '../domain/shards.ts';
import { refOf, type Sharded, type Subscription } from '../domain/subscription.ts';
import type { EventStoreRpc } from '../event-store/rpc.ts';
import { logError } from '../log.ts';
import type { Database } from '../storage/database.ts';
import { findSubscription, updateShards } from '../storage/subscriptions.ts';
import { logAudit } from './audit-trail.ts';

/** Calls for one subscription at once that are all served. */
const TRIES = 5;

interface SetShardsNeeds {
  readonly db: Database;
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'adopt'>;
}

type SetShards =
  | { readonly result: 'set'; readonly subscription: Subscription }
  | { readonly result: 'not found' | 'too many epochs' | 'changed meanwhile' };

/** @param n how many shards the events of the next epoch have */
export async function setShards(
  needs: SetShardsNeeds,
  found: Subscription,
  n: number,
  now: number,
  audit: AuditRow,
): Promise<SetShards> {
  let subscription: Subscription | undefined = found;
  for (let tries = 0; tries < TRIES; tries++) {
    if (subscription === undefined) return { result: 'not found' };
    const shards = withShards(subscription.shards, n, now);
    if (shards === 'too many') return { result: 'too many epochs' };
    if (shards === subscription.shards) return { result: 'set', subscription };
    const updated = await updateShards(needs.db, subscription, shards, audit);
    if (updated !== undefined) {
      logAudit(audit);
      await report(needs, updated);
      return { result: 'set', subscription: updated };
    }
    subscription = await findSubscription(needs.db, found.customerId, found.id);
  }
  return { result: 'changed meanwhile' };
}

/** Makes the new stores near this call, not near the first event, and lets the others know how many there are. */
async function report({ eventStore }: SetShardsNeeds, subscription: Subscription): Promise<void> {
  try {
    await eventStore(subscription).adopt(refOf(subscription));
  } catch (error) {
    logError('change not passed to the event store', error, { subscriptionId: subscription.id });
  }
}
