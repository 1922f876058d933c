/** Segments as rows: tables `segments` and `merged`. What is in a segment is the business of segments.ts and packing.ts. */
import type { Binding, StoreDatabase } from '../database.ts';
import { MERGE_SEGMENTS } from '../tuning.ts';
import type { Ledger } from './figure-ledger.ts';
import type { MergeableRows } from './merging.ts';
import { type Entry, entryOf, IdList, type Segment, unpack } from './packing.ts';
import { Total } from './total.ts';

/** A segment without its content. */
type Outline = { last_id: string; first_id: string; events: number };

type AgedOutline = Outline & { accepted_from: number; accepted_until: number };

export type SizedOutline = Outline & { bytes: number };

const OUTLINE = 'last_id, first_id, events';
const AGES = 'accepted_from, accepted_until';
const COLUMNS = 'last_id, first_id, events, accepted_from, accepted_until, bytes, ids, content';
const VALUES = '?, ?, ?, ?, ?, ?, ?, ?';

function valuesOf(segment: Segment): Binding[] {
  const { lastId, firstId, events, acceptedFrom, acceptedUntil, bytes, ids, content } = segment;
  return [lastId, firstId, events, acceptedFrom, acceptedUntil, bytes, ids, content];
}

export class SegmentRows implements MergeableRows<SizedOutline> {
  readonly #database: StoreDatabase;
  readonly #ledger: Ledger;
  readonly #total: Total;
  /** Segments that no merge has seen, counted up to `MERGE_SEGMENTS`, and the first of them. Unknown after waking. */
  #unmerged: { count: number; first: string | undefined } | undefined;
  #mergedUpTo: string | undefined;

