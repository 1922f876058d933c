/** Dead letters in D1 (contract 10.2): kept 30 days, at most 100,000. */
import { asc, count, eq, lt, sql } from 'drizzle-orm';
import { DEAD_LETTERS_MAX } from '../domain/limits.ts';
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
}

/** Letters in one statement. A bound text may have 2 MB, and the body of one letter up to 128 KB. */
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
                value ->> 'acceptedAt', value ->> 'createdAt'
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

/** @returns false when there is no such letter */
export async function deleteDeadLetter(db: Database, id: string): Promise<boolean> {
  const removed = await db
    .delete(deadLetters)
    .where(eq(deadLetters.id, id))
    .returning({ id: deadLetters.id });
  return removed.length > 0;
}

/**
 * Deletes the letters that are older than `before` (ms), then the oldest ones beyond `DEAD_LETTERS_MAX`.
 * @returns how many were beyond it
 */
export async function trimDeadLetters(db: Database, before: number): Promise<number> {
  await db.delete(deadLetters).where(lt(deadLetters.createdAt, before));
  const dropped = await db
    .delete(deadLetters)
    .where(
      sql`${deadLetters.id} IN (
        SELECT id FROM ${deadLetters} ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ${DEAD_LETTERS_MAX})`,
    )
    .returning({ id: deadLetters.id });
  return dropped.length;
}
