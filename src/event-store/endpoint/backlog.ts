/**
 * # The backlog: deliveries that wait for their endpoint (contract 10.3 and 10.4)
 *
 * Three kinds of deliveries wait here: those that are held because the endpoint is failing, those whose endpoint was verified
 * a moment ago (contract 10.8), and those that a bulk redelivery has not released yet.
 *
 * While the endpoint is failing, the backlog releases one delivery as a probe whenever the endpoint's health says so.
 * Otherwise it releases deliveries in drain steps of a second, oldest first. After a step, no more of its deliveries than the
 * pace are on their way. The pace doubles while the endpoint keeps up. So a listener that comes back gets a few requests
 * before it gets the rest. Other events do not count: a steady stream of new events must not starve the backlog.
 *
 * The pace, and which deliveries were released last, are in memory: an object that was evicted begins gently again. That
 * deliveries wait, and when the next probe is due, is in the rows.
 */
import { type Delivery, type EndpointNow, releaseHeld } from '../../domain/delivery.ts';
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import type { Deliveries } from '../deliveries/deliveries.ts';
import type { Redeliveries } from '../jobs/redeliveries.ts';
import { DELIVERIES_BITE, DRAIN_STEP_MAX, DRAIN_STEP_MS } from '../tuning.ts';
import type { Health } from './health.ts';
import type { Proofs } from './proofs.ts';

/** The parts of the store that the backlog works on. */
interface BacklogParts {
  readonly database: StoreDatabase;
  readonly deliveries: Deliveries;
  readonly redeliveries: Redeliveries;
  readonly health: Health;
  readonly proofs: Proofs;
  endpointNow(now: number): EndpointNow;
  /** How long a probe may take to show a result, ms. */
  probePatienceMs(): number;
  /** Whether the host of an endpoint gave too few places a moment ago. */
  waitsForHost(endpoint: string): boolean;
  /** How many shards new events have: their stores release at the same time. */
  shards(): number;
}

export class Backlog implements Duty {
  readonly name = 'backlog';
  readonly #parts: BacklogParts;
  #pace = 1;
  #nextStepAt = 0;
  /** Deliveries that the backlog released and that may still be on their way. */
  #released: readonly string[] = [];

  constructor(parts: BacklogParts) {
    this.#parts = parts;
  }

  dueAt(now: number): number | undefined {
    if (!this.#hasWaiting()) return undefined;
    const { state, probeAt } = this.#parts.health.current;
    return Math.max(now, state === 'failing' ? probeAt : this.#nextStepAt);
  }

  /** Releases the deliveries that may go now: the store then dispatches them like any due delivery. */
  work(now: number): void {
    this.#parts.database.transaction(() => this.#step(now));
  }

  #step(now: number): void {
    if (!this.#hasWaiting()) {
      this.#pace = 1;
      return;
    }
    const { deliveries, health, probePatienceMs, endpointNow, waitsForHost } = this.#parts;
    const { rows } = deliveries;
    const { state, probeAt } = health.current;
    if (state === 'failing') {
      this.#pace = 1;
      if (now < probeAt) return;
      this.#released = rows.facts.onTheirWay(this.#released);
      // A retry, a test or a probe that waits for a place at the host will show as much as a further probe.
      const { endpoint } = endpointNow(now);
      const isDue = () => rows.due.first(now, false, 1).some((due) => due.endpoint === endpoint);
      if (!waitsForHost(endpoint) || !isDue()) this.#release(1, now, true);
      health.probed(now, probePatienceMs());
      return;
    }
    if (now < this.#nextStepAt) return;
    this.#released = rows.facts.onTheirWay(this.#released);
    const underWay = this.#released.length;
    const isLooking = !this.#release(this.#pace - underWay, now, false) && this.#parts.redeliveries.hasMore();
    if (state === 'slow') this.#pace = Math.max(1, Math.floor(this.#pace / 2));
    else if (underWay <= this.#pace / 2) this.#pace = Math.min(this.#pace * 2, this.#paceMax);
    // The job has found nothing yet among many failures: it looks on in the next alarm, which rings at once.
    this.#nextStepAt = isLooking && underWay < this.#pace ? now : now + DRAIN_STEP_MS;
  }

  /** All stores of a subscription together release twice as much as one: each release is a call of `begin`, beside those of new events. */
  get #paceMax(): number {
    return Math.min(DRAIN_STEP_MAX, Math.ceil((2 * DRAIN_STEP_MAX) / this.#parts.shards()));
  }

  /** @returns whether it released any */
  #release(count: number, now: number, asProbe: boolean): boolean {
    const { deliveries, redeliveries, endpointNow } = this.#parts;
    const released = [...this.#released];
    for (let left = count; left > 0; ) {
      const limit = Math.min(left, DELIVERIES_BITE);
      // A delivery held for an earlier endpoint shows nothing about this one: a probe goes to this one if it can.
      const probe = asProbe ? deliveries.held(1, endpointNow(now).endpoint) : [];
      const held = probe.length > 0 ? probe : this.#held(limit);
      deliveries.put(held.map((delivery) => releaseHeld(delivery, now, asProbe)));
      const redelivered = redeliveries.redeliverNext(limit - held.length, now);
      released.push(...held.map(({ eventId }) => eventId), ...redelivered);
      left -= held.length + redelivered.length;
      if (held.length + redelivered.length === 0) break;
    }
    const isAny = released.length > this.#released.length;
    this.#released = released;
    return isAny;
  }

  /** Deliveries that may be released: held ones first, then those whose endpoint is verified now. */
  #held(limit: number): Delivery[] {
    const held = this.#parts.deliveries.held(limit);
    return [...held, ...this.#verified(limit - held.length)];
  }

  #verified(limit: number): Delivery[] {
    const { proofs } = this.#parts;
    const { rows } = this.#parts.deliveries;
    // What failed when the subscription was disabled must not be released: the alarm rewrites it first.
    if (!proofs.mayRelease || limit <= 0 || rows.disabled.mark !== undefined) return [];
    const verified = rows.waitingFor(proofs.given(), limit);
    proofs.mayRelease = verified.length > 0;
    return verified;
  }

  #hasWaiting(): boolean {
    const { deliveries, redeliveries } = this.#parts;
    return deliveries.hasHeld() || this.#verified(1).length > 0 || redeliveries.hasMore();
  }
}
