/**
 * Deliveries that have a row each: table `deliveries`. These are the deliveries that are open or failed, and those that succeeded
 * late; the others are in segments (segments.ts). The alarm goes by `due_at` of these rows. What waits for its first retry has a row
 * of another table (first-retries.ts), and all that is asked here is asked of both.
 *
 * A row is written with each change, so it is small: its SET is in another table (bodies.ts), and a long history is compressed.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import {
  asListed,
  type Delivery,
  type DeliveryState,
  disable,
  type HistoryEntry,
  isKept,
} from '../../domain/delivery.ts';
import { DISPATCH_LEASE_MS, dispatchLeaseMs } from '../../domain/leases.ts';
import { EVENT_MAX_AGE_MS, HOUR_MS } from '../../domain/limits.ts';
import type { Aged, Retention } from '../../domain/retention.ts';
import { isUnsigned } from '../../domain/security-event-token.ts';
import type { Binding, StoreDatabase } from '../database.ts';
import type { Order, PageQuery } from '../rpc.ts';
import {
  DELIVERIES_BITE,
  DISPATCHED_LOOK_MAX,
  DUE_LOOKED_AT_MAX,
  HELD_ENDPOINTS_MAX,
  HISTORY_TEXT_MAX,
} from '../tuning.ts';
import { Bodies, setBytes, setOfBytes } from './bodies.ts';
import { Disabled, IS_MARKED, isMarked, OPEN_STATES } from './disabled.ts';
import { DispatchedDeliveries, type DispatchedLook, type DispatchedRow } from './dispatched.ts';
import { type Ledger, markCounted } from './figure-ledger.ts';
import { type FirstRetries, isFirstRetry } from './first-retries.ts';
import { HistoryPages } from './history-pages.ts';
import { listedPage } from './listing.ts';
import { byEventId } from './near-ids.ts';
import { type Tallied, Tally } from './tally.ts';

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
  /** Null in a row of an earlier version, whose SET is in `set_token`. */
  body: number | null;
  /** The history, compressed when it is long; null in a row of an earlier version, whose history is in `history`. */
  entries: ArrayBuffer | string | null;
  /** See disabled.ts. */
  generation: number;
  /** Null: never held, or written by an earlier version. */
  held_until: number | null;
  /** A SET that nobody has signed yet; then there is no body. Null: it is signed. */
  unsigned: ArrayBuffer | null;
  /** Null: not known, or written by an earlier version. */
  request_id: string | null;
};

/** A row without its content. */
type NarrowRow = Pick<
  DeliveryRow,
  'event_id' | 'state' | 'accepted_at' | 'updated_at' | 'due_at' | 'generation'
>;

/** What a search learns of a row before it reads its content: the state and the times that a customer sees. */
export type LookedAt = Aged & { readonly eventId: string };

/** What says where a due delivery goes. */
type DueRow = Pick<DeliveryRow, 'event_id' | 'endpoint'> & { readonly due_at: number };

