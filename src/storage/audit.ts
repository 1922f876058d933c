/**
 * The audit trail in D1 (contract 10.7). The row of a change is written in the batch of that change, so that there is no
 * change without its row. Rows of tokens and refusals come several at a time. Each query goes by an index, and what
 * clients and strangers can cause has a bound for each hour.
 */
import { and, count, desc, eq, gt, gte, lt, type SQL, sql } from 'drizzle-orm';
import { type AuditEvent, type AuditRow, auditLimits } from '../domain/audit.ts';
import { eventIdFloor } from '../domain/ids.ts';
import { AUDIT_RETENTION_MS, DAY_MS, HOUR_MS } from '../domain/limits.ts';
import type { Database } from './database.ts';
import { audit } from './schema.ts';

/** Rows that one statement of maintenance touches. */
const BITE = 1000;
/** Statements of one run of the cron for one purpose. 288 runs a day delete more rows than the hourly bounds let in. */
const BITES_PER_RUN = 10;

/** Rows of tokens and refusals that one batch writes. */
const ROWS_OF_BATCH = 50;

/** A row as D1 has it. */
export type StoredAuditRow = typeof audit.$inferSelect;

/**
 * The statement that writes the row of a change, for the batch of that change. The id makes a repeat fail, and its batch with it.
 * @param when a condition that holds exactly if the change takes effect, at the place of the statement in the batch
 */
export function insertAudit(db: Database, row: AuditRow, when: SQL = sql`true`) {
  return db.insert(audit).select(
    sql`SELECT ${row.id}, ${row.at}, ${row.event}, ${row.actor}, ${row.customerId ?? null}, ${row.clientId ?? null},
          ${row.target ?? null}, ${row.address ?? null}, ${row.requestId ?? null}, ${row.callerRequestId ?? null},
          ${row.outcome}, ${row.count}
        WHERE (${when}) AND ${hasRoom(row.event, row.customerId, row.at)}`,
  );
}

/** Writes the row of an act that follows. */
export async function writeAudit(db: Database, row: AuditRow): Promise<void> {
  await insertAudit(db, row);
}

/** Whether the hour before `at` (ms) has room for one more row of this event and customer. */
function hasRoom(event: AuditEvent, customerId: string | undefined, at: number): SQL {
  const { ofCustomer } = auditLimits(event);
  if (ofCustomer === undefined || customerId === undefined) return sql`true`;
  return sql`(SELECT count(*) FROM (
      SELECT 1 FROM audit AS recent
      WHERE recent.customer_id = ${customerId} AND recent.event = ${event} AND recent.id > ${eventIdFloor(at - HOUR_MS)}
      LIMIT ${ofCustomer})) < ${ofCustomer}`;
}

/**
 * Writes several rows, as many of each event as the hour before `now` (ms) has room for; those that name a customer first.
 * A repeat is harmless: a row that is stored already stays as it is.
 */
export async function writeAuditRows(db: Database, rows: readonly AuditRow[], now: number): Promise<void> {
  const named = rows.filter(({ customerId }) => customerId !== undefined);
  const nameless = rows.filter(({ customerId }) => customerId === undefined);
  for (const alike of [named, nameless]) {
    for (const [event, ofEvent] of Map.groupBy(alike, (row) => row.event)) {
      await writeAlike(db, event, ofEvent, alike === named, now);
    }
  }
}

/** Writes rows of one event in batches, so that D1 does other work between them, until the hour has no more room. */
async function writeAlike(
  db: Database,
  event: AuditEvent,
  rows: readonly AuditRow[],
  areNamed: boolean,
  now: number,
): Promise<void> {
  for (let start = 0; start < rows.length; start += ROWS_OF_BATCH) {
    const room = await roomFor(db, event, areNamed, now);
    const some = rows.slice(start, start + Math.min(room, ROWS_OF_BATCH));
    const [first, ...rest] = some.map((row) => insertAudit(db, row).onConflictDoNothing());
    if (first === undefined) return;
    await db.batch([first, ...rest]);
  }
}

