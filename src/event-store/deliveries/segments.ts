/**
 * # Segments: deliveries that succeeded at their first attempt, many to a row
 *
 * A store pays for each row it writes, and the token is what fills its space. A delivery that succeeded at once never changes
 * again. So all such deliveries of one `settle` go into one row together, compressed (packing.ts). Deliveries that are open
 * or failed keep a row of their own (rows.ts).
 *
 * A segment is keyed by its last id. The ids of one segment lie within 15 minutes, so a search for an id looks only at
 * segments whose last id follows within that time. New events have the newest ids, so asking whether they are known looks at
 * next to no segments. Two segments may overlap, because two batches did.
 *
 * merging.ts makes few large segments of many small ones. docs/segments.md has the whole story.
 */
import type { Delivery } from '../../domain/delivery.ts';
import { eventIdFloor } from '../../domain/ids.ts';
import type { Order } from '../rpc.ts';
import { SEGMENT_ID_MAX_SKEW_MS, SEGMENT_SPAN_MS } from '../tuning.ts';
import { growthBy } from './growing.ts';
import type { LateSegments } from './late-segments.ts';
import { AFTER_ALL, BEFORE_ALL, byEventId, nearEachOther, reach } from './near-ids.ts';
import { acceptedAtOf, type Entry, fromEntry, packSettled, type Segment } from './packing.ts';
import { RecentIds } from './recent-ids.ts';
import type { SegmentRows } from './segment-rows.ts';
import type { Sorting } from './sorting.ts';

/** Where a packed delivery is. */
interface Place {
  readonly eventId: string;
  readonly lastId: string;
  readonly index: number;
}

/** Which packed deliveries a page may have: those between two ids, both excluded, that were accepted within a time (ms). */
interface Stretch {
  readonly order: Order;
  readonly after: string | undefined;
  readonly before: string | undefined;
  /** Accepted after this time. */
  readonly acceptedAfter: number;
  /** Accepted at this time or before. */
  readonly acceptedUntil: number;
  readonly limit: number;
}

/** Segments that one query of a page reads. */
const OUTLINES_CHUNK = 200;

export class Segments {
  readonly #rows: SegmentRows;
  readonly #sorting: Sorting;
  readonly #late: LateSegments;
  #recentIds: RecentIds | undefined;

  constructor(rows: SegmentRows, sorting: Sorting, late: LateSegments) {
    this.#rows = rows;
    this.#sorting = sorting;
    this.#late = late;
  }

