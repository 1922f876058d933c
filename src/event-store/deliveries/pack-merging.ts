/** Packs as merging works on them: those of one group at a time, of the group whose small packs are the oldest. */
import { HOUR_MS } from '../../domain/limits.ts';
import { MERGE_SEGMENTS, SEGMENT_SPAN_MS } from '../tuning.ts';
import type { MergeableRows } from './merging.ts';
import type { PackGroup, PackGroups } from './pack-groups.ts';
import { bitsOf, hasBit } from './pack-places.ts';
import type { PackRows } from './pack-rows.ts';
import type { PackOutline } from './pack-scan.ts';
import { type Entry, entryOf, type Segment } from './packing.ts';

export class PackMerging implements MergeableRows<PackOutline> {
  readonly #rows: PackRows;
  readonly #groups: PackGroups;
  /** The group whose packs were read last. */
  #current: PackGroup | undefined;

  constructor(rows: PackRows, groups: PackGroups) {
    this.#rows = rows;
    this.#groups = groups;
  }

  unmerged(): { readonly count: number; readonly first: string | undefined } {
    const group = this.#next();
    return group === undefined ? { count: 0, first: undefined } : this.#rows.unmerged(group);
  }

  unmergedBefore(before: string, limit: number): PackOutline[] {
    this.#current = this.#next();
    return this.#current === undefined ? [] : this.#rows.unmergedBefore(this.#current, before, limit);
  }

  /** Packs keep to an hour, because deliveries are counted by hours, and what is in one fails at one time. */
  mayJoin(first: PackOutline, next: PackOutline): boolean {
    const isOfOneHour =
      Math.floor(first.accepted_from / HOUR_MS) === Math.floor(next.accepted_from / HOUR_MS);
    return isOfOneHour && Math.abs(first.held_until - next.held_until) <= SEGMENT_SPAN_MS;
  }

  /** What is in a pack, without the deliveries that were taken out. */
  entries(pack: PackOutline): Entry[] {
    const ids = this.#rows.ids(pack);
    const gone = bitsOf(pack);
    const texts = this.#rows.texts(pack);
    return texts.flatMap((text, index) => (hasBit(gone, index) ? [] : entryOf(ids.at(index), text)));
  }

  replace(packs: readonly PackOutline[], segments: readonly Segment[]): void {
    const [first] = packs;
    if (first !== undefined) this.#rows.replace(this.#groups.get(first.group_number), packs, segments);
  }

  markMerged(lastId: string): void {
    if (this.#current !== undefined) this.#groups.markMerged(this.#current.number, lastId);
  }

  forgetUnmerged(): void {
    this.#rows.forgetUnmerged();
  }

  /**
   * The group that has enough small packs, of which the first is the oldest. Packs that have waited too long stay as they are: when they
   * failed is their deadline.
   */
  #next(): PackGroup | undefined {
    const all = this.#groups.all().flatMap((group) => {
      if (group.reason !== null && group.failed_at === null) return [];
      const { count, first } = this.#rows.unmerged(group);
      return count < MERGE_SEGMENTS || first === undefined ? [] : [{ group, first }];
    });
    return all.sort((a, b) => (a.first < b.first ? -1 : 1))[0]?.group;
  }
}
