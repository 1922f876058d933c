/** What exports and bulk redeliveries share: a table of jobs, of which at most one is active at a time. */
import { JOBS_KEPT_MAX } from '../../domain/limits.ts';
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
  readonly #lifeMs: () => number;

  /** @param lifeMs how long a job is kept after it ended */
  constructor(database: StoreDatabase, table: string, lifeMs: () => number) {
    this.#database = database;
    this.#table = table;
    this.#lifeMs = lifeMs;
  }

  /** Jobs that are kept, oldest first. @param id only this one */
  list(id?: string): Row[] {
    if (id === undefined) return this.select('ORDER BY created_at, id');
    const job = this.find(id);
    return job === undefined ? [] : [job];
  }

  find(id: string): Row | undefined {
    return this.select('WHERE id = ?', id)[0];
  }

  active(): Row | undefined {
    return this.select("WHERE state = 'processing'")[0];
  }

  /** Jobs that ended so long ago that they are to be forgotten. */
  expired(now: number): Row[] {
    return this.select("WHERE state <> 'processing' AND updated_at <= ?", now - this.#lifeMs());
  }

  /**
   * Makes room for one more job: forgets the oldest ones beyond `JOBS_KEPT_MAX`.
   * @param states of the jobs that may be forgotten
   * @returns false when those are too few, and then nothing is forgotten
   */
  makeRoom(states: readonly Row['state'][]): boolean {
    const surplus = this.list().length + 1 - JOBS_KEPT_MAX;
    if (surplus <= 0) return true;
    const oldest = this.select(
      'WHERE state IN (SELECT value FROM json_each(?)) ORDER BY created_at, id LIMIT ?',
      JSON.stringify(states),
      surplus,
    );
    if (oldest.length < surplus) return false;
    for (const { id } of oldest) this.forget(id);
    return true;
  }

  forget(id: string): void {
    this.#database.run(`DELETE FROM ${this.#table} WHERE id = ?`, id);
  }

  /** When the next job is to be forgotten, ms. */
  nextExpiry(): number | undefined {
    const oldest = this.select("WHERE state <> 'processing' ORDER BY updated_at LIMIT 1")[0];
    return oldest === undefined ? undefined : oldest.updated_at + this.#lifeMs();
  }

  /** @param clause what follows `SELECT * FROM` the table */
  select(clause: string, ...values: SqlStorageValue[]): Row[] {
    return this.#database.rows<Row>(`SELECT * FROM ${this.#table} ${clause}`, ...values);
  }
}