  /** Adds deliveries whose ids are not stored yet: one row, or a few when they are large. A small segment beside them grows. */
  add(entries: readonly Entry[]): void {
    this.#recent.add(entries.map(({ eventId }) => eventId));
    const segments = packSettled(entries).filter((segment) => !this.#grow(segment));
    if (segments.length === 0) return;
    this.#rows.add(segments);
    this.#sorting.note(segments);
    this.#late.note(segments);
  }

  /** @returns whether a stored segment has grown by this one */
  #grow(segment: Segment): boolean {
    const growth = growthBy(segment, this.#rows);
    if (growth === undefined) return false;
    const { outline, grown } = growth;
    this.#rows.grow(outline, grown);
    this.#sorting.grew(outline.last_id, grown.lastId);
    return true;
  }

  /** Which of these events are packed here. */
  known(eventIds: readonly string[]): Set<string> {
    return new Set(this.#places(eventIds).map(({ eventId }) => eventId));
  }

  /** Packed deliveries of these ids. Their SETs lack the signature. */
  find(eventIds: readonly string[]): Delivery[] {
    return this.#read(this.#places(eventIds));
  }

  /** The first deliveries of a stretch, in its order. */
  page({ order, after, before, acceptedAfter, acceptedUntil, limit }: Stretch): Delivery[] {
    const isDown = order === 'desc';
    const inOrder = isDown ? (a: Place, b: Place) => byEventId(b, a) : byEventId;
    const places: Place[] = [];
    for (const outline of this.#outlines(isDown, after, before, acceptedAfter)) {
      // The last place of a full page: an id beyond it is on a later page.
      const bound = places[limit - 1]?.eventId;
      if (bound !== undefined && (isDown ? outline.last_id < bound : outline.last_id > reach(bound))) break;
      if (bound !== undefined && !isDown && outline.first_id > bound) continue;
      if (outline.accepted_from > acceptedUntil) continue;
      const ids = this.#rows.ids(outline);
      const [start, end] = ids.between(after ?? BEFORE_ALL, before ?? AFTER_ALL);
      // Of one segment some events may be outside the times: their texts say when they were accepted.
      const isWhole = outline.accepted_from > acceptedAfter && outline.accepted_until <= acceptedUntil;
      const texts = isWhole ? undefined : this.#rows.texts(outline.last_id);
      for (let step = 0, taken = 0; step < end - start && taken < limit; step++) {
        const index = isDown ? end - 1 - step : start + step;
        const acceptedAt = texts && acceptedAtOf(texts[index] ?? '');
        if (acceptedAt !== undefined && (acceptedAt <= acceptedAfter || acceptedAt > acceptedUntil)) continue;
        places.push({ eventId: ids.at(index), lastId: outline.last_id, index });
        taken++;
      }
      places.sort(inOrder);
      places.splice(limit);
    }
    const deliveries = this.#read(places);
    return isDown ? deliveries.reverse() : deliveries;
  }

  /** How many deliveries are packed. */
  total(): number {
    return this.#rows.total();
  }

  /** How many of them were accepted after a time. */
  countAcceptedAfter(time: number): number {
    return this.#rows
      .acceptedAround(time)
      .reduce(
        (sum, { last_id }) =>
          sum + this.#rows.texts(last_id).filter((text) => acceptedAtOf(text) > time).length,
        this.#rows.countWhollyAfter(time),
      );
  }

  /** How many were accepted by a time. */
  countAcceptedUntil(time: number): number {
    const whole = this.#rows.countWhollyUntil(time, eventIdFloor(time + SEGMENT_ID_MAX_SKEW_MS + 1));
    const reached = eventIdFloor(time + SEGMENT_SPAN_MS + SEGMENT_ID_MAX_SKEW_MS + 1);
    return this.#rows
      .acceptedAroundBefore(time, reached)
      .reduce(
        (sum, { last_id }) =>
          sum + this.#rows.texts(last_id).filter((text) => acceptedAtOf(text) <= time).length,
        whole,
      );
  }

  /** When the newest event of the first segment was accepted, ms. */
  oldestAcceptance(): number | undefined {
    return this.#rows.oldestAcceptance();
  }

  /**
   * Deletes segments whose events were all accepted at a time or before.
   * @param before an id that none of them reaches
   * @returns whether there may be more
   */
  deleteAccepted(until: number, before: string, limit: number): boolean {
    const old = this.#rows.acceptedUntil(until, before, limit);
    if (old.length > 0) this.#rows.delete(old);
    return old.length === limit;
  }

  /** Where these events are, as far as they are packed here. */
  #places(eventIds: readonly string[]): Place[] {
    const places: Place[] = [];
    const recent = this.#recent;
    for (const near of nearEachOther(eventIds.filter((eventId) => recent.mayHave(eventId)))) {
      const [first = '', last = ''] = [near[0], near.at(-1)];
      for (const outline of this.#rows.around(first, reach(last), last)) {
        const ids = this.#rows.ids(outline);
        for (const eventId of near) {
          const index = ids.indexOf(eventId);
          if (index >= 0) places.push({ eventId, lastId: outline.last_id, index });
        }
      }
    }
    return places;
  }

  /** Reads deliveries, in order of event id. One segment is inflated at a time: the text of one may be a megabyte. */
  #read(places: readonly Place[]): Delivery[] {
    const bySegment = Map.groupBy(places, ({ lastId }) => lastId);
    const deliveries: Delivery[] = [];
    for (const [lastId, inside] of bySegment) {
      const texts = this.#rows.texts(lastId);
      for (const { eventId, index } of inside) deliveries.push(fromEntry(eventId, texts[index] ?? ''));
    }
    return deliveries.sort(byEventId);
  }

  /** What was added since the object woke. What was stored then has no greater id than the last segment. */
  get #recent(): RecentIds {
    this.#recentIds ??= new RecentIds(this.#rows.greatestId());
    return this.#recentIds;
  }

  /** Segments that may have ids between two, in order of their last ids, upwards or downwards. */
  *#outlines(isDown: boolean, after: string | undefined, before: string | undefined, acceptedAfter: number) {
    const [low, high] = [after ?? BEFORE_ALL, before === undefined ? AFTER_ALL : reach(before)];
    const rest = [before ?? AFTER_ALL, acceptedAfter, OUTLINES_CHUNK] as const;
    for (let cursor = isDown ? high : low; ; ) {
      const chunk = isDown ? this.#rows.below(cursor, low, ...rest) : this.#rows.after(cursor, high, ...rest);
      yield* chunk;
      const last = chunk.at(-1);
      if (last === undefined || chunk.length < OUTLINES_CHUNK) return;
      cursor = last.last_id;
    }
  }
}
