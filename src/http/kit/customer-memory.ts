/**
 * What an isolate remembers of customers for a short while, so that strangers who ask for the same thing cost D1 one query:
 * the keys that a customer publishes, and which ids are a customer or none. The three are bounded separately: made-up ids push
 * out other made-up ids and nothing else.
 */

import { BoundedCache } from '../../bounded-cache.ts';
import { outageBehind } from '../../domain/errors.ts';
import {
  GUESS_WINDOW_MS,
  KEY_SET_CACHE_MS,
  KEY_SET_STALE_MS,
  UNKNOWN_CUSTOMER_CACHE_MS,
} from '../../domain/limits.ts';

/** Key sets in memory, of 2 to 4 KB each. */
const KEY_SETS_MAX = 1000;
/** Ids of no customer in memory, of about 150 bytes each. */
const UNKNOWN_MAX = 10_000;
/** Ids of customers in memory, of as many bytes. */
const EXISTING_MAX = 10_000;

export class CustomerMemory {
  readonly #keySets = new BoundedCache<{ keys: readonly JsonWebKey[]; readAt: number }>(KEY_SETS_MAX);
  /** Until when each id counts as that of no customer, ms. */
  readonly #unknown = new BoundedCache<number>(UNKNOWN_MAX);
  /** Until when each id counts as that of a customer, ms. */
  readonly #existing = new BoundedCache<number>(EXISTING_MAX);
  /** Calls of `forget`. What was read before one of them may be old, and is not kept. */
  #forgotten = 0;

  /**
   * What `load` finds of a customer. It is not asked while the id is known to be that of no customer.
   * @param load `undefined` when there is no such customer
   */
  async find<Found>(customerId: string, load: () => Promise<Found | undefined>): Promise<Found | undefined> {
    const now = Date.now();
    if ((this.#unknown.get(customerId) ?? 0) > now) return undefined;
    const before = this.#forgotten;
    const found = await load();
    if (before !== this.#forgotten) return found;
    if (found === undefined) {
      this.#unknown.set(customerId, now + UNKNOWN_CUSTOMER_CACHE_MS);
      this.#existing.delete(customerId);
    } else {
      this.#existing.set(customerId, Date.now() + GUESS_WINDOW_MS);
    }
    return found;
  }

  /** Whether a customer was found in the last minute: as long as failures close the count of its client. Costs no query. */
  wasFound(customerId: string): boolean {
    return (this.#existing.get(customerId) ?? 0) > Date.now();
  }

  /**
   * The published keys of a customer, as old as `KEY_SET_CACHE_MS` at most; while the database is away, as old as `KEY_SET_STALE_MS`.
   * @throws Outage when the database is away, and the keys were not read for longer
   */
  async publishedKeys(
    customerId: string,
    load: () => Promise<readonly JsonWebKey[] | undefined>,
  ): Promise<readonly JsonWebKey[] | undefined> {
    const now = Date.now();
    const known = this.#keySets.get(customerId);
    if (known !== undefined && known.readAt > now - KEY_SET_CACHE_MS) return known.keys;
    const before = this.#forgotten;
    let keys: readonly JsonWebKey[] | undefined;
    try {
      keys = await this.find(customerId, load);
    } catch (error) {
      const isYoung = known !== undefined && known.readAt > now - KEY_SET_STALE_MS;
      if (isYoung && before === this.#forgotten && outageBehind(error) !== undefined) return known.keys;
      throw error;
    }
    if (before !== this.#forgotten) return keys;
    if (keys === undefined) this.#keySets.delete(customerId);
    else this.#keySets.set(customerId, { keys, readAt: now });
    return keys;
  }

  /** Must be called after a customer was created or erased, or its keys were rotated. */
  forget(customerId: string): void {
    this.#forgotten++;
    this.#keySets.delete(customerId);
    this.#unknown.delete(customerId);
    this.#existing.delete(customerId);
  }
}
