/** Notices for the operator in D1 (contract 10.16): the subscription that gets them, and what was sent of each subscription last. */
import { and, eq, getTableColumns, isNull, sql } from 'drizzle-orm';
import { NOTHING_SENT, type NoticesSent } from '../domain/notice.ts';
import type { SigningKeyName } from '../domain/signing-algorithm.ts';
import type { Subscription } from '../domain/subscription.ts';
import { type Customer, FIRST_REVISION } from './customers.ts';
import { type Database, isDuplicate } from './database.ts';
import { customers, notices, noticesSent, shownState, signingKeys, subscriptions } from './schema.ts';
import {
  eddsaKeys,
  isCurrentEdDsa,
  type NewSigningKey,
  signingKeyOf,
  signingKeyRow,
} from './signing-keys.ts';

/** Who gets the notices. */
export interface NoticesOwner {
  readonly customerId: string;
  readonly subscriptionId: string;
}

/** The subscription that gets the notices, and the key that signs for it. */
export interface NoticesReceiver {
  readonly subscription: Subscription;
  readonly key: SigningKeyName;
}

/** @returns `undefined` while the operator has not set up notices */
export async function findNoticesOwner(db: Database): Promise<NoticesOwner | undefined> {
  const [owner] = await db
    .select({ customerId: notices.customerId, subscriptionId: notices.subscriptionId })
    .from(notices);
  return owner;
}

/**
 * Makes the customer of the notices with its signing keys, and names its subscription, which the caller makes next. What was sent to an
 * earlier one is forgotten. All or nothing. When another call came first, nothing is changed.
 */
export async function insertNoticesOwner(
  db: Database,
  customer: Customer,
  keys: readonly NewSigningKey[],
  subscriptionId: string,
): Promise<void> {
  try {
    await db.batch([
      db.insert(customers).values({ ...customer, audience: FIRST_REVISION }),
      db.insert(signingKeys).values(keys.map(signingKeyRow)),
      db.insert(notices).values({ one: 1, customerId: customer.id, subscriptionId }),
      db.delete(noticesSent),
    ]);
  } catch (error) {
    if (!isDuplicate(error, 'notices.one')) throw error;
  }
}

/** Names the subscription that gets the notices from now on. */
export async function nameNoticesSubscription(
  db: Database,
  customerId: string,
  subscriptionId: string,
): Promise<void> {
  await db.update(notices).set({ subscriptionId }).where(eq(notices.customerId, customerId));
}

/** @returns `undefined` when notices are not set up, or not enabled at `now` (ms) */
export async function findNoticesReceiver(db: Database, now: number): Promise<NoticesReceiver | undefined> {
  const [found] = await db
    .select({
      subscription: { ...getTableColumns(subscriptions), health: shownState },
      kid: signingKeys.kid,
      eddsaKid: eddsaKeys.kid,
      eddsaSince: eddsaKeys.currentSince,
    })
    .from(notices)
    .innerJoin(
      subscriptions,
      and(eq(subscriptions.id, notices.subscriptionId), eq(subscriptions.customerId, notices.customerId)),
    )
    .innerJoin(
      signingKeys,
      and(eq(signingKeys.customerId, notices.customerId), eq(signingKeys.role, 'current')),
    )
    .leftJoin(eddsaKeys, isCurrentEdDsa(sql`${notices.customerId}`))
    .where(and(isNull(subscriptions.deletedAt), eq(subscriptions.enabled, true)));
  return found && { subscription: found.subscription, key: signingKeyOf(found, now) };
}

/** A subscription with what was sent of it. */
export interface Noticed {
  readonly title: string;
  readonly sent: NoticesSent;
}

/** What was sent of these subscriptions, in one query; by id. Deleted and unknown ones are missing. */
export async function findNoticed(db: Database, ids: readonly string[]): Promise<Map<string, Noticed>> {
  const rows = await db
    .select({ id: subscriptions.id, title: subscriptions.title, sent: noticesSent })
    .from(subscriptions)
    .leftJoin(noticesSent, eq(noticesSent.subscriptionId, subscriptions.id))
    .where(
      and(
        sql`${subscriptions.id} IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`,
        isNull(subscriptions.deletedAt),
      ),
    );
  return new Map(rows.map(({ id, title, sent }) => [id, { title, sent: sent ?? NOTHING_SENT }]));
}

/** Notes what was sent of a subscription. A repeat writes the same. */
export async function noteSent(db: Database, id: string, sent: NoticesSent): Promise<void> {
  const { failingSince, ended, wholeAt } = sent;
  await db
    .insert(noticesSent)
    .select(
      sql`SELECT id, ${failingSince}, ${ended}, ${wholeAt} FROM ${subscriptions}
          WHERE id = ${id} AND deleted_at IS NULL`,
    )
    .onConflictDoUpdate({ target: noticesSent.subscriptionId, set: { failingSince, ended, wholeAt } });
}
