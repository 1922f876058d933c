/**
 * The deliveries of one event store: reading, writing, finding what is due or past its time. What succeeded at its first
 * attempt is packed into segments; all else has a row of its own. Who asks here need not know which is which.
 */
import type { Delivery, DeliveryState, HistoryEntry } from '../../domain/delivery.ts';
import { DISPATCH_LEASE_MS } from '../../domain/leases.ts';
import { EVENT_MAX_AGE_MS } from '../../domain/limits.ts';
import type { PageQuery } from '../rpc.ts';
import { HISTORY_PAGE_ENTRIES } from '../tuning.ts';
import { type Entry, toEntry } from './packing.ts';
import { Segments } from './segments.ts';
import { type CountedRow, Total } from './total.ts';

type Row = {
  event_id: string;
  state: DeliveryState;
  attempts: number;
  run_base: number;
  accepted_at: number;
  updated_at: number;
  due_at: number | null;
  lease_token: string | null;
  endpoint: string;
  history: string;
  set_token: string;
  hold: 'held' | 'never' | null;
  redelivery_id: string | null;
};

export interface FailedQuery {
  /** Exclusive. */
  readonly after: string;
  readonly since: number;
  readonly until: number;
  readonly failedBefore: number;
  /** What has expired by `now` is left out, though the sweep has not come by yet. */
  readonly now: number;
  readonly retentionMs: number;
  readonly limit: number;
}

const FAILED_IN = `state = 'failure' AND event_id > ? AND accepted_at >= ? AND accepted_at <= ? AND updated_at <= ?
  AND min(updated_at + ?, accepted_at + ${EVENT_MAX_AGE_MS}) > ?`;

