/**
 * Sorting makes narrow segments of wide ones. When each id of a producer is late by a time of its own, every settle brings a
 * segment that spans minutes. A page of events would have to inflate all segments of these minutes, and merging neighbours would
 * not help. So a few wide segments are taken apart together, and put together again by time: as many rows as before, or fewer.
 * Merging then makes large ones of those that lie in the same half minute.
 *
 * What is wide is remembered since the object woke, no longer. Nothing depends on sorting but the price of reading.
 */
import { eventIdTime } from '../../domain/ids.ts';
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import { MERGE_AGE_MS, SEGMENT_NARROW_MS, SORT_MAX_BYTES, SORT_SEGMENTS } from '../tuning.ts';
import { pack, type Segment } from './packing.ts';
import type { SegmentRows, SizedOutline } from './segment-rows.ts';

export class Sorting implements Duty {
  readonly name = 'sort';
  readonly #database: StoreDatabase;
  readonly #rows: SegmentRows;
  /** The last ids of wide segments. */
  #wide: string[] = [];

  constructor(database: StoreDatabase, rows: SegmentRows) {
    this.#database = database;
    this.#rows = rows;
  }

  /** Takes note of segments that were just added. */
  note(segments: readonly Segment[]): void {
    for (const { firstId, lastId } of segments) {
      if (eventIdTime(lastId) - eventIdTime(firstId) > SEGMENT_NARROW_MS) this.#wide.push(lastId);
    }
  }

  /** A segment has grown, and its last id may have changed. */
  grew(before: string, after: string): void {
    const index = this.#wide.indexOf(before);
    if (index >= 0) this.#wide[index] = after;
  }

  dueAt(now: number): number | undefined {
    return this.#wide.length >= SORT_SEGMENTS ? now : undefined;
  }

  work(now: number): void {
    if (this.#wide.length < SORT_SEGMENTS) return;
    const wide = this.#wide;
    this.#wide = [];
    this.#wide = this.#database.transaction(() => this.#sort(wide, now));
    this.#rows.forgetUnmerged();
  }

  /** @returns the last ids of wide segments that there was no time for */
  #sort(wide: readonly string[], now: number): string[] {
    // Some may have been merged meanwhile, or were never written: their transaction was rolled back.
    const outlines = this.#rows.of(wide).filter(({ first_id }) => eventIdTime(first_id) > now - MERGE_AGE_MS);
    const group: SizedOutline[] = [];
    for (let bytes = 0; group.length < outlines.length; ) {
      const next = outlines[group.length] as SizedOutline;
      bytes += next.bytes;
      if (bytes > SORT_MAX_BYTES && group.length > 0) break;
      group.push(next);
    }
    const entries = group.flatMap((outline) => this.#rows.entries(outline));
    const byTime = Map.groupBy(entries, ({ eventId }) =>
      Math.floor(eventIdTime(eventId) / SEGMENT_NARROW_MS),
    );
    const narrow = [...byTime.values()].flatMap(pack);
    if (narrow.length <= group.length) this.#rows.replace(group, narrow);
    return outlines.slice(group.length).map(({ last_id }) => last_id);
  }
}
