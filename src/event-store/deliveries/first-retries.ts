/**
 * Deliveries that wait for their first retry: table `first_retries`. The first attempt failed, and nothing else is special about
 * them. Most succeed at that retry, seconds later, and then they are packed. So such a delivery is one row, which has no index, no
 * count and no SET elsewhere: it takes one write to come, one to be dispatched, unless its consumer has sent it ahead, and one to go
 * (docs/decisions/0030-a-first-retry-is-one-row.md, 0045-a-first-retry-is-sent-ahead.md).
 *
 * The table has at most `FIRST_RETRIES_MAX` rows. What an index would say of them is in memory, and is read from the rows when the
 * object wakes. A delivery for which there is no room, and one that changes in any other way, has a row of `deliveries` (rows.ts).
 */
import type { Delivery, HistoryEntry } from '../../domain/delivery.ts';
import type { StoreDatabase } from '../database.ts';
import type { Order, PageQuery } from '../rpc.ts';
import { FIRST_RETRIES_MAX } from '../tuning.ts';
import { packSet, unpackSet } from './bodies.ts';
import type { DispatchedRow } from './dispatched.ts';

/** What is in memory of each. */
type Outline = Pick<Delivery, 'eventId' | 'acceptedAt' | 'endpoint' | 'leaseToken'> & {
  readonly number: number;
  readonly dueAt: number;
};

type Content = { number: number; history: string; token: ArrayBuffer | string; request_id: string | null };

export class FirstRetries {
  readonly #database: StoreDatabase;
  #kept: Map<string, Outline> | undefined;

  constructor(database: StoreDatabase) {
    this.#database = database;
    database.whenRolledBack(() => {
      this.#kept = undefined;
    });
  }

  /** Whether a delivery that is not stored yet is kept here. */
  takes(delivery: Delivery): boolean {
    return isFirstRetry(delivery) && this.room > 0;
  }

