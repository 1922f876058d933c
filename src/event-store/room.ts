/**
 * How full an event store is. The platform gives an object 10 GB and refuses each write beyond, so the store looks at its size
 * before it takes anything on (contract 10.9).
 */
import {
  DAY_MS,
  STORE_FULL_SHARE,
  STORE_MAX_BYTES,
  STORE_SCARCE_SHARE,
  STORE_WARNING_SHARE,
} from '../domain/limits.ts';
import { logWarn } from '../log.ts';
import type { StoreDatabase } from './database.ts';
import type { Owner } from './owner.ts';

export class Room {
  /** What an object may hold, bytes. A test makes it smaller, to fill a store. */
  static maxBytes = STORE_MAX_BYTES;
  readonly #database: StoreDatabase;
  readonly #owner: Owner;

  constructor(database: StoreDatabase, owner: Owner) {
    this.#database = database;
    this.#owner = owner;
  }

  /** How full the store is, in whole tenths. */
  get tenths(): number {
    return Math.floor(this.#share * 10);
  }

  /** Deliveries that would only wait are not kept any more. */
  isScarce(): boolean {
    return this.#share >= STORE_SCARCE_SHARE;
  }

  /** Nothing new is taken on: what is left is for the deliveries that are stored. */
  isFull(): boolean {
    return this.#share >= STORE_FULL_SHARE;
  }

  /** Warns the operator of a store that fills up, once a day. */
  warn(now: number): void {
    const { ref, fillWarnedAt } = this.#owner;
    if (this.#share < STORE_WARNING_SHARE || now < fillWarnedAt + DAY_MS) return;
    this.#owner.markFillWarned(now);
    logWarn('event store fills up', {
      customerId: ref?.customerId,
      subscriptionId: ref?.subscriptionId,
      bytes: this.#database.bytes,
      percent: Math.floor(this.#share * 100),
    });
  }

  get #share(): number {
    return this.#database.bytes / Room.maxBytes;
  }
}
