/**
 * Clients of a customer and their secrets. Of a secret only a hash is stored. Each secret has an id, and an access token
 * names it, so that the token ends when the secret does.
 */
import { and, asc, eq, gt, isNull, or, sql } from 'drizzle-orm';
import type { AuditRow } from '../domain/audit.ts';
import { insertAudit } from './audit.ts';
import { type Database, isDuplicate } from './database.ts';
import { clientSecrets, clients, customers } from './schema.ts';

export interface Client {
  readonly customerId: string;
  readonly clientId: string;
  readonly name: string;
  readonly scope: string;
  readonly createdAt: number;
}

export interface NewSecret {
  readonly id: string;
  /** SHA-256, 64 hex digits. */
  readonly secretHash: string;
}

/** A secret with the client it belongs to. */
export interface Credential extends Client {
  readonly secretId: string;
  readonly secretHash: string;
  /** When the secret ends, ms; null: it has no end. */
  readonly expiresAt: number | null;
}

type InsertClientResult = 'created' | 'no customer' | 'duplicate' | 'too many';

/** Creates a client and its secret, with the audit row of it, all or nothing. */
export async function insertClient(
  db: Database,
  client: Client,
  secret: NewSecret,
  maxClients: number,
  audit: AuditRow,
): Promise<InsertClientResult> {
  const { customerId, clientId, name, scope, createdAt } = client;
  try {
    const [created] = await db.batch([
      db
        .insert(clients)
        .select(
          sql`SELECT ${customerId}, ${clientId}, ${name}, ${scope}, ${createdAt}
              WHERE EXISTS (SELECT 1 FROM ${customers} WHERE id = ${customerId})
                AND (SELECT count(*) FROM ${clients} WHERE customer_id = ${customerId}) < ${maxClients}`,
        )
        .returning({ clientId: clients.clientId }),
      insertSecret(db, customerId, clientId, secret, createdAt),
      insertAudit(db, audit, hasSecret(secret)),
    ]);
    if (created.length > 0) return 'created';
  } catch (error) {
    if (isDuplicate(error, 'clients.customer_id, clients.client_id')) return 'duplicate';
    throw error;
  }
  const found = await db.select({ id: customers.id }).from(customers).where(eq(customers.id, customerId));
  return found.length === 0 ? 'no customer' : 'too many';
}

export async function listClients(db: Database, customerId: string): Promise<Client[]> {
  return await db
    .select()
    .from(clients)
    .where(eq(clients.customerId, customerId))
    .orderBy(asc(clients.createdAt), asc(clients.clientId));
}

export async function findClient(
  db: Database,
  customerId: string,
  clientId: string,
): Promise<Client | undefined> {
  const rows = await db
    .select()
    .from(clients)
    .where(and(eq(clients.customerId, customerId), eq(clients.clientId, clientId)));
  return rows[0];
}

/** Deletes a client, with the audit row of it. @returns false when the customer has no such client */
export async function deleteClient(
  db: Database,
  customerId: string,
  clientId: string,
  audit: AuditRow,
): Promise<boolean> {
  const exists = sql`EXISTS (SELECT 1 FROM ${clients} WHERE customer_id = ${customerId} AND client_id = ${clientId})`;
  const [, removed] = await db.batch([
    insertAudit(db, audit, exists),
    db
      .delete(clients)
      .where(and(eq(clients.customerId, customerId), eq(clients.clientId, clientId)))
      .returning({ clientId: clients.clientId }),
  ]);
  return removed.length > 0;
}

/**
 * Gives a client a new secret, with the audit row of it. Its other secrets end at `oldExpiresAt` (ms), or earlier where they already have an end.
 * @param maxSecrets that a client may have at once. A rotation that ends all others is never one too many
 * @returns unless it is `rotated`, nothing is changed
 */
