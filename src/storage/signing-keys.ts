/** Signing keys of customers. The public halves are readable; the private halves are sealed before they get here. */
import { and, asc, count, eq, gt, lte, ne, not, or, sql } from 'drizzle-orm';
import type { AuditRow } from '../domain/audit.ts';
import { RETIRED_KEY_PUBLISHED_MS } from '../domain/limits.ts';
import { insertAudit } from './audit.ts';
import { type Database, isDuplicate } from './database.ts';
import { customers, signingKeys } from './schema.ts';

export type NewSigningKey = typeof signingKeys.$inferInsert;
type Role = NewSigningKey['role'];

/** The private half of a key, still sealed. */
export interface SealedKey {
  readonly kid: string;
  readonly customerId: string;
  readonly sealedPrivateKey: string;
}

/** The key that was retired last. It stays published however old it is, so that there are always three (contract 6.3). */
const isLastRetired = sql`${signingKeys.retiredAt} = (
  SELECT max(retired_at) FROM ${signingKeys} AS other WHERE other.customer_id = ${signingKeys.customerId})`;

/**
 * The public keys a customer publishes (contract 6.3), the signing one first.
 * @returns `undefined` when there is no such customer
 */
export async function publishedKeys(
  db: Database,
  customerId: string,
  now: number,
): Promise<JsonWebKey[] | undefined> {
  const rows = await db
    .select({ role: signingKeys.role, jwk: signingKeys.publicJwk })
    .from(customers)
    .innerJoin(signingKeys, eq(signingKeys.customerId, customers.id))
    .where(
      and(
        eq(customers.id, customerId),
        or(
          ne(signingKeys.role, 'retired'),
          gt(signingKeys.retiredAt, now - RETIRED_KEY_PUBLISHED_MS),
          isLastRetired,
        ),
      ),
    );
  if (rows.length === 0) return undefined;
  const order = { current: 0, next: 1, reserve: 2, retired: 3 };
  return rows.sort((a, b) => order[a.role] - order[b.role]).map((row) => row.jwk);
}

/** Key id of the key that signs now; `undefined` when there is no such customer. */
export async function currentKid(db: Database, customerId: string): Promise<string | undefined> {
  const rows = await db
    .select({ kid: signingKeys.kid })
    .from(signingKeys)
    .where(and(eq(signingKeys.customerId, customerId), eq(signingKeys.role, 'current')));
  return rows[0]?.kid;
}

/** The ids of the keys that a rotation moves. There is a `reserve` only until the first rotation. */
interface KeyRing {
  readonly current: string;
  readonly reserve?: string;
}

export async function findKeyRing(db: Database, customerId: string): Promise<KeyRing | undefined> {
  const rows = await db
    .select({ kid: signingKeys.kid, role: signingKeys.role })
    .from(signingKeys)
    .where(and(eq(signingKeys.customerId, customerId), ne(signingKeys.role, 'retired')));
  const kidOf = (role: string) => rows.find((row) => row.role === role)?.kid;
  const [current, reserve] = [kidOf('current'), kidOf('reserve')];
  if (current === undefined) return undefined;
  return { current, ...(reserve === undefined ? {} : { reserve }) };
}

/**
 * Rotates a customer's keys, all or nothing: the current key is retired, the next key becomes the current one, and the
 * reserve, or `fresh`, becomes the next one. The audit row is written with it.
 * @param fresh needed when the ring has no reserve
 * @returns false when another rotation came first or the customer was erased, and then nothing is changed
 */
export async function rotateKeys(
  db: Database,
  customerId: string,
  ring: KeyRing,
  fresh: NewSigningKey | undefined,
  now: number,
  audit: AuditRow,
): Promise<boolean> {
  const ofRole = (role: Role) => and(eq(signingKeys.customerId, customerId), eq(signingKeys.role, role));
  const isCurrent = sql`EXISTS (SELECT 1 FROM ${signingKeys} WHERE kid = ${ring.current} AND role = 'current')`;
  const successor =
    fresh === undefined
      ? db
          .update(signingKeys)
          .set({ role: 'next' })
          .where(and(ofRole('reserve'), eq(signingKeys.kid, ring.reserve ?? '')))
      : db.insert(signingKeys).values(fresh);
  try {
    const [, retired] = await db.batch([
      insertAudit(db, audit, isCurrent),
      db
        .update(signingKeys)
        .set({ role: 'retired', retiredAt: now })
        .where(and(ofRole('current'), eq(signingKeys.kid, ring.current)))
        .returning({ kid: signingKeys.kid }),
      // The index refuses a second current key, so of two rotations at once the second changes nothing.
      db.update(signingKeys).set({ role: 'current', currentSince: now }).where(ofRole('next')),
      successor,
    ]);
    return retired.length > 0;
  } catch (error) {
    if (isDuplicate(error, 'signing_keys.customer_id')) return false;
    throw error;
  }
}

