/**
 * Deliveries that have a row each: table `deliveries`. These are the deliveries that are open, failed,
 * or took more than one attempt; the others are in segments (segments.ts). The alarm goes by `due_at` of these rows.
 */
import type { Delivery, DeliveryState, HistoryEntry } from '../../domain/delivery.ts';
import { DISPATCH_LEASE_MS, dispatchLeaseMs } from '../../domain/leases.ts';
import { EVENT_MAX_AGE_MS } from '../../domain/limits.ts';
import type { Aged, Retention } from '../../domain/retention.ts';
import type { StoreDatabase } from '../database.ts';
import type { PageQuery } from '../rpc.ts';
import { DUE_LOOKED_AT_MAX } from '../tuning.ts';
import { DispatchedDeliveries, type DispatchedRow } from './dispatched.ts';
import { HistoryPages } from './history-pages.ts';
import { type CountedRow, Total } from './total.ts';

export type DeliveryRow = {
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
  proof: number | null;
};

/** Which failed deliveries a bulk redelivery takes; times in ms. */
interface FailedQuery {
  /** Only deliveries after this event id. */
  readonly after: string;
  /** Of acceptance, both included. */
  readonly since: number;
  readonly until: number;
  /** Only deliveries that had failed by then. */
  readonly failedBefore: number;
  /** Deliveries that expired before are left out, though the sweep has not deleted them yet. */
  readonly now: number;
  readonly retentionMs: number;
  /** Proofs that were given: a delivery that waits for another one is left out (contract 10.8). */
  readonly given: readonly number[];
}

const FAILED_IN = `state = 'failure' AND event_id > ? AND accepted_at >= ? AND accepted_at <= ? AND updated_at <= ?
  AND min(updated_at + ?, accepted_at + ${EVENT_MAX_AGE_MS}) > ?
  AND (proof IS NULL OR proof IN (SELECT value FROM json_each(?)))`;

/** The rule of `expiresAt` in domain/retention.ts. */
const EXPIRED = `(state IN ('success', 'failure') AND accepted_at <= ?
  AND (state = 'success' OR updated_at <= ? OR accepted_at <= ?))`;

export class Rows {
  /** What is due, and what is dispatched. */
  readonly due: DueRows;
  readonly #database: StoreDatabase;
  readonly #total: Total;
  readonly #pages: HistoryPages;
  /** False only when it is known that no delivery is held: most stores are asked at each call, and hold nothing. */
  #mayHold = true;

