/**
 * Claims on events whose first attempt a consumer has taken on. They are in memory only: they keep two consumers from
 * attempting the same event at once, and no event is lost when the claims are (an idle object is evicted after seconds).
 */
export class Claims {
  readonly #until = new Map<string, number>();

  /** @returns how long the event is still claimed by another, ms; `undefined` when this call claimed it */
  claim(eventId: string, now: number, forMs: number): number | undefined {
    const until = this.#until.get(eventId);
    if (until !== undefined && until > now) return until - now;
    this.#until.set(eventId, now + forMs);
    return undefined;
  }

  /** Ends the claim on an event. */
  end(eventId: string): void {
    this.#until.delete(eventId);
  }

  /** Ends the claims that have lapsed, so that a store that never sleeps does not grow. */
  endLapsed(now: number): void {
    for (const [eventId, until] of this.#until) if (until <= now) this.#until.delete(eventId);
  }
}
