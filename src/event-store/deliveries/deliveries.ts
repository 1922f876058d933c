/**
 * The only door to the deliveries of an event store. A delivery that succeeded at its first attempt is packed into a segment
 * (segments.ts); every other one has a row of its own (rows.ts). An event id is in one of the two, never in both, and
 * callers of this class need not know in which.
 */
import type { Delivery, HistoryEntry } from '../../domain/delivery.ts';
import { eventIdFloor } from '../../domain/ids.ts';
import { EVENT_ID_MAX_FUTURE_MS } from '../../domain/limits.ts';
import type { Retention } from '../../domain/retention.ts';
import type { StoreDatabase } from '../database.ts';
import type { PageQuery } from '../rpc.ts';
import { Merging } from './merging.ts';
import { type Entry, toEntry } from './packing.ts';
import { Rows } from './rows.ts';
import { SegmentRows } from './segment-rows.ts';
import { Segments } from './segments.ts';
import { Sorting } from './sorting.ts';
import type { Tallied } from './tally.ts';

export class Deliveries {
  /** Deliveries that are open or failed: the alarm, the backlog and bulk redelivery work on these alone. */
  readonly rows: Rows;
  /** Merges small segments; the alarm calls it. */
  readonly merging: Merging;
  /** Makes narrow segments of wide ones; the alarm calls it. */
  readonly sorting: Sorting;
  readonly #segments: Segments;

  /** @param wokeAt when the object woke, ms */
  constructor(database: StoreDatabase, wokeAt: number) {
    const segmentRows = new SegmentRows(database);
    this.rows = new Rows(database, wokeAt);
    this.sorting = new Sorting(database, segmentRows);
    this.#segments = new Segments(segmentRows, this.sorting);
    this.merging = new Merging(database, segmentRows);
  }

  find(eventId: string): Delivery | undefined {
    return this.findAll([eventId]).get(eventId);
  }

  /** The deliveries of these events that are stored, by event id. */
  findAll(eventIds: readonly string[]): Map<string, Delivery> {
    const found = this.rows.find(eventIds);
    const others = eventIds.filter((eventId) => !found.has(eventId));
    for (const delivery of this.#segments.find(others)) found.set(delivery.eventId, delivery);
    return found;
  }

  /** Which of these events have a delivery here. */
  known(eventIds: readonly string[]): Set<string> {
    return this.#segments.known(eventIds).union(this.rows.known(eventIds));
  }

  /** The whole history of a delivery. */
  history(delivery: Delivery): HistoryEntry[] {
    return this.rows.history(delivery);
  }

  /** Adds deliveries that are not stored yet; those that can be packed share a segment. */
  add(deliveries: readonly Delivery[]): void {
    const packed: Entry[] = [];
    const rows: Delivery[] = [];
    for (const delivery of deliveries) {
      const entry = toEntry(delivery);
      if (entry === undefined) rows.push(delivery);
      else packed.push(entry);
    }
    this.rows.add(rows);
    if (packed.length > 0) this.#segments.add(packed);
  }

  /** Writes a delivery that has a row. @returns the delivery as it is kept now */
  put(delivery: Delivery): Delivery {
    return this.rows.put(delivery);
  }

  /** A page of deliveries that have not expired, in order of event id. */
  page(query: PageQuery, retention: Retention): Delivery[] {
    const rows = this.rows.page(query, retention);
    if (query.state !== undefined && query.state !== 'success') return rows;
    const { after, before, limit } = query;
    const packed = this.#segments.page(after, before, retention.now - retention.retentionMs, limit);
    if (packed.length === 0) return rows;
    return [...rows, ...packed].sort((a, b) => (a.eventId < b.eventId ? -1 : 1)).slice(0, query.limit);
  }

  /** How many deliveries are stored. */
  total(): number {
    const { open, succeeded, failed } = this.rows.tally.count();
    return open + succeeded + failed + this.#segments.total();
  }

  /** How many stored deliveries have not expired. What has is counted among the oldest ids only. */
  totalUnexpired({ now, retentionMs }: Retention): number {
    // An id may be up to five minutes ahead of its acceptance.
    const before = eventIdFloor(now - retentionMs + EVENT_ID_MAX_FUTURE_MS + 1);
    const packed = this.#segments.countAcceptedUntil(now - retentionMs);
    return this.total() - this.rows.countExpired(before, { now, retentionMs }) - packed;
  }

  /** How many deliveries there are that were accepted at the beginning of an hour (ms) or later. */
  countSince(hour: number): Tallied {
    const { open, succeeded, failed } = this.rows.tally.count(hour);
    return { open, succeeded: succeeded + this.#segments.countAcceptedAfter(hour - 1), failed };
  }

  /** When the oldest delivery was accepted, ms. For a segment: when its newest one was. */
  oldestAcceptance(): number | undefined {
    const row = this.rows.oldestAcceptance();
    const packed = this.#segments.oldestAcceptance();
    return row === undefined || packed === undefined ? (row ?? packed) : Math.min(row, packed);
  }

  /**
   * Deletes packed deliveries that were accepted at a time or before.
   * @param before an id that none of them reaches
   * @returns whether there may be more
   */
  deletePacked(acceptedUntil: number, before: string, limit: number): boolean {
    return this.#segments.deleteAccepted(acceptedUntil, before, limit);
  }
}
