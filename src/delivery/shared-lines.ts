/**
 * Lines of the log that say what happens all the time. Log lines are billed, so a customer has one such line in a minute, for each
 * isolate, and the next one counts what came meanwhile.
 */
import { BoundedCache } from '../bounded-cache.ts';
import { SHARED_LINE_MS, SHARED_LINES_MAX } from './tuning.ts';

interface Shared {
  writtenAt: number;
  count: number;
}

export class SharedLines {
  readonly #lines = new BoundedCache<Shared>(SHARED_LINES_MAX);

  /** Counts one. @returns how many a line counts that must be written now; 0: none must */
  count(customerId: string, now: number): number {
    let line = this.#lines.get(customerId);
    if (line === undefined) {
      line = { writtenAt: Number.NEGATIVE_INFINITY, count: 0 };
      this.#lines.set(customerId, line);
    }
    line.count++;
    // A clock may go back: then the line is written, too.
    if (Math.abs(now - line.writtenAt) < SHARED_LINE_MS) return 0;
    const { count } = line;
    line.writtenAt = now;
    line.count = 0;
    return count;
  }
}