  /** @param wokeAt when the object woke, ms: see dispatched.ts */
  constructor(database: StoreDatabase, wokeAt: number) {
    this.#database = database;
    this.due = new DueRows(database, wokeAt);
    this.#pages = new HistoryPages(database);
    this.#total = new Total(database, {
      name: 'deliveries',
      key: 'event_id',
      events: '1',
      counted: 'deliveries_counted',
    });
  }

  // --- Reading and writing ----------------------------------------------------------------------------

  /** The deliveries of these events that have a row, by event id. */
  find(eventIds: readonly string[]): Map<string, Delivery> {
    const rows = this.#database.rows<DeliveryRow>(
      'SELECT * FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))',
      JSON.stringify(eventIds),
    );
    const now = Date.now();
    return new Map(rows.map((row) => [row.event_id, this.due.dispatched.asBegun(fromRow(row), now)]));
  }

  /** Which of these events have a row. */
  known(eventIds: readonly string[]): Set<string> {
    return this.#ids(
      'SELECT event_id FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))',
      JSON.stringify(eventIds),
    );
  }

  /** The whole history of a delivery, older pages included. */
  history(delivery: Delivery): HistoryEntry[] {
    return [...this.#pages.of(delivery.eventId), ...delivery.history];
  }

  /** Adds deliveries that are not stored yet. */
  add(deliveries: readonly Delivery[]): void {
    if (deliveries.length === 0) return;
    for (const delivery of deliveries) this.put(delivery);
    this.#total.changed(deliveries.map(countedRow), 1);
  }

  /** Writes a delivery that has a row: one row, and the index `due` while the delivery is not final. */
  put(delivery: Delivery): void {
    const history = this.#pages.trim(delivery);
    if (delivery.hold === 'held') this.#mayHold = true;
    this.due.note(delivery);
    this.#database.run(
      `INSERT INTO deliveries (event_id, state, attempts, run_base, accepted_at, updated_at, due_at, lease_token,
         endpoint, history, set_token, hold, redelivery_id, proof)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (event_id) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
         run_base = excluded.run_base, updated_at = excluded.updated_at, due_at = excluded.due_at,
         lease_token = excluded.lease_token, history = excluded.history, hold = excluded.hold,
         redelivery_id = excluded.redelivery_id, proof = excluded.proof`,
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
      delivery.proof,
    );
  }

  delete(eventIds: readonly string[]): void {
    const ids = JSON.stringify(eventIds);
    this.#database.run('DELETE FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))', ids);
    this.#pages.delete(ids);
    this.#total.changed(
      eventIds.map((eventId) => countedRow({ eventId })),
      -1,
    );
  }

  /** A page of the rows that have not expired, in order of event id. */
  page(query: PageQuery, retention: Retention): Delivery[] {
    const conditions = ['event_id > ?', 'event_id < ?', `NOT (${EXPIRED})`];
    const values: (string | number)[] = [query.after ?? '', query.before ?? '~', ...expiredValues(retention)];
    if (query.state !== undefined) {
      conditions.push('state = ?');
      values.push(query.state);
    }
    return this.#deliveries(
      `SELECT * FROM deliveries WHERE ${conditions.join(' AND ')} ORDER BY event_id LIMIT ?`,
      ...values,
      query.limit,
    );
  }

  /** How many deliveries have a row. */
  total(): number {
    return this.#total.read();
  }

  /** How many rows have expired. @param before an id that none of them reaches */
  countExpired(before: string, retention: Retention): number {
    return this.#count(
      `SELECT count(*) AS n FROM deliveries WHERE event_id < ? AND ${EXPIRED}`,
      before,
      ...expiredValues(retention),
    );
  }

  /** How many of the rows accepted after a time are in each state. */
  countByState(acceptedAfter: number): Map<DeliveryState, number> {
    const rows = this.#database.rows<{ state: DeliveryState; n: number }>(
      'SELECT state, count(*) AS n FROM deliveries WHERE accepted_at > ? GROUP BY state',
      acceptedAfter,
    );
    return new Map(rows.map((row) => [row.state, row.n]));
  }

  // --- What waits -------------------------------------------------------------------------------------

  /** Deliveries held for a failing endpoint, oldest first. @param endpoint only deliveries to this one */
  held(limit: number, endpoint?: string): Delivery[] {
    return this.#deliveries(
      `SELECT * FROM deliveries INDEXED BY held WHERE hold = 'held' AND (?1 IS NULL OR endpoint = ?1)
       ORDER BY event_id LIMIT ?2`,
      endpoint ?? null,
      limit,
    );
  }

  /** Whether any delivery is held. */
  hasHeld(): boolean {
    if (this.#mayHold) this.#mayHold = this.held(1).length > 0;
    return this.#mayHold;
  }

  /** Deliveries that waited for one of these proofs and are not released yet: of one proof, oldest first. */
  waitingFor(proofs: readonly number[], limit: number): Delivery[] {
    for (const proof of proofs) {
      const found = this.#deliveries(
        `SELECT * FROM deliveries INDEXED BY proof
         WHERE proof = ? AND state = 'awaiting-executing' AND hold IS NOT 'never' ORDER BY event_id LIMIT ?`,
        proof,
        limit,
      );
      if (found.length > 0) return found;
    }
    return [];
  }

  /** Whether a delivery names this proof. */
  names(proof: number): boolean {
    const query = 'SELECT event_id FROM deliveries INDEXED BY proof WHERE proof = ? LIMIT 1';
    return this.#database.first(query, proof) !== undefined;
  }

  /** Which of these deliveries may be attempted at any time, or are being attempted. */
  onTheirWay(eventIds: readonly string[]): string[] {
    if (eventIds.length === 0) return [];
    const ids = this.#ids(
      `SELECT event_id FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))
         AND hold IS NOT 'held' AND (state IN ('awaiting-executing', 'executing') OR lease_token IS NOT NULL)`,
      JSON.stringify(eventIds),
    );
    return [...ids];
  }

  /** How many deliveries are not final. */
  countOpen(): number {
    return this.#count('SELECT count(*) AS n FROM deliveries INDEXED BY due WHERE due_at IS NOT NULL');
  }

  /** The next `limit` deliveries after an event id that are not final. */
  open(after: string, limit: number): Delivery[] {
    const now = Date.now();
    return this.#deliveries(
      'SELECT * FROM deliveries WHERE due_at IS NOT NULL AND event_id > ? ORDER BY event_id LIMIT ?',
      after,
      limit,
    ).map((delivery) => this.due.dispatched.asBegun(delivery, now));
  }

  // --- Failures and ages ------------------------------------------------------------------------------

  /** Failed deliveries of a span, in order of event id. */
  failedIn(query: FailedQuery, limit: number): Delivery[] {
    return this.#deliveries(
      `SELECT * FROM deliveries INDEXED BY failed WHERE ${FAILED_IN} ORDER BY event_id LIMIT ?`,
      ...failedValues(query),
      limit,
    );
  }

  countFailedIn(query: FailedQuery): number {
    return this.#count(
      `SELECT count(*) AS n FROM deliveries INDEXED BY failed WHERE ${FAILED_IN}`,
      ...failedValues(query),
    );
  }

  /** When the oldest delivery by id was accepted, ms. */
  oldestAcceptance(): number | undefined {
    const query = 'SELECT accepted_at AS at FROM deliveries ORDER BY event_id LIMIT 1';
    return this.#database.first<{ at: number }>(query)?.at;
  }

  /** Times and states in order of event id, without content: what the sweep decides by. */
  ages(after: string, before: string, limit: number): (Aged & { readonly eventId: string })[] {
    return this.#database
      .rows<Pick<DeliveryRow, 'event_id' | 'state' | 'accepted_at' | 'updated_at'>>(
        `SELECT event_id, state, accepted_at, updated_at FROM deliveries
         WHERE event_id > ? AND event_id < ? ORDER BY event_id LIMIT ?`,
        after,
        before,
        limit,
      )
      .map((row) => ({
        eventId: row.event_id,
        state: row.state,
        acceptedAt: row.accepted_at,
        updatedAt: row.updated_at,
      }));
  }

  /** Does the work, all of it or nothing. */
  transaction<Answer>(work: () => Answer): Answer {
    return this.#database.transaction(work);
  }

  // --- Inside -----------------------------------------------------------------------------------------

  #deliveries(query: string, ...values: SqlStorageValue[]): Delivery[] {
    return this.#database.rows<DeliveryRow>(query, ...values).map(fromRow);
  }

  #ids(query: string, ...values: SqlStorageValue[]): Set<string> {
    return new Set(this.#database.rows<{ event_id: string }>(query, ...values).map((row) => row.event_id));
  }

  #count(query: string, ...values: SqlStorageValue[]): number {
    return this.#database.first<{ n: number }>(query, ...values)?.n ?? 0;
  }
}