/** A failed delivery, as far as a bulk redelivery asks. */
export type Failure = Pick<Delivery, 'eventId' | 'acceptedAt' | 'updatedAt' | 'proof'> & {
  /** 0: its SET was not kept, so it cannot be sent (contract 10.9). */
  readonly isKept: 0 | 1;
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The columns that a change of a delivery writes. */
const CHANGING = `state, attempts, run_base, updated_at, due_at, lease_token, history, entries, hold, redelivery_id, proof,
  held_until, generation`;

const OF_STATE = 'INDEXED BY by_state WHERE state = ? AND';

/** The rule of `expiresAt` in domain/retention.ts. */
const EXPIRED = `(state IN ('success', 'failure') AND accepted_at <= ?
  AND (state = 'success' OR updated_at <= ? OR accepted_at <= ?))`;

export class Rows {
  /** How many deliveries have a row. */
  readonly tally: Tally;
  /** What waited when the subscription was disabled. */
  readonly disabled: Disabled;
  /** What is due, and what is dispatched. */
  readonly due: DueRows;
  readonly ages: Ages;
  readonly facts: RowFacts;
  readonly #database: StoreDatabase;
  readonly #pages: HistoryPages;
  readonly #bodies: Bodies;
  /** False only when it is known that no delivery is held: most stores are asked at each call, and hold nothing. */
  #mayHold = true;
  readonly #rowPages: RowPages;
  readonly #firstRetries: FirstRetries;
  readonly #ledger: Ledger;

  /** @param wokeAt when the object woke, ms: see dispatched.ts */
  constructor(database: StoreDatabase, ledger: Ledger, firstRetries: FirstRetries, wokeAt: number) {
    this.#database = database;
    this.#ledger = ledger;
    this.#pages = new HistoryPages(database);
    this.#bodies = new Bodies(database);
    this.tally = new Tally(database);
    this.disabled = new Disabled(database);
    this.#rowPages = new RowPages(database, this.tally, this.disabled);
    this.ages = new Ages(database);
    this.facts = new RowFacts(database);
    this.#firstRetries = firstRetries;
    this.due = new DueRows(database, this.disabled, this.#firstRetries, wokeAt);
  }

  // --- Reading and writing ----------------------------------------------------------------------------

  /** The deliveries of these events that have a row, by event id. */
  find(eventIds: readonly string[]): Map<string, Delivery> {
    const now = Date.now();
    return new Map(
      [...this.whole(this.#withIds(eventIds)), ...this.#firstRetries.find(eventIds)].map((delivery) => [
        delivery.eventId,
        this.due.dispatched.asBegun(delivery, now),
      ]),
    );
  }

  /** The deliveries of these rows, with their SETs. */
  whole(rows: readonly DeliveryRow[]): Delivery[] {
    const sets = this.#bodies.find(rows.flatMap(({ body }) => body ?? []));
    const stored = ({ unsigned, set_token }: DeliveryRow) =>
      unsigned === null ? set_token : setOfBytes(unsigned);
    return rows.map((row) => {
      const set = row.body === null ? stored(row) : sets.get(row.body);
      if (set === undefined) throw new Error('a body is gone');
      return { ...this.#read(row), set };
    });
  }

  /** Which of these events have a row. */
  known(eventIds: readonly string[]): Set<string> {
    const known = this.#ids(
      'SELECT event_id FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))',
      JSON.stringify(eventIds),
    );
    return known.union(this.#firstRetries.known(eventIds));
  }

  /** How many deliveries there are, by what became of them. @param since only those accepted in an hour that begins then or later, ms */
  count(since = 0): Tallied {
    const { open, ...final } = this.tally.count(since);
    return { ...final, open: open + this.#firstRetries.count(since) };
  }

  /** The whole history of a delivery, older pages included. */
  history(delivery: Delivery): HistoryEntry[] {
    return [...this.#pages.of(delivery.eventId), ...delivery.history];
  }

  /** Adds deliveries that are not stored yet. */
  add(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) {
      if (!this.#firstRetries.takes(delivery)) {
        this.#insert(delivery);
        continue;
      }
      this.due.note(delivery);
      this.#firstRetries.add(delivery);
    }
  }

  /**
   * Writes a delivery that has a row: one row, the index `due` while the delivery is not final, and `first`, too, if it is never held. Its SET
   * is not written, unless it was not signed before and is now. One that waited for its first retry, and does not any more, is added with
   * a row of its own.
   */
  put(delivery: Delivery): void {
    if (this.waitsForFirstRetry(delivery.eventId)) {
      if (isFirstRetry(delivery)) this.due.lease(delivery);
      else if (this.endFirstRetry(delivery)) this.#insert(delivery);
      return;
    }
    const isSignedNow = delivery.form === 'unsigned' && isKept(delivery) && !isUnsigned(delivery.set);
    const { form: _, ...signed } = delivery;
    const written = isSignedNow ? signed : delivery;
    const [columns, places, values] = isSignedNow
      ? [', body, unsigned', ', ?, NULL', [this.#bodies.add(delivery.set)]]
      : ['', '', []];
    this.#database.run(
      `UPDATE deliveries SET (${CHANGING}${columns}) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?${places}) WHERE event_id = ?`,
      ...this.#changing(written),
      ...values,
      delivery.eventId,
    );
  }

  /** Whether a delivery has its row in the table of those that wait for their first retry. */
  waitsForFirstRetry(eventId: string): boolean {
    return this.#firstRetries.has(eventId);
  }

  /** Takes away a delivery that waited for its first retry: it is written elsewhere. @returns whether it did wait */
  endFirstRetry(delivery: Delivery): boolean {
    if (!this.#firstRetries.delete(delivery.eventId)) return false;
    this.due.note(delivery);
    return true;
  }

  /** Deletes a delivery that is stored elsewhere from now on. It is final. */
  remove(delivery: Delivery): void {
    this.due.note(delivery);
    this.delete([delivery.eventId]);
  }

  delete(eventIds: readonly string[]): void {
    const ids = JSON.stringify(eventIds);
    const deleted = this.#database.rows<{ body: number | null }>(
      'SELECT body FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))',
      ids,
    );
    this.#database.run('DELETE FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))', ids);
    this.#bodies.delete(deleted.flatMap(({ body }) => body ?? []));
    this.#pages.delete(ids);
  }

  /** A page of the deliveries that have a row and have not expired, in order of event id, as a list shows them. */
  page(query: PageQuery, retention: Retention): Delivery[] {
    return listedPage(query, {
      sources: [
        (bite) => this.whole(this.#rowPages.page(bite, retention)),
        (bite) => this.#firstRetries.page(bite),
      ],
      dispatched: this.due.dispatched,
      find: (eventIds) => this.#inBites(eventIds),
    });
  }

  /** The next rows of a search, without content (see `RowPages.look`). */
  look(query: PageQuery & { readonly order: Order }): LookedAt[] {
    return this.#rowPages.look(query);
  }

  /** The next deliveries that wait for their first retry, as a list shows them. */
  lookAtFirstRetries(query: PageQuery & { readonly order: Order }): Delivery[] {
    const now = Date.now();
    const page = this.#firstRetries.page(query);
    return page.map((delivery) => asListed(this.due.dispatched.asBegun(delivery, now)));
  }

  /** The deliveries of these events that have a row, as a list shows them, by event id. */
  listed(eventIds: readonly string[]): Map<string, Delivery> {
    const found = [...this.find(eventIds).values()];
    return new Map(found.map((delivery) => [delivery.eventId, asListed(delivery)]));
  }

  // --- What waits: these deliveries come without their SETs, which nobody needs who only decides ---------------

  /** Deliveries held for a failing endpoint, oldest first. @param endpoint only deliveries to this one */
  held(limit: number, endpoint?: string): Delivery[] {
    if (this.disabled.mark !== undefined) return [];
    const endpoints = endpoint === undefined ? heldEndpoints(this.#database) : [endpoint];
    const held = endpoints.flatMap((each) =>
      this.#deliveries(
        `SELECT * FROM deliveries INDEXED BY held WHERE hold = 'held' AND endpoint = ? ORDER BY event_id LIMIT ?`,
        each,
        limit,
      ),
    );
    return held.sort(byEventId).slice(0, limit);
  }

  /** Whether any delivery is held. */
  hasHeld(): boolean {
    if (this.disabled.mark !== undefined) return false;
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

  // --- Disabling --------------------------------------------------------------------------------------

  /** The subscription was disabled: whatever waits has failed. The alarm rewrites the rows (duties/disabling.ts). */
  failAllThatWait(now: number): void {
    for (const delivery of this.#inBites(this.#firstRetries.eventIds()))
      this.put(disable(delivery, now) ?? delivery);
    if (this.tally.count().open === 0) return;
    // Their rows do not say yet that attempts are under way: without it they would look like ones that waited.
    for (const delivery of this.#inBites(this.due.dispatched.begun(now))) this.put(delivery);
    const attempted = this.#database.rows<{ hour: number; n: number }>(
      `SELECT accepted_at / ${HOUR_MS} AS hour, count(*) AS n FROM deliveries INDEXED BY by_state
       WHERE state = 'executing' AND due_at > ? GROUP BY 1`,
      now,
    );
    this.disabled.begin(now);
    const failed = this.tally.count().failed;
    this.tally.doom(attempted);
    this.#ledger.failed(this.tally.count().failed - failed, now);
  }

  /** The next deliveries of a state after an event id, as a customer sees them, and whether the mark of `disabled` made them so. */
  inState(state: DeliveryState, after: string, limit: number) {
    return this.#rowPages.ofState(state, after, limit).map((row) => {
      const delivery = this.#read(row);
      return { delivery, isMarked: delivery.state !== row.state };
    });
  }

  /** Does the work, all of it or nothing. */
  transaction<Answer>(work: () => Answer): Answer {
    return this.#database.transaction(work);
  }

  // --- Inside -----------------------------------------------------------------------------------------

  /** Adds a delivery: a row, its SET, the index `by_state`, the count, and the index `due` while it is not final. */
  #insert(delivery: Delivery): void {
    const unsigned = isUnsigned(delivery.set) ? setBytes(delivery.set) : undefined;
    this.#database.run(
      `INSERT INTO deliveries (${CHANGING}, event_id, accepted_at, endpoint, set_token, body, unsigned, request_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?)`,
      ...this.#changing({ ...delivery, ...(unsigned === undefined ? {} : { form: 'unsigned' }) }),
      delivery.eventId,
      delivery.acceptedAt,
      delivery.endpoint,
      isKept(delivery) && unsigned === undefined ? this.#bodies.add(delivery.set) : null,
      unsigned ?? null,
      delivery.requestId ?? null,
    );
  }

  /** The deliveries of these events that have a row, some at a time in memory. */
  *#inBites(eventIds: readonly string[]): Generator<Delivery> {
    for (let start = 0; start < eventIds.length; start += DELIVERIES_BITE)
      yield* this.find(eventIds.slice(start, start + DELIVERIES_BITE)).values();
  }

  /** A delivery is about to be written: what is kept in memory must not be out of date. @returns the values of `CHANGING` */
  #changing(delivery: Delivery): Binding[] {
    if (delivery.hold === 'held') this.#mayHold = true;
    this.due.note(delivery);
    this.#ledger.written(delivery.history);
    return [...changingValues(delivery, this.#pages.trim(delivery)), this.disabled.generation];
  }

  #withIds(eventIds: readonly string[]): DeliveryRow[] {
    return this.#database.rows<DeliveryRow>(
      'SELECT * FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))',
      JSON.stringify(eventIds),
    );
  }

  #deliveries(query: string, ...values: SqlStorageValue[]): Delivery[] {
    return this.#database.rows<DeliveryRow>(query, ...values).map((row) => this.#read(row));
  }

  /** A delivery as a customer sees it, without its SET. */
  #read(row: DeliveryRow): Delivery {
    const delivery = this.disabled.failed(fromRow(row), row.generation);
    markCounted(delivery.history);
    return delivery;
  }

  #ids(query: string, ...values: SqlStorageValue[]): Set<string> {
    return new Set(this.#database.rows<{ event_id: string }>(query, ...values).map((row) => row.event_id));
  }
}

