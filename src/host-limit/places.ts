/**
 * # The places of one host, for one customer (contract 10.4)
 *
 * A customer names endpoints, and nothing proves that the server behind them wants our requests. So all requests of a customer to
 * one host share *places*: five, until the host answers with a success. Then each success adds one, so the places double with
 * each full round, as TCP begins slowly. A failure takes two; five in a row, of requests that began after the last success, take all
 * but five. So one endpoint that hangs takes no places from the others at its host.
 *
 * A *holder* (an invocation, or a dispatch of an event store) gets places for a lease, and returns them with the results of its
 * requests. A holder that dies loses them when the lease lapses. A holder that gets none learns when to ask again: each one
 * later than the one before, as if they stood in line.
 *
 * A place of a host that does not answer rests for a second after a failure: quick refusals would otherwise let hundreds of requests
 * through five places.
 */
import {
  FAILED_IN_A_ROW,
  HOST_ANSWERS_FOR_MS,
  HOST_PLACE_RESTS_MS,
  HOST_PLACES_FIRST,
  HOST_PLACES_MAX,
  HOST_PLACES_PER_FAILURE,
} from '../domain/limits.ts';
import type { Answer, Visit } from './rpc.ts';
import {
  TURN_ANSWERING_MS,
  TURN_SILENT_MS,
  WAIT_ANSWERING_MAX_MS,
  WAIT_MAX_MS,
  WAIT_MIN_MS,
} from './tuning.ts';

interface Holder {
  places: number;
  until: number;
}

export class Places {
  readonly #random: () => number;
  readonly #holders = new Map<string, Holder>();
  #total = HOST_PLACES_FIRST;
  /** Failed attempts in a row. */
  #failed = 0;
  #succeededAt = Number.NEGATIVE_INFINITY;
  /** When places that rest are free again, ms. */
  #resting: number[] = [];
  /** When the last of those in line has its turn, ms. */
  #lastTurnAt = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  visit({ id, want, left, succeeded, failedStarts, leaseMs }: Visit, now: number): Answer {
    this.#takeBack(id, left, failedStarts.length, now);
    this.#note(succeeded, failedStarts, now);
    for (const [name, { until }] of this.#holders) if (until <= now) this.#holders.delete(name);
    const granted = Math.min(want, this.#free(now));
    const holder = this.#holders.get(id);
    const places = (holder?.places ?? 0) + granted;
    if (places > 0) this.#holders.set(id, { places, until: now + leaseMs });
    else this.#holders.delete(id);
    const isAnswering = this.#isAnswering(now);
    return {
      granted,
      waitMs: granted < want ? this.#waitMs(want - granted, isAnswering, now) : 0,
      isAnswering,
      isGrowing: this.#total < HOST_PLACES_MAX,
    };
  }

  #takeBack(id: string, left: number, failed: number, now: number): void {
    const holder = this.#holders.get(id);
    if (holder === undefined || left === 0) return;
    const back = Math.min(left, holder.places);
    holder.places -= back;
    if (this.#isAnswering(now)) return;
    for (let place = 0; place < Math.min(back, failed); place++) {
      this.#resting.push(now + HOST_PLACE_RESTS_MS);
    }
  }

  #note(succeeded: number, failedStarts: readonly number[], now: number): void {
    if (now - this.#succeededAt > HOST_ANSWERS_FOR_MS) this.#total = HOST_PLACES_FIRST;
    if (succeeded > 0) {
      // The line was for a host that does not answer.
      if (!this.#isAnswering(now)) this.#lastTurnAt = 0;
      this.#failed = 0;
      this.#succeededAt = now;
    } else {
      // A request may take its whole time limit to fail. What the host answered meanwhile says more of it.
      this.#failed += failedStarts.filter((startedAt) => startedAt >= this.#succeededAt).length;
    }
    const total = this.#total + succeeded - HOST_PLACES_PER_FAILURE * failedStarts.length;
    this.#total =
      this.#failed >= FAILED_IN_A_ROW
        ? HOST_PLACES_FIRST
        : Math.min(HOST_PLACES_MAX, Math.max(HOST_PLACES_FIRST, total));
  }

  /** Whether the host has lately answered with a success, and has not failed five times in a row since. */
  #isAnswering(now: number): boolean {
    return now - this.#succeededAt <= HOST_ANSWERS_FOR_MS && this.#failed < FAILED_IN_A_ROW;
  }

  #free(now: number): number {
    this.#resting = this.#resting.filter((until) => until > now);
    let taken = this.#resting.length;
    for (const { places } of this.#holders.values()) taken += places;
    return Math.max(0, this.#total - taken);
  }

  /** How long one that got too few places waits: until those before it have had their turn, and a random part more. */
  #waitMs(places: number, isAnswering: boolean, now: number): number {
    const turnMs = (isAnswering ? TURN_ANSWERING_MS : TURN_SILENT_MS) / this.#total;
    const turnAt = Math.max(now, this.#lastTurnAt) + places * turnMs;
    this.#lastTurnAt = Math.min(now + (isAnswering ? WAIT_ANSWERING_MAX_MS : WAIT_MAX_MS), turnAt);
    const waitMs = Math.max(WAIT_MIN_MS, this.#lastTurnAt - now);
    return Math.round(waitMs * (0.75 + this.#random() / 2));
  }
}
