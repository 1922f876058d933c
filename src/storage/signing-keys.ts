/**
 * Signing keys of customers. The public halves are readable; the private halves are sealed before they get here.
 *
 * A customer always has a ring of RSA keys: `current` signs, `next` signs after it. A customer that signs by EdDSA has a ring of Ed25519
 * keys beside it. That ring signs from the `current_since` of its current key on, which is handed on from key to key. Until then, and in
 * code that does not know EdDSA, the RSA ring signs. So a change of the algorithm is one batch, and no task has to finish it later
 * (docs/decisions/0039-eddsa-for-those-who-may-choose.md).
 */
import { and, asc, count, eq, gt, isNotNull, lte, ne, not, or, type SQL, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/sqlite-core';
import type { AuditRow } from '../domain/audit.ts';
import { RETIRED_KEY_PUBLISHED_MS } from '../domain/limits.ts';
import type { SigningAlgorithm, SigningKeyName } from '../domain/signing-algorithm.ts';
import { insertAudit } from './audit.ts';
import { type Database, isDuplicate } from './database.ts';
import { customers, signingKeys } from './schema.ts';

/** A key that is not retired. A ring of EdDSA keys has no reserve. */
export interface NewSigningKey {
  readonly customerId: string;
  readonly kid: string;
  readonly algorithm: SigningAlgorithm;
  readonly role: Role;
  readonly publicJwk: JsonWebKey;
  readonly sealedPrivateKey: string;
  readonly createdAt: number;
  /** When a current key, or the first of its ring for EdDSA, begins to sign, ms; `null` for every other key. */
  readonly currentSince: number | null;
}

type Role = 'current' | 'next' | 'reserve';

/** What `retired_at` is while an EdDSA key has a role: the last millisecond of the year 9999 (`migrations/0021_signing_algorithms.sql`). */
const NOT_RETIRED_MS = 253_402_300_799_999;

/** The private half of a key, still sealed. */
export interface SealedKey {
  readonly kid: string;
  readonly customerId: string;
  readonly sealedPrivateKey: string;
}

const sealed = {
  kid: signingKeys.kid,
  customerId: signingKeys.customerId,
  sealedPrivateKey: signingKeys.sealedPrivateKey,
};

/** The RSA key that was retired last. It stays published however old it is, so that there are always three (contract 6.3). */
const isLastRetired = sql`(${signingKeys.algorithm} = 'RS256' AND ${signingKeys.retiredAt} = (
  SELECT max(retired_at) FROM ${signingKeys} AS other
  WHERE other.customer_id = ${signingKeys.customerId} AND other.algorithm = 'RS256'))`;

/** The current EdDSA key of a customer, for queries that join it. */
export const eddsaKeys = alias(signingKeys, 'eddsa_keys');

/** Whether a joined row is the current EdDSA key of a customer; an index finds it. */
export function isCurrentEdDsa(customerId: SQL): SQL {
  return sql`(${eddsaKeys.customerId} = ${customerId} AND ${eddsaKeys.eddsaRole} = 'current')`;
}

/** The columns of a key as they are stored. */
export function signingKeyRow(key: NewSigningKey): typeof signingKeys.$inferInsert {
  const { role, ...common } = key;
  if (common.algorithm === 'RS256') return { ...common, role, retiredAt: null, eddsaRole: null };
  if (role === 'reserve') throw new Error('EdDSA keys have no reserve');
  return { ...common, role: 'retired', retiredAt: NOT_RETIRED_MS, eddsaRole: role };
}

/** The statement that inserts a key if a condition holds at its place in a batch. */
function insertKeyIf(db: Database, key: NewSigningKey, when: SQL) {
  const row = signingKeyRow(key);
  return db
    .insert(signingKeys)
    .select(
      sql`SELECT ${row.kid}, ${row.customerId}, ${row.role}, ${JSON.stringify(row.publicJwk)}, ${row.sealedPrivateKey}, ${row.createdAt},
        ${row.retiredAt}, ${row.currentSince}, ${row.algorithm}, ${row.eddsaRole} WHERE ${when}`,
    )
    .returning({ kid: signingKeys.kid });
}

/**
 * The public keys a customer publishes (contract 6.3), the one that signs at `now` (ms) first.
 * @returns `undefined` when there is no such customer
 */
export async function publishedKeys(
  db: Database,
  customerId: string,
  now: number,
): Promise<JsonWebKey[] | undefined> {
  const rows = await db
    .select({
      role: signingKeys.role,
      eddsaRole: signingKeys.eddsaRole,
      currentSince: signingKeys.currentSince,
      jwk: signingKeys.publicJwk,
    })
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
  const order = { current: 1, next: 2, reserve: 3, retired: 4 };
  const placed = rows.map(({ role, eddsaRole, currentSince, jwk }) => {
    const signsByEdDsa = eddsaRole === 'current' && (currentSince ?? now) <= now;
    return { jwk, place: signsByEdDsa ? 0 : order[eddsaRole ?? role] };
  });
  return placed.sort((a, b) => a.place - b.place).map(({ jwk }) => jwk);
}

/** Finds the current keys of a customer, still sealed: one for each algorithm, of which `signerOf` says which signs. */
export function currentKeysQuery(db: Database, customerId: string) {
  return db
    .select({ ...sealed, algorithm: signingKeys.algorithm, currentSince: signingKeys.currentSince })
    .from(signingKeys)
    .where(
      and(
        eq(signingKeys.customerId, customerId),
        or(eq(signingKeys.role, 'current'), eq(signingKeys.eddsaRole, 'current')),
      ),
    );
}

/** Which of a customer's current keys signs at `now` (ms); `undefined` when there is none. */
export function signerOf(
  keys: Awaited<ReturnType<typeof currentKeysQuery>>,
  now: number,
): SigningKeyName | undefined {
  const eddsa = keys.find(({ algorithm }) => algorithm === 'EdDSA');
  const rsa = keys.find(({ algorithm }) => algorithm === 'RS256');
  if (rsa === undefined) return undefined;
  const [eddsaKid, eddsaSince] = [eddsa?.kid ?? null, eddsa?.currentSince ?? null];
  return signingKeyOf({ kid: rsa.kid, eddsaKid, eddsaSince }, now);
}

/** Which of a customer's two current keys signs at `now` (ms). */
export function signingKeyOf(
  row: { readonly kid: string; readonly eddsaKid: string | null; readonly eddsaSince: number | null },
  now: number,
): SigningKeyName {
  const { kid, eddsaKid, eddsaSince } = row;
  return eddsaKid !== null && eddsaSince !== null && eddsaSince <= now
    ? { algorithm: 'EdDSA', kid: eddsaKid }
    : { algorithm: 'RS256', kid };
}

/** The ids of the keys that a rotation moves. There is a `reserve` only until the first rotation. */
interface KeyRing {
  readonly current: string;
  readonly reserve?: string;
  /** The ring of EdDSA keys, if there is one. `since`: when it begins to sign, ms. */
  readonly eddsa?: { readonly current: string; readonly next: string; readonly since: number };
}

export async function findKeyRing(db: Database, customerId: string): Promise<KeyRing | undefined> {
  const rows = await db
    .select({
      kid: signingKeys.kid,
      role: signingKeys.role,
      eddsaRole: signingKeys.eddsaRole,
      since: signingKeys.currentSince,
    })
    .from(signingKeys)
    .where(
      and(
        eq(signingKeys.customerId, customerId),
        or(ne(signingKeys.role, 'retired'), isNotNull(signingKeys.eddsaRole)),
      ),
    );
  const kidOf = (role: string) => rows.find((row) => row.role === role)?.kid;
  const ofEdDsa = (role: string) => rows.find((row) => row.eddsaRole === role);
  const [current, reserve] = [kidOf('current'), kidOf('reserve')];
  if (current === undefined) return undefined;
  const [signing, next] = [ofEdDsa('current'), ofEdDsa('next')];
  return {
    current,
    ...(reserve === undefined ? {} : { reserve }),
    ...(signing === undefined || next === undefined
      ? {}
      : { eddsa: { current: signing.kid, next: next.kid, since: signing.since ?? 0 } }),
  };
}

/**
 * Rotates a customer's keys, all or nothing: the current key is retired, the next key becomes the current one, and the
 * reserve, or a fresh key, becomes the next one. The EdDSA keys rotate with the RSA keys. The audit row is written with it.
 * @param fresh an RSA key when the ring has no reserve, and an EdDSA key when there is such a ring
 * @returns false when another rotation came first or the customer was erased, and then nothing is changed
 */
export async function rotateKeys(
  db: Database,
  customerId: string,
  ring: KeyRing,
  fresh: { readonly rsa?: NewSigningKey; readonly eddsa?: NewSigningKey },
  now: number,
  audit: AuditRow,
): Promise<boolean> {
  const ofRole = (role: Role) => and(eq(signingKeys.customerId, customerId), eq(signingKeys.role, role));
  const isCurrent = sql`EXISTS (SELECT 1 FROM ${signingKeys} WHERE kid = ${ring.current} AND role = 'current')`;
  const successor =
    fresh.rsa === undefined
      ? db
          .update(signingKeys)
          .set({ role: 'next' })
          .where(and(ofRole('reserve'), eq(signingKeys.kid, ring.reserve ?? '')))
      : db.insert(signingKeys).values(signingKeyRow(fresh.rsa));
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
      ...rotateEdDsa(db, customerId, ring, fresh.eddsa, now),
    ]);
    return retired.length > 0;
  } catch (error) {
    if (isDuplicate(error, 'signing_keys.customer_id')) return false;
    throw error;
  }
}

