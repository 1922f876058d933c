/** Links into the console and its sessions in D1 (contract 10.15). Only hashes of codes and cookies are stored. */
import { and, eq, lte, type SQL, sql } from 'drizzle-orm';
import type { AuditRow } from '../domain/audit.ts';
import { type ConsoleSession, type SessionKind, scopeOfLink } from '../domain/console.ts';
import { CONSOLE_LINKS_MAX_PER_CUSTOMER, CONSOLE_SESSIONS_MAX } from '../domain/limits.ts';
import { insertAudit } from './audit.ts';
import type { Database } from './database.ts';
import { clientSecrets, clients, consoleLinks, consoleSessions, customers } from './schema.ts';

/** Rows that one statement of maintenance deletes. */
const BITE = 1000;
/** Statements of one run of the cron for each table. */
const BITES_PER_RUN = 10;

/** A link that can still be used. */
export interface ConsoleLink {
  readonly id: string;
  readonly customerId: string;
  readonly readOnly: boolean;
}

interface NewLink extends ConsoleLink {
  readonly codeHash: string;
  readonly createdAt: number;
  readonly expiresAt: number;
}

export interface NewSession {
  readonly id: string;
  readonly cookieHash: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** The cookie that the browser had before: its session ends. */
  readonly replaced: string | undefined;
}

/** Creates a link, with the audit row of it, all or nothing. */
export async function insertConsoleLink(
  db: Database,
  link: NewLink,
  audit: AuditRow,
): Promise<'created' | 'no customer' | 'too many'> {
  const { id, codeHash, customerId, readOnly, createdAt, expiresAt } = link;
  const [created] = await db.batch([
    db
      .insert(consoleLinks)
      .select(
        sql`SELECT ${id}, ${codeHash}, id, ${readOnly ? 1 : 0}, ${createdAt}, ${expiresAt} FROM customers
            WHERE id = ${customerId} AND (SELECT count(*) FROM console_links AS open
              WHERE open.customer_id = ${customerId} AND open.expires_at > ${createdAt}) < ${CONSOLE_LINKS_MAX_PER_CUSTOMER}`,
      )
      .returning({ id: consoleLinks.id }),
    insertAudit(db, audit, sql`EXISTS (SELECT 1 FROM console_links WHERE id = ${id})`),
  ]);
  if (created.length > 0) return 'created';
  const found = await db.select({ id: customers.id }).from(customers).where(eq(customers.id, customerId));
  return found.length === 0 ? 'no customer' : 'too many';
}

/** The link of a code that was not used and has not ended. */
export async function findConsoleLink(
  db: Database,
  codeHash: string,
  now: number,
): Promise<ConsoleLink | undefined> {
  const [link] = await db
    .select({ id: consoleLinks.id, customerId: consoleLinks.customerId, readOnly: consoleLinks.readOnly })
    .from(consoleLinks)
    .where(and(eq(consoleLinks.codeHash, codeHash), sql`${consoleLinks.expiresAt} > ${now}`));
  return link;
}

/**
 * Opens the session of a link, which is used up by it. The session has the id of the link. Of two calls with one code at once, the
 * second finds no link.
 * @returns `gone`: the link was used or has ended since it was found
 */
export async function openByLink(
  db: Database,
  link: ConsoleLink,
  session: NewSession,
  audit: AuditRow,
): Promise<'opened' | 'gone' | 'too many'> {
  const { cookieHash, createdAt, expiresAt } = session;
  const room = hasRoom(sql`customer_id = ${link.customerId}`, session);
  const isOpened = await open(
    db,
    sql`SELECT id, ${cookieHash}, 'customer', customer_id, read_only, NULL, NULL, ${createdAt}, ${expiresAt}
        FROM console_links WHERE id = ${link.id} AND expires_at > ${createdAt} AND ${room}`,
    session,
    audit,
    link.id,
  );
  if (isOpened) return 'opened';
  const left = await db
    .select({ id: consoleLinks.id })
    .from(consoleLinks)
    .where(and(eq(consoleLinks.id, link.id), sql`${consoleLinks.expiresAt} > ${createdAt}`));
  return left.length === 0 ? 'gone' : 'too many';
}

/**
 * Opens a session of a customer for a client that has proved that it knows the secret. The session ends with the secret.
 * @returns `gone`: the secret has ended since it was judged
 */
export async function openByClient(
  db: Database,
  { customerId, secretId }: { readonly customerId: string; readonly secretId: string },
  session: NewSession,
  audit: AuditRow,
): Promise<'opened' | 'gone' | 'too many'> {
  const { id, cookieHash, createdAt, expiresAt } = session;
  const room = hasRoom(sql`customer_id = ${customerId}`, session);
  const isOpened = await open(
    db,
    sql`SELECT ${id}, ${cookieHash}, 'customer', customer_id, 0, id, NULL, ${createdAt}, ${expiresAt}
        FROM client_secrets WHERE id = ${secretId} AND customer_id = ${customerId} AND ${room}`,
    session,
    audit,
  );
  if (isOpened) return 'opened';
  const left = await db
    .select({ id: clientSecrets.id })
    .from(clientSecrets)
    .where(eq(clientSecrets.id, secretId));
  return left.length === 0 ? 'gone' : 'too many';
}

