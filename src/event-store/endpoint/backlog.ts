/**
 * # What waits for its endpoint, and how it is let go (contract 10.3 and 10.4)
 *
 * Two things wait: deliveries held while the endpoint was failing, and what a bulk redelivery has not asked for yet.
 * While the endpoint is failing, one of them goes when its health wants a probe. Otherwise they go in steps, oldest
 * first: each step lets go only so many that no more than the pace of them are on their way, and the pace doubles while
 * the endpoint keeps up. So a listener that comes back meets a trickle before it meets the rest. What else is on its way
 * does not count: a steady stream of other events must not keep waiting what waits.
 *
 * Pace and what was let go live in memory: an object that was evicted begins gently again. What must not be forgotten, that
 * something waits and when the next probe is due, stands in the rows.
 */
import { release } from '../../domain/delivery.ts';
import type { Deliveries } from '../deliveries/deliveries.ts';
import type { Redeliveries } from '../jobs/redeliveries.ts';
import { DELIVERIES_BITE, DRAIN_STEP_MAX, DRAIN_STEP_MS } from '../tuning.ts';
import type { Health } from './health.ts';

/** What letting go depends on besides what waits. */
export interface ReleaseTerms {
  /** How long a probe may take to tell something. */
  readonly probePatienceMs: number;
  /** The present one: what was held for another tells nothing of it. */
  readonly endpoint: string;
  readonly retentionMs: number;
}

export class Backlog {
  readonly #deliveries: Deliveries;
  readonly #redeliveries: Redeliveries;
  readonly #health: Health;
  #pace = 1;
  #nextStepAt = 0;
  /** Deliveries let go that may still be on their way. */
  #letGoBefore: readonly string[] = [];
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

  /** Lets go what may go now: it is due then. */
  release(now: number, terms: ReleaseTerms): void {
    if (!this.#waits()) {
      this.#pace = 1;
      return;
    }
    const { state, probeAt } = this.#health.current;
    if (state === 'failing') {
      this.#pace = 1;
      if (now < probeAt) return;
      this.#letGoBefore = this.#deliveries.onTheirWay(this.#letGoBefore);
      this.#letGo(1, now, terms, true);
      this.#health.probed(now, terms.probePatienceMs);
      return;
    }
    if (now < this.#nextStepAt) return;
    this.#letGoBefore = this.#deliveries.onTheirWay(this.#letGoBefore);
    const underWay = this.#letGoBefore.length;
    this.#letGo(this.#pace - underWay, now, terms, false);
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

  #letGo(count: number, now: number, { endpoint, retentionMs }: ReleaseTerms, asProbe: boolean): void {
    const gone = [...this.#letGoBefore];
    for (let left = count; left > 0; ) {
      const limit = Math.min(left, DELIVERIES_BITE);
      const probe = asProbe ? this.#deliveries.held(1, endpoint) : [];
      const held = probe.length > 0 ? probe : this.#deliveries.held(limit);
      for (const delivery of held) this.#deliveries.put(release(delivery, now, asProbe));
      const asked = this.#redeliveries.next(limit - held.length, now, retentionMs);
      gone.push(...held.map(({ eventId }) => eventId), ...asked);
      left -= held.length + asked.length;
      if (held.length + asked.length === 0) break;
    }
    this.#letGoBefore = gone;
  }

  #waits(): boolean {
    if (this.#mayHold) this.#mayHold = this.#deliveries.held(1).length > 0;
    return this.#mayHold || this.#redeliveries.hasMore();
  }
}
