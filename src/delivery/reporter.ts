/**
 * Brings results of one invocation to their event stores: soon, in few calls, and never more than a second late,
 * so that a consumer that dies repeats little. `add` resolves once its settlement is stored; only then may the
 * queue message be acknowledged.
 */

import { SETTLE_INTERVAL_MS } from '../domain/leases.ts';
import { FAILED_IN_A_ROW } from '../domain/limits.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { HealthNote, SettleAnswer, Settled, Settlement } from '../event-store/rpc.ts';
import { SETTLE_MAX_REPORTS } from './tuning.ts';

/** The part of an event store that takes results. */
export interface SettlingStore {
  settle(ref: SubscriptionRef, settlements: readonly Settlement[]): Promise<SettleAnswer>;
}

/** Told of every settlement that was stored, and of the endpoint's health after them, in one call per `settle`. */
export type OnSettled = (
  ref: SubscriptionRef,
  pairs: readonly (readonly [Settlement, Settled])[],
  health: HealthNote,
) => void;

interface Waiting {
  readonly settlement: Settlement;
  readonly resolve: (settled: Settled) => void;
  readonly reject: (error: unknown) => void;
}

/** One subscription's results within one invocation. */
export class Settler {
  readonly #store: SettlingStore;
  readonly #ref: SubscriptionRef;
  readonly #onSettled: OnSettled;
  #expected: number;
  #waiting: Waiting[] = [];
  #timer: number | null = null;
  /** Failed attempts that the store has not heard of. */
  #untold = 0;
  #health: HealthNote | undefined;

  /** The endpoint's health as the store told it last; `undefined` before the first answer. */
  get health(): HealthNote | undefined {
    return this.#health;
  }

  /** @param expected how many results will come: the last one is brought at once */
  constructor(store: SettlingStore, ref: SubscriptionRef, expected: number, onSettled: OnSettled) {
    this.#store = store;
    this.#ref = ref;
    this.#expected = expected;
    this.#onSettled = onSettled;
  }

  /** Stores a settlement with others of its time. Rejects when the store could not take it. */
  add(settlement: Settlement): Promise<Settled> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ settlement, resolve, reject });
      // What may turn the endpoint's health is told at once: it keeps further requests from a listener in trouble.
      const kind = settlement.result?.outcome.kind ?? 'success';
      if (kind !== 'success') this.#untold++;
      this.#countDown(kind === 'timed_out' || this.#untold >= FAILED_IN_A_ROW);
    });
  }

  /** A result that was expected will not come. */
  giveUpOne(): void {
    this.#countDown();
  }

  #countDown(atOnce = false): void {
    this.#expected--;
    if (atOnce || this.#expected <= 0 || this.#waiting.length >= SETTLE_MAX_REPORTS) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), SETTLE_INTERVAL_MS);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = null;
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#untold = 0;
    this.#store
      .settle(
        this.#ref,
        waiting.map(({ settlement }) => settlement),
      )
      .then(
        ({ settled, health }) => {
          this.#health = health;
          const pairs: [Settlement, Settled][] = [];
          for (const [index, entry] of waiting.entries()) {
            const result = settled[index];
            if (result === undefined) entry.reject(new Error('store answered for fewer than it was given'));
            else {
              pairs.push([entry.settlement, result]);
              entry.resolve(result);
            }
          }
          this.#onSettled(this.#ref, pairs, health);
        },
        (error: unknown) => {
          for (const entry of waiting) entry.reject(error);
        },
      );
  }
}