/** The statements that rotate EdDSA keys. They change nothing when the ring is not there any more. */
function rotateEdDsa(
  db: Database,
  customerId: string,
  { eddsa }: KeyRing,
  fresh: NewSigningKey | undefined,
  now: number,
) {
  if (eddsa === undefined || fresh === undefined) return [];
  const isKey = (kid: string, role: 'current' | 'next') =>
    and(eq(signingKeys.customerId, customerId), eq(signingKeys.kid, kid), eq(signingKeys.eddsaRole, role));
  return [
    db.update(signingKeys).set({ eddsaRole: null, retiredAt: now }).where(isKey(eddsa.current, 'current')),
    // The time is that of the ring: the next key takes it over, also while the first one is published and does not sign yet.
    db
      .update(signingKeys)
      .set({ eddsaRole: 'current', currentSince: eddsa.since })
      .where(isKey(eddsa.next, 'next')),
    insertKeyIf(
      db,
      fresh,
      sql`EXISTS (SELECT 1 FROM ${signingKeys} WHERE kid = ${eddsa.next} AND eddsa_role = 'current')`,
    ),
  ];
}

/** Whether the customer has a ring of EdDSA keys. */
function hasEdDsa(customerId: string): SQL {
  return sql`EXISTS (SELECT 1 FROM ${signingKeys} WHERE customer_id = ${customerId} AND eddsa_role IS NOT NULL)`;
}

