/** Packs as rows: table `packs`. What they mean is the business of packs.ts. */
import type { StoreDatabase } from '../database.ts';
import { MERGE_SEGMENTS } from '../tuning.ts';
import { AFTER_ALL } from './near-ids.ts';
import type { PackGroup, PackGroups } from './pack-groups.ts';
import { type PackOutline, PackScan } from './pack-scan.ts';
import { heldUntilOf, IdList, type Segment, unpack } from './packing.ts';

const OUTLINE =
  'group_number, last_id, first_id, events, present, accepted_from, accepted_until, held_until, bytes, gone';

export class PackRows {
  readonly #database: StoreDatabase;
  readonly #groups: PackGroups;
  /** Packs of each group that no merge has seen, counted up to `MERGE_SEGMENTS`, and the first of them. Unknown after waking. */
  readonly #unmerged = new Map<number, { count: number; first: string | undefined }>();
  /** The texts of the pack that was read last: a drain step reads the same one several times. */
  readonly #scan = new PackScan((number, lastId, limit) =>
    this.#after(number, lastId, AFTER_ALL, AFTER_ALL, -1, limit),
  );
  #lastRead: { readonly key: string; readonly texts: readonly string[] } | undefined;

  constructor(database: StoreDatabase, groups: PackGroups) {
    this.#database = database;
    this.#groups = groups;
    database.whenRolledBack(() => {
      this.#forgetContent();
      this.forgetUnmerged();
    });
  }

  /** Whether a group has a pack with this last id. */
  has({ number }: PackGroup, lastId: string): boolean {
    const query = 'SELECT last_id FROM packs WHERE group_number = ? AND last_id = ?';
    return this.#database.first(query, number, lastId) !== undefined;
  }

  insert({ number }: PackGroup, segments: readonly Segment[]): void {
    for (const {
      firstId,
      lastId,
      events,
      acceptedFrom,
      acceptedUntil,
      bytes,
      ids,
      content,
      entries,
    } of segments) {
      this.#database.run(
        `INSERT INTO packs (${OUTLINE}, ids, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)`,
        number,
        lastId,
        firstId,
        events,
        events,
        acceptedFrom,
        acceptedUntil,
        Math.max(...entries.map(({ text }) => heldUntilOf(text))),
        bytes,
        ids,
        content,
      );
      const unmerged = this.#unmerged.get(number);
      if (unmerged !== undefined) {
        const { count, first = lastId } = unmerged;
        this.#unmerged.set(number, { count: count + 1, first });
      }
    }
    this.#forgetContent();
  }

  /** Deletes packs, and their groups when nothing is left in them. */
  delete(outlines: readonly PackOutline[]): void {
    for (const [number, some] of Map.groupBy(outlines, (outline) => outline.group_number)) {
      this.#delete(number, some);
      this.#endIfEmpty(number);
    }
  }

  /** Writes packs in place of others of their group. */
  replace(group: PackGroup, outlines: readonly PackOutline[], segments: readonly Segment[]): void {
    this.#delete(group.number, outlines);
    this.insert(group, segments);
  }

  /** Writes which deliveries of a pack are gone. */
  setGone(pack: PackOutline, gone: Uint8Array, present: number): void {
    const { group_number, last_id } = pack;
    this.#database.run(
      'UPDATE packs SET gone = ?, present = ? WHERE group_number = ? AND last_id = ?',
      gone,
      present,
      group_number,
      last_id,
    );
    this.#scan.note({ ...pack, gone: new Uint8Array(gone).buffer, present });
  }

  /** Puts a pack into another group. */
  move({ group_number, last_id }: PackOutline, to: PackGroup): void {
    this.#database.run(
      'UPDATE packs SET group_number = ? WHERE group_number = ? AND last_id = ?',
      to.number,
      group_number,
      last_id,
    );
    this.#endIfEmpty(group_number);
    this.#forgetContent();
    this.forgetUnmerged();
  }

  setDeadline({ group_number, last_id }: PackOutline, at: number): void {
    this.#database.run(
      'UPDATE packs SET held_until = ? WHERE group_number = ? AND last_id = ?',
      at,
      group_number,
      last_id,
    );
    this.#scan.forget();
  }

  /** The ids of a pack, in order, those that are gone included. */
  ids({ group_number, last_id, events }: PackOutline): IdList {
    if (events === 1) return IdList.of(last_id);
    const query = 'SELECT ids FROM packs WHERE group_number = ? AND last_id = ?';
    const row = this.#database.first<{ ids: ArrayBuffer }>(query, group_number, last_id);
    if (row === undefined) throw new Error('a pack is gone');
    return new IdList(new Uint8Array(row.ids));
  }

  /** The texts of a pack's deliveries, in the order of its ids. */
  texts({ group_number, last_id }: PackOutline): readonly string[] {
    const key = `${group_number} ${last_id}`;
    if (this.#lastRead?.key === key) return this.#lastRead.texts;
    const query = 'SELECT content FROM packs WHERE group_number = ? AND last_id = ?';
    const row = this.#database.first<{ content: ArrayBuffer }>(query, group_number, last_id);
    if (row === undefined) throw new Error('a pack is gone');
    const texts = unpack(new Uint8Array(row.content));
    this.#lastRead = { key, texts };
    return texts;
  }

  /** Packs of a group that no merge has seen and whose last id is before `before`. */
  unmergedBefore({ number, merged_up_to }: PackGroup, before: string, limit: number): PackOutline[] {
    return this.#database.rows<PackOutline>(
      `SELECT ${OUTLINE} FROM packs WHERE group_number = ? AND last_id > ? AND last_id < ? ORDER BY last_id LIMIT ?`,
      number,
      merged_up_to,
      before,
      limit,
    );
  }

  /** Packs of any group whose first id is at most `firstUntil`, and whose last id is from `lastFrom` to `lastUntil`. */
  around(lastFrom: string, lastUntil: string, firstUntil: string): PackOutline[] {
    const found: PackOutline[] = [];
    const others: number[] = [];
    for (const { number } of this.#groups.all()) {
      const kept = this.#scan.between(number, lastFrom, lastUntil);
      if (kept === undefined) others.push(number);
      else found.push(...kept.filter(({ first_id }) => first_id <= firstUntil));
    }
    if (others.length === 0) return found;
    const read = this.#database.rows<PackOutline>(
      `SELECT ${OUTLINE} FROM packs WHERE group_number IN (SELECT value FROM json_each(?))
         AND last_id >= ? AND last_id <= ? AND first_id <= ?`,
      JSON.stringify(others),
      lastFrom,
      lastUntil,
      firstUntil,
    );
    return [...found, ...read];
  }

  /** All packs of a group after a last id, in order of their last ids. Further questions of a caller that goes on from there read little. */
  scan({ number }: PackGroup, lastId: string): Generator<PackOutline> {
    return this.#scan.after(number, lastId);
  }

  /** The next packs of a group after a last id, up to `lastUntil`, that begin before `firstBefore`, with a deadline after `heldAfter`. */
  after({ number }: PackGroup, ...bounds: [string, string, string, number, number]): PackOutline[] {
    return this.#after(number, ...bounds);
  }

  #after(
    number: number,
    lastId: string,
    lastUntil: string,
    firstBefore: string,
    heldAfter: number,
    limit: number,
  ): PackOutline[] {
    return this.#database.rows<PackOutline>(
      `SELECT ${OUTLINE} FROM packs WHERE group_number = ? AND last_id > ? AND last_id <= ? AND first_id < ?
         AND held_until > ? ORDER BY last_id LIMIT ?`,
      number,
      lastId,
      lastUntil,
      firstBefore,
      heldAfter,
      limit,
    );
  }

  /** As `after`, but downwards: the next packs of a group below a last id, whose last id is above `lastAfter`. */
  below(
    { number }: PackGroup,
    lastId: string,
    lastAfter: string,
    firstBefore: string,
    heldAfter: number,
    limit: number,
  ): PackOutline[] {
    return this.#database.rows<PackOutline>(
      `SELECT ${OUTLINE} FROM packs WHERE group_number = ? AND last_id < ? AND last_id > ? AND first_id < ?
         AND held_until > ? ORDER BY last_id DESC LIMIT ?`,
      number,
      lastId,
      lastAfter,
      firstBefore,
      heldAfter,
      limit,
    );
  }

  /** The greatest id of a packed delivery; empty when there is none. */
  greatestId(): string {
    const greatest = this.#groups.all().map(({ number }) => {
      const query = 'SELECT last_id FROM packs WHERE group_number = ? ORDER BY last_id DESC LIMIT 1';
      return this.#database.first<{ last_id: string }>(query, number)?.last_id ?? '';
    });
    return greatest.sort().at(-1) ?? '';
  }

  /** The packs of a group whose time is over first: the first deadlines up to a time. */
  dueUntil({ number }: PackGroup, time: number, limit: number): PackOutline[] {
    return this.#database.rows<PackOutline>(
      `SELECT ${OUTLINE} FROM packs INDEXED BY pack_deadlines WHERE group_number = ? AND held_until <= ?
       ORDER BY held_until LIMIT ?`,
      number,
      time,
      limit,
    );
  }

  /** The earliest deadline of a group, ms. */
  earliestDeadline({ number }: PackGroup): number | undefined {
    const query = 'SELECT min(held_until) AS at FROM packs INDEXED BY pack_deadlines WHERE group_number = ?';
    return this.#database.first<{ at: number | null }>(query, number)?.at ?? undefined;
  }

  /** The first packs of a group. */
  oldest({ number }: PackGroup, limit: number): PackOutline[] {
    const query = `SELECT ${OUTLINE} FROM packs WHERE group_number = ? ORDER BY last_id LIMIT ?`;
    return this.#database.rows<PackOutline>(query, number, limit);
  }

  /** How many deliveries are in the packs of a group, or in those whose deadline was at a time or before. */
  count({ number }: PackGroup, heldUntil = Number.MAX_SAFE_INTEGER): number {
    const query = 'SELECT sum(present) AS n FROM packs WHERE group_number = ? AND held_until <= ?';
    return this.#database.first<{ n: number | null }>(query, number, heldUntil)?.n ?? 0;
  }

  // --- Merging ----------------------------------------------------------------------------------------

  /** How many packs of a group no merge has seen, counted up to `MERGE_SEGMENTS`, and the last id of the first of them. */
  unmerged(group: PackGroup): { readonly count: number; readonly first: string | undefined } {
    const known = this.#unmerged.get(group.number);
    if (known !== undefined) return known;
    const rows = this.#database.rows<{ last_id: string }>(
      'SELECT last_id FROM packs WHERE group_number = ? AND last_id > ? ORDER BY last_id LIMIT ?',
      group.number,
      group.merged_up_to,
      MERGE_SEGMENTS,
    );
    const counted = { count: rows.length, first: rows[0]?.last_id };
    this.#unmerged.set(group.number, counted);
    return counted;
  }

  /** The counts of unmerged packs are out of date. */
  forgetUnmerged(): void {
    this.#unmerged.clear();
  }

  // --- Inside -----------------------------------------------------------------------------------------

  #delete(number: number, outlines: readonly PackOutline[]): void {
    this.#database.run(
      'DELETE FROM packs WHERE group_number = ? AND last_id IN (SELECT value FROM json_each(?))',
      number,
      JSON.stringify(outlines.map(({ last_id }) => last_id)),
    );
    this.#forgetContent();
  }

  #forgetContent(): void {
    this.#lastRead = undefined;
    this.#scan.forget();
  }

  #endIfEmpty(number: number): void {
    const isLeft = this.#database.first('SELECT last_id FROM packs WHERE group_number = ? LIMIT 1', number);
    if (isLeft !== undefined) return;
    this.#groups.end(number);
    this.#unmerged.delete(number);
  }
}