export class Deliveries {
  readonly #sql: SqlStorage;
  readonly #total: Total;
  readonly #segments: Segments;
  readonly #wokeAt = Date.now();

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    this.#segments = new Segments(storage);
    this.#total = new Total(this.#sql, {
      name: 'deliveries',
      key: 'event_id',
      events: '1',
      counted: 'deliveries_counted',
    });
  }

  find(eventId: string): Delivery | undefined {
    return this.findAll([eventId]).get(eventId);
  }

  /** Those of these events that have a delivery here. */
  findAll(eventIds: readonly string[]): Map<string, Delivery> {
    const rows = this.#query<Row>(
      'SELECT * FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))',
      JSON.stringify(eventIds),
    );
    const found = new Map(rows.map((row) => [row.event_id, fromRow(row)]));
    const others = eventIds.filter((eventId) => !found.has(eventId));
    for (const delivery of this.#segments.find(others)) found.set(delivery.eventId, delivery);
    return found;
  }

  /** Which of these events have a delivery here. */
  known(eventIds: readonly string[]): Set<string> {
    const rows = this.#query<{ event_id: string }>(
      'SELECT event_id FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))',
      JSON.stringify(eventIds),
    );
    return this.#segments.known(eventIds).union(new Set(rows.map((row) => row.event_id)));
  }

  /** The whole history of a delivery, older pages included. */
  history(delivery: Delivery): HistoryEntry[] {
    const pages = this.#query<{ entries: string }>(
      'SELECT entries FROM history_pages WHERE event_id = ? ORDER BY page',
      delivery.eventId,
    );
    return [...pages.flatMap((page) => JSON.parse(page.entries) as HistoryEntry[]), ...delivery.history];
  }

  /** Adds deliveries that are not there yet: those that succeeded at once in a row together. */
  add(deliveries: readonly Delivery[]): void {
    const packed: Entry[] = [];
    const rows: Delivery[] = [];
    for (const delivery of deliveries) {
      const entry = toEntry(delivery);
      if (entry === undefined) rows.push(delivery);
      else packed.push(entry);
    }
    for (const delivery of rows) this.put(delivery);
    if (rows.length > 0) this.#total.changed(rows.map(countedRow), 1);
    if (packed.length > 0) this.#segments.add(packed);
  }

  /** Writes a delivery that has a row, or is to have one: one row, and the index `due` while it is not final. */
  put(delivery: Delivery): void {
    const history = this.#withoutFullPages(delivery);
    this.#query(
      `INSERT INTO deliveries (event_id, state, attempts, run_base, accepted_at, updated_at, due_at, lease_token,
         endpoint, history, set_token, hold, redelivery_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (event_id) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
         run_base = excluded.run_base, updated_at = excluded.updated_at, due_at = excluded.due_at,
         lease_token = excluded.lease_token, history = excluded.history, hold = excluded.hold,
         redelivery_id = excluded.redelivery_id`,
      delivery.eventId,
      delivery.state,
      delivery.attempts,
      delivery.runBase,
      delivery.acceptedAt,
      delivery.updatedAt,
      delivery.dueAt,
      delivery.leaseToken,
      delivery.endpoint,
      JSON.stringify(history),
      delivery.set,
      delivery.hold === 'possible' ? null : delivery.hold,
      delivery.redeliveryId,
    );
  }

  /** How many deliveries are stored. */
  total(): number {
    return this.#total.read() + this.#segments.total();
  }

  /** How many of the deliveries accepted after a time are in each state. */
  countByState(acceptedAfter: number): Map<DeliveryState, number> {
    const rows = this.#query<{ state: DeliveryState; n: number }>(
      'SELECT state, count(*) AS n FROM deliveries WHERE accepted_at > ? GROUP BY state',
      acceptedAfter,
    );
    const counts = new Map(rows.map((row) => [row.state, row.n]));
    const packed = this.#segments.countAcceptedAfter(acceptedAfter);
    return counts.set('success', (counts.get('success') ?? 0) + packed);
  }

  /** Deliveries in order of event id, wherever they stand. */
  page(query: PageQuery): Delivery[] {
    const rows = this.#pageOfRows(query);
    if (query.state !== undefined && query.state !== 'success') return rows;
    const packed = this.#segments.page(query.after, query.before, query.limit);
    if (packed.length === 0) return rows;
    return [...rows, ...packed].sort((a, b) => (a.eventId < b.eventId ? -1 : 1)).slice(0, query.limit);
  }

  #pageOfRows(query: PageQuery): Delivery[] {
    const conditions = ['event_id > ?', 'event_id < ?'];
    const values: (string | number)[] = [query.after ?? '', query.before ?? '~'];
    if (query.state !== undefined) {
      conditions.push('state = ?');
      values.push(query.state);
    }
    return this.#query<Row>(
      `SELECT * FROM deliveries WHERE ${conditions.join(' AND ')} ORDER BY event_id LIMIT ?`,
      ...values,
      query.limit,
    ).map(fromRow);
  }

  /** Failed deliveries accepted after a time that no export has, in order of event id. */
  unexported(after: string, acceptedAfter: number, limit: number): Delivery[] {
    return this.#query<Row>(
      `SELECT deliveries.* FROM deliveries INDEXED BY failed
       WHERE state = 'failure' AND deliveries.event_id > ? AND accepted_at > ?
         AND NOT EXISTS (SELECT 1 FROM exported WHERE exported.event_id = deliveries.event_id)
       ORDER BY deliveries.event_id LIMIT ?`,
      after,
      acceptedAfter,
      limit,
    ).map(fromRow);
  }

  /** How many failed deliveries accepted after a time are in an export that is complete. */
  countExported(acceptedAfter: number): number {
    const rows = this.#query<{ n: number }>(
      `SELECT count(*) AS n FROM exported CROSS JOIN deliveries USING (event_id)
       WHERE deliveries.state = 'failure' AND accepted_at > ?
         AND export_id NOT IN (SELECT id FROM exports WHERE exports.state = 'processing')`,
      acceptedAfter,
    );
    return rows[0]?.n ?? 0;
  }

  markExported(eventIds: readonly string[], exportId: string): void {
    this.#query(
      'INSERT INTO exported (event_id, export_id) SELECT value, ? FROM json_each(?)',
      exportId,
      JSON.stringify(eventIds),
    );
  }

  /** The earliest time at which something is due, ms. */
  earliestDue(): number | undefined {
    const row = this.#query<{ at: number | null }>(
      'SELECT min(due_at) AS at FROM deliveries WHERE due_at IS NOT NULL',
    )[0];
    return row?.at ?? undefined;
  }

  /** What is due, the longest waiting first. @param neverHeld only what goes out however the endpoint fares */
  due(now: number, limit: number, neverHeld = false): Delivery[] {
    return this.#query<Row>(
      `SELECT * FROM deliveries WHERE due_at IS NOT NULL AND due_at <= ? ${neverHeld ? "AND hold = 'never'" : ''}
       ORDER BY due_at LIMIT ?`,
      now,
      limit,
    ).map(fromRow);
  }

  /** Deliveries held for their endpoint, oldest first. @param endpoint only those for this one */
  held(limit: number, endpoint?: string): Delivery[] {
    return this.#query<Row>(
      `SELECT * FROM deliveries INDEXED BY held WHERE hold = 'held' AND (?1 IS NULL OR endpoint = ?1)
       ORDER BY event_id LIMIT ?2`,
      endpoint ?? null,
      limit,
    ).map(fromRow);
  }

  /** Which of these wait for an attempt that may begin at any time, or are under attempt. */
  onTheirWay(eventIds: readonly string[]): string[] {
    if (eventIds.length === 0) return [];
    return this.#query<{ event_id: string }>(
      `SELECT event_id FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))
         AND hold IS NOT 'held' AND (state IN ('awaiting-executing', 'executing') OR lease_token IS NOT NULL)`,
      JSON.stringify(eventIds),
    ).map((row) => row.event_id);
  }

  /**
   * How many deliveries are on their way, dispatched or under attempt, counted up to a limit. What was dispatched before
   * this object woke does not count: it may have been lost with whatever ended its last life.
   */
  underWay(now: number, limit: number): number {
    const rows = this.#query<{ n: number }>(
      `SELECT count(*) AS n FROM (
         SELECT 1 FROM deliveries INDEXED BY due
         WHERE due_at > ? AND due_at <= ?
           AND (state = 'executing' OR (lease_token IS NOT NULL AND due_at >= ?)) LIMIT ?)`,
      now,
      now + DISPATCH_LEASE_MS,
      this.#wokeAt + DISPATCH_LEASE_MS,
      limit,
    );
    return rows[0]?.n ?? 0;
  }

  /** How many deliveries are not final. */
  countOpen(): number {
    return (
      this.#query<{ n: number }>(
        'SELECT count(*) AS n FROM deliveries INDEXED BY due WHERE due_at IS NOT NULL',
      )[0]?.n ?? 0
    );
  }

  /**
   * Failed deliveries of a span that failed before a time, in order of event id: what a bulk redelivery takes.
   * @param query times in ms, both ends included
   */
  failedIn(query: FailedQuery): Delivery[] {
    return this.#query<Row>(
      `SELECT * FROM deliveries INDEXED BY failed WHERE ${FAILED_IN} ORDER BY event_id LIMIT ?`,
      query.after,
      query.since,
      query.until,
      query.failedBefore,
      query.retentionMs,
      query.now,
      query.limit,
    ).map(fromRow);
  }

  /** How many there are of them. */
  countFailedIn(query: Omit<FailedQuery, 'limit'>): number {
    const rows = this.#query<{ n: number }>(
      `SELECT count(*) AS n FROM deliveries INDEXED BY failed WHERE ${FAILED_IN}`,
      query.after,
      query.since,
      query.until,
      query.failedBefore,
      query.retentionMs,
      query.now,
    );
    return rows[0]?.n ?? 0;
  }

  /** What is not final, in bites: the next `limit` after an event id. */
  open(after: string, limit: number): Delivery[] {
    return this.#query<Row>(
      `SELECT * FROM deliveries WHERE due_at IS NOT NULL AND event_id > ? ORDER BY event_id LIMIT ?`,
      after,
      limit,
    ).map(fromRow);
  }

  /** Acceptance of the oldest delivery by id, ms; of a segment that of its youngest. */
  oldestAcceptance(): number | undefined {
    const row = this.#query<{ at: number }>(
      'SELECT accepted_at AS at FROM deliveries ORDER BY event_id LIMIT 1',
    )[0];
    const packed = this.#segments.oldestAcceptance();
    return row === undefined || packed === undefined ? (row?.at ?? packed) : Math.min(row.at, packed);
  }

  /** Times and states in order of event id, without content: for the sweep. */
  ages(after: string, before: string, limit: number): Age[] {
    return this.#query<AgeRow>(
      `SELECT event_id, state, accepted_at, updated_at FROM deliveries
       WHERE event_id > ? AND event_id < ? ORDER BY event_id LIMIT ?`,
      after,
      before,
      limit,
    ).map((row) => ({
      eventId: row.event_id,
      state: row.state,
      acceptedAt: row.accepted_at,
      updatedAt: row.updated_at,
    }));
  }

  /**
   * Deletes packed deliveries accepted at a time or before.
   * @param before an id that none of them reaches
   * @returns whether there may be more
   */
  deletePacked(acceptedUntil: number, before: string, limit: number): boolean {
    return this.#segments.deleteAccepted(acceptedUntil, before, limit);
  }

  /** When `merge` has something to do, ms. */
  mergeDue(): number | undefined {
    return this.#segments.mergeDue();
  }

  /** Merges what was packed in small portions, a bite. */
  merge(now: number): void {
    this.#segments.merge(now);
  }

  /** Deletes deliveries that have a row. */
  delete(eventIds: readonly string[]): void {
    for (const table of ['deliveries', 'history_pages', 'exported']) {
      this.#query(
        `DELETE FROM ${table} WHERE event_id IN (SELECT value FROM json_each(?))`,
        JSON.stringify(eventIds),
      );
    }
    this.#total.changed(
      eventIds.map((eventId) => countedRow({ eventId })),
      -1,
    );
  }

  /** Forgets what it counted, after everything was deleted. */
  forget(): void {
    this.#total.forget();
    this.#segments.forget();
  }

  /**
   * A row holds the youngest entries of a history; full pages of older ones go to a table of their own, which a
   * delivery reaches only after dozens of redeliveries. So neither row nor write grows without bound.
   */
  #withoutFullPages(delivery: Delivery): readonly HistoryEntry[] {
    const { history, eventId } = delivery;
    if (history.length < 2 * HISTORY_PAGE_ENTRIES) return history;
    this.#query(
      `INSERT INTO history_pages (event_id, page, entries)
       VALUES (?, (SELECT count(*) FROM history_pages WHERE event_id = ?), ?)`,
      eventId,
      eventId,
      JSON.stringify(history.slice(0, HISTORY_PAGE_ENTRIES)),
    );
    return history.slice(HISTORY_PAGE_ENTRIES);
  }

  #query<T extends Record<string, SqlStorageValue>>(query: string, ...values: SqlStorageValue[]): T[] {
    return this.#sql.exec<T>(query, ...values).toArray();
  }
}

type AgeRow = { event_id: string; state: DeliveryState; accepted_at: number; updated_at: number };

export interface Age {
  readonly eventId: string;
  readonly state: DeliveryState;
  readonly acceptedAt: number;
  readonly updatedAt: number;
}

function countedRow({ eventId }: Pick<Delivery, 'eventId'>): CountedRow {
  return { key: eventId, events: 1 };
}

function fromRow(row: Row): Delivery {
  return {
    eventId: row.event_id,
    acceptedAt: row.accepted_at,
    endpoint: row.endpoint,
    set: row.set_token,
    state: row.state,
    attempts: row.attempts,
    runBase: row.run_base,
    updatedAt: row.updated_at,
    dueAt: row.due_at,
    leaseToken: row.lease_token,
    hold: row.hold ?? 'possible',
    redeliveryId: row.redelivery_id,
    // Written by `put` alone, and held to be JSON by the table.
    history: JSON.parse(row.history) as HistoryEntry[],
  };
}
