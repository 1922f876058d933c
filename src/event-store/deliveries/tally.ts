/**
 * How many deliveries have a row, by the hour of their acceptance: table `tally`. Triggers keep it (schema.ts), so every figure is
 * exact, and reading it costs a row for each hour of 28 days at most, however many deliveries wait. Packed deliveries are not in it.
 * Open deliveries that failed when the subscription was disabled, and whose rows the alarm has yet to rewrite, are `doomed`: they
 * count as failed.
 */
import { HOUR_MS } from '../../domain/limits.ts';
import type { StoreDatabase } from '../database.ts';

/** Deliveries by what became of them. */
export type Tallied = {
  /** Not final. */
  readonly open: number;
  readonly succeeded: number;
  readonly failed: number;
};

export class Tally {
  readonly #database: StoreDatabase;

  constructor(database: StoreDatabase) {
    this.#database = database;
  }

  /** Deliveries accepted in an hour that begins at a time (ms) or later; without a time, all. */
  count(since = 0): Tallied {
    const counted = this.#database.first<Tallied>(
      `SELECT coalesce(sum(open - doomed), 0) AS open, coalesce(sum(succeeded), 0) AS succeeded,
         coalesce(sum(failed + doomed), 0) AS failed
       FROM tally WHERE hour >= ?`,
      Math.ceil(since / HOUR_MS),
    );
    return counted ?? { open: 0, succeeded: 0, failed: 0 };
  }

  /** The alarm has rewritten all that was doomed: nothing is any more. */
  endDoom(): void {
    this.#database.run('UPDATE tally SET doomed = 0 WHERE doomed > 0');
  }

  /** The subscription was disabled: all that is open counts as failed. @param except how many of each hour do not */
  doom(except: readonly { readonly hour: number; readonly n: number }[]): void {
    this.#database.run('UPDATE tally SET doomed = open WHERE open > 0');
    for (const { hour, n } of except)
      this.#database.run('UPDATE tally SET doomed = doomed - ? WHERE hour = ?', n, hour);
  }
}
