/**
 * The only door to the deliveries of an event store. A delivery that succeeded at its first attempt is packed into a segment
 * (segments.ts), one that is held and was never attempted into a pack (packs.ts); every other one has a row of its own (rows.ts). An event
 * id is in one of the three, and callers of this class need not know in which.
 *
 * A version of the code that does not know packs may have stored a packed event once more, as a row or in a segment. Then that counts, and
 * the packed one is forgotten when it would be released.
 */
import { asListed, type Delivery, type HistoryEntry } from '../../domain/delivery.ts';
import { eventIdFloor } from '../../domain/ids.ts';
import { EVENT_ID_MAX_FUTURE_MS } from '../../domain/limits.ts';
import type { Retention } from '../../domain/retention.ts';
import type { StoreDatabase } from '../database.ts';
import type { FoundPage, PageQuery, SearchQuery } from '../rpc.ts';
import { Counting } from './counting.ts';
import { FigureDays } from './figure-days.ts';
import { Ledger } from './figure-ledger.ts';
import { FirstRetries } from './first-retries.ts';
import { LateSegments } from './late-segments.ts';
import { Merging, MergingOf } from './merging.ts';
import { byEventId } from './near-ids.ts';
import { PackGroups } from './pack-groups.ts';
import { PackMerging } from './pack-merging.ts';
import { PackRows } from './pack-rows.ts';
import { type Entry, toEntry, toHeldEntry } from './packing.ts';
import { Packs } from './packs.ts';
import { type Failure, Rows } from './rows.ts';
import { search } from './search.ts';
import { SegmentRows } from './segment-rows.ts';
import { Segments } from './segments.ts';
import { Sorting } from './sorting.ts';
import type { Tallied } from './tally.ts';

export class Deliveries {
  /** Deliveries that are open or failed: the alarm, the backlog and bulk redelivery work on these alone. */
  readonly rows: Rows;
  /** Merges small segments, and small packs; the alarm calls it. */
  readonly merging: Merging;
  /** Makes narrow segments of wide ones; the alarm calls it. */
  readonly sorting: Sorting;
  /** Held deliveries that nobody has attempted, and those that failed so. */
  readonly packs: Packs;
  /** Counts what happened in each hour; the alarm calls it. */
  readonly counting: Counting;
  readonly #firstRetries: FirstRetries;
  readonly #segments: Segments;

