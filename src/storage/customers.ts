/** Customers in D1. The operator creates them with their signing keys, and erases them with everything they own. */
import { and, asc, count, eq, gt, inArray, isNull, max, sql } from 'drizzle-orm';
import type { AuditRow } from '../domain/audit.ts';
import { eventIdFloor } from '../domain/ids.ts';
import { ERASED_ID_REST_MS } from '../domain/limits.ts';
import { insertAudit } from './audit.ts';
import { type Database, isDuplicate } from './database.ts';
import { customers, deadLetters, signingKeys, subscriptions } from './schema.ts';
import { eddsaKeys, isCurrentEdDsa, type NewSigningKey, signingKeyRow } from './signing-keys.ts';
import { tombstone } from './tombstone.ts';

export interface Customer {
  readonly id: string;
  readonly name: string;
  readonly createdAt: number;
  /** From when on EdDSA signs for it, ms; `null`: RS256 signs. */
  readonly eddsaSince: number | null;
}

const customer = {
  id: customers.id,
  name: customers.name,
  createdAt: customers.createdAt,
  eddsaSince: eddsaKeys.currentSince,
};
const ofCustomer = isCurrentEdDsa(sql`${customers.id}`);

/** The first revision of an audience. Isolates may remember an erased customer that had the same id, and one of before there were revisions. */
export const FIRST_REVISION = sql<string>`hex(randomblob(8))`;

/**
 * Creates a customer with its signing keys and the audit row of it, all or nothing. The id of an erased customer is refused for
 * `ERASED_ID_REST_MS`: until then isolates that remember the old credentials would accept old tokens for the new customer.
 */
export async function insertCustomer(
  db: Database,
  { id, name, createdAt }: Omit<Customer, 'eddsaSince'>,
  keys: readonly NewSigningKey[],
  audit: AuditRow,
): Promise<'created' | 'exists' | 'erased lately'> {
  const erasedLately = sql`EXISTS (SELECT 1 FROM audit WHERE customer_id = ${id} AND event = 'customer-erased'
    AND id > ${eventIdFloor(createdAt - ERASED_ID_REST_MS)})`;
  try {
    await db.batch([
      db
        .insert(customers)
        .select(sql`SELECT ${id}, ${name}, ${createdAt}, ${FIRST_REVISION} WHERE NOT ${erasedLately}`),
      // Without a customer these are refused, and the batch with them.
      db.insert(signingKeys).values(keys.map(signingKeyRow)),
      insertAudit(db, audit),
    ]);
    return 'created';
  } catch (error) {
    if (isDuplicate(error, 'customers.id')) return 'exists';
    const [found] = await db.all<{ yes: number }>(sql`SELECT ${erasedLately} AS yes`);
    if (found?.yes === 1) return 'erased lately';
    throw error;
  }
}

export async function findCustomer(db: Database, id: string): Promise<Customer | undefined> {
  const rows = await db
    .select(customer)
    .from(customers)
    .leftJoin(eddsaKeys, ofCustomer)
    .where(eq(customers.id, id))
    .limit(1);
  return rows[0];
}

/**
 * How full the fullest event store of each of these customers is, in tenths (contract 10.9). The index has only stores that are
 * a tenth full.
 * @returns by customer id; customers without such a store are missing
 */
export async function fullestStores(db: Database, ids: readonly string[]): Promise<Map<string, number>> {
  const rows = await db
    .select({ id: subscriptions.customerId, tenths: max(subscriptions.storeTenths) })
    .from(subscriptions)
    .where(
      and(
        sql`${subscriptions.customerId} IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`,
        gt(subscriptions.storeTenths, sql`0`),
        isNull(subscriptions.deletedAt),
      ),
    )
    .groupBy(subscriptions.customerId);
  return new Map(rows.map(({ id, tenths }) => [id, tenths ?? 0]));
}

/** A page of customers, oldest first, and how many there are in all. */
export async function listCustomers(
  db: Database,
  limit: number,
  offset: number,
): Promise<{ total: number; customers: Customer[] }> {
  const [rows, totals] = await db.batch([
    db
      .select(customer)
      .from(customers)
      .leftJoin(eddsaKeys, ofCustomer)
      .orderBy(asc(customers.createdAt), asc(customers.id))
      .limit(limit)
      .offset(offset),
    db.select({ total: count() }).from(customers),
  ]);
  return { total: totals[0]?.total ?? 0, customers: rows };
}

/**
 * Erases a customer, with the audit row of it. Foreign keys delete its clients, secrets and signing keys with its row. Its dead
 * letters go, too. Its subscriptions become tombstones, and the caller erases their event stores next. A repeat changes nothing.
 * @returns false when there is no such customer
 */
export async function deleteCustomer(
  db: Database,
  id: string,
  now: number,
  audit: AuditRow,
): Promise<boolean> {
  const [, , removed] = await db.batch([
    insertAudit(db, audit, sql`EXISTS (SELECT 1 FROM ${customers} WHERE id = ${id})`),
    db
      .update(subscriptions)
      .set(tombstone(now))
      .where(and(eq(subscriptions.customerId, id), isNull(subscriptions.deletedAt))),
    db.delete(customers).where(eq(customers.id, id)).returning({ id: customers.id }),
    // `refused` is named because the index begins with it.
    db
      .delete(deadLetters)
      .where(and(inArray(deadLetters.refused, [true, false]), eq(deadLetters.customerId, id))),
  ]);
  return removed.length > 0;
}
