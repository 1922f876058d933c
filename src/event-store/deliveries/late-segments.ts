/**
 * Segments that were added behind the cursor of merging: those of held deliveries that were drained, days after their acceptance. Merging
 * has passed their place and does not come back, so they are remembered here, and merged with each other.
 *
 * They are in memory only. Of those that an object forgets when it is evicted, fewer than `MERGE_SEGMENTS` stay small.
 */
import { MERGE_SEGMENTS } from '../tuning.ts';
import type { MergeableRows } from './merging.ts';
import type { Entry, Segment } from './packing.ts';
import type { SegmentRows, SizedOutline } from './segment-rows.ts';

export class LateSegments implements MergeableRows<SizedOutline> {
  readonly #rows: SegmentRows;
  /** Their last ids. */
  #late: string[] = [];

  constructor(rows: SegmentRows) {
    this.#rows = rows;
  }

  /** Takes note of segments that were just added. */
  note(segments: readonly Segment[]): void {
    const mergedUpTo = this.#rows.mergedUpTo();
    for (const { lastId } of segments) if (lastId <= mergedUpTo) this.#late.push(lastId);
  }

  unmerged(): { readonly count: number; readonly first: string | undefined } {
    const count = Math.min(this.#late.length, MERGE_SEGMENTS);
    return {
      count,
      first: count === MERGE_SEGMENTS ? this.#late.toSorted()[0] : undefined,
    };
  }

  /** Some may have been deleted meanwhile, or were never written: their transaction was rolled back. */
  unmergedBefore(before: string, limit: number): SizedOutline[] {
    const lastIds = this.#late.toSorted().filter((lastId) => lastId < before);
    const outlines = this.#rows.of(lastIds.slice(0, limit));
    if (outlines.length === 0) this.#late = [];
    return outlines.sort((a, b) => (a.last_id < b.last_id ? -1 : 1));
  }

  mayJoin(): boolean {
    return true;
  }

  entries(outline: SizedOutline): Entry[] {
    return this.#rows.entries(outline);
  }

  replace(outlines: readonly SizedOutline[], segments: readonly Segment[]): void {
    this.#rows.replace(outlines, segments);
  }

  markMerged(lastId: string): void {
    this.#late = this.#late.filter((late) => late > lastId);
  }

  forgetUnmerged(): void {}
}
