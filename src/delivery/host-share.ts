/**
 * The places that one invocation has at one host (contract 10.4). It asks once for as many as it could use, uses them for one
 * request after the other, and returns them with the results. While the host is not answering, a place whose request failed is
 * not used again here: others, or the store, decide about the next request.
 */
import type { Outcome } from '../domain/attempt.ts';
import { SECOND_MS } from '../domain/limits.ts';
import type { Answer, HostLimitRpc } from '../host-limit/rpc.ts';

/** What a result says about the host. A fault of ours says nothing, and for a blocked host no request was made. */
function saysOf({ kind }: Outcome): 'success' | 'failure' | 'nothing' {
  if (kind === 'success') return 'success';
  return kind === 'our_fault' || kind === 'blocked' ? 'nothing' : 'failure';
}

/** Results, and places that are not needed any more, since the last visit. */
class Since {
  left = 0;
  succeeded = 0;
  failedStarts: number[] = [];

  note(outcome: Outcome, startedAt: number): void {
    const says = saysOf(outcome);
    if (says === 'success') this.succeeded++;
    if (says === 'failure') this.failedStarts.push(startedAt);
  }

  take() {
    const { left, succeeded, failedStarts } = this;
    this.left = 0;
    this.succeeded = 0;
    this.failedStarts = [];
    return { left, succeeded, failedStarts };
  }

  get isEmpty(): boolean {
    return this.left + this.succeeded + this.failedStarts.length === 0;
  }
}

interface ShareOf {
  readonly limit: HostLimitRpc;
  /** Requests that the invocation could make at once there. */
  readonly want: number;
  /** Deliveries that it has for the host. */
  readonly deliveries: number;
  readonly leaseMs: number;
  waitUntil(work: Promise<unknown>): void;
  /** The share has changed: more may start, or none may. */
  onChange(): void;
}

export class HostShare {
  readonly #of: ShareOf;
  readonly #id = crypto.randomUUID();
  readonly #since = new Since();
  readonly #entered: Promise<void>;
  #places = 0;
  #inUse = 0;
  /** Requests that have had no answer for longer than usual. */
  #overdue = 0;
  #succeeded = 0;
  /** At so many successes they are reported: the places of others grow with them. */
  #reportAt = Number.POSITIVE_INFINITY;
  #isEnded = false;
  isAnswering = false;
  /** Those that get no place here may ask again after this long, ms. */
  waitMs = SECOND_MS;

  constructor(of: ShareOf) {
    this.#of = of;
    this.#entered = this.#visit(of.want).then(() => {
      this.#reportAt = Math.max(1, this.#places);
    });
  }

  /** Resolves when the first answer is there. @returns whether the invocation has places at the host */
  async hasPlaces(): Promise<boolean> {
    await this.#entered;
    return !this.isSpent;
  }

  get hasRoom(): boolean {
    return this.#inUse < this.#places;
  }

  /** No request can start here soon: there is no place, or each has a request without an answer, for which no batch waits. */
  get isSpent(): boolean {
    return this.#places <= this.#overdue;
  }

  /** A request has had no answer for longer than usual. */
  overdue(): void {
    this.#overdue++;
    if (this.isSpent) this.#of.onChange();
  }

  /** An overdue request has ended. */
  answered(): void {
    this.#overdue--;
  }

  take(): void {
    this.#inUse++;
  }

  /** The request of a place has ended; it began at `startedAt`, ms. */
  note(outcome: Outcome, startedAt: number): void {
    this.#since.note(outcome, startedAt);
    if (outcome.kind === 'success') {
      this.isAnswering = true;
      this.#succeeded++;
    }
    const isSpent = saysOf(outcome) === 'failure' && !this.isAnswering && !this.#isEnded;
    if (isSpent) this.#drop(1);
    if (this.isSpent && isSpent) {
      this.#report(0);
      this.#of.onChange();
    } else if (this.#succeeded >= this.#reportAt && this.#succeeded < this.#of.deliveries && !this.#isEnded) {
      this.#reportAt *= 2;
      this.#report(Math.max(0, this.#of.want - this.#places));
    }
  }

  giveBack(): void {
    this.#inUse--;
    if (!this.#isEnded) return;
    if (this.#places > this.#inUse) this.#drop(this.#places - this.#inUse);
    this.#report(0);
  }

  /** The batch has ended: only requests that go on keep their places. */
  end(): void {
    this.#isEnded = true;
    this.#of.waitUntil(
      this.#entered.then(() => {
        this.#drop(Math.max(0, this.#places - this.#inUse));
        this.#report(0);
      }),
    );
  }

  #drop(places: number): void {
    this.#places -= places;
    this.#since.left += places;
  }

  #report(want: number): void {
    if (this.#since.isEmpty && want === 0) return;
    this.#of.waitUntil(this.#visit(want).then(() => this.#of.onChange()));
  }

  async #visit(want: number): Promise<void> {
    const { limit, leaseMs } = this.#of;
    const visit = { id: this.#id, want, leaseMs, ...this.#since.take() };
    const { granted, waitMs, isAnswering, isGrowing }: Answer = await limit.visit(visit);
    this.#places += granted;
    this.isAnswering ||= isAnswering;
    this.waitMs = Math.max(this.waitMs, waitMs);
    if (!isGrowing) this.#reportAt = Number.POSITIVE_INFINITY;
    // The batch ended meanwhile: nobody uses these.
    if (!this.#isEnded || granted === 0) return;
    this.#drop(Math.max(0, this.#places - this.#inUse));
    this.#report(0);
  }
}

/** The places that an event store got for the deliveries of one dispatch. The consumer returns them. */
export class DispatchPlaces {
  readonly #limit: HostLimitRpc;
  readonly #id: string;
  readonly #leaseMs: number;
  readonly #waitUntil: (work: Promise<unknown>) => void;
  readonly #since = new Since();
  #isEnded = false;

  constructor(limit: HostLimitRpc, id: string, leaseMs: number, waitUntil: (work: Promise<unknown>) => void) {
    this.#limit = limit;
    this.#id = id;
    this.#leaseMs = leaseMs;
    this.#waitUntil = waitUntil;
  }

  /** A request has ended; it began at `startedAt`, ms. */
  note(outcome: Outcome, startedAt: number): void {
    this.#since.note(outcome, startedAt);
    this.leave();
  }

  /** One delivery of the dispatch needs its place no more. */
  leave(): void {
    this.#since.left++;
    if (this.#isEnded) this.#return();
  }

  /** The work on the message has ended, except for requests that go on. */
  end(): void {
    this.#isEnded = true;
    this.#return();
  }

  #return(): void {
    if (this.#since.isEmpty) return;
    const visit = { id: this.#id, want: 0, leaseMs: this.#leaseMs, ...this.#since.take() };
    this.#waitUntil(this.#limit.visit(visit));
  }
}
