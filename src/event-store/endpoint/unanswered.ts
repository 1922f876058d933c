/**
 * Requests under way that have had no answer for longer than usual, as consumers reported them. They show the store that an
 * endpoint may hang, seconds before a time limit does (contract 10.4). They are in memory only: an object that was evicted
 * learns that the endpoint may hang from its next request without an answer.
 */
import { SLOW_ANSWER_MS } from '../../domain/limits.ts';

interface Unanswered {
  readonly startedAt: number;
  /** The listener usually answers far sooner: its other events should wait a moment. */
  readonly isUnusual: boolean;
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

  /** Whether a request has had no answer for as long as a slow answer takes: the endpoint is treated like a slow one. */
  areSlow(now: number): boolean {
    return this.#some(now, ({ startedAt }) => now - startedAt >= SLOW_ANSWER_MS);
  }

  /** How long new events should wait for the answer to an unusually slow request, ms; `undefined`: not at all. */
  waitMs(now: number): number | undefined {
    let waitMs: number | undefined;
    this.#some(now, ({ startedAt, isUnusual }) => {
      if (isUnusual) waitMs = Math.max(0, startedAt + SLOW_ANSWER_MS - now);
      return isUnusual;
    });
    return waitMs;
  }

  #some(now: number, is: (request: Unanswered) => boolean): boolean {
    for (const [eventId, request] of this.#requests) {
      if (request.until <= now) this.#requests.delete(eventId);
      else if (is(request)) return true;
    }
    return false;
  }
}
