/**
 * Whether the store takes writes: table `write_check`, which is always empty. A store that is full still answers, so without this check a
 * listener would get an event again with each delivery of its message, because its result can never be stored.
 *
 * The check writes a row of some pages and deletes it: two billed rows. So it is made in doubt alone: after results that could not
 * be stored, and for events that have waited, which may have been attempted before the object was evicted.
 */
import { eventIdTime } from '../domain/ids.ts';
import type { StoreDatabase } from './database.ts';
import { WAITED_MS, WRITE_CHECK_BYTES, WRITE_CHECKED_FOR_MS } from './tuning.ts';

export class WriteCheck {
  readonly #database: StoreDatabase;
  #hasFailed = false;
  /** When a result was last stored, or a check made, ms. */
  #provenAt = Number.NEGATIVE_INFINITY;

  constructor(database: StoreDatabase) {
    this.#database = database;
  }

  /** Stores results, and takes note whether that succeeds. */
  async watch<Answer>(store: () => Promise<Answer>): Promise<Answer> {
    try {
      const answer = await store();
      this.#succeeded(Date.now());
      return answer;
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }

  /** Makes sure, if there is doubt, that results can be stored. @param eventIds that are to be attempted. @throws as a write does */
  check(eventIds: readonly string[], now: number): void {
    const isProven = now - this.#provenAt <= WRITE_CHECKED_FOR_MS;
    const haveWaited = eventIds.some((eventId) => now - eventIdTime(eventId) >= WAITED_MS);
    if (eventIds.length === 0 || !(this.#hasFailed || (haveWaited && !isProven))) return;
    this.#database.run('INSERT INTO write_check (one, filler) VALUES (1, zeroblob(?))', WRITE_CHECK_BYTES);
    this.#database.run('DELETE FROM write_check');
    this.#succeeded(now);
  }

  #succeeded(now: number): void {
    this.#hasFailed = false;
    this.#provenAt = now;
  }
}