  /** How many more may be kept here. */
  get room(): number {
    return Math.max(0, FIRST_RETRIES_MAX - this.#all.size);
  }

  has(eventId: string): boolean {
    return this.#all.has(eventId);
  }

  /** Those of these events that are here. */
  known(eventIds: readonly string[]): Set<string> {
    return new Set(eventIds.filter((eventId) => this.has(eventId)));
  }

  /** The deliveries of these events that are here, with their SETs. */
  find(eventIds: readonly string[]): Delivery[] {
    const outlines = eventIds.flatMap((eventId) => this.#all.get(eventId) ?? []);
    if (outlines.length === 0) return [];
    const contents = this.#database.rows<Content>(
      `SELECT number, history, token, request_id FROM first_retries
       WHERE number IN (SELECT value FROM json_each(?))`,
      JSON.stringify(outlines.map(({ number }) => number)),
    );
    const byNumber = new Map(contents.map((content) => [content.number, content]));
    return outlines.map((outline) => deliveryOf(outline, byNumber.get(outline.number)));
  }

  /** A page of those that are here. @param query.order of the event ids; ascending without it */
  page({
    order,
    after = '',
    before = '~',
    state,
    limit,
  }: PageQuery & { readonly order?: Order }): Delivery[] {
    if (state !== undefined && state !== 'awaiting-retry') return [];
    const eventIds = this.eventIds().filter((eventId) => eventId > after && eventId < before);
    if (order === 'desc') eventIds.reverse();
    return this.find(eventIds.slice(0, limit));
  }

  /** All event ids, in order. */
  eventIds(): string[] {
    return [...this.#all.keys()].sort();
  }

  /** How many were accepted at a time (ms) or later. */
  count(since: number): number {
    let count = 0;
    for (const { acceptedAt } of this.#all.values()) if (acceptedAt >= since) count++;
    return count;
  }

  /** When the first of them was accepted, ms; without any, never. */
  oldestAcceptance(): number {
    return Math.min(...[...this.#all.values()].map(({ acceptedAt }) => acceptedAt));
  }

  /** Adds a delivery that `takes` accepted: one row, with its lease if it is sent ahead. */
  add({ eventId, acceptedAt, endpoint, dueAt, leaseToken, set, history, requestId }: Delivery): void {
    const number = 1 + Math.max(0, ...[...this.#all.values()].map((outline) => outline.number));
    this.#database.run(
      `INSERT INTO first_retries (number, event_id, accepted_at, endpoint, due_at, lease_token, history, token, request_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      number,
      eventId,
      acceptedAt,
      endpoint,
      dueAt,
      leaseToken,
      JSON.stringify(history),
      packSet(set),
      requestId ?? null,
    );
    this.#all.set(eventId, { number, eventId, acceptedAt, endpoint, dueAt: dueAt ?? 0, leaseToken });
  }

  /** Writes the dispatch of a delivery that still waits here: one row. @returns whether it waits here */
  put({ eventId, dueAt, leaseToken }: Delivery): boolean {
    const known = this.#all.get(eventId);
    if (known === undefined) return false;
    const changed = { ...known, dueAt: dueAt ?? 0, leaseToken };
    this.#database.run(
      'UPDATE first_retries SET due_at = ?, lease_token = ? WHERE number = ?',
      changed.dueAt,
      leaseToken,
      known.number,
    );
    this.#all.set(eventId, changed);
    return true;
  }

  /** A delivery goes elsewhere: one row. @returns whether it was here */
  delete(eventId: string): boolean {
    const known = this.#all.get(eventId);
    if (known === undefined) return false;
    this.#database.run('DELETE FROM first_retries WHERE number = ?', known.number);
    return this.#all.delete(eventId);
  }

  /** Those that are due and not dispatched, the longest waiting first. */
  due(now: number): Outline[] {
    return this.#waiting()
      .filter(({ dueAt }) => dueAt <= now)
      .sort((a, b) => a.dueAt - b.dueAt || (a.eventId < b.eventId ? -1 : 1));
  }

  /** The earliest time after another (ms) at which one is due that is not dispatched; without any, never. */
  earliest(after: number): number {
    return Math.min(...this.#waiting().flatMap(({ dueAt }) => (dueAt > after ? dueAt : [])));
  }

  /** The endpoints of those of these events that are here. */
  endpoints(eventIds: readonly string[]): string[] {
    return eventIds.flatMap((eventId) => this.#all.get(eventId)?.endpoint ?? []);
  }

  /** Those that are dispatched. */
  dispatched(): DispatchedRow[] {
    return [...this.#all.values()].filter(({ leaseToken }) => leaseToken !== null);
  }

  #waiting(): Outline[] {
    return [...this.#all.values()].filter(({ leaseToken }) => leaseToken === null);
  }

  get #all(): Map<string, Outline> {
    this.#kept ??= new Map(
      this.#database
        .rows<Outline>(
          `SELECT number, event_id AS eventId, accepted_at AS acceptedAt, endpoint, due_at AS dueAt,
             lease_token AS leaseToken FROM first_retries`,
        )
        .map((outline) => [outline.eventId, outline]),
    );
    return this.#kept;
  }
}

/** Whether a delivery waits for its first retry, and a row says all that there is to say. */
export function isFirstRetry(delivery: Delivery): boolean {
  const { state, attempts, runBase, hold, redeliveryId, proof, heldUntil, form } = delivery;
  const isOrdinary = hold === 'possible' && redeliveryId === null && proof === null;
  const wasHeld = heldUntil !== undefined || form !== undefined;
  return state === 'awaiting-retry' && attempts === 1 && runBase === 0 && isOrdinary && !wasHeld;
}

function deliveryOf(outline: Outline, content: Content | undefined): Delivery {
  if (content === undefined) throw new Error('a delivery is gone');
  const { number: _, ...facts } = outline;
  const history = JSON.parse(content.history) as HistoryEntry[];
  return {
    ...facts,
    set: unpackSet(content.token),
    ...(content.request_id === null ? {} : { requestId: content.request_id }),
    state: 'awaiting-retry',
    attempts: 1,
    runBase: 0,
    updatedAt: history.at(-1)?.at ?? outline.acceptedAt,
    hold: 'possible',
    redeliveryId: null,
    proof: null,
    history,
  };
}