/** Rows of `deliveries` that are due, and those that are dispatched and have not begun. */
class DueRows {
  readonly dispatched: DispatchedDeliveries;
  readonly #database: StoreDatabase;
  #passedUpTo = Number.NEGATIVE_INFINITY;

  /** @param wokeAt when the object woke, ms */
  constructor(database: StoreDatabase, wokeAt: number) {
    this.#database = database;
    this.dispatched = new DispatchedDeliveries(() => this.#loadDispatched(), wokeAt);
    database.whenRolledBack(() => this.dispatched.forget());
  }

  /** The earliest time at which a delivery is due that is neither dispatched nor passed over, ms. */
  earliest(): number | undefined {
    const query =
      'SELECT min(due_at) AS at FROM deliveries WHERE due_at IS NOT NULL AND due_at > ? AND lease_token IS NULL';
    return this.#database.first<{ at: number | null }>(query, this.#passedUpTo)?.at ?? undefined;
  }

  /** `earliest` passes over what is due up to this time (ms) now, but not over a delivery that is written later. */
  passOver(upTo: number): void {
    this.#passedUpTo = upTo;
  }

  /**
   * Due deliveries that are not dispatched, the longest waiting first. It looks at the first `DUE_LOOKED_AT_MAX` that are due.
   * @param neverHeld only tests, redeliveries and probes
   * @param endpoints only deliveries to these
   */
  first(now: number, limit: number, neverHeld: boolean, endpoints: readonly string[]): Delivery[] {
    return this.#database
      .rows<DeliveryRow>(dueAt(neverHeld), now, DUE_LOOKED_AT_MAX, JSON.stringify(endpoints), limit)
      .map(fromRow);
  }

  /**
   * How many of the deliveries that are due first go to each endpoint, the endpoint that waits longest first.
   * @param neverHeld only tests, redeliveries and probes
   * @param except endpoints that are left out. It looks past their deliveries, at `DUE_LOOKED_AT_MAX` in all
   */
  countFirst(now: number, limit: number, neverHeld: boolean, except: readonly string[]): Map<string, number> {
    const rows = this.#database.rows<{ endpoint: string; n: number }>(
      dueElsewhere(neverHeld),
      now,
      except.length === 0 ? limit : DUE_LOOKED_AT_MAX,
      JSON.stringify(except),
      limit,
    );
    return new Map(rows.map(({ endpoint, n }) => [endpoint, n]));
  }