  /** @param wokeAt when the object woke, ms */
  constructor(database: StoreDatabase, wokeAt: number) {
    const ledger = new Ledger(database, new FigureDays(database));
    const segmentRows = new SegmentRows(database, ledger);
    this.#firstRetries = new FirstRetries(database);
    this.rows = new Rows(database, ledger, this.#firstRetries, wokeAt);
    this.counting = new Counting(database, ledger, segmentRows, this.#firstRetries);
    this.sorting = new Sorting(database, segmentRows);
    const late = new LateSegments(segmentRows);
    this.#segments = new Segments(segmentRows, this.sorting, late);
    const groups = new PackGroups(database);
    const packRows = new PackRows(database, groups);
    this.packs = new Packs(groups, packRows, this.rows.tally, ledger, () => this.rows.disabled.generation);
    const packMerging = new PackMerging(packRows, groups);
    const kinds = [new MergingOf(segmentRows), new MergingOf(late), new MergingOf(packMerging)];
    this.merging = new Merging(database, kinds);
  }

  find(eventId: string): Delivery | undefined {
    return this.findAll([eventId]).get(eventId);
  }

  /** The deliveries of these events that are stored, by event id. */
  findAll(eventIds: readonly string[]): Map<string, Delivery> {
    const found = this.rows.find(eventIds);
    for (const find of [this.#segments, this.packs]) {
      const others = eventIds.filter((eventId) => !found.has(eventId));
      for (const delivery of find.find(others)) found.set(delivery.eventId, delivery);
    }
    return found;
  }

  /** Which of these events have a delivery here. */
  known(eventIds: readonly string[]): Set<string> {
    return this.#unpacked(eventIds).union(this.packs.known(eventIds));
  }

  /** The whole history of a delivery. */
  history(delivery: Delivery): HistoryEntry[] {
    return this.rows.history(delivery);
  }

  /**
   * Writes what a call of the store has changed. Deliveries that can be packed share a segment, or a pack.
   * @param changed deliveries that are stored
   * @param added deliveries that are not stored yet
   */
  write(changed: readonly Delivery[], added: readonly Delivery[]): void {
    const succeeded: Entry[] = [];
    const others: Delivery[] = [];
    for (const delivery of changed) {
      const { eventId } = delivery;
      const isFirstRetry = this.rows.waitsForFirstRetry(eventId);
      const entry = isFirstRetry || hasSucceededAtOnce(delivery) ? toEntry(delivery) : undefined;
      if (entry === undefined) {
        others.push(delivery);
        continue;
      }
      if (isFirstRetry) this.rows.endFirstRetry(delivery);
      else if (delivery.form === 'packed') this.packs.take([eventId]);
      else this.rows.remove(delivery);
      // A version that knew nothing of first retries may have stored the event once more, and packed it.
      if (!isFirstRetry || !this.#segments.known([eventId]).has(eventId)) succeeded.push(entry);
    }
    this.put(others);
    const rows: Delivery[] = [];
    const held: Delivery[] = [];
    for (const delivery of added) {
      const entry = toEntry(delivery);
      if (entry !== undefined) succeeded.push(entry);
      else if (delivery.hold === 'held') held.push(delivery);
      else rows.push(delivery);
    }
    this.rows.add([...rows, ...this.#hold(held)]);
    if (succeeded.length > 0) this.#segments.add(succeeded);
  }

  /** Writes deliveries that are stored. Those that are packed are taken out, and get rows. */
  put(deliveries: readonly Delivery[]): void {
    const packed = deliveries.filter(({ form }) => form === 'packed');
    for (const delivery of deliveries) if (delivery.form !== 'packed') this.rows.put(delivery);
    if (packed.length === 0) return;
    const eventIds = packed.map(({ eventId }) => eventId);
    this.packs.take(eventIds);
    const known = this.#unpacked(eventIds);
    this.rows.add(packed.filter(({ eventId }) => !known.has(eventId)));
  }

  /** The subscription was disabled: whatever waits has failed. The alarm rewrites the rows (duties/disabling.ts). */
  failAllThatWait(now: number): void {
    this.packs.failAll(now);
    this.rows.failAllThatWait(now);
  }

  // --- What waits, and what has failed ------------------------------------------------------------------

  /** Deliveries held for a failing endpoint, oldest first. @param endpoint only deliveries to this one */
  held(limit: number, endpoint?: string): Delivery[] {
    if (this.rows.disabled.mark !== undefined) return [];
    return [...this.rows.held(limit, endpoint), ...this.packs.held(limit, endpoint)]
      .sort(byEventId)
      .slice(0, limit);
  }

  /** Whether any delivery is held. */
  hasHeld(): boolean {
    return this.rows.disabled.mark === undefined && (this.packs.hasHeld() || this.rows.hasHeld());
  }

  /** The next failed deliveries after an event id: times and proof, without content. */
  failures(after: string, limit: number): Failure[] {
    return [...this.rows.facts.failures(after, limit), ...this.packs.failures(after, limit)]
      .sort(byEventId)
      .slice(0, limit);
  }

  // --- Pages, counts and ages ---------------------------------------------------------------------------

  /** A page of deliveries that have not expired, in order of event id, as a list shows them. */
  page(query: PageQuery, retention: Retention): Delivery[] {
    const { after, before, limit, state } = query;
    const found = this.rows.page(query, retention);
    if (state === undefined || state === 'success') {
      const packed = this.#segments.page({
        order: 'asc',
        after,
        before,
        acceptedAfter: retention.now - retention.retentionMs,
        acceptedUntil: Number.POSITIVE_INFINITY,
        limit,
      });
      found.push(...packed.map(asListed));
    }
    if (state === undefined || state === 'awaiting-executing' || state === 'failure') {
      const packed = this.packs.page(state && state !== 'failure', query, retention);
      const ids = new Set(found.map(({ eventId }) => eventId));
      found.push(...packed.filter(({ eventId }) => !ids.has(eventId)).map(asListed));
    }
    return found.sort(byEventId).slice(0, limit);
  }

  /** One look of a search (search.ts). */
  search(query: SearchQuery, retention: Retention): FoundPage {
    return search(this.rows, this.#segments, this.packs, query, retention);
  }

  /** How many deliveries are stored. */
  total(): number {
    const { open, succeeded, failed } = this.rows.count();
    return open + succeeded + failed + this.#segments.total();
  }

  /** How many stored deliveries have not expired. What has is counted among the oldest ids only. */
  totalUnexpired({ now, retentionMs }: Retention): number {
    // An id may be up to five minutes ahead of its acceptance.
    const before = eventIdFloor(now - retentionMs + EVENT_ID_MAX_FUTURE_MS + 1);
    const packed = this.#segments.countAcceptedUntil(now - retentionMs);
    const failed = this.packs.countExpired({ now, retentionMs });
    return this.total() - this.rows.ages.countExpired(before, { now, retentionMs }) - packed - failed;
  }

  /** When the delivery that waits, and has waited longest by its id, was accepted, ms. */
  oldestWaiting(): number | undefined {
    const oldest = Math.min(
      this.rows.ages.oldestWaiting(this.rows.disabled) ?? Number.POSITIVE_INFINITY,
      this.#firstRetries.oldestAcceptance(),
      this.packs.held(1)[0]?.acceptedAt ?? Number.POSITIVE_INFINITY,
    );
    return oldest === Number.POSITIVE_INFINITY ? undefined : oldest;
  }

  /** How many deliveries there are that were accepted at the beginning of an hour (ms) or later. */
  countSince(hour: number): Tallied {
    const { open, succeeded, failed } = this.rows.count(hour);
    return { open, succeeded: succeeded + this.#segments.countAcceptedAfter(hour - 1), failed };
  }

  /** When the oldest delivery that may expire was accepted, ms. For a segment or a pack: when its newest one was. */
  oldestAcceptance(): number | undefined {
    const times = [
      this.rows.ages.oldestAcceptance(),
      this.#segments.oldestAcceptance(),
      this.packs.oldestFailure(),
    ].filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /**
   * Deletes packed deliveries that were accepted at a time or before.
   * @param before an id that none of them reaches
   * @returns whether there may be more
   */
  deletePacked(acceptedUntil: number, before: string, limit: number): boolean {
    return this.#segments.deleteAccepted(acceptedUntil, before, limit);
  }

  // --- Inside -----------------------------------------------------------------------------------------

  /** Which of these events have a row, or are in a segment. */
  #unpacked(eventIds: readonly string[]): Set<string> {
    return this.#segments.known(eventIds).union(this.rows.known(eventIds));
  }

  /** Packs deliveries that are held. @returns those that cannot be packed */
  #hold(deliveries: readonly Delivery[]): Delivery[] {
    const left: Delivery[] = [];
    for (const [endpoint, some] of Map.groupBy(deliveries, (delivery) => delivery.endpoint)) {
      const packable = some.flatMap((delivery) => {
        const entry = toHeldEntry(delivery);
        if (entry === undefined) left.push(delivery);
        return entry === undefined ? [] : [{ delivery, entry }];
      });
      const entries = packable.map(({ entry }) => entry);
      if (packable.length > 0 && !this.packs.add(entries, endpoint))
        left.push(...packable.map(({ delivery }) => delivery));
    }
    return left;
  }
}

/**
 * Whether a delivery never was anything but waiting and under way before its success. One that had failed may be in an export, and keeps its
 * row.
 */
function hasSucceededAtOnce({ state, history }: Delivery): boolean {
  return state === 'success' && history.length === 3;
}
