/**
 * How many deliveries a store holds, exactly, without reading them all whenever the object wakes: the rows up to some
 * event id were counted once, only the younger ones are counted again. New rows are younger than that id but for the
 * few that come late, so keeping the number right costs next to no writes.
 */
import { TOTAL_COUNTED_AGAIN_ROWS, TOTAL_TAIL_ROWS } from '../domain/limits.ts';

type Counted = { up_to: string; rows: number };

export class Total {
  readonly #sql: SqlStorage;
  #counted: Counted | undefined;
  #total: number | undefined;
  /** Rows that came since the object woke, or since they were last counted for good. */
  #grown = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  read(): number {
    if (this.#total !== undefined) return this.#total;
    const { up_to, rows } = this.#base();
    const tail = this.#sql
      .exec<{ n: number }>('SELECT count(*) AS n FROM deliveries WHERE event_id > ?', up_to)
      .one().n;
    this.#total = rows + tail;
    if (tail > TOTAL_COUNTED_AGAIN_ROWS) this.#advance(this.#total);
    return this.#total;
  }

  /** Rows came to be or went; call it with the write itself, before anything is awaited. */
  changed(eventIds: readonly string[], by: 1 | -1): void {
    if (this.#total !== undefined) this.#total += by * eventIds.length;
    const { up_to } = this.#base();
    const counted = eventIds.filter((eventId) => eventId <= up_to).length;
    if (counted > 0) {
      this.#sql.exec('UPDATE counted SET rows = rows + ?', by * counted);
      this.#counted = undefined;
    }
    if (by > 0) this.#grown += eventIds.length;
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
    this.#counted ??= this.#sql.exec<Counted>('SELECT up_to, rows FROM counted').toArray()[0] ?? {
      up_to: '',
      rows: 0,
    };
    return this.#counted;
  }

  #advance(total: number): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO counted (one, up_to, rows)
       SELECT 1, event_id, ? FROM deliveries ORDER BY event_id DESC LIMIT 1 OFFSET ?`,
      total - TOTAL_TAIL_ROWS,
      TOTAL_TAIL_ROWS,
    );
    this.#grown = 0;
    this.#counted = undefined;
  }
}