  /** How many of these deliveries go to each endpoint, except some endpoints. */
  countByEndpoint(eventIds: readonly string[], except: readonly string[]): Map<string, number> {
    if (eventIds.length === 0) return new Map();
    const rows = this.#database.rows<{ endpoint: string; n: number }>(
      `SELECT endpoint, count(*) AS n FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))
         AND endpoint NOT IN (SELECT value FROM json_each(?)) GROUP BY endpoint`,
      JSON.stringify(eventIds),
      JSON.stringify(except),
    );
    return new Map(rows.map(({ endpoint, n }) => [endpoint, n]));
  }

  /** How many deliveries are under attempt, counted up to a limit. */
  executing(now: number, limit: number): number {
    const counted = this.#database.first<{ n: number }>(
      `SELECT count(*) AS n FROM (
         SELECT 1 FROM deliveries INDEXED BY due
         WHERE due_at > ? AND due_at <= ? AND state = 'executing' AND lease_token IS NULL LIMIT ?)`,
      now,
      now + DISPATCH_LEASE_MS,
      limit,
    );
    return counted?.n ?? 0;
  }

  /** Writes that a delivery was dispatched for the first time: one row, because no index has the token. */
  lease(delivery: Delivery): void {
    this.dispatched.note(delivery);
    this.#database.run(
      'UPDATE deliveries SET lease_token = ? WHERE event_id = ?',
      delivery.leaseToken,
      delivery.eventId,
    );
  }

  /** A row is written. */
  note(delivery: Delivery): void {
    this.dispatched.note(delivery);
    if (delivery.dueAt !== null && delivery.dueAt <= this.#passedUpTo)
      this.passOver(Number.NEGATIVE_INFINITY);
  }

  #loadDispatched(): DispatchedRow[] {
    return this.#database
      .rows<Pick<DeliveryRow, 'event_id' | 'lease_token' | 'due_at'>>(
        `SELECT event_id, lease_token, due_at FROM deliveries
         WHERE due_at IS NOT NULL AND due_at <= ? AND lease_token IS NOT NULL`,
        Date.now() + dispatchLeaseMs(Number.POSITIVE_INFINITY),
      )
      .map((row) => ({ eventId: row.event_id, leaseToken: row.lease_token, dueAt: row.due_at }));
  }
}

/** A delivery as its row says it. `put` alone writes rows, and the table holds their history to be JSON. */
export function fromRow(row: DeliveryRow): Delivery {
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
    proof: row.proof,
    history: JSON.parse(row.history) as HistoryEntry[],
  };
}

function expiredValues({ now, retentionMs }: Retention): number[] {
  return [now - Math.min(retentionMs, EVENT_MAX_AGE_MS), now - retentionMs, now - EVENT_MAX_AGE_MS];
}

function failedValues(query: FailedQuery): (string | number)[] {
  const { after, since, until, failedBefore, retentionMs, now, given } = query;
  return [after, since, until, failedBefore, retentionMs, now, JSON.stringify(given)];
}

function countedRow({ eventId }: Pick<Delivery, 'eventId'>): CountedRow {
  return { key: eventId, events: 1 };
}

/** The deliveries that are due first. Values: the time, and how many. */
function firstDue(neverHeld: boolean): string {
  return `SELECT event_id, endpoint, due_at FROM deliveries
    WHERE due_at IS NOT NULL AND due_at <= ? AND lease_token IS NULL ${neverHeld ? "AND hold = 'never'" : ''}
    ORDER BY due_at LIMIT ?`;
}

/** Due deliveries to some endpoints. Further values: the endpoints, and how many. */
function dueAt(neverHeld: boolean): string {
  return `SELECT * FROM deliveries WHERE event_id IN (
      SELECT event_id FROM (${firstDue(neverHeld)})
      WHERE endpoint IN (SELECT value FROM json_each(?)) ORDER BY due_at LIMIT ?)
    ORDER BY due_at`;
}

/** Counts of due deliveries to other endpoints. Further values: the endpoints, and how many deliveries. */
function dueElsewhere(neverHeld: boolean): string {
  return `SELECT endpoint, count(*) AS n FROM (
      SELECT endpoint, due_at FROM (${firstDue(neverHeld)})
      WHERE endpoint NOT IN (SELECT value FROM json_each(?)) ORDER BY due_at LIMIT ?)
    GROUP BY endpoint ORDER BY min(due_at)`;
}