/**
 * Gives a customer a ring of EdDSA keys, with the audit row of it, all or nothing. A repeat changes nothing.
 * @returns false when the customer has such a ring, or does not exist
 */
export async function addEdDsaKeys(
  db: Database,
  customerId: string,
  { current, next }: { readonly current: NewSigningKey; readonly next: NewSigningKey },
  audit: AuditRow,
): Promise<boolean> {
  const mayAdd = sql`EXISTS (SELECT 1 FROM ${customers} WHERE id = ${customerId}) AND NOT ${hasEdDsa(customerId)}`;
  const [, added] = await db.batch([
    insertAudit(db, audit, mayAdd),
    insertKeyIf(db, next, mayAdd),
    insertKeyIf(db, current, sql`EXISTS (SELECT 1 FROM ${signingKeys} WHERE kid = ${next.kid})`),
  ]);
  return added.length > 0;
}

/**
 * Lets a customer's RSA keys sign again, with the audit row of it, all or nothing. The EdDSA key that signed stays published until no
 * SET that it signed is kept; the next one never signed. A repeat changes nothing.
 * @returns false when the customer has no EdDSA keys
 */
export async function retireEdDsaKeys(
  db: Database,
  customerId: string,
  now: number,
  audit: AuditRow,
): Promise<boolean> {
  const ofRole = (role: 'current' | 'next') =>
    and(eq(signingKeys.customerId, customerId), eq(signingKeys.eddsaRole, role));
  const [, retired] = await db.batch([
    insertAudit(db, audit, hasEdDsa(customerId)),
    db
      .update(signingKeys)
      .set({ eddsaRole: null, retiredAt: now })
      .where(ofRole('current'))
      .returning({ kid: signingKeys.kid }),
    db.delete(signingKeys).where(ofRole('next')),
  ]);
  return retired.length > 0;
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
    .select(sealed)
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
    .select(sealed)
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
