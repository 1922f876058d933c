/**
 * How many deliveries a table holds, exactly, without reading it all whenever the object wakes: what lies up to some
 * event id was counted once, only what is younger is counted again. New rows are younger than that id but for the few
 * that come late, so keeping the number right costs next to no writes.
 */
import { TOTAL_COUNTED_AGAIN_ROWS, TOTAL_TAIL_ROWS } from '../tuning.ts';

/** A table keyed by event ids, and where its count is kept. */
export interface CountedTable {
  readonly name: string;
  readonly key: string;
  /** Deliveries of a row, as SQL. */
  readonly events: string;
  readonly counted: string;
}

/** A row that came to be or went: its key, and its deliveries. */
export interface CountedRow {
  readonly key: string;
  readonly events: number;
}

type Counted = { up_to: string; events: number };

export class Total {
  readonly #sql: SqlStorage;
  readonly #table: CountedTable;
  #counted: Counted | undefined;
  #total: number | undefined;
  /** Rows that came since the object woke, or since they were last counted for good. */
  #grown = 0;

  constructor(sql: SqlStorage, table: CountedTable) {
    this.#sql = sql;
    this.#table = table;
  }

  read(): number {
    if (this.#total !== undefined) return this.#total;
    const { name, key, events } = this.#table;
    const base = this.#base();
    const tail = this.#sql
      .exec<{ rows: number; events: number }>(
        `SELECT count(*) AS rows, coalesce(sum(${events}), 0) AS events FROM ${name} WHERE ${key} > ?`,
        base.up_to,
      )
      .one();
    this.#total = base.events + tail.events;
    if (tail.rows > TOTAL_COUNTED_AGAIN_ROWS) this.#advance(this.#total);
    return this.#total;
  }

  /** Rows came to be or went; call it with the write itself, before anything is awaited. */
  changed(rows: readonly CountedRow[], by: 1 | -1): void {
    const sum = (some: readonly CountedRow[]) => by * some.reduce((total, { events }) => total + events, 0);
    if (this.#total !== undefined) this.#total += sum(rows);
    const { up_to } = this.#base();
    const counted = rows.filter(({ key }) => key <= up_to);
    if (counted.length > 0) {
      this.#sql.exec(`UPDATE ${this.#table.counted} SET events = events + ?`, sum(counted));
      this.#counted = undefined;
    }
    if (by > 0) this.#grown += rows.length;
    // A busy store keeps its count near its end, so that the first to ask after a rest need not wait for it.
    if (this.#grown > TOTAL_COUNTED_AGAIN_ROWS) this.#advance(this.read());
  }

  /** Forgets what stands in memory: the rows were rolled back, or everything was deleted. */
  forget(): void {
    this.#counted = undefined;
    this.#total = undefined;
    this.#grown = 0;
  }

  #base(): Counted {
    this.#counted ??= this.#sql
      .exec<Counted>(`SELECT up_to, events FROM ${this.#table.counted}`)
      .toArray()[0] ?? { up_to: '', events: 0 };
    return this.#counted;
  }

  /** Counts for good what lies before the youngest rows. */
  #advance(total: number): void {
    const { name, key, events, counted } = this.#table;
    this.#sql.exec(
      `WITH cut AS (SELECT ${key} AS up_to FROM ${name} ORDER BY ${key} DESC LIMIT 1 OFFSET ?)
       INSERT OR REPLACE INTO ${counted} (one, up_to, events)
       SELECT 1, up_to, ? - (SELECT coalesce(sum(${events}), 0) FROM ${name} WHERE ${key} > up_to) FROM cut`,
      TOTAL_TAIL_ROWS,
      total,
    );
    this.#grown = 0;
    this.#counted = undefined;
  }
}
