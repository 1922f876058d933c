/**
 * What waited when the subscription was disabled: table `disabled_mark`, one row, kept in memory as well.
 *
 * Disabling fails everything that waits (contract 3.6), which may be a million rows. So the call only writes a mark: the time, and the
 * generation of the rows that were there. Each write of a row gives it the present generation, which is one more than that of the
 * mark. Until the alarm has rewritten all rows of the mark, a row of its generation or an earlier one reads as the failure that it
 * became at that time (`failed`), unless its attempt was under way.
 */
import { type Delivery, type DeliveryState, disable } from '../../domain/delivery.ts';
import type { StoreDatabase } from '../database.ts';

/** A mark whose rows the alarm has not rewritten yet. */
interface Mark {
  readonly generation: number;
  /** When the subscription was disabled, ms. */
  readonly at: number;
  /** The state and the event id that the alarm rewrote last. */
  readonly state: DeliveryState;
  readonly cursor: string;
}

type Row = { generation: number; at: number; state: DeliveryState; cursor: string; done: number };

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
    this.#save({ generation: this.generation, at: now, state: OPEN_STATES[0], cursor: '', done: 0 });
  }

  /** The alarm has rewritten the marked rows of a state up to an event id. */
  moveTo(state: DeliveryState, cursor: string): void {
    this.#save({ ...this.#row, state, cursor });
  }

  /** The alarm has rewritten all marked rows of a state. */
  endState(state: DeliveryState): void {
    const next = OPEN_STATES[(OPEN_STATES as readonly DeliveryState[]).indexOf(state) + 1];
    this.#save({ ...this.#row, ...(next === undefined ? { done: 1 } : { state: next, cursor: '' }) });
  }

  /** A delivery as a customer sees it: failed, when the mark is on its row. @param generation of the row */
  failed(delivery: Delivery, generation: number): Delivery {
    const { mark } = this;
    if (mark === undefined || generation > mark.generation) return delivery;
    return disable(delivery, mark.at) ?? delivery;
  }

  get #row(): Row {
    this.#kept ??= this.#database.first<Row>(
      'SELECT generation, at, state, cursor, done FROM disabled_mark',
    ) ?? {
      generation: 0,
      at: 0,
      state: OPEN_STATES[0],
      cursor: '',
      done: 1,
    };
    return this.#kept;
  }

  #save(row: Row): void {
    this.#database.run(
      'INSERT OR REPLACE INTO disabled_mark (one, generation, at, state, cursor, done) VALUES (1, ?, ?, ?, ?, ?)',
      row.generation,
      row.at,
      row.state,
      row.cursor,
      row.done,
    );
    this.#kept = row;
  }
}
