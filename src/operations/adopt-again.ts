/**
 * Makes event stores adopt the rows of D1 again, after D1 was restored to an earlier time. A store adopts only a newer version,
 * and a restored row has an older one. So the versions in D1 are raised above all that a store can have seen. New changes then
 * have versions of their own, too: a proof (contract 10.8) that a store was given under a version says nothing about them.
 */
import pLimit from 'p-limit';
import type { AuditRow } from '../domain/audit.ts';
import { refOf, type Sharded } from '../domain/subscription.ts';
import type { EventStoreRpc } from '../event-store/rpc.ts';
import { logError } from '../log.ts';
import type { Database } from '../storage/database.ts';
import { raiseVersions } from '../storage/subscriptions.ts';
import { logAudit } from './audit-trail.ts';

/** More changes than a customer makes between a backup and its restoration: a thousand an hour for 30 days are 720,000. */
const RAISED_BY = 1_000_000;
const STORES_AT_ONCE = 6;

interface AdoptAgainNeeds {
  readonly db: Database;
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'adopt'>;
}

/**
 * Raises the versions, then calls each store. A store that is away adopts its row with the next event, or at the daily visit.
 * A repeat raises the versions once more, which does no harm.
 * @returns how many subscriptions the customer has, and how many stores have adopted their row
 */
export async function adoptAgain(
  { db, eventStore }: AdoptAgainNeeds,
  customerId: string,
  audit: AuditRow,
): Promise<{ total: number; adopted: number }> {
  const raised = await raiseVersions(db, customerId, RAISED_BY, audit);
  logAudit(audit);
  const slots = pLimit(STORES_AT_ONCE);
  const adopted = await Promise.all(
    raised.map((subscription) =>
      slots(async () => {
        try {
          await eventStore(subscription).adopt(refOf(subscription));
          return 1;
        } catch (error) {
          logError('change not passed to the event store', error, { subscriptionId: subscription.id });
          return 0;
        }
      }),
    ),
  );
  return { total: raised.length, adopted: adopted.reduce<number>((sum, one) => sum + one, 0) };
}
