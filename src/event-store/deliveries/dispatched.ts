/**
 * The deliveries that are dispatched, in memory: how many there are, and when each is sent again. The rows say the same. They are
 * read when the object wakes, because nothing finds them quickly: an index would be a row more for each dispatch.
 *
 * That an attempt began is in memory alone, until its result or its overdue request is reported, a second or so later. An object
 * that is evicted before forgets it: a second copy of the dispatch may then begin the attempt once more, under its number.
 */
import { begin, type Delivery, sendAgainAt } from '../../domain/delivery.ts';
import { leaseTokenTime } from '../../domain/ids.ts';

/** What a row says about its dispatch. */
export type DispatchedRow = Pick<Delivery, 'eventId' | 'acceptedAt' | 'leaseToken' | 'dueAt'>;

interface Dispatched {
  /** When it is sent again, ms. */
  readonly againAt: number;
  /** It was dispatched since the object woke: whatever ended an earlier life may have lost its message. */
  readonly isOfThisLife: boolean;
  /** Its attempt began at `at`, and counts as lapsed at `until`, ms. */
  readonly begun?: { readonly at: number; readonly until: number };
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

  /** How many have not begun. */
  get count(): number {
    let count = 0;
    for (const { begun } of this.#all.values()) if (begun === undefined) count++;
    return count;
  }

  /** How many were dispatched since the object woke, those that have begun included. */
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

  /** An attempt begins: its delivery is not sent again before the attempt counts as lapsed, at `until`, ms. */
  begin(eventId: string, at: number, until: number): void {
    const known = this.#all.get(eventId);
    if (known === undefined) return;
    this.#all.set(eventId, { ...known, againAt: Math.max(known.againAt, until), begun: { at, until } });
  }

  /** Those whose attempt is under way. */
  begun(now: number): string[] {
    return [...this.#all].flatMap(([eventId, { begun }]) =>
      begun !== undefined && begun.until > now ? eventId : [],
    );
  }

  /** A delivery as it is: in `executing` while its attempt is under way, though the row does not say so yet. */
  asBegun(delivery: Delivery, now: number): Delivery {
    const begun = this.#all.get(delivery.eventId)?.begun;
    if (begun === undefined || begun.until <= now || delivery.leaseToken === null) return delivery;
    return begin(delivery, delivery.leaseToken, begun.at, begun.until - begun.at) ?? delivery;
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