/** What rows say without content: questions that read no delivery. */
class RowFacts {
  readonly #database: StoreDatabase;

  constructor(database: StoreDatabase) {
    this.#database = database;
  }

  /** Whether a delivery names this proof. */
  names(proof: number): boolean {
    const query = 'SELECT event_id FROM deliveries INDEXED BY proof WHERE proof = ? LIMIT 1';
    return this.#database.first(query, proof) !== undefined;
  }

  /** Which of these deliveries may be attempted at any time, or are being attempted. */
  onTheirWay(eventIds: readonly string[]): string[] {
    if (eventIds.length === 0) return [];
    const rows = this.#database.rows<{ event_id: string }>(
      `SELECT event_id FROM deliveries WHERE event_id IN (SELECT value FROM json_each(?))
         AND hold IS NOT 'held' AND (state IN ('awaiting-executing', 'executing') OR lease_token IS NOT NULL)`,
      JSON.stringify(eventIds),
    );
    return rows.map((row) => row.event_id);
  }

  /** The next failed deliveries after an event id: times and proof, without content. */
  failures(after: string, limit: number): Failure[] {
    return this.#database.rows<Failure>(
      `SELECT event_id AS eventId, accepted_at AS acceptedAt, updated_at AS updatedAt, proof,
         body IS NOT NULL OR unsigned IS NOT NULL OR octet_length(set_token) > 0 AS isKept
       FROM deliveries INDEXED BY by_state WHERE state = 'failure' AND event_id > ? ORDER BY event_id LIMIT ?`,
      after,
      limit,
    );
  }
}

