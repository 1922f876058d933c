/** Dead letters in D1 (contract 10.2): kept 30 days, at most 100,000. */
import { asc, count, eq, lt, sql } from 'drizzle-orm';
import type { AuditRow } from '../domain/audit.ts';
import { DEAD_LETTERS_MAX, DEAD_LETTERS_MAX_REFUSED } from '../domain/limits.ts';
import { insertAudit } from './audit.ts';
import type { Database } from './database.ts';
import { deadLetters } from './schema.ts';

/** A letter of the operator's list. `body` is JSON text; times are in ms. */
export interface DeadLetter {
  readonly id: string;
  readonly queue: string;
  readonly reason: string;
  readonly body: string;
  readonly acceptedAt: number;
  readonly createdAt: number;
  /** The customer that the event names, which may not exist. */
  readonly customerId: string | null;
  /** The event was refused. Otherwise it was accepted, and is lost unless it is replayed. */
  readonly refused: boolean;
}

/** Letters in one statement. A bound text may have 2 MB, and the body of one letter up to 124 KB as text within JSON. */
const LETTERS_PER_STATEMENT = 10;

/** Stores all letters or none. The id makes a repeat harmless: a letter that is stored already stays as it is. */
export async function insertDeadLetters(db: Database, letters: readonly DeadLetter[]): Promise<void> {
  const statements = [];
  for (let start = 0; start < letters.length; start += LETTERS_PER_STATEMENT) {
    const some = JSON.stringify(letters.slice(start, start + LETTERS_PER_STATEMENT));
    statements.push(
      db
        .insert(deadLetters)
        .select(
          sql`SELECT value ->> 'id', value ->> 'queue', value ->> 'reason', value ->> 'body',
                value ->> 'acceptedAt', value ->> 'createdAt', value ->> 'customerId', value ->> 'refused'
              FROM json_each(${some}) WHERE true`,
        )
        .onConflictDoNothing(),
    );
  }
  const [first, ...rest] = statements;
  if (first !== undefined) await db.batch([first, ...rest]);
}

export async function listDeadLetters(
  db: Database,
  limit: number,
  offset: number,
): Promise<{ total: number; letters: DeadLetter[] }> {
  const [letters, totals] = await db.batch([
    db
      .select()
      .from(deadLetters)
      .orderBy(asc(deadLetters.createdAt), asc(deadLetters.id))
      .limit(limit)
      .offset(offset),
    db.select({ total: count() }).from(deadLetters),
  ]);
  return { total: totals[0]?.total ?? 0, letters };
}

export async function findDeadLetter(db: Database, id: string): Promise<DeadLetter | undefined> {
  return (await db.select().from(deadLetters).where(eq(deadLetters.id, id)).limit(1))[0];
}

/** Takes a letter off the list. */
export async function removeDeadLetter(db: Database, id: string): Promise<void> {
  await db.delete(deadLetters).where(eq(deadLetters.id, id));
}

/** Drops a letter, with the audit row of it. @returns false when there is no such letter */
export async function dropDeadLetter(db: Database, id: string, audit: AuditRow): Promise<boolean> {
  const [, removed] = await db.batch([
    insertAudit(db, audit, sql`EXISTS (SELECT 1 FROM ${deadLetters} WHERE id = ${id})`),
    db.delete(deadLetters).where(eq(deadLetters.id, id)).returning({ id: deadLetters.id }),
  ]);
  return removed.length > 0;
}

/** Letters that were dropped although they were not old. */
interface Dropped {
  /** Of refused events, because their customer has too many. */
  readonly ofOneCustomer: number;
  /** Because the list is full. */
  readonly beyondAll: number;
}

/**
 * Deletes the letters that are older than `before` (ms). Then, for each customer, the oldest letters of refused events beyond
 * `DEAD_LETTERS_MAX_REFUSED`; a customer that does not exist is nobody, however many names it has. Then what is beyond
 * `DEAD_LETTERS_MAX`: letters of refused events first, the oldest first.
 */
export async function trimDeadLetters(db: Database, before: number): Promise<Dropped> {
  const { id } = deadLetters;
  await db.delete(deadLetters).where(lt(deadLetters.createdAt, before));
  const ofOneCustomer = await db
    .delete(deadLetters)
    .where(
      sql`${id} IN (
        SELECT letter FROM (
          SELECT letters.id AS letter, row_number() OVER (
              PARTITION BY customers.id ORDER BY letters.created_at DESC, letters.id DESC) AS place
          FROM dead_letters AS letters LEFT JOIN customers ON customers.id = letters.customer_id
          WHERE letters.refused = 1)
        WHERE place > ${DEAD_LETTERS_MAX_REFUSED})`,
    )
    .returning({ id });
  const beyondAll = await db
    .delete(deadLetters)
    .where(
      sql`${id} IN (
        SELECT id FROM dead_letters ORDER BY refused, created_at DESC, id DESC LIMIT -1 OFFSET ${DEAD_LETTERS_MAX})`,
    )
    .returning({ id });
  return { ofOneCustomer: ofOneCustomer.length, beyondAll: beyondAll.length };
}