/** Customers whose current key began to sign at `before` (ms) or earlier, the oldest key first. */
export async function findDueRotations(db: Database, before: number, limit: number): Promise<string[]> {
  const rows = await db
    .select({ customerId: signingKeys.customerId })
    .from(signingKeys)
    .where(and(eq(signingKeys.role, 'current'), lte(signingKeys.currentSince, before)))
    .orderBy(asc(signingKeys.currentSince))
    .limit(limit);
  return rows.map((row) => row.customerId);
}

/** Deletes retired keys that need not be published any more, because no SET that they signed is kept. */
export async function deleteRetiredKeys(db: Database, now: number): Promise<void> {
  await db
    .delete(signingKeys)
    .where(
      and(
        eq(signingKeys.role, 'retired'),
        lte(signingKeys.retiredAt, now - RETIRED_KEY_PUBLISHED_MS),
        not(isLastRetired),
      ),
    );
}

/** The sealed private halves of these key ids; ids without a key are left out. */
export async function sealedKeys(db: Database, kids: readonly string[]): Promise<SealedKey[]> {
  if (kids.length === 0) return [];
  return await db
    .select({
      kid: signingKeys.kid,
      customerId: signingKeys.customerId,
      sealedPrivateKey: signingKeys.sealedPrivateKey,
    })
    .from(signingKeys)
    .where(sql`${signingKeys.kid} IN (SELECT value FROM json_each(${JSON.stringify(kids)}))`);
}

/**
 * Private keys that are not sealed under the current key encryption key, in order of key id.
 * @param prefix the start of everything that is sealed under the current one (see `sealedPrefix`)
 * @param after the key id after which to begin
 */
export async function findSealedOtherwise(
  db: Database,
  prefix: string,
  after: string,
  limit: number,
): Promise<SealedKey[]> {
  return await db
    .select({
      kid: signingKeys.kid,
      customerId: signingKeys.customerId,
      sealedPrivateKey: signingKeys.sealedPrivateKey,
    })
    .from(signingKeys)
    .where(and(gt(signingKeys.kid, after), sealedOtherwise(prefix)))
    .orderBy(asc(signingKeys.kid))
    .limit(limit);
}

/** How many private keys there are, and how many of them do not begin with `prefix`. */
export async function countSealed(
  db: Database,
  prefix: string,
): Promise<{ readonly total: number; readonly otherwise: number }> {
  const rows = await db
    .select({ total: count(), otherwise: sql<number>`coalesce(sum(${sealedOtherwise(prefix)}), 0)` })
    .from(signingKeys);
  return rows[0] ?? { total: 0, otherwise: 0 };
}

/** Replaces sealed keys, with the audit row of it. The text that was read makes a repeat harmless: a row that has another text stays as it is. */
export async function replaceSealed(
  db: Database,
  all: readonly { readonly key: SealedKey; readonly resealed: string }[],
  audit: AuditRow,
): Promise<void> {
  const updates = all.map(({ key, resealed }) =>
    db
      .update(signingKeys)
      .set({ sealedPrivateKey: resealed })
      .where(and(eq(signingKeys.kid, key.kid), eq(signingKeys.sealedPrivateKey, key.sealedPrivateKey))),
  );
  const [first, ...rest] = updates;
  if (first !== undefined) await db.batch([first, ...rest, insertAudit(db, audit)]);
}

function sealedOtherwise(prefix: string) {
  return sql`substr(${signingKeys.sealedPrivateKey}, 1, ${prefix.length}) <> ${prefix}`;
}
