/**
 * How many deliveries a table holds, exactly, without reading the whole table whenever the object wakes. The rows up to some
 * event id were counted once, and that count is saved; only newer rows are counted again. Nearly all new rows are newer than
 * that id, so keeping the saved count right costs next to no writes.
 */
import type { StoreDatabase } from '../database.ts';
import { TOTAL_COUNTED_AGAIN_ROWS, TOTAL_TAIL_ROWS } from '../tuning.ts';

/** A table keyed by event ids, and where its count is kept. */
interface CountedTable {
  readonly name: string;
  readonly key: string;
  /** Deliveries of a row, as SQL. */
  readonly events: string;
  readonly counted: string;
}

/** A row that was added or deleted: its key, and how many deliveries it holds. */
interface CountedRow {
  readonly key: string;
  readonly events: number;
}

type Counted = { up_to: string; events: number };

export class Total {
  readonly #database: StoreDatabase;
  readonly #table: CountedTable;
  #counted: Counted | undefined;
  #total: number | undefined;
  /** Rows added since the object woke, or since the count was last saved. */
  #grown = 0;

  constructor(database: StoreDatabase, table: CountedTable) {
    this.#database = database;
    this.#table = table;
    database.whenRolledBack(() => this.#forget());
  }

  read(): number {
    if (this.#total !== undefined) return this.#total;
    const { name, key, events } = this.#table;
    const base = this.#base();
    const tail = this.#database.first<{ rows: number; events: number }>(
      `SELECT count(*) AS rows, coalesce(sum(${events}), 0) AS events FROM ${name} WHERE ${key} > ?`,
      base.up_to,
    );
    this.#total = base.events + (tail?.events ?? 0);
    if ((tail?.rows ?? 0) > TOTAL_COUNTED_AGAIN_ROWS) this.#advance(this.#total);
    return this.#total;
  }

  /** Rows were added (`by` 1) or deleted (-1). Call it together with the write, before anything is awaited. */
  changed(rows: readonly CountedRow[], by: 1 | -1): void {
    const sum = (some: readonly CountedRow[]) => by * some.reduce((total, { events }) => total + events, 0);
    if (this.#total !== undefined) this.#total += sum(rows);
    const { up_to } = this.#base();
    const counted = rows.filter(({ key }) => key <= up_to);
    if (counted.length > 0) {
      this.#database.run(`UPDATE ${this.#table.counted} SET events = events + ?`, sum(counted));
      this.#counted = undefined;
    }
    if (by > 0) this.#grown += rows.length;
    // A busy store keeps its count near its end, so that the first to ask after a rest need not wait for it.
    if (this.#grown > TOTAL_COUNTED_AGAIN_ROWS) this.#advance(this.read());
  }

  /** A row has more deliveries than before, and may have another key. */
  grew(before: CountedRow, after: CountedRow): void {
    this.changed([before], -1);
    this.#grown--;
    this.changed([after], 1);
  }

  #forget(): void {
    this.#counted = undefined;
    this.#total = undefined;
    this.#grown = 0;
  }

  #base(): Counted {
    this.#counted ??= this.#database.first<Counted>(`SELECT up_to, events FROM ${this.#table.counted}`) ?? {
      up_to: '',
      events: 0,
    };
    return this.#counted;
  }

  /** Saves the count of all rows except the newest ones. */
  #advance(total: number): void {
    const { name, key, events, counted } = this.#table;
    this.#database.run(
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