/**
 * How many more rows of an event the hour before `now` has room for, of those that name a customer or of those that do not.
 * Isolates that ask at once may exceed it by a batch each.
 */
async function roomFor(db: Database, event: AuditEvent, areNamed: boolean, now: number): Promise<number> {
  const { inAll, withoutCustomer } = auditLimits(event);
  if (inAll === undefined) return Number.POSITIVE_INFINITY;
  const recent = db
    .select({ customerId: audit.customerId })
    .from(audit)
    .where(and(eq(audit.event, event), gt(audit.id, eventIdFloor(now - HOUR_MS))))
    .limit(inAll)
    .as('recent');
  const [found] = await db.select({ rows: count(), named: count(recent.customerId) }).from(recent);
  const { rows, named } = found ?? { rows: 0, named: 0 };
  const room = inAll - rows;
  if (areNamed || withoutCustomer === undefined) return room;
  return Math.max(0, Math.min(room, withoutCustomer - (rows - named)));
}

/** What an operator asks for. Times are in ms. */
interface AuditQuery {
  readonly customerId?: string | undefined;
  readonly event?: AuditEvent | undefined;
  /** Only rows of this time or later. */
  readonly since?: number | undefined;
  /** Only rows before this time. */
  readonly until?: number | undefined;
  /** Only rows that follow the row with this id in the list. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Rows of the trail, the newest first. */
export function auditPage(db: Database, query: AuditQuery) {
  const { customerId, event, since, until, after, limit } = query;
  // One upper bound: of two, SQLite begins at either, and reads every row between them.
  const uppers = [until === undefined ? undefined : eventIdFloor(until), after];
  const [before] = uppers.filter((bound) => bound !== undefined).sort();
  return db
    .select()
    .from(audit)
    .where(
      and(
        customerId === undefined ? undefined : eq(audit.customerId, customerId),
        event === undefined ? undefined : eq(audit.event, event),
        since === undefined ? undefined : gte(audit.id, eventIdFloor(since)),
        before === undefined ? undefined : lt(audit.id, before),
      ),
    )
    .orderBy(desc(audit.id))
    .limit(limit);
}

/** Deletes rows that are older than `AUDIT_RETENTION_MS`, the oldest first, some thousands at most. */
export async function deleteOldAudit(db: Database, now: number): Promise<void> {
  const end = eventIdFloor(now - AUDIT_RETENTION_MS);
  await inBites(() =>
    db
      .delete(audit)
      .where(sql`${audit.id} IN (SELECT id FROM audit WHERE id < ${end} ORDER BY id LIMIT ${BITE})`)
      .returning({ id: audit.id }),
  );
}

/**
 * Blanks what callers of erased customers left in the trail besides ids: their addresses and their own request ids. It looks
 * at the erasures of the last day, so a row that was written late is found by a later run.
 */
export async function blankErasedAudit(db: Database, now: number): Promise<void> {
  const since = eventIdFloor(now - DAY_MS);
  await inBites(() =>
    db
      .update(audit)
      .set({ address: null, callerRequestId: null })
      .where(
        sql`${audit.id} IN (
          SELECT left_behind.id FROM audit AS erased JOIN audit AS left_behind ON left_behind.customer_id = erased.customer_id
          WHERE erased.event = 'customer-erased' AND erased.id > ${since}
            AND (left_behind.id < erased.id
              OR NOT EXISTS (SELECT 1 FROM customers WHERE customers.id = erased.customer_id))
            AND left_behind.actor IN ('client', 'stranger')
            AND (left_behind.address IS NOT NULL OR left_behind.caller_request_id IS NOT NULL)
          LIMIT ${BITE})`,
      )
      .returning({ id: audit.id }),
  );
}

async function inBites(bite: () => PromiseLike<readonly unknown[]>): Promise<void> {
  for (let bites = 0; bites < BITES_PER_RUN; bites++) if ((await bite()).length < BITE) return;
}
