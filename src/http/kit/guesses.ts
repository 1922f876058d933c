/**
 * Limits guesses at secrets (contract 2 and 10.2).
 *
 * A *guess* is a call that brings a secret. Whether the secret is right is *judged*: that costs a query of D1, or a
 * comparison. Each guess has one or two *counts*, such as that of a client and an address. After so many failures in a
 * minute a count is *closed*: until the minute ends, guesses under it are refused without being judged, right ones too.
 * Only judged failures are counted. So a program that repeats a wrong secret closes its own count and no other.
 *
 * Three things make the limit hold:
 * - A judgement that is under way counts as a failure until it ends. Of hundreds of guesses at once only as many are
 *   judged as may fail; the others wait until one of those ends. When those are right, all that wait are judged in turn.
 *   Each waits by timers of its own: the runtime takes a request that waits for another request for hung, and ends it.
 * - Isolates of one location share the count by the platform's limiter. It cannot be asked without counting, so it is
 *   asked after each failure. An isolate that has seen no failure yet judges one guess before it learns that the others
 *   have counted enough.
 * - The memory is bounded. When it is full, the count that was not used for the longest time is forgotten. One address
 *   cannot bring that about, because its own count is closed long before.
 *
 * The Cache API could carry the closed counts from isolate to isolate before the first failure. It is not used: the
 * platform gives it no effect on workers.dev and behind Access.
 */

import { BoundedCache } from '../../bounded-cache.ts';
import { GUESS_WINDOW_MS, SECOND_MS } from '../../domain/limits.ts';

/** Counts in memory, of about 300 bytes each. */
const COUNTS_MAX = 20_000;
/** A judgement without an end after this long is forgotten: the platform has stopped its request. */
const JUDGEMENT_MAX_MS = 30 * SECOND_MS;
/** A guess that waits looks again after these waits, the last of which is repeated. */
const LOOK_WAITS_MS = [5, 10, 20, 40, 80, 160, 250] as const;
/** After as many looks, about 10 s, a guess is refused: what it waits for does not end. */
const LOOKS_MAX = 45;

export interface GuessLimit {
  readonly key: string;
  /** Failures in `GUESS_WINDOW_MS` that close the count. */
  readonly failuresMax: number;
  /** Counts for all isolates of the location, with the same limit and window. */
  readonly shared: RateLimit;
}

export type Verdict<Right> =
  | { readonly kind: 'right'; readonly value: Right }
  | { readonly kind: 'wrong' }
  | { readonly kind: 'not judged'; readonly retryAfterSeconds: number };

export class Guesses {
  readonly #counts = new BoundedCache<Count>(COUNTS_MAX);

  get size(): number {
    return this.#counts.size;
  }

  /**
   * Judges a guess, unless one of its counts is closed.
   * @param compare the value that the right secret gives, `undefined` when the secret is wrong. When it throws, the guess
   *   was not judged, and it is not counted
   */
  async judge<Right>(
    limits: readonly GuessLimit[],
    compare: () => Promise<Right | undefined>,
  ): Promise<Verdict<Right>> {
    const entered = await this.#enter(limits);
    if (entered.kind === 'closed') {
      return { kind: 'not judged', retryAfterSeconds: Math.ceil(entered.forMs / SECOND_MS) };
    }
    let end: 'failure' | 'no failure' = 'no failure';
    try {
      const value = await compare();
      if (value !== undefined) return { kind: 'right', value };
      end = 'failure';
    } finally {
      this.#leave(limits, entered.judgement, end);
    }
    await this.#share(limits);
    return { kind: 'wrong' };
  }

  /** Waits until every count has room for one more failure, and takes that room. */
  async #enter(limits: readonly GuessLimit[]): Promise<Entered> {
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const now = Date.now();
      const known = limits.flatMap(({ key }) => this.#counts.get(key) ?? []);
      const forMs = Math.max(0, ...known.map((count) => count.closedFor(now)));
      if (forMs > 0) return { kind: 'closed', forMs };
      if (known.every((count) => count.hasRoom(now))) {
        const judgement = { since: now };
        for (const limit of limits) this.#count(limit).begin(judgement);
        return { kind: 'judging', judgement };
      }
      const waitMs = LOOK_WAITS_MS[Math.min(looks, LOOK_WAITS_MS.length - 1)];
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
    return { kind: 'closed', forMs: SECOND_MS };
  }

  #leave(limits: readonly GuessLimit[], judgement: Judgement, end: 'failure' | 'no failure'): void {
    for (const limit of limits) {
      const count = this.#count(limit);
      count.end(judgement, end, Date.now());
      if (count.isIdle) this.#counts.delete(limit.key);
    }
  }

  async #share(limits: readonly GuessLimit[]): Promise<void> {
    const answers = await Promise.all(limits.map(({ key, shared }) => shared.limit({ key })));
    for (const [index, limit] of limits.entries()) {
      if (!answers[index]?.success) this.#count(limit).close(Date.now());
    }
  }

  #count({ key, failuresMax }: GuessLimit): Count {
    let count = this.#counts.get(key);
    if (count === undefined) {
      count = new Count(failuresMax);
      this.#counts.set(key, count);
    }
    return count;
  }
}

/** One judgement under way. */
interface Judgement {
  readonly since: number;
}

type Entered =
  | { readonly kind: 'closed'; readonly forMs: number }
  | { readonly kind: 'judging'; readonly judgement: Judgement };

/** The failures under one key, in a window that begins with the first of them. */
class Count {
  readonly #failuresMax: number;
  #windowEndsAt = 0;
  #failures = 0;
  readonly #underWay = new Set<Judgement>();

  constructor(failuresMax: number) {
    this.#failuresMax = failuresMax;
  }

  /** Holds nothing that a new count would not hold. */
  get isIdle(): boolean {
    return this.#failures === 0 && this.#underWay.size === 0;
  }

  /** @returns ms until guesses are judged again; 0: they are judged */
  closedFor(now: number): number {
    return this.#failuresAt(now) < this.#failuresMax ? 0 : this.#windowEndsAt - now;
  }

  hasRoom(now: number): boolean {
    for (const judgement of this.#underWay) {
      if (judgement.since <= now - JUDGEMENT_MAX_MS) this.#underWay.delete(judgement);
    }
    return this.#failuresAt(now) + this.#underWay.size < this.#failuresMax;
  }

  begin(judgement: Judgement): void {
    this.#underWay.add(judgement);
  }

  end(judgement: Judgement, end: 'failure' | 'no failure', now: number): void {
    this.#underWay.delete(judgement);
    this.#failuresAt(now);
    if (end === 'failure') this.#add(1, now);
  }

  /** Other isolates have counted enough failures. */
  close(now: number): void {
    this.#add(this.#failuresMax, now);
  }

  #add(failures: number, now: number): void {
    this.#failures = this.#failuresAt(now) + failures;
    if (this.#failures === failures) this.#windowEndsAt = now + GUESS_WINDOW_MS;
  }

  #failuresAt(now: number): number {
    if (now >= this.#windowEndsAt) this.#failures = 0;
    return this.#failures;
  }
}
