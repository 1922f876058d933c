/**
 * The deliveries that are dispatched, in memory: how many there are, and when each is sent again. The rows say the same. They are
 * read when the object wakes, because nothing finds them quickly: an index would be a row more for each dispatch. They are among
 * all rows that are due soon, which may be any number, so they are read some at a time. Until all are read, the object sends nothing
 * (duties/dispatch.ts): it would not know how many are on their way.
 *
 * That an attempt began is in memory alone, until its result or its overdue request is reported, a second or so later. An object
 * that is evicted before forgets it: a second copy of the dispatch may then begin the attempt once more, under its number.
 */
import { begin, type Delivery, isLeasedAhead, sendAgainAt } from '../../domain/delivery.ts';
import { leaseTokenTime } from '../../domain/ids.ts';

/** What a row says about its dispatch. */
export type DispatchedRow = Pick<Delivery, 'eventId' | 'acceptedAt' | 'leaseToken' | 'dueAt'>;

/** Some of the dispatched deliveries, and where to look on; `undefined`: these were the last. */
export interface DispatchedLook {
  readonly found: readonly DispatchedRow[];
  readonly next: DispatchedRow | undefined;
}

interface Dispatched {
  /** When it is sent again, ms. */
  readonly againAt: number;
  /**
   * It was dispatched since the object woke: whatever ended an earlier life may have lost its message. A retry that its consumer
   * has sent ahead counts as such once it has begun: it does not begin while its endpoint is in trouble.
   */
  readonly isOfThisLife: boolean;
  /** Its attempt began at `at`, and counts as lapsed at `until`, ms. */
  readonly begun?: { readonly at: number; readonly until: number };
}

export class DispatchedDeliveries {
  readonly #look: (after: DispatchedRow | undefined) => DispatchedLook;
  readonly #wokeAt: number;
  readonly #kept = new Map<string, Dispatched>();
  /** Where to look on, or how far it has come. */
  #next: DispatchedRow | 'the first' | 'all are known' = 'the first';

  /**
   * @param look the dispatched deliveries as their rows are, from after a row on
   * @param wokeAt when the object woke, ms
   */
  constructor(look: (after: DispatchedRow | undefined) => DispatchedLook, wokeAt: number) {
    this.#look = look;
    this.#wokeAt = wokeAt;
  }

  /** Whether all of them are known. The first question looks at the first rows. */
  get areKnown(): boolean {
    if (this.#next === 'the first') this.readOn();
    return this.#next === 'all are known';
  }

  /** Looks at the next rows. */
  readOn(): void {
    if (this.#next === 'all are known') return;
    const { found, next } = this.#look(this.#next === 'the first' ? undefined : this.#next);
    for (const row of found) if (!this.#kept.has(row.eventId)) this.#kept.set(row.eventId, this.#read(row));
    this.#next = next ?? 'all are known';
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

  /** An attempt of a dispatched delivery begins: it is not sent again before the attempt counts as lapsed, at `until`, ms. */
  begin(row: DispatchedRow, at: number, until: number): void {
    const known = this.#kept.get(row.eventId) ?? this.#read(row);
    const againAt = Math.max(known.againAt, until);
    this.#kept.set(row.eventId, { againAt, isOfThisLife: true, begun: { at, until } });
  }

  /** Those whose attempt is under way. */
  begun(now: number): string[] {
    return [...this.#kept].flatMap(([eventId, { begun }]) =>
      begun !== undefined && begun.until > now ? eventId : [],
    );
  }

  /** A delivery as it is: in `executing` while its attempt is under way, though the row does not say so yet. */
  asBegun(delivery: Delivery, now: number): Delivery {
    const begun = this.#kept.get(delivery.eventId)?.begun;
    if (begun === undefined || begun.until <= now || delivery.leaseToken === null) return delivery;
    return begin(delivery, delivery.leaseToken, begun.at, begun.until - begun.at) ?? delivery;
  }

  /** A row was written. */
  note(row: DispatchedRow): void {
    const againAt = sendAgainAt(row);
    if (againAt === undefined) this.#kept.delete(row.eventId);
    else this.#kept.set(row.eventId, { againAt, isOfThisLife: !isLeasedAhead(row, Date.now()) });
  }

  /** These are sent again at another time: the queue refused them, or their host has no places. */
  postpone(eventIds: readonly string[], againAt: number): void {
    for (const eventId of eventIds) {
      const known = this.#kept.get(eventId);
      if (known !== undefined) this.#kept.set(eventId, { ...known, againAt });
    }
  }

  /** One that has not begun is sent again at another time. @returns whether there is such a one */
  bringForward(eventId: string, againAt: number): boolean {
    const known = this.#all.get(eventId);
    if (known === undefined || known.begun !== undefined) return false;
    this.#kept.set(eventId, { ...known, againAt });
    return true;
  }

  /** The rows were rolled back. */
  forget(): void {
    this.#kept.clear();
    this.#next = 'the first';
  }

  get #all(): ReadonlyMap<string, Dispatched> {
    if (this.#next === 'the first') this.readOn();
    return this.#kept;
  }

  #read(row: DispatchedRow): Dispatched {
    const sentAt = row.leaseToken === null ? undefined : leaseTokenTime(row.leaseToken);
    const isOfThisLife = (sentAt ?? 0) >= this.#wokeAt && !isLeasedAhead(row, Date.now());
    return { againAt: sendAgainAt(row) ?? 0, isOfThisLife };
  }
}