/** Opens a session of the operator. */
export async function openByOperator(
  db: Database,
  operatorMark: string,
  session: NewSession,
  audit: AuditRow,
): Promise<'opened' | 'too many'> {
  const { id, cookieHash, createdAt, expiresAt } = session;
  const isOpened = await open(
    db,
    sql`SELECT ${id}, ${cookieHash}, 'operator', NULL, 0, NULL, ${operatorMark}, ${createdAt}, ${expiresAt}
        WHERE ${hasRoom(sql`customer_id IS NULL`, session)}`,
    session,
    audit,
  );
  return isOpened ? 'opened' : 'too many';
}

/** Whether the customer, or the operator, has room for one more session in place of the one that it replaces. */
function hasRoom(whose: SQL, { createdAt, replaced }: NewSession): SQL {
  return sql`(SELECT count(*) FROM console_sessions
    WHERE ${whose} AND expires_at > ${createdAt} AND cookie_hash <> ${replaced ?? ''}) < ${CONSOLE_SESSIONS_MAX}`;
}

/**
 * Inserts a session, with the audit row of it, ends the one that it replaces, and deletes the link that opened it, all or nothing.
 * The hash of the cookie is new with each call: only the call that inserted the session goes on.
 */
async function open(
  db: Database,
  row: SQL,
  { cookieHash, replaced }: NewSession,
  audit: AuditRow,
  linkId?: string,
): Promise<boolean> {
  const isOurs = sql`EXISTS (SELECT 1 FROM console_sessions AS opened WHERE opened.cookie_hash = ${cookieHash})`;
  const [opened] = await db.batch([
    db.insert(consoleSessions).select(row).returning({ id: consoleSessions.id }),
    insertAudit(db, audit, isOurs),
    db.delete(consoleLinks).where(and(eq(consoleLinks.id, linkId ?? ''), isOurs)),
    db.delete(consoleSessions).where(and(eq(consoleSessions.cookieHash, replaced ?? ''), isOurs)),
  ]);
  return opened.length > 0;
}

/** The session of a cookie, if it has not ended at `now` (ms). */
export async function findSessionOfCookie(
  db: Database,
  kind: SessionKind,
  cookieHash: string,
  now: number,
): Promise<ConsoleSession | undefined> {
  const session = await findSession(
    db,
    and(eq(consoleSessions.cookieHash, cookieHash), eq(consoleSessions.kind, kind)),
  );
  return session === undefined || session.expiresAt <= now ? undefined : session;
}

/** The session that an access token names, if it was not deleted. It may have ended. */
export async function findSessionOfToken(db: Database, id: string): Promise<ConsoleSession | undefined> {
  return await findSession(db, eq(consoleSessions.id, id));
}

async function findSession(db: Database, which: SQL | undefined): Promise<ConsoleSession | undefined> {
  const [row] = await db
    .select({ session: consoleSessions, customer: customers, secret: clientSecrets, client: clients })
    .from(consoleSessions)
    .leftJoin(customers, eq(customers.id, consoleSessions.customerId))
    .leftJoin(clientSecrets, eq(clientSecrets.id, consoleSessions.secretId))
    .leftJoin(
      clients,
      and(eq(clients.customerId, clientSecrets.customerId), eq(clients.clientId, clientSecrets.clientId)),
    )
    .where(which);
  if (row === undefined) return undefined;
  const { session, customer, secret, client } = row;
  const { id, expiresAt, operatorMark } = session;
  if (operatorMark !== null) return { kind: 'operator', id, operatorMark, expiresAt };
  if (customer === null) return undefined;
  const ofCustomer = { kind: 'customer', id, customerId: customer.id, customerName: customer.name } as const;
  if (session.secretId === null) return { ...ofCustomer, scope: scopeOfLink(session.readOnly), expiresAt };
  if (secret === null || client === null) return undefined;
  const { clientId, scope } = client;
  return { ...ofCustomer, clientId, scope, expiresAt: Math.min(expiresAt, secret.expiresAt ?? expiresAt) };
}

/** Ends a session, with the audit row of it. @returns false when it had ended already */
export async function endSession(db: Database, id: string, audit: AuditRow): Promise<boolean> {
  const [, ended] = await db.batch([
    insertAudit(db, audit, sql`EXISTS (SELECT 1 FROM console_sessions WHERE id = ${id})`),
    db.delete(consoleSessions).where(eq(consoleSessions.id, id)).returning({ id: consoleSessions.id }),
  ]);
  return ended.length > 0;
}

/** Deletes links and sessions that have ended, the oldest first, some thousands at most. */
export async function deleteEndedSessions(db: Database, now: number): Promise<void> {
  for (const table of [consoleLinks, consoleSessions]) {
    const some = db
      .select({ id: table.id })
      .from(table)
      .where(lte(table.expiresAt, now))
      .orderBy(table.expiresAt)
      .limit(BITE);
    for (let bites = 0; bites < BITES_PER_RUN; bites++) {
      const deleted = await db.delete(table).where(sql`${table.id} IN (${some})`).returning({ id: table.id });
      if (deleted.length < BITE) break;
    }
  }
}
