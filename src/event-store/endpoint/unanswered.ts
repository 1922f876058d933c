/**
 * Requests under way that have had no answer for longer than usual, as consumers reported them. They show the store that an
 * endpoint may hang, seconds before a time limit does (contract 10.4). They are in memory only: an object that was evicted
 * learns that the endpoint may hang from its next request without an answer.
 */
import { SLOW_ANSWER_MS, UNANSWERED_MIN } from '../../domain/limits.ts';

interface Unanswered {
  readonly startedAt: number;
  /** The listener usually answers far sooner: its other events should wait a moment. */
  readonly isUnusual: boolean;
  /** No other listener failed to answer at that moment: this may be a slow answer among quick ones. */
  readonly isAlone: boolean;
  /** When the attempt counts as lapsed: after that the request says nothing about the endpoint. */
  readonly until: number;
}

export class UnansweredRequests {
  readonly #requests = new Map<string, Unanswered>();

  add(eventId: string, request: Unanswered): void {
    this.#requests.set(eventId, request);
  }

  /** A request was answered, or timed out. */
  end(eventId: string): void {
    this.#requests.delete(eventId);
  }

  /** The subscription has another endpoint now. */
  clear(): void {
    this.#requests.clear();
  }

  /** Whether requests have had no answer for as long as a slow answer takes: the endpoint is treated like a slow one. */
  areSlow(now: number): boolean {
    const slow = this.#open(now).filter(({ startedAt }) => now - startedAt >= SLOW_ANSWER_MS);
    return slow.flatMap(weighed).length >= UNANSWERED_MIN;
  }

  /** How long new events should wait for the answers to unusually slow requests, ms; `undefined`: not at all. */
  waitMs(now: number): number | undefined {
    const starts = this.#open(now)
      .filter(({ isUnusual }) => isUnusual)
      .flatMap(weighed);
    // From then on, so many are slow that the endpoint is treated like a slow one.
    const start = starts.toSorted((a, b) => a - b)[UNANSWERED_MIN - 1];
    return start === undefined ? undefined : Math.max(0, start + SLOW_ANSWER_MS - now);
  }

  #open(now: number): Unanswered[] {
    for (const [eventId, { until }] of this.#requests) if (until <= now) this.#requests.delete(eventId);
    return [...this.#requests.values()];
  }
}

/** When a request began: twice for one that counts as two, because several listeners did not answer together. */
function weighed({ startedAt, isAlone }: Unanswered): number[] {
  return isAlone ? [startedAt] : [startedAt, startedAt];
}