/** Rows that are due, and those that are dispatched and have not begun. They come without content. */
class DueRows {
  readonly dispatched: DispatchedDeliveries;
  readonly #database: StoreDatabase;
  readonly #disabled: Disabled;
  readonly #firstRetries: FirstRetries;
  #passedUpTo = Number.NEGATIVE_INFINITY;

  /** @param wokeAt when the object woke, ms */
  constructor(database: StoreDatabase, disabled: Disabled, firstRetries: FirstRetries, wokeAt: number) {
    this.#database = database;
    this.#disabled = disabled;
    this.#firstRetries = firstRetries;
    this.dispatched = new DispatchedDeliveries((after) => this.#lookForDispatched(after), wokeAt);
    database.whenRolledBack(() => this.dispatched.forget());
  }

  /** While the alarm has yet to rewrite what failed when the subscription was disabled, that is due, too: nothing is dispatched. */
  get areBlocked(): boolean {
    return this.#disabled.mark !== undefined;
  }

  /** The earliest time at which a delivery is due that is neither dispatched nor passed over, ms. */
  earliest(): number | undefined {
    if (this.areBlocked) return undefined;
    const query =
      'SELECT min(due_at) AS at FROM deliveries WHERE due_at IS NOT NULL AND due_at > ? AND lease_token IS NULL';
    const row = this.#database.first<{ at: number | null }>(query, this.#passedUpTo)?.at;
    const earliest = Math.min(row ?? Number.POSITIVE_INFINITY, this.#firstRetries.earliest(this.#passedUpTo));
    return earliest === Number.POSITIVE_INFINITY ? undefined : earliest;
  }

  /** `earliest` passes over what is due up to this time (ms) now, but not over a delivery that is written later. */
  passOver(upTo: number): void {
    this.#passedUpTo = upTo;
  }

  /**
   * The deliveries that are due first and not dispatched, the longest waiting first: `DUE_LOOKED_AT_MAX` at most.
   * @param neverHeld only tests, redeliveries and probes
   * @param enough so many are usually all that the caller looks at: it reads them at once, and then twice as many with each further read
   */
  *first(now: number, neverHeld: boolean, enough: number): Generator<DueRow> {
    if (this.areBlocked) return;
    const firstRetries = neverHeld ? [] : this.#firstRetries.due(now).map(dueRowOf);
    for (const row of this.#rows(now, neverHeld, enough)) {
      while (firstRetries[0] !== undefined && firstRetries[0].due_at <= row.due_at)
        yield* firstRetries.splice(0, 1);
      yield row;
    }
    yield* firstRetries;
  }

  *#rows(now: number, neverHeld: boolean, enough: number): Generator<DueRow> {
    let last: DueRow | undefined;
    for (let looked = 0, page = enough; looked < DUE_LOOKED_AT_MAX; page *= 2) {
      const limit = Math.min(page, DUE_LOOKED_AT_MAX - looked);
      const rows = this.#database.rows<DueRow>(
        `SELECT event_id, endpoint, due_at FROM deliveries INDEXED BY ${neverHeld ? 'first' : 'due'}
         WHERE due_at IS NOT NULL AND due_at <= ?1 AND (due_at, event_id) > (?2, ?3) AND lease_token IS NULL
           ${neverHeld ? "AND hold = 'never'" : ''} ORDER BY due_at, event_id LIMIT ?4`,
        now,
        last?.due_at ?? Number.NEGATIVE_INFINITY,
        last?.event_id ?? '',
        limit,
      );
      yield* rows;
      if (rows.length < limit) return;
      looked += rows.length;
      last = rows.at(-1);
    }
  }

