/**
 * The deliveries that are dispatched and have not begun, in memory: how many there are, and when each is sent again. The rows say
 * the same. They are read when the object wakes, because nothing finds them quickly: an index would be a row more for each
 * dispatch.
 */
import { type Delivery, sendAgainAt } from '../../domain/delivery.ts';
import { leaseTokenTime } from '../../domain/ids.ts';

/** What a row says about its dispatch. */
export type DispatchedRow = Pick<Delivery, 'eventId' | 'leaseToken' | 'dueAt'>;

interface Dispatched {
  /** When it is sent again, ms. */
  readonly againAt: number;
  /** It was dispatched since the object woke: whatever ended an earlier life may have lost its message. */
  readonly isOfThisLife: boolean;
}

export class DispatchedDeliveries {
  readonly #load: () => readonly DispatchedRow[];
  readonly #wokeAt: number;
  #kept: Map<string, Dispatched> | undefined;

  /**
   * @param load the dispatched deliveries as their rows are
   * @param wokeAt when the object woke, ms
   */
  constructor(load: () => readonly DispatchedRow[], wokeAt: number) {
    this.#load = load;
    this.#wokeAt = wokeAt;
  }

  /** How many there are. */
  get count(): number {
    return this.#all.size;
  }

  /** How many there are of those that were dispatched since the object woke. */
  get countOfThisLife(): number {
    let count = 0;
    for (const { isOfThisLife } of this.#all.values()) if (isOfThisLife) count++;
    return count;
  }

  /** When the first of them is sent again, ms; without any, never. */
  earliest(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { againAt } of this.#all.values()) earliest = Math.min(earliest, againAt);
    return earliest;
  }

  /** Those that are to be sent again now. */
  due(now: number): string[] {
    return [...this.#all].flatMap(([eventId, { againAt }]) => (againAt <= now ? eventId : []));
  }

  /** A row was written. */
  note(row: DispatchedRow): void {
    const againAt = sendAgainAt(row);
    if (againAt === undefined) this.#kept?.delete(row.eventId);
    else this.#all.set(row.eventId, { againAt, isOfThisLife: true });
  }

  /** These are sent again at another time: the queue refused them, or their host has no places. */
  postpone(eventIds: readonly string[], againAt: number): void {
    for (const eventId of eventIds) {
      const known = this.#all.get(eventId);
      if (known !== undefined) this.#all.set(eventId, { ...known, againAt });
    }
  }

  /** The rows were rolled back. */
  forget(): void {
    this.#kept = undefined;
  }

  get #all(): Map<string, Dispatched> {
    this.#kept ??= new Map(this.#load().map((row) => [row.eventId, this.#loaded(row)]));
    return this.#kept;
  }

  #loaded(row: DispatchedRow): Dispatched {
    const sentAt = row.leaseToken === null ? undefined : leaseTokenTime(row.leaseToken);
    return { againAt: sendAgainAt(row) ?? 0, isOfThisLife: (sentAt ?? 0) >= this.#wokeAt };
  }
}
