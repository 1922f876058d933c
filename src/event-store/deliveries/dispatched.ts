/**
 * Deliveries that were dispatched since the object woke and that no attempt has begun of. In memory: those that were dispatched
 * before do not count, because whatever ended the object's last life may have lost them.
 */
import type { Delivery } from '../../domain/delivery.ts';
import type { StoreDatabase } from '../database.ts';

export class Dispatched {
  /** When their leases lapse, ms, by event id. */
  readonly #until = new Map<string, number>();

  constructor(database: StoreDatabase) {
    database.whenRolledBack(() => this.#until.clear());
  }

  /** A delivery is about to be written. */
  note({ eventId, state, dueAt, leaseToken }: Delivery): void {
    if (dueAt !== null && leaseToken !== null && state !== 'executing') this.#until.set(eventId, dueAt);
    else this.#until.delete(eventId);
  }

  /** How many there are whose lease has not lapsed. */
  count(now: number): number {
    for (const [eventId, until] of this.#until) if (until <= now) this.#until.delete(eventId);
    return this.#until.size;
  }
}