  /** Dispatches that nobody began and that are sent again now. */
  again(now: number, limit: number): string[] {
    return this.areBlocked ? [] : this.dispatched.due(now).slice(0, limit);
  }

  /** How many of these deliveries go to each endpoint. */
  countByEndpoint(eventIds: readonly string[]): Map<string, number> {
    if (eventIds.length === 0) return new Map();
    const rows = this.#database.rows<{ endpoint: string; n: number }>(
      `SELECT endpoint, count(*) AS n FROM deliveries
       WHERE event_id IN (SELECT value FROM json_each(?)) GROUP BY endpoint`,
      JSON.stringify(eventIds),
    );
    const counts = new Map(rows.map(({ endpoint, n }) => [endpoint, n]));
    for (const endpoint of this.#firstRetries.endpoints(eventIds))
      counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
    return counts;
  }

  /**
   * How many deliveries are on their way, dispatched or under attempt, counted up to a limit. Deliveries dispatched before
   * the object woke do not count: whatever ended its last life may have lost them.
   */
  underWay(now: number, limit: number): number {
    const attempted = this.#database.first<{ n: number }>(
      `SELECT count(*) AS n FROM (
         SELECT 1 FROM deliveries INDEXED BY by_state
         WHERE state = 'executing' AND due_at > ? AND due_at <= ? AND lease_token IS NULL LIMIT ?)`,
      now,
      now + DISPATCH_LEASE_MS,
      limit,
    );
    return Math.min(limit, (attempted?.n ?? 0) + this.dispatched.countOfThisLife);
  }

  /** How many more deliveries may have their row in the table of those that wait for their first retry. */
  get roomForFirstRetries(): number {
    return this.#firstRetries.room;
  }

  /** Nobody sends these, though they were leased ahead for it: the alarm does when they are due. @returns whether there are any */
  sendHere(eventIds: readonly string[]): boolean {
    const asked = new Set(eventIds);
    return this.#firstRetries
      .dispatched()
      .filter(({ eventId }) => asked.has(eventId))
      .map(({ eventId, dueAt }) => this.dispatched.bringForward(eventId, dueAt ?? 0))
      .includes(true);
  }

  /** Writes that a delivery was dispatched for the first time, or taken back: one row, because no index has the token. */
  lease(delivery: Delivery): void {
    this.note(delivery);
    if (this.#firstRetries.put(delivery)) return;
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

  /** The dispatched deliveries among the rows that are due next after one, and before any lease can end: a bounded number of rows. */
  #lookForDispatched(after: DispatchedRow | undefined): DispatchedLook {
    const rows = this.#database.rows<DispatchedRow>(
      `SELECT event_id AS eventId, accepted_at AS acceptedAt, lease_token AS leaseToken, due_at AS dueAt
       FROM deliveries INDEXED BY due
       WHERE due_at IS NOT NULL AND due_at <= ? AND (due_at, event_id) > (?, ?) ORDER BY due_at, event_id LIMIT ?`,
      Date.now() + dispatchLeaseMs(Number.POSITIVE_INFINITY),
      after?.dueAt ?? Number.NEGATIVE_INFINITY,
      after?.eventId ?? '',
      DISPATCHED_LOOK_MAX,
    );
    const found = rows.filter(({ leaseToken }) => leaseToken !== null);
    return {
      found: after === undefined ? [...this.#firstRetries.dispatched(), ...found] : found,
      next: rows.length < DISPATCHED_LOOK_MAX ? undefined : rows.at(-1),
    };
  }
}

