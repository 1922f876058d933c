/** What exports and bulk redeliveries share: a table of jobs, of which at most one is active at a time. */
import type { StoreDatabase } from '../database.ts';

type JobRow = {
  id: string;
  state: string;
  created_at: number;
  updated_at: number;
};

/** The jobs of one table. A unique index of the table holds that one job is `processing` at most. */
export class Jobs<Row extends JobRow> {
  readonly #database: StoreDatabase;
  readonly #table: string;
  readonly #lifeMs: number;

  /** @param lifeMs how long a job is kept after it ended */
  constructor(database: StoreDatabase, table: string, lifeMs: number) {
    this.#database = database;
    this.#table = table;
    this.#lifeMs = lifeMs;
  }

  /** All jobs that are kept, oldest first. */
  list(): Row[] {
    return this.select('ORDER BY created_at, id');
  }

  find(id: string): Row | undefined {
    return this.select('WHERE id = ?', id)[0];
  }

  active(): Row | undefined {
    return this.select("WHERE state = 'processing'")[0];
  }

  /** Jobs that ended so long ago that they are to be forgotten. */
  expired(now: number): Row[] {
    return this.select("WHERE state <> 'processing' AND updated_at <= ?", now - this.#lifeMs);
  }

  forget(id: string): void {
    this.#database.run(`DELETE FROM ${this.#table} WHERE id = ?`, id);
  }

  /** When the next job is to be forgotten, ms. */
  nextExpiry(): number | undefined {
    const oldest = this.select("WHERE state <> 'processing' ORDER BY updated_at LIMIT 1")[0];
    return oldest === undefined ? undefined : oldest.updated_at + this.#lifeMs;
  }

  /** @param clause what follows `SELECT * FROM` the table */
  select(clause: string, ...values: SqlStorageValue[]): Row[] {
    return this.#database.rows<Row>(`SELECT * FROM ${this.#table} ${clause}`, ...values);
  }
}
