/**
 * What waited when the subscription was disabled: table `disabled_mark`, one row, kept in memory as well.
 *
 * Disabling fails everything that waits (contract 3.6), which may be a million rows. So the call only writes a mark: the time, and the
 * generation of the rows that were there. Each write of a row gives it the present generation, which is one more than that of the
 * mark. Until the alarm has rewritten all rows of the mark, a row of its generation or an earlier one reads as the failure that it
 * became at that time (`failed`), unless its attempt was under way.
 *
 * The subscription may be disabled again before that. Then one mark stands for all of these rows, and the times of the earlier ones are
 * kept beside it: a failure does not move to a later time.
 */
import { type Delivery, type DeliveryState, disable } from '../../domain/delivery.ts';
import type { StoreDatabase } from '../database.ts';
import { EARLIER_MARKS_MAX } from '../tuning.ts';

/** A mark whose rows the alarm has not rewritten yet. */
interface Mark {
  readonly generation: number;
  /** When the subscription was disabled, ms. */
  readonly at: number;
  /** The state and the event id that the alarm rewrote last. */
  readonly state: DeliveryState;
  readonly cursor: string;
}

/** A mark that a later one has replaced: its rows failed at its own time. */
type Earlier = readonly [generation: number, at: number];

type Row = {
  generation: number;
  at: number;
  state: DeliveryState;
  cursor: string;
  done: number;
  /** JSON of `Earlier[]`, the oldest first. */
  earlier: string;
};

/** The states that are not final, in the order in which the alarm rewrites them. */
export const OPEN_STATES = ['awaiting-executing', 'awaiting-retry', 'executing'] as const;

/** Rows that a mark fails, as SQL. Values: its generation, and its time. */
export const IS_MARKED = `due_at IS NOT NULL AND generation <= ? AND (state <> 'executing' OR due_at <= ?)`;

/** Whether a mark fails a row: the rule of `IS_MARKED`. */
export function isMarked(
  row: { readonly state: DeliveryState; readonly due_at: number | null; readonly generation: number },
  { generation, at }: Mark,
): boolean {
  return (
    row.due_at !== null && row.generation <= generation && (row.state !== 'executing' || row.due_at <= at)
  );
}

export class Disabled {
  readonly #database: StoreDatabase;
  #kept: Row | undefined;

  constructor(database: StoreDatabase) {
    this.#database = database;
    database.whenRolledBack(() => {
      this.#kept = undefined;
    });
  }

  /** The mark, while the alarm has not rewritten all its rows. */
  get mark(): Mark | undefined {
    const row = this.#row;
    return row.done === 1 ? undefined : row;
  }

  /** The generation of a row that is written now. */
  get generation(): number {
    return this.#row.generation + 1;
  }

  /** When the subscription was last disabled while rows waited, ms. */
  get lastAt(): number {
    return this.#row.at;
  }

  /** Marks all rows that are there. */
  begin(now: number): void {
    const { mark } = this;
    // Beyond so many, rows of the newest of them read as if they had failed with the next mark.
    const isKept = mark !== undefined && this.#earlier.length < EARLIER_MARKS_MAX;
    const earlier: Earlier[] = isKept ? [...this.#earlier, [mark.generation, mark.at]] : this.#earlier;
    const generation = this.generation;
    this.#save({
      generation,
      at: now,
      state: OPEN_STATES[0],
      cursor: '',
      done: 0,
      earlier: JSON.stringify(earlier),
    });
  }

  /** The alarm has rewritten the marked rows of a state up to an event id. */
  moveTo(state: DeliveryState, cursor: string): void {
    this.#save({ ...this.#row, state, cursor });
  }

  /** The alarm has rewritten all marked rows of a state. */
  endState(state: DeliveryState): void {
    const next = OPEN_STATES[(OPEN_STATES as readonly DeliveryState[]).indexOf(state) + 1];
    const change = next === undefined ? { done: 1, earlier: '[]' } : { state: next, cursor: '' };
    this.#save({ ...this.#row, ...change });
  }

  /** A delivery as a customer sees it: failed, when the mark is on its row. @param generation of the row */
  failed(delivery: Delivery, generation: number): Delivery {
    const { mark } = this;
    if (mark === undefined || generation > mark.generation) return delivery;
    for (const [last, at] of this.#earlier) {
      const failed = generation <= last ? disable(delivery, at) : undefined;
      if (failed !== undefined) return failed;
    }
    return disable(delivery, mark.at) ?? delivery;
  }

  get #earlier(): Earlier[] {
    return JSON.parse(this.#row.earlier) as Earlier[];
  }

  get #row(): Row {
    this.#kept ??= this.#database.first<Row>(
      'SELECT generation, at, state, cursor, done, earlier FROM disabled_mark',
    ) ?? {
      generation: 0,
      at: 0,
      state: OPEN_STATES[0],
      cursor: '',
      done: 1,
      earlier: '[]',
    };
    return this.#kept;
  }

  #save(row: Row): void {
    this.#database.run(
      'INSERT OR REPLACE INTO disabled_mark (one, generation, at, state, cursor, done, earlier) VALUES (1, ?, ?, ?, ?, ?, ?)',
      row.generation,
      row.at,
      row.state,
      row.cursor,
      row.done,
      row.earlier,
    );
    this.#kept = row;
  }
}
