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

/** Takes one verified event. Throws if it could not. */
export type Take = (claims: Claims, token: string) => void | Promise<void>;

/**
 * Calls `take` once for each `jti`. An event is seen once `take` has ended well: a process that dies before that gets the
 * event again. A second request for an event that is being taken shares the result of the first.
 */
export function takeOnce(seen: SeenIds, take: Take): (claims: Claims, token: string) => Promise<void> {
  const underWay = new Map<string, Promise<void>>();
  const takeUnseen = async (claims: Claims, token: string): Promise<void> => {
    if (await seen.has(claims.jti)) return;
    await take(claims, token);
    await seen.add(claims.jti);
  };
  return (claims, token) => {
    const { jti } = claims;
    const earlier = underWay.get(jti);
    if (earlier !== undefined) return earlier;
    const taking = takeUnseen(claims, token).finally(() => underWay.delete(jti));
    underWay.set(jti, taking);
    return taking;
  };
}