/** How old the rows are, without their content. */
class Ages {
  readonly #database: StoreDatabase;

  constructor(database: StoreDatabase) {
    this.#database = database;
  }

  /** When the oldest delivery by id was accepted, ms. */
  oldestAcceptance(): number | undefined {
    const query = 'SELECT accepted_at AS at FROM deliveries ORDER BY event_id LIMIT 1';
    return this.#database.first<{ at: number }>(query)?.at;
  }

  /** When the delivery that waits, and has waited longest by its id, was accepted, ms. While a mark is there: of those under attempt. */
  oldestWaiting({ mark }: Disabled): number | undefined {
    const first = (state: DeliveryState, attempted: number) =>
      this.#database.first<{ at: number }>(
        `SELECT accepted_at AS at FROM deliveries ${OF_STATE} due_at > ? ORDER BY event_id LIMIT 1`,
        state,
        attempted,
      )?.at ?? Number.POSITIVE_INFINITY;
    const times =
      mark === undefined ? OPEN_STATES.map((state) => first(state, -1)) : [first('executing', mark.at)];
    const oldest = Math.min(...times);
    return oldest === Number.POSITIVE_INFINITY ? undefined : oldest;
  }

  /** How many rows have expired. @param before an id that none of them reaches */
  countExpired(before: string, retention: Retention): number {
    const query = `SELECT count(*) AS n FROM deliveries WHERE event_id < ? AND ${EXPIRED}`;
    return this.#database.first<{ n: number }>(query, before, ...expiredValues(retention))?.n ?? 0;
  }

  /** Times and states in order of event id, without content: what the sweep decides by. */
  between(after: string, before: string, limit: number): (Aged & { readonly eventId: string })[] {
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
}

