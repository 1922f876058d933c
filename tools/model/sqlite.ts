/** SQLite in memory for stores and for D1, by `node:sqlite`. Statements are kept; rows changed and returned are counted. */
import { DatabaseSync, type StatementSync } from 'node:sqlite';

export type Value = null | number | string | ArrayBuffer | Uint8Array;

/** A page of SQLite where nobody sets another size. */
const PAGE_BYTES = 4096;

interface Prepared {
  readonly statement: StatementSync;
  readonly columns: readonly string[];
}

export class Sqlite {
  readonly database: DatabaseSync;
  /** Rows that statements changed; those of triggers and indexes are not counted. */
  changed = 0;
  /** Rows that the platform bills; counted once `countBilledRows` was called. */
  billed = 0;
  returned = 0;
  readonly #prepared = new Map<string, Prepared>();
  #pages: StatementSync | undefined;
  #depth = 0;

  /** @param copyOf bytes of a database that this one begins with */
  constructor(copyOf?: Uint8Array) {
    this.database = new DatabaseSync(':memory:');
    if (copyOf !== undefined) this.database.deserialize(copyOf);
    this.database.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -256;');
    this.database.exec('PRAGMA journal_mode = MEMORY;');
  }

  /** Rows as arrays, with the names of their columns. */
  query(
    text: string,
    values: readonly unknown[],
  ): { columns: readonly string[]; rows: Value[][]; changes: number } {
    const prepared = this.#prepare(text);
    if (prepared === undefined) {
      this.database.exec(text);
      return { columns: [], rows: [], changes: 0 };
    }
    const { statement, columns } = prepared;
    const bound = values.map(bindable);
    if (columns.length === 0) {
      const changes = Number(statement.run(...bound).changes);
      this.changed += changes;
      return { columns, rows: [], changes };
    }
    const rows = statement.all(...bound) as unknown as Value[][];
    for (const row of rows) {
      for (let index = 0; index < row.length; index++) {
        const value = row[index];
        if (value instanceof Uint8Array) row[index] = new Uint8Array(value).buffer;
      }
    }
    const changes = /^\s*(?:insert|update|delete|replace)/i.test(text) ? rows.length : 0;
    this.changed += changes;
    this.returned += rows.length;
    return { columns, rows, changes };
  }

  /** Bytes that the database takes. */
  get bytes(): number {
    this.#pages ??= this.database.prepare('PRAGMA page_count');
    return Number(this.#pages.get()?.['page_count'] ?? 0) * PAGE_BYTES;
  }

  transaction<Answer>(work: () => Answer): Answer {
    const name = `t${this.#depth++}`;
    this.database.exec(`SAVEPOINT ${name}`);
    try {
      const answer = work();
      this.database.exec(`RELEASE ${name}`);
      return answer;
    } catch (error) {
      this.database.exec(`ROLLBACK TO ${name}; RELEASE ${name}`);
      throw error;
    } finally {
      this.#depth--;
    }
  }

  /** @returns `undefined` for a text of several statements, or one that changes tables */
  #prepare(text: string): Prepared | undefined {
    const known = this.#prepared.get(text);
    if (known !== undefined) return known;
    if (/^\s*(?:create|alter|drop|pragma)/i.test(text)) return undefined;
    const statement = this.database.prepare(text);
    statement.setReturnArrays(true);
    const prepared = { statement, columns: statement.columns().map(({ name }) => name) };
    this.#prepared.set(text, prepared);
    return prepared;
  }

  close(): void {
    this.#prepared.clear();
    this.#pages = undefined;
    this.database.close();
  }
}

function bindable(value: unknown): null | number | string | Uint8Array {
  if (value === undefined || value === null) return null;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return value as number | string | Uint8Array;
}

/** Rows as objects. */
export function objectsOf(columns: readonly string[], rows: readonly Value[][]): Record<string, Value>[] {
  return rows.map((row) => Object.fromEntries(columns.map((name, index) => [name, row[index] ?? null])));
}