  constructor(database: StoreDatabase, ledger: Ledger) {
    this.#database = database;
    this.#ledger = ledger;
    this.#total = new Total(database, {
      name: 'segments',
      key: 'last_id',
      events: 'events',
      counted: 'segments_counted',
    });
    database.whenRolledBack(() => {
      this.forgetUnmerged();
      this.#mergedUpTo = undefined;
    });
  }

  /** Adds segments with deliveries that are in no segment yet. */
  add(segments: readonly Segment[]): void {
    this.#insert(segments);
    this.#ledger.added(segments);
  }

  /** The nearest segments below an id that may grow, the greatest last id first: no merge has seen them, and they are in no figures. */
  growable(after: string, before: string, limit: number): SizedOutline[] {
    const from = [after, this.mergedUpTo(), this.#ledger.days.upTo].toSorted().at(-1) ?? '';
    return this.#database.rows<SizedOutline>(
      `SELECT ${OUTLINE}, bytes FROM segments WHERE last_id > ? AND last_id < ? ORDER BY last_id DESC LIMIT ?`,
      from,
      before,
      limit,
    );
  }

  /** Writes a segment, with what was in it and more, over its row. That is one row written, though its key changes (0044). */
  grow({ last_id, events }: Outline, segment: Segment): void {
    const update = `UPDATE segments SET (${COLUMNS}) = (${VALUES}) WHERE last_id = ?`;
    this.#database.run(update, ...valuesOf(segment), last_id);
    if (this.#unmerged?.first === last_id) this.#unmerged = { ...this.#unmerged, first: segment.lastId };
    this.#total.grew({ key: last_id, events }, { key: segment.lastId, events: segment.events });
    this.#ledger.grew(segment, segment.events - events);
  }

  #insert(segments: readonly Segment[]): void {
    for (const segment of segments) {
      this.#database.run(`INSERT INTO segments (${COLUMNS}) VALUES (${VALUES})`, ...valuesOf(segment));
      const { lastId } = segment;
      if (this.#unmerged !== undefined) {
        const { count, first = lastId } = this.#unmerged;
        this.#unmerged = { count: count + 1, first };
      }
    }
    this.#total.changed(
      segments.map(({ lastId, events }) => ({ key: lastId, events })),
      1,
    );
  }

  delete(outlines: readonly Outline[]): void {
    this.#database.run(
      'DELETE FROM segments WHERE last_id IN (SELECT value FROM json_each(?))',
      JSON.stringify(outlines.map(({ last_id }) => last_id)),
    );
    this.#total.changed(
      outlines.map(({ last_id, events }) => ({ key: last_id, events })),
      -1,
    );
  }

  /** The ids of a segment, in order. */
  ids({ last_id, events }: Outline): IdList {
    if (events === 1) return IdList.of(last_id);
    const row = this.#database.first<{ ids: ArrayBuffer }>(
      'SELECT ids FROM segments WHERE last_id = ?',
      last_id,
    );
    if (row === undefined) throw new Error('a segment is gone');
    return new IdList(new Uint8Array(row.ids));
  }

  /** The texts of a segment's entries, in the order of its ids. */
  texts(lastId: string): string[] {
    const query = 'SELECT content FROM segments WHERE last_id = ?';
    const row = this.#database.first<{ content: ArrayBuffer }>(query, lastId);
    if (row === undefined) throw new Error('a segment is gone');
    return unpack(new Uint8Array(row.content));
  }

  /** Everything in a segment. */
  entries(outline: Outline): Entry[] {
    const ids = this.ids(outline);
    return this.texts(outline.last_id).map((text, index) => entryOf(ids.at(index), text));
  }

  /** The segments with these last ids, as far as they are there. */
  of(lastIds: readonly string[]): SizedOutline[] {
    return this.#database.rows<SizedOutline>(
      `SELECT ${OUTLINE}, bytes FROM segments WHERE last_id IN (SELECT value FROM json_each(?))`,
      JSON.stringify(lastIds),
    );
  }

  /** Segments whose first id is at most `firstUntil`, and whose last id is from `lastFrom` to `lastUntil`. */
  around(lastFrom: string, lastUntil: string, firstUntil: string): Outline[] {
    return this.#database.rows<Outline>(
      `SELECT ${OUTLINE} FROM segments WHERE last_id >= ? AND last_id <= ? AND first_id <= ?`,
      lastFrom,
      lastUntil,
      firstUntil,
    );
  }

  /**
   * The next segments after a last id, up to `lastUntil`, that begin before `firstBefore`; in order of their last ids. Those whose
   * events were all accepted by `acceptedUntil` are left out.
   */
  after(
    lastId: string,
    lastUntil: string,
    firstBefore: string,
    acceptedUntil: number,
    limit: number,
  ): AgedOutline[] {
    return this.#database.rows<AgedOutline>(
      `SELECT ${OUTLINE}, ${AGES} FROM segments
       WHERE last_id > ? AND last_id <= ? AND first_id < ? AND accepted_until > ? ORDER BY last_id LIMIT ?`,
      lastId,
      lastUntil,
      firstBefore,
      acceptedUntil,
      limit,
    );
  }

  /** The next segments below a last id, down to above `lastAbove`, the greatest first; otherwise as `after`. */
  below(
    lastId: string,
    lastAbove: string,
    firstBefore: string,
    acceptedUntil: number,
    limit: number,
  ): AgedOutline[] {
    return this.#database.rows<AgedOutline>(
      `SELECT ${OUTLINE}, ${AGES} FROM segments
       WHERE last_id < ? AND last_id > ? AND first_id < ? AND accepted_until > ? ORDER BY last_id DESC LIMIT ?`,
      lastId,
      lastAbove,
      firstBefore,
      acceptedUntil,
      limit,
    );
  }

  /** How many deliveries are in segments that were accepted by a time as a whole, and whose last id is before `before`. */
  countWhollyUntil(time: number, before: string): number {
    const query = 'SELECT sum(events) AS n FROM segments WHERE last_id < ? AND accepted_until <= ?';
    return this.#database.first<{ n: number | null }>(query, before, time)?.n ?? 0;
  }

  /** Segments accepted partly before and partly after a time, whose last id is before `before`. */
  acceptedAroundBefore(time: number, before: string): Outline[] {
    return this.#database.rows<Outline>(
      `SELECT ${OUTLINE} FROM segments WHERE last_id < ? AND accepted_from <= ? AND accepted_until > ?`,
      before,
      time,
      time,
    );
  }

  /** Segments whose events were all accepted at a time or before, and whose last id is before `before`. */
  acceptedUntil(time: number, before: string, limit: number): Outline[] {
    return this.#database.rows<Outline>(
      `SELECT ${OUTLINE} FROM segments WHERE last_id < ? AND accepted_until <= ? ORDER BY last_id LIMIT ?`,
      before,
      time,
      limit,
    );
  }

  /** The segment with the greatest id of a packed delivery. */
  newest(): Outline | undefined {
    return this.#database.first<Outline>(`SELECT ${OUTLINE} FROM segments ORDER BY last_id DESC LIMIT 1`);
  }

  /** The greatest id of a packed delivery; empty when there is none. */
  greatestId(): string {
    return this.newest()?.last_id ?? '';
  }

  /** How many deliveries are packed. */
  total(): number {
    return this.#total.read();
  }

  /** How many deliveries are in segments that were accepted after a time as a whole. */
  countWhollyAfter(time: number): number {
    const query = 'SELECT sum(events) AS n FROM segments WHERE accepted_from > ?';
    return this.#database.first<{ n: number | null }>(query, time)?.n ?? 0;
  }

  /** Segments accepted partly before and partly after a time. */
  acceptedAround(time: number): Outline[] {
    return this.#database.rows<Outline>(
      `SELECT ${OUTLINE} FROM segments WHERE accepted_from <= ? AND accepted_until > ?`,
      time,
      time,
    );
  }

  /** When the newest event of the first segment was accepted, ms. */
  oldestAcceptance(): number | undefined {
    const query = 'SELECT accepted_until AS at FROM segments ORDER BY last_id LIMIT 1';
    return this.#database.first<{ at: number }>(query)?.at;
  }

  // --- Merging ----------------------------------------------------------------------------------------

  /** How many segments no merge has seen, counted up to `MERGE_SEGMENTS`, and the last id of the first of them. */
  unmerged(): { readonly count: number; readonly first: string | undefined } {
    this.#unmerged ??= this.#countUnmerged();
    return this.#unmerged;
  }

  /** Segments that no merge has seen and whose last id is before `before`. */
  unmergedBefore(before: string, limit: number): SizedOutline[] {
    return this.between(this.mergedUpTo(), before, limit);
  }

  /** Any neighbours may share a segment. */
  mayJoin(): boolean {
    return true;
  }

  replace(outlines: readonly Outline[], segments: readonly Segment[]): void {
    this.#ledger.replaced(outlines, segments, (outline) => this.entries(outline));
    this.delete(outlines);
    this.#insert(segments);
  }

  /** The next segments after a last id whose last id is before `before`. */
  between(lastId: string, before: string, limit: number): SizedOutline[] {
    return this.#database.rows<SizedOutline>(
      `SELECT ${OUTLINE}, bytes FROM segments WHERE last_id > ? AND last_id < ? ORDER BY last_id LIMIT ?`,
      lastId,
      before,
      limit,
    );
  }

  /** A merge has seen all segments up to this last id. */
  markMerged(lastId: string): void {
    this.#database.run('INSERT OR REPLACE INTO merged (one, up_to) VALUES (1, ?)', lastId);
    this.#mergedUpTo = lastId;
  }

  /** Merging has seen all segments up to this last id; empty when it has seen none. */
  mergedUpTo(): string {
    this.#mergedUpTo ??= this.#database.first<{ up_to: string }>('SELECT up_to FROM merged')?.up_to ?? '';
    return this.#mergedUpTo;
  }

  /** The count of unmerged segments is out of date. */
  forgetUnmerged(): void {
    this.#unmerged = undefined;
  }

  #countUnmerged() {
    const rows = this.#database.rows<{ last_id: string }>(
      'SELECT last_id FROM segments WHERE last_id > ? ORDER BY last_id LIMIT ?',
      this.mergedUpTo(),
      MERGE_SEGMENTS,
    );
    return { count: rows.length, first: rows[0]?.last_id };
  }
}