/** Pages of the rows, in order of event id. */
class RowPages {
  readonly #database: StoreDatabase;
  readonly #tally: Tally;
  readonly #disabled: Disabled;

  constructor(database: StoreDatabase, tally: Tally, disabled: Disabled) {
    this.#database = database;
    this.#tally = tally;
    this.#disabled = disabled;
  }

  /** Rows that have not expired, as a customer sees them: until the mark is gone, its rows are in the list of failures. */
  page(query: PageQuery, retention: Retention): DeliveryRow[] {
    const { state, limit } = query;
    const { mark } = this.#disabled;
    const select = (where: string, ...values: Binding[]) =>
      this.#select(query, `${where} NOT ${EXPIRED} AND`, ...values, ...expiredValues(retention));
    if (state === undefined) return select('WHERE');
    if (mark === undefined || state === 'success') return select(OF_STATE, state);
    const values = [mark.generation, mark.at] as const;
    if (state === 'failure') {
      const failed = select(OF_STATE, state);
      const marked = OPEN_STATES.flatMap((open) => select(`${OF_STATE} ${IS_MARKED} AND`, open, ...values));
      return [...failed, ...marked].sort((a, b) => (a.event_id < b.event_id ? -1 : 1)).slice(0, limit);
    }
    // While the subscription is disabled, nothing waits: the page need not look past all that is marked.
    if (state !== 'executing' && this.#tally.count().open <= this.#attempted(mark.at)) return [];
    return select(`${OF_STATE} NOT (${IS_MARKED}) AND`, state, ...values);
  }

  /**
   * The next rows in either direction, without content. They are in the state of the query, unless a mark is there: then they are in
   * any state, because the mark changes what its rows show.
   */
  look({ order, state, after = '', before = '~', limit }: PageQuery & { readonly order: Order }): LookedAt[] {
    const { mark } = this.#disabled;
    const isIndexed = state !== undefined && mark === undefined;
    const rows = this.#database.rows<NarrowRow>(
      `SELECT event_id, state, accepted_at, updated_at, due_at, generation FROM deliveries
       ${isIndexed ? OF_STATE : 'WHERE'} event_id > ? AND event_id < ?
       ORDER BY event_id ${order === 'desc' ? 'DESC' : 'ASC'} LIMIT ?`,
      ...(isIndexed ? [state] : []),
      after,
      before,
      limit,
    );
    return rows.map((row) => {
      const facts = { eventId: row.event_id, acceptedAt: row.accepted_at };
      return mark !== undefined && isMarked(row, mark)
        ? { ...facts, state: 'failure', updatedAt: mark.at }
        : { ...facts, state: row.state, updatedAt: row.updated_at };
    });
  }

  /** Rows of a state as they are. */
  ofState(state: DeliveryState, after: string, limit: number): DeliveryRow[] {
    return this.#select({ after, limit }, OF_STATE, state);
  }

