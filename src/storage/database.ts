/** The drizzle handle on D1, one per binding. Without a session every query reads the primary. */
import { type DrizzleD1Database, drizzle } from 'drizzle-orm/d1';

export type Database = DrizzleD1Database;

const handles = new WeakMap<D1Database, Database>();

export function openDatabase(binding: D1Database): Database {
  let handle = handles.get(binding);
  if (handle === undefined) {
    handle = drizzle(binding);
    handles.set(binding, handle);
  }
  return handle;
}

/** Whether an error is D1's word for a broken unique index or primary key over these columns. */
export function isDuplicate(error: unknown, columns: string): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause.message.includes(`UNIQUE constraint failed: ${columns}`)) return true;
  }
  return false;
}
