/**
 * The pauses of duties that fail: table `pauses`, kept in memory as well. A pause doubles with each failure in a row, so a fault
 * that lasts is not met again and again at the price of an alarm, a row and a log line each time.
 *
 * Pauses are rows because an object without calls is evicted after ten seconds to two minutes. If they were in memory alone,
 * none would ever become longer than that. While the store takes no writes, they are in memory alone all the same.
 */
import type { StoreDatabase } from './database.ts';
import { DUTY_PAUSE_FIRST_MS, DUTY_PAUSE_MAX_MS } from './tuning.ts';

interface Pause {
  /** Failures in a row. */
  readonly failures: number;
  /** When the pause ends, ms. */
  readonly until: number;
}

export class Pauses {
  readonly #database: StoreDatabase;
  #kept: Map<string, Pause> | undefined;

  constructor(database: StoreDatabase) {
    this.#database = database;
  }

  /** When the pause of a duty ends, ms; 0 for one that did not fail at its last call. */
  until(duty: string): number {
    return this.#all.get(duty)?.until ?? 0;
  }

  /** A duty failed: its pause begins, twice as long as its last one. */
  begin(duty: string, now: number): void {
    const failures = (this.#all.get(duty)?.failures ?? 0) + 1;
    const until = now + Math.min(DUTY_PAUSE_FIRST_MS * 2 ** (failures - 1), DUTY_PAUSE_MAX_MS);
    this.#all.set(duty, { failures, until });
    this.#write(
      duty,
      'INSERT OR REPLACE INTO pauses (duty, failures, until) VALUES (?, ?, ?)',
      failures,
      until,
    );
  }

  /** A duty succeeded: its next pause is a first one again. */
  end(duty: string): void {
    if (this.#all.delete(duty)) this.#write(duty, 'DELETE FROM pauses WHERE duty = ?');
  }

  /** Never throws: a store that takes no writes must still pause its duties. The failure of the duty itself is logged. */
  #write(duty: string, query: string, ...values: number[]): void {
    try {
      this.#database.run(query, duty, ...values);
    } catch {
      // The memory has it.
    }
  }

  get #all(): Map<string, Pause> {
    this.#kept ??= new Map(
      this.#database
        .rows<{ duty: string; failures: number; until: number }>('SELECT duty, failures, until FROM pauses')
        .map(({ duty, failures, until }) => [duty, { failures, until }]),
    );
    return this.#kept;
  }
}
