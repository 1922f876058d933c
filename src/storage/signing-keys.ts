/** Signing keys of customers: public halves readable, private halves sealed before they come here. */
import { and, eq, gt, ne, or, sql } from 'drizzle-orm';
import { RETIRED_KEY_PUBLISHED_MS } from '../domain/limits.ts';
import type { Database } from './database.ts';
import { customers, signingKeys } from './schema.ts';

export type NewSigningKey = typeof signingKeys.$inferInsert;

/** The private half of a key, still sealed. */
export interface SealedKey {
  readonly kid: string;
  readonly customerId: string;
  readonly sealedPrivateKey: string;
}

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
        or(ne(signingKeys.role, 'retired'), gt(signingKeys.retiredAt, now - RETIRED_KEY_PUBLISHED_MS)),
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

/** Sealed private halves by key id; ids without a key are left out. */
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
