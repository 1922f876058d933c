/**
 * How many deliveries have a row, by the hour of their acceptance: table `tally`. Triggers keep it (schema.ts), so every figure is
 * exact, and reading it costs a row for each hour of 28 days at most, however many deliveries wait. Of held deliveries that are packed no
 * trigger knows, so packs.ts calls here; of its open ones, an hour says how many are `packed`. Successes in segments are not in it. Open deliveries that failed when the subscription was disabled, and whose rows the alarm has yet to rewrite, are `doomed`: they
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

  /** Deliveries accepted at a time were put into a pack (`by` is how many), or taken out (negative). */
  packed(acceptedAt: number, by: number, isHeld: boolean): void {
    const hour = Math.floor(acceptedAt / HOUR_MS);
    const [open, failed] = isHeld ? [by, 0] : [0, by];
    if (by > 0) {
      this.#database.run(
        `INSERT INTO tally (hour, open, succeeded, failed, packed) VALUES (?1, ?2, 0, ?3, ?2) ON CONFLICT (hour) DO UPDATE SET
           open = open + excluded.open, packed = packed + excluded.packed, failed = failed + excluded.failed`,
        hour,
        open,
        failed,
      );
      return;
    }
    this.#database.run(
      'UPDATE tally SET open = open + ?1, packed = packed + ?1, failed = failed + ?2 WHERE hour = ?3',
      open,
      failed,
      hour,
    );
    this.#database.run('DELETE FROM tally WHERE hour = ? AND open + succeeded + failed = 0', hour);
  }

  /** All held deliveries that are packed have failed. @returns how many */
  failPacked(): number {
    const packed = this.#database.first<{ n: number | null }>('SELECT sum(packed) AS n FROM tally')?.n ?? 0;
    this.#database.run(
      `UPDATE tally SET open = open - packed, failed = failed + packed, doomed = min(doomed, open - packed), packed = 0
       WHERE packed > 0`,
    );
    return packed;
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
