/**
 * Merging makes few large segments of many small ones, or few large packs, a bite in each alarm. It leaves segments alone until they are ten minutes
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
import { type Entry, pack, type Segment } from './packing.ts';

/** A row that may be joined with its neighbours. */
interface Mergeable {
  readonly last_id: string;
  readonly first_id: string;
  readonly events: number;
  readonly bytes: number;
}

/** Rows that merging works on: segments, or packs. */
export interface MergeableRows<Outline extends Mergeable> {
  /** How many rows no merge has seen, counted up to `MERGE_SEGMENTS`, and the last id of the first of them. */
  unmerged(): { readonly count: number; readonly first: string | undefined };
  /** Rows that no merge has seen and whose last id is before `before`, in order. */
  unmergedBefore(before: string, limit: number): Outline[];
  /** Whether a row may be joined with one before it, beside the limits that hold for all. */
  mayJoin(first: Outline, next: Outline): boolean;
  entries(outline: Outline): Entry[];
  /** Writes the joined rows in place of the others. */
  replace(outlines: readonly Outline[], segments: readonly Segment[]): void;
  /** A merge has seen all rows up to this last id. */
  markMerged(lastId: string): void;
  /** What is kept in memory of the unmerged rows is out of date. */
  forgetUnmerged(): void;
}

/** The duty: it merges segments, then packs. */
export class Merging implements Duty {
  readonly name = 'merge';
  readonly #database: StoreDatabase;
  readonly #kinds: readonly Kind[];

  constructor(database: StoreDatabase, kinds: readonly Kind[]) {
    this.#database = database;
    this.#kinds = kinds;
  }

  dueAt(): number | undefined {
    const times = this.#kinds.flatMap((kind) => kind.dueAt() ?? []);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  work(now: number): void {
    for (const kind of this.#kinds) kind.work(now, this.#database);
  }
}

/** Segments, or packs: what they are is forgotten here. */
type Kind = Pick<MergingOf<Mergeable>, 'dueAt' | 'work'>;

/** Merges rows of one kind. */
export class MergingOf<Outline extends Mergeable> {
  readonly #rows: MergeableRows<Outline>;
  /** No bite before this time, ms: merging leaves the object to others in between. */
  #nextBiteAt = 0;

  constructor(rows: MergeableRows<Outline>) {
    this.#rows = rows;
  }

  dueAt(): number | undefined {
    const { count, first } = this.#rows.unmerged();
    if (count < MERGE_SEGMENTS || first === undefined) return undefined;
    return Math.max(eventIdTime(first) + MERGE_WAIT_MS, this.#nextBiteAt);
  }

  work(now: number, database: StoreDatabase): void {
    const due = this.dueAt();
    if (due === undefined || due > now) return;
    try {
      database.transaction(() => this.#merge(now));
      this.#nextBiteAt = now + MERGE_STEP_MS;
    } finally {
      this.#rows.forgetUnmerged();
    }
  }

  #merge(now: number): void {
    let passed: string | undefined;
    let bytes = 0;
    const rested = this.#rows.unmergedBefore(eventIdFloor(now - MERGE_AGE_MS), SEGMENT_MAX_EVENTS);
    for (const group of mergeable(rested, (first, next) => this.#rows.mayJoin(first, next))) {
      if (bytes >= MERGE_MAX_BYTES) break;
      passed = group.at(-1)?.last_id;
      if (group.length === 1) continue;
      const entries = group.flatMap((outline) => this.#rows.entries(outline));
      this.#rows.replace(group, pack(entries));
      bytes += group.reduce((sum, outline) => sum + outline.bytes, 0);
    }
    if (passed !== undefined) this.#rows.markMerged(passed);
  }
}

/** Rows in order of their last ids, in groups each of which can become one row. */
function* mergeable<Outline extends Mergeable>(
  outlines: readonly Outline[],
  mayJoin: (first: Outline, next: Outline) => boolean,
): Iterable<readonly Outline[]> {
  let group: Outline[] = [];
  let [from, events, bytes] = [Number.POSITIVE_INFINITY, 0, 0];
  for (const outline of outlines) {
    from = Math.min(from, eventIdTime(outline.first_id));
    events += outline.events;
    bytes += outline.bytes;
    const spans = eventIdTime(outline.last_id) - from;
    const isTooLarge = spans > SEGMENT_SPAN_MS || events > SEGMENT_MAX_EVENTS || bytes > SEGMENT_MAX_BYTES;
    const [first] = group;
    if (isTooLarge || (first !== undefined && !mayJoin(first, outline))) {
      if (group.length > 0) yield group;
      group = [];
      [from, events, bytes] = [eventIdTime(outline.first_id), outline.events, outline.bytes];
    }
    group.push(outline);
  }
  if (group.length > 0) yield group;
}
