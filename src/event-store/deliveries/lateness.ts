/**
 * By how much ids are late, compared with the newest one that was stored: what is added far behind the others comes among segments that are
 * counted, and then its count costs a row. So counting stays behind the newest id by as much as ids were late a short time ago.
 *
 * It is in memory only. A store that wakes learns it from what comes before its first bite.
 */
import { eventIdTime } from '../../domain/ids.ts';
import { FIGURES_AGE_MAX_MS, FIGURES_AGE_MS } from '../tuning.ts';

export class Lateness {
  #newest = Number.NEGATIVE_INFINITY;
  #latest = 0;
  #latestBefore = 0;

  /** A segment with this last id was added. */
  note(lastId: string): void {
    const time = eventIdTime(lastId);
    this.#newest = Math.max(this.#newest, time);
    const late = this.#newest - time;
    // What is later than that was held, or is an exception.
    if (late <= FIGURES_AGE_MAX_MS) this.#latest = Math.max(this.#latest, late);
  }

  /** Up to which time of an id counting may go, ms. What is added from now on is usually newer. */
  countsUpTo(now: number): number {
    const newest = this.#newest === Number.NEGATIVE_INFINITY ? now : Math.min(now, this.#newest);
    return newest - FIGURES_AGE_MS - Math.max(this.#latest, this.#latestBefore);
  }

  /** A bite was counted: what was late a longer time ago is forgotten with the next one. */
  forget(): void {
    this.#latestBefore = this.#latest;
    this.#latest = 0;
  }
}
