/**
 * # What waits for its endpoint, and how it is let go (contract 10.3 and 10.4)
 *
 * Two things wait: deliveries held while the endpoint was failing, and what a bulk redelivery has not asked for yet.
 * While the endpoint is failing, one of them goes when its health wants a probe. Otherwise they go in steps, oldest
 * first: each step lets go only so many that no more than the pace are on their way, and the pace doubles while the
 * endpoint keeps up. So a listener that comes back meets a trickle before it meets the rest.
 *
 * The pace lives in memory: an object that was evicted begins gently again. What must not be forgotten, that
 * something waits and when the next probe is due, stands in the rows.
 */
import { release } from '../domain/delivery.ts';
import { DELIVERIES_BITE, DRAIN_STEP_MAX, DRAIN_STEP_MS } from '../domain/limits.ts';
import type { Deliveries } from './deliveries.ts';
import type { Health } from './health.ts';
import type { Redeliveries } from './redeliveries.ts';

export class Backlog {
  readonly #deliveries: Deliveries;
  readonly #redeliveries: Redeliveries;
  readonly #health: Health;
  #pace = 1;
  #nextStepAt = 0;
  /** Whether something may be held; false only when it is known that nothing is. */
  #mayHold = true;

  constructor(deliveries: Deliveries, redeliveries: Redeliveries, health: Health) {
    this.#deliveries = deliveries;
    this.#redeliveries = redeliveries;
    this.#health = health;
  }

  /** A delivery was held. */
  noteHeld(): void {
    this.#mayHold = true;
  }

  /**
   * Lets go what may go now: it is due then.
   * @param probePatienceMs how long a probe may take to tell something
   */
  release(now: number, probePatienceMs: number): void {
    if (!this.#waits()) {
      this.#pace = 1;
      return;
    }
    const { state, probeAt } = this.#health.current;
    if (state === 'failing') {
      this.#pace = 1;
      if (now < probeAt) return;
      this.#letGo(1, now, true);
      this.#health.probed(now, probePatienceMs);
      return;
    }
    if (now < this.#nextStepAt) return;
    const underWay = this.#deliveries.underWay(now, this.#pace + 1);
    this.#letGo(this.#pace - underWay, now, false);
    if (state === 'slow') this.#pace = Math.max(1, Math.floor(this.#pace / 2));
    else if (underWay <= this.#pace / 2) this.#pace = Math.min(this.#pace * 2, DRAIN_STEP_MAX);
    this.#nextStepAt = now + DRAIN_STEP_MS;
  }

  /** When `release` is to be called next, ms; `undefined` when nothing waits. */
  nextRelease(now: number): number | undefined {
    if (!this.#waits()) return undefined;
    const { state, probeAt } = this.#health.current;
    return Math.max(now, state === 'failing' ? probeAt : this.#nextStepAt);
  }

  #letGo(count: number, now: number, asProbe: boolean): void {
    for (let left = count; left > 0; ) {
      const limit = Math.min(left, DELIVERIES_BITE);
      const held = this.#deliveries.held(limit);
      for (const delivery of held) this.#deliveries.put(release(delivery, now, asProbe));
      const asked = this.#redeliveries.next(limit - held.length, now);
      if (held.length + asked === 0) return;
      left -= held.length + asked;
    }
  }

  #waits(): boolean {
    if (this.#mayHold) this.#mayHold = this.#deliveries.held(1).length > 0;
    return this.#mayHold || this.#redeliveries.hasMore();
  }
}
