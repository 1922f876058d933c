/** Which events were taken, by `jti`, so that a repeat is answered and dropped. */
import type { Claims } from './verify.ts';

/**
 * Delivery is at least once: a token may come again after seconds, because an answer was lost, or after days, because
 * somebody asked for a redelivery. Keep ids in your database for as long as the service keeps events (7 days by
 * default). A process may die between `onEvent` and `add`: to be safe against that too, store the event itself under its
 * `jti` with a unique index, so that a repeat changes nothing.
 */
export interface SeenIds {
  has(jti: string): boolean | Promise<boolean>;
  /** Called after the event was taken. May be called again with the same id. */
  add(jti: string): unknown;
  /**
   * For a store that several processes share: asks for the event before it is taken, in one statement, such as an `INSERT`
   * under a unique index. A claim must end by itself, after a minute say, because a process may die with it.
   * @returns false if another process has claimed the event, or `add` was called for it
   */
  claim?(jti: string): boolean | Promise<boolean>;
  /** Ends a claim: the event could not be taken, and the next request for it may try. */
  release?(jti: string): unknown;
}

/** Another process is taking the event: whether it will succeed is unknown, so the event must come again. */
export class TakenElsewhere extends Error {
  constructor() {
    super('another process is taking the event');
    this.name = 'TakenElsewhere';
  }
}

/**
 * Keeps the last ids in memory, in two generations: when the younger one is full, it becomes the older one, and the ids of
 * the older one are forgotten together. A restart forgets all ids.
 */
export class RecentIds implements SeenIds {
  #younger = new Set<string>();
  #older = new Set<string>();
  readonly #generation: number;

  /** @param limit how many ids are kept at least; at most twice as many are. 100,000 ids take about 10 MB */
  constructor(limit = 100_000) {
    this.#generation = limit;
  }

  has(jti: string): boolean {
    return this.#younger.has(jti) || this.#older.has(jti);
  }

  add(jti: string): void {
    if (this.has(jti)) return;
    if (this.#younger.size >= this.#generation) {
      this.#older = this.#younger;
      this.#younger = new Set();
    }
    this.#younger.add(jti);
  }
}

/** Takes one verified event. Its promise is awaited. Throws or rejects if it could not take the event. */
export type Take = (claims: Claims, token: string) => unknown;

/**
 * How long a request for an event shares the result of an earlier one. An earlier one that takes longer never ends: the
 * platform ended its request, or a connection of `take` hangs. The service has stopped waiting long before.
 */
const SHARED_FOR_MS = 60_000;

/**
 * Calls `take` once for each `jti`. An event is seen once `take` has ended well: a process that dies before that gets the
 * event again. A second request for an event that is being taken shares the result of the first.
 */
export function takeOnce(seen: SeenIds, take: Take): (claims: Claims, token: string) => Promise<void> {
  const underWay = new Map<string, { readonly sinceMs: number; readonly taking: Promise<void> }>();
  const takeUnseen = async (claims: Claims, token: string): Promise<void> => {
    const { jti } = claims;
    if (await seen.has(jti)) return;
    if ((await seen.claim?.(jti)) === false) throw new TakenElsewhere();
    try {
      await take(claims, token);
    } catch (error) {
      await seen.release?.(jti);
      throw error;
    }
    await seen.add(jti);
  };
  return (claims, token) => {
    const { jti } = claims;
    const earlier = underWay.get(jti);
    if (earlier !== undefined && Date.now() < earlier.sinceMs + SHARED_FOR_MS) return earlier.taking;
    const taking = takeUnseen(claims, token).finally(() => {
      if (underWay.get(jti)?.taking === taking) underWay.delete(jti);
    });
    underWay.set(jti, { sinceMs: Date.now(), taking });
    return taking;
  };
}
