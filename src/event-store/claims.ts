/**
 * Claims on events whose first attempt a consumer has taken on. In memory only: they keep two consumers from
 * attempting the same event at once, and nothing is lost when they are (the object is evicted after seconds).
 */
export class Claims {
  readonly #until = new Map<string, number>();

  /** @returns for how long the event is claimed already, ms; `undefined` when this call claimed it */
  claim(eventId: string, now: number, forMs: number): number | undefined {
    const until = this.#until.get(eventId);
    if (until !== undefined && until > now) return until - now;
    this.#until.set(eventId, now + forMs);
    return undefined;
  }

  release(eventId: string): void {
    this.#until.delete(eventId);
  }

  /** Drops what has lapsed, so that a store that never sleeps does not grow. */
  forgetLapsed(now: number): void {
    for (const [eventId, until] of this.#until) if (until <= now) this.#until.delete(eventId);
  }

  clear(): void {
    this.#until.clear();
  }
}
