/**
 * The rows that the platform bills for writes to a store: each row of a table that is inserted, updated or deleted, by triggers too, and
 * each entry that a write adds to an index. SQLite's own count leaves out triggers and indexes. So temporary triggers count here; that
 * they agree with the platform is what `test/model/price.test.ts` checks.
 */
import type { DatabaseSync } from 'node:sqlite';

/** Counts from now on. @param note called with the rows of each write */
export function countBilledRows(database: DatabaseSync, note: (rows: number) => void): void {
  database.function('billed', (rows) => {
    note(Number(rows));
    return null;
  });
  for (const table of names(database, "SELECT name FROM sqlite_master WHERE type = 'table'")) {
    if (table.startsWith('sqlite_')) continue;
    const columns = names(database, `SELECT name FROM pragma_table_info('${table}')`);
    const indexes = indexesOf(database, table);
    const row = (which: 'NEW' | 'OLD') => columns.map((name) => `${which}.${name} AS ${name}`).join(', ');
    const isIn = (which: 'NEW' | 'OLD', where: string) =>
      `EXISTS (SELECT 1 FROM (SELECT ${row(which)}) WHERE ${where})`;
    const added = indexes.map(({ where }) => isIn('NEW', where));
    const moved = indexes.map(({ columns: keys, where }) => {
      const isChanged = keys.map((key) => `NEW.${key} IS NOT OLD.${key}`).join(' OR ');
      return `(${isIn('NEW', where)} AND (${isChanged} OR NOT ${isIn('OLD', where)}))`;
    });
    const rows = { INSERT: ['1', ...added], UPDATE: ['1', ...moved], DELETE: ['1'] };
    for (const [event, terms] of Object.entries(rows)) {
      database.exec(`CREATE TEMP TRIGGER billed_${event}_${table} AFTER ${event} ON main.${table}
        BEGIN SELECT billed(${terms.join(' + ')}); END`);
    }
  }
}

interface Index {
  readonly columns: readonly string[];
  /** Which rows are in it, as SQL. */
  readonly where: string;
}

/** The indexes of a table beside the one of its primary key. */
function indexesOf(database: DatabaseSync, table: string): Index[] {
  const found = database
    .prepare("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL")
    .all(table) as { name: string; sql: string }[];
  return found.map(({ name, sql }) => ({
    columns: names(database, `SELECT name FROM pragma_index_info('${name}')`),
    where: /\bWHERE\b([\s\S]*)$/i.exec(sql)?.[1] ?? 'true',
  }));
}

function names(database: DatabaseSync, query: string): string[] {
  return (database.prepare(query).all() as { name: string }[]).map(({ name }) => name);
}