  /** How many attempts were under way when the subscription was disabled, or began since. @param at when it was, ms */
  #attempted(at: number): number {
    const query = `SELECT count(*) AS n FROM deliveries ${OF_STATE} due_at > ?`;
    return this.#database.first<{ n: number }>(query, 'executing', at)?.n ?? 0;
  }

  #select({ after = '', before = '~', limit }: PageQuery, where: string, ...values: Binding[]) {
    return this.#database.rows<DeliveryRow>(
      `SELECT * FROM deliveries ${where} event_id > ? AND event_id < ? ORDER BY event_id LIMIT ?`,
      ...values,
      after,
      before,
      limit,
    );
  }
}

function dueRowOf({ eventId, endpoint, dueAt }: ReturnType<FirstRetries['due']>[number]): DueRow {
  return { event_id: eventId, endpoint, due_at: dueAt };
}

/** Endpoints for which deliveries are held: nearly always one, because a customer must change it while it fails. */
function heldEndpoints(database: StoreDatabase): string[] {
  const next = "SELECT min(endpoint) FROM deliveries INDEXED BY held WHERE hold = 'held'";
  const rows = database.rows<{ endpoint: string }>(
    `SELECT endpoint FROM (
       WITH RECURSIVE each (endpoint) AS (
         ${next} UNION ALL SELECT (${next} AND endpoint > each.endpoint) FROM each WHERE each.endpoint IS NOT NULL)
       SELECT endpoint FROM each WHERE endpoint IS NOT NULL LIMIT ?)`,
    HELD_ENDPOINTS_MAX,
  );
  return rows.map(({ endpoint }) => endpoint);
}

/** A delivery as its row says it, without its SET. This file alone writes rows, and the table holds their history to be JSON. */
function fromRow(row: DeliveryRow): Delivery {
  return {
    eventId: row.event_id,
    acceptedAt: row.accepted_at,
    endpoint: row.endpoint,
    set: '',
    ...(row.request_id === null ? {} : { requestId: row.request_id }),
    state: row.state,
    attempts: row.attempts,
    runBase: row.run_base,
    updatedAt: row.updated_at,
    dueAt: row.due_at,
    leaseToken: row.lease_token,
    hold: row.hold ?? 'possible',
    redeliveryId: row.redelivery_id,
    proof: row.proof,
    ...(row.held_until === null ? {} : { heldUntil: row.held_until }),
    ...(row.unsigned === null ? {} : { form: 'unsigned' }),
    history: historyOf(row),
  };
}

function expiredValues({ now, retentionMs }: Retention): number[] {
  return [now - Math.min(retentionMs, EVENT_MAX_AGE_MS), now - retentionMs, now - EVENT_MAX_AGE_MS];
}

/** The values of `CHANGING`, without the last. */
function changingValues(delivery: Delivery, history: readonly HistoryEntry[]): Binding[] {
  return [
    delivery.state,
    delivery.attempts,
    delivery.runBase,
    delivery.updatedAt,
    delivery.dueAt,
    delivery.leaseToken,
    ...historyColumns(history, delivery.form === 'unsigned'),
    delivery.hold === 'possible' ? null : delivery.hold,
    delivery.redeliveryId,
    delivery.proof,
    delivery.heldUntil ?? null,
  ];
}

/**
 * The values of `history` and `entries`. Code from before there were bodies reads `history`: it must find no list, or after a
 * rollback it would begin the attempt, and send an empty SET. In the same way code that cannot sign finds no list in the `entries` of a
 * delivery whose SET is not signed, or it would send the text without a signature.
 */
function historyColumns(
  history: readonly HistoryEntry[],
  isInObject: boolean,
): [string, string | Uint8Array] {
  const text = JSON.stringify(isInObject ? { history } : history);
  return ['{}', text.length <= HISTORY_TEXT_MAX ? text : deflateRawSync(encoder.encode(text))];
}

function historyOf({ history, entries }: DeliveryRow): HistoryEntry[] {
  const isText = entries === null || typeof entries === 'string';
  const text = isText ? (entries ?? history) : decoder.decode(inflateRawSync(new Uint8Array(entries)));
  const stored = JSON.parse(text) as HistoryEntry[] | { readonly history: HistoryEntry[] };
  return Array.isArray(stored) ? stored : stored.history;
}
