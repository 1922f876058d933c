/**
 * What the log says of successes. Log lines are billed like a delivery's own row, so the successes of a customer share a line: one at
 * the end of an invocation, and none within a minute of the last one in this isolate. Later successes are counted into the next line.
 *
 * Nothing else rests on these lines. What an isolate has counted and not written is lost with it: a minute at most of a customer's
 * successes.
 */
import { BoundedCache } from '../bounded-cache.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import { logInfo } from '../log.ts';
import { SHARED_LINE_MS, SHARED_LINES_MAX, SUCCESSES_LINE_MAX } from './tuning.ts';

interface Tally {
  durations: number[];
  subscriptions: Set<string>;
  /** When the last line was written; `undefined`: none was. */
  writtenAt: number | undefined;
}

export class Successes {
  readonly #tallies = new BoundedCache<Tally>(SHARED_LINES_MAX);
  /** Customers with successes that are in no line yet. */
  readonly #unwritten = new Set<string>();

  note({ customerId, subscriptionId }: SubscriptionRef, durationMs: number): void {
    let tally = this.#tallies.get(customerId);
    if (tally === undefined) {
      tally = { durations: [], subscriptions: new Set(), writtenAt: undefined };
      this.#tallies.set(customerId, tally);
    }
    tally.durations.push(durationMs);
    tally.subscriptions.add(subscriptionId);
    this.#unwritten.add(customerId);
    if (tally.durations.length >= SUCCESSES_LINE_MAX) this.#write(customerId, tally);
  }

  /** An invocation has ended: writes the lines whose time has come. */
  write(now: number): void {
    for (const customerId of this.#unwritten) {
      const tally = this.#tallies.get(customerId);
      if (tally === undefined) {
        this.#unwritten.delete(customerId);
        continue;
      }
      // A clock may go back: then the line is written, too.
      if (tally.writtenAt !== undefined && Math.abs(now - tally.writtenAt) < SHARED_LINE_MS) continue;
      tally.writtenAt = now;
      this.#write(customerId, tally);
    }
  }

  #write(customerId: string, tally: Tally): void {
    const { durations, subscriptions } = tally;
    tally.durations = [];
    tally.subscriptions = new Set();
    this.#unwritten.delete(customerId);
    durations.sort((a, b) => a - b);
    const [only, ...others] = subscriptions;
    logInfo('delivered', {
      customerId,
      ...(others.length === 0 ? { subscriptionId: only } : { subscriptions: subscriptions.size }),
      count: durations.length,
      medianMs: durations[Math.floor(durations.length / 2)],
      maxMs: durations.at(-1),
    });
  }
}
