/** Held deliveries that have waited too long (contract 10.4), as far as they are packed: those that have a row are due then (dispatch.ts). */
import type { EndpointNow } from '../../domain/delivery.ts';
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import type { Packs } from '../deliveries/packs.ts';
import type { Health } from '../endpoint/health.ts';

export class Deadlines implements Duty {
  readonly name = 'deadlines';
  readonly #database: StoreDatabase;
  readonly #packs: Packs;
  readonly #health: Health;
  readonly #endpointNow: (now: number) => EndpointNow;

  constructor(
    database: StoreDatabase,
    packs: Packs,
    health: Health,
    endpointNow: (now: number) => EndpointNow,
  ) {
    this.#database = database;
    this.#packs = packs;
    this.#health = health;
    this.#endpointNow = endpointNow;
  }

  dueAt(): number | undefined {
    return this.#packs.earliestDeadline();
  }

  work(now: number): void {
    if ((this.dueAt() ?? Number.POSITIVE_INFINITY) > now) return;
    this.#database.transaction(() => {
      const failed = this.#packs.endHolds(now, this.#endpointNow(now));
      if (failed > 0) this.#health.countEnded(failed);
    });
  }
}
