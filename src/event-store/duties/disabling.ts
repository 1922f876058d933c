/**
 * The subscription was disabled: everything that waited has failed (contract 3.6). The call wrote a mark (deliveries/disabled.ts);
 * this duty rewrites the marked rows, a bite in each alarm. A bite and its cursor are one transaction.
 *
 * A version of the code that does not know packs may have disabled the subscription before a deploy: what was packed then fails here.
 */
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import type { Deliveries } from '../deliveries/deliveries.ts';
import type { Packs } from '../deliveries/packs.ts';
import type { Rows } from '../deliveries/rows.ts';
import { DISABLING_BITE } from '../tuning.ts';

export class Disabling implements Duty {
  readonly name = 'disabling';
  readonly #database: StoreDatabase;
  readonly #deliveries: Rows;
  readonly #packs: Packs;

  constructor(database: StoreDatabase, { rows, packs }: Deliveries) {
    this.#database = database;
    this.#deliveries = rows;
    this.#packs = packs;
  }

  dueAt(now: number): number | undefined {
    return this.#deliveries.disabled.mark === undefined && !this.#arePacksLate() ? undefined : now;
  }

  work(): void {
    this.#database.transaction(() => this.#bite());
  }

  #arePacksLate(): boolean {
    return this.#packs.hasOutlived(this.#deliveries.disabled.generation - 1);
  }

  #bite(): void {
    const { disabled } = this.#deliveries;
    if (this.#arePacksLate()) this.#packs.failAll(disabled.lastAt);
    if (disabled.mark === undefined) return;
    let room = DISABLING_BITE;
    for (let { mark } = disabled; mark !== undefined && room > 0; mark = disabled.mark) {
      const bite = this.#deliveries.inState(mark.state, mark.cursor, room);
      for (const { isMarked, delivery } of bite) if (isMarked) this.#deliveries.put(delivery);
      const last = bite.at(-1);
      if (last !== undefined && bite.length === room) disabled.moveTo(mark.state, last.delivery.eventId);
      else disabled.endState(mark.state);
      room -= bite.length;
    }
    if (disabled.mark === undefined) this.#deliveries.tally.endDoom();
  }
}
