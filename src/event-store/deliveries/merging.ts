/**
 * Merging makes few large segments of many small ones, a bite in each alarm. It leaves segments alone until they are ten minutes
 * old, because late events may still come to younger ones, and waits a quarter of an hour more until there are many. The merged segment, the deletion of the small ones and the cursor are
 * written in one transaction, so a merge that dies did nothing.
 */
import { eventIdFloor, eventIdTime } from '../../domain/ids.ts';
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import {
  MERGE_AGE_MS,
  MERGE_MAX_BYTES,
  MERGE_SEGMENTS,
  MERGE_STEP_MS,
  MERGE_WAIT_MS,
  SEGMENT_MAX_BYTES,
  SEGMENT_MAX_EVENTS,
  SEGMENT_SPAN_MS,
} from '../tuning.ts';
import { pack } from './packing.ts';
import type { SegmentRows, SizedOutline } from './segment-rows.ts';

export class Merging implements Duty {
  readonly name = 'merge';
  readonly #database: StoreDatabase;
  readonly #rows: SegmentRows;
  /** No bite before this time, ms: merging leaves the object to others in between. */
  #nextBiteAt = 0;

  constructor(database: StoreDatabase, rows: SegmentRows) {
    this.#database = database;
    this.#rows = rows;
  }

  dueAt(): number | undefined {
    const { count, first } = this.#rows.unmerged();
    if (count < MERGE_SEGMENTS || first === undefined) return undefined;
    return Math.max(eventIdTime(first) + MERGE_WAIT_MS, this.#nextBiteAt);
  }

  work(now: number): void {
    const due = this.dueAt();
    if (due === undefined || due > now) return;
    try {
      this.#database.transaction(() => this.#merge(now));
      this.#nextBiteAt = now + MERGE_STEP_MS;
    } finally {
      this.#rows.forgetUnmerged();
    }
  }

  #merge(now: number): void {
    let passed: string | undefined;
    let bytes = 0;
    const rested = this.#rows.unmergedBefore(eventIdFloor(now - MERGE_AGE_MS), SEGMENT_MAX_EVENTS);
    for (const group of mergeable(rested)) {
      if (bytes >= MERGE_MAX_BYTES) break;
      passed = group.at(-1)?.last_id;
      if (group.length === 1) continue;
      const entries = group.flatMap((outline) => this.#rows.entries(outline));
      this.#rows.delete(group);
      this.#rows.insert(pack(entries));
      bytes += group.reduce((sum, outline) => sum + outline.bytes, 0);
    }
    if (passed !== undefined) this.#rows.markMerged(passed);
  }
}

/** Segments in order of their last ids, in groups each of which can become one segment. */
function* mergeable(outlines: readonly SizedOutline[]): Iterable<readonly SizedOutline[]> {
  let group: SizedOutline[] = [];
  let [from, events, bytes] = [Number.POSITIVE_INFINITY, 0, 0];
  for (const outline of outlines) {
    from = Math.min(from, eventIdTime(outline.first_id));
    events += outline.events;
    bytes += outline.bytes;
    const spans = eventIdTime(outline.last_id) - from;
    if (spans > SEGMENT_SPAN_MS || events > SEGMENT_MAX_EVENTS || bytes > SEGMENT_MAX_BYTES) {
      if (group.length > 0) yield group;
      group = [];
      [from, events, bytes] = [eventIdTime(outline.first_id), outline.events, outline.bytes];
    }
    group.push(outline);
  }
  if (group.length > 0) yield group;
}