export async function rotateSecret(
  db: Database,
  customerId: string,
  clientId: string,
  secret: NewSecret,
  now: number,
  oldExpiresAt: number,
  maxSecrets: number,
  audit: AuditRow,
): Promise<'rotated' | 'no client' | 'too many'> {
  const ofThisClient = and(eq(clientSecrets.customerId, customerId), eq(clientSecrets.clientId, clientId));
  // Both statements ask the same, and the first changes nothing of the answer: secrets that are kept have not ended.
  const hasRoom = sql`(${oldExpiresAt <= now} OR (
    SELECT count(*) FROM client_secrets AS live WHERE live.customer_id = ${customerId} AND live.client_id = ${clientId}
      AND (live.expires_at IS NULL OR live.expires_at > ${now})) < ${maxSecrets})`;
  const [, made] = await db.batch([
    db
      .update(clientSecrets)
      .set({ expiresAt: sql`min(coalesce(${clientSecrets.expiresAt}, ${oldExpiresAt}), ${oldExpiresAt})` })
      .where(and(ofThisClient, hasRoom)),
    insertSecret(db, customerId, clientId, secret, now, hasRoom).returning({ id: clientSecrets.id }),
    db.delete(clientSecrets).where(and(ofThisClient, sql`${clientSecrets.expiresAt} <= ${now}`)),
    insertAudit(db, audit, hasSecret(secret)),
  ]);
  if (made.length > 0) return 'rotated';
  return (await findClient(db, customerId, clientId)) === undefined ? 'no client' : 'too many';
}

/**
 * The valid secrets of a client, each with the client; empty for an unknown client.
 * @returns `undefined` when there is no such customer
 */
export async function findCredentials(
  db: Database,
  customerId: string,
  clientId: string,
  now: number,
): Promise<Credential[] | undefined> {
  const rows = await db
    .select({ client: clients, secret: clientSecrets })
    .from(customers)
    .leftJoin(clients, and(eq(clients.customerId, customers.id), eq(clients.clientId, clientId)))
    .leftJoin(clientSecrets, and(ofClient(), isLive(now)))
    .where(eq(customers.id, customerId));
  if (rows.length === 0) return undefined;
  return rows.flatMap(({ client, secret }) =>
    client === null || secret === null ? [] : credentialOf(client, secret),
  );
}

/** Finds the secret that an access token names, with its client, if both still exist. The secret may have expired. */
export function credentialQuery(db: Database, secretId: string) {
  return db
    .select({
      customerId: clients.customerId,
      clientId: clients.clientId,
      name: clients.name,
      scope: clients.scope,
      createdAt: clients.createdAt,
      secretId: clientSecrets.id,
      secretHash: clientSecrets.secretHash,
      expiresAt: clientSecrets.expiresAt,
    })
    .from(clientSecrets)
    .innerJoin(clients, ofClient())
    .where(eq(clientSecrets.id, secretId));
}

function ofClient() {
  return and(eq(clientSecrets.customerId, clients.customerId), eq(clientSecrets.clientId, clients.clientId));
}

/** Whether a secret has not ended at `now` (ms). */
function isLive(now: number) {
  return or(isNull(clientSecrets.expiresAt), gt(clientSecrets.expiresAt, now));
}

function credentialOf(client: Client, secret: typeof clientSecrets.$inferSelect): Credential {
  const { id: secretId, secretHash, expiresAt } = secret;
  return { ...client, secretId, secretHash, expiresAt };
}

/** Whether the batch has inserted the secret. */
function hasSecret({ id }: NewSecret) {
  return sql`EXISTS (SELECT 1 FROM ${clientSecrets} WHERE id = ${id})`;
}

/** Inserts nothing when the client does not exist, so that a batch for an unknown client changes nothing. */
function insertSecret(
  db: Database,
  customerId: string,
  clientId: string,
  secret: NewSecret,
  now: number,
  condition = sql`true`,
) {
  return db.insert(clientSecrets).select(
    sql`SELECT ${secret.id}, customer_id, client_id, ${secret.secretHash}, ${now}, NULL
          FROM ${clients} WHERE customer_id = ${customerId} AND client_id = ${clientId} AND ${condition}`,
  );
}
