/**
 * How long a request may take before it counts as overdue: four times as long as its listener usually takes, at least a
 * quarter of a second, at most 1.25 s. A request that is overdue goes on, but nobody waits for it any more.
 *
 * The isolate remembers what is usual, for a minute after the last answer. That is a hint: without it a listener has 1.25 s,
 * and one slot until it has answered.
 */
import { BoundedCache } from '../bounded-cache.ts';
import { OVERDUE_AFTER_MAX_MS, OVERDUE_AFTER_MIN_MS } from '../domain/leases.ts';
import { MINUTE_MS } from '../domain/limits.ts';

/** Listeners that an isolate remembers. */
const REMEMBERED_MAX = 5000;
/** How much one answer moves the figure. */
const WEIGHT = 0.2;
/** A request is overdue after this many times what is usual. */
const USUAL_TIMES = 4;

interface Usual {
  readonly ms: number;
  readonly at: number;
}

export class Patience {
  /** By subscription. */
  readonly #usual = new BoundedCache<Usual>(REMEMBERED_MAX);

  /** A listener answered, with whatever status. */
  note(subscriptionId: string, durationMs: number, now: number): void {
    const known = this.#recent(subscriptionId, now);
    const ms = known === undefined ? durationMs : known.ms + WEIGHT * (durationMs - known.ms);
    this.#usual.set(subscriptionId, { ms, at: now });
  }

  /** Whether the listener has answered within the last minute. */
  hasAnswered(subscriptionId: string, now: number): boolean {
    return this.#recent(subscriptionId, now) !== undefined;
  }

  /** How long the listener usually takes, ms; `undefined` when it has not answered within the last minute. */
  usualMs(subscriptionId: string, now: number): number | undefined {
    return this.#recent(subscriptionId, now)?.ms;
  }

  /** After how long a request of this subscription is overdue, ms. */
  overdueAfterMs(subscriptionId: string, now: number): number {
    const known = this.#recent(subscriptionId, now);
    if (known === undefined) return OVERDUE_AFTER_MAX_MS;
    // It will be overdue anyway: nobody waits for that.
    if (known.ms >= OVERDUE_AFTER_MAX_MS) return OVERDUE_AFTER_MIN_MS;
    const ms = Math.ceil(USUAL_TIMES * known.ms);
    return Math.min(OVERDUE_AFTER_MAX_MS, Math.max(OVERDUE_AFTER_MIN_MS, ms));
  }

  /** Whether a request that is overdue is unusual for this listener: it usually answers far sooner. */
  isUnusual(subscriptionId: string, now: number): boolean {
    const known = this.#recent(subscriptionId, now);
    return known === undefined || USUAL_TIMES * known.ms <= OVERDUE_AFTER_MAX_MS;
  }

  #recent(subscriptionId: string, now: number): Usual | undefined {
    const known = this.#usual.get(subscriptionId);
    return known !== undefined && now - known.at <= MINUTE_MS ? known : undefined;
  }
}
