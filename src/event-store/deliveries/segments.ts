/**
 * # Segments: deliveries that were final at their first attempt, many to a row
 *
 * A row written is what a delivery costs, and its token what a store has room for. What succeeded at once never changes
 * again, so the successes of one `settle` go into one row together, compressed (packing.ts); only what is open or failed
 * keeps a row of its own. An id stands in one of the two places, never in both.
 *
 * Rows are keyed by their last id. Ids of one segment lie within a bounded time, so a search for an id looks only at those
 * whose last one is not much younger; and because new events have the youngest ids, asking whether they are known
 * looks at next to none. Segments overlap where batches did.
 *
 * Small ones are merged once they have come to rest, a bite in each alarm. What is merged is written with what it
 * replaces deleted, and with the cursor, in one transaction: a merge that dies did nothing.
 */
import type { Delivery } from '../../domain/delivery.ts';
import { eventIdFloor, eventIdTime } from '../../domain/ids.ts';
import {
  MERGE_AGE_MS,
  MERGE_MAX_BYTES,
  MERGE_SEGMENTS,
  SEGMENT_MAX_BYTES,
  SEGMENT_MAX_EVENTS,
  SEGMENT_SPAN_MS,
} from '../tuning.ts';
import {
  acceptedAtOf,
  type Entry,
  entryOf,
  fromEntry,
  IdList,
  pack,
  type Segment,
  unpack,
} from './packing.ts';
import { Total } from './total.ts';

/** A segment without its content. */
type Outline = { last_id: string; first_id: string; events: number };

type Sized = Outline & { bytes: number };

/** Where a packed delivery stands. */
interface Place {
  readonly eventId: string;
  readonly lastId: string;
  readonly index: number;
}

const OUTLINE = 'last_id, first_id, events';
/** Ids this close to each other are looked for together. */
const SEARCHED_TOGETHER_MS = 60_000;
const OUTLINES_CHUNK = 200;
const NOTHING = '';
const EVERYTHING = '~';

export class Segments {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  readonly #total: Total;
  /** Segments no merge has seen, counted up to `MERGE_SEGMENTS`, and the first of them; unknown after waking. */
  #unmerged: { count: number; first: string | undefined } | undefined;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#total = new Total(storage.sql, {
      name: 'segments',
      key: 'last_id',
      events: 'events',
      counted: 'segments_counted',
    });
  }

  /** Adds deliveries whose ids are not stored yet: one row, but for large ones. */
  add(entries: readonly Entry[]): void {
    this.#insert(pack(entries));
  }

  /** Which of these events are packed here. */
  known(eventIds: readonly string[]): Set<string> {
    return new Set(this.#places(eventIds).map(({ eventId }) => eventId));
  }

  /** Packed deliveries of these ids; their SETs lack the signature. */
  find(eventIds: readonly string[]): Delivery[] {
    return this.#read(this.#places(eventIds));
  }

  /** The first deliveries between two ids, both excluded, in order of event id. */
  page(after: string | undefined, before: string | undefined, limit: number): Delivery[] {
    const places: Place[] = [];
    for (const outline of this.#outlines(after, before)) {
      const bound = places[limit - 1]?.eventId;
      if (bound !== undefined && outline.last_id > reach(bound)) break;
      if (bound !== undefined && outline.first_id > bound) continue;
      const ids = this.#ids(outline);
      const [start, end] = ids.between(after ?? NOTHING, before ?? EVERYTHING);
      for (let index = start; index < Math.min(end, start + limit); index++) {
        places.push({ eventId: ids.at(index), lastId: outline.last_id, index });
      }
      places.sort(byEventId);
      places.splice(limit);
    }
    return this.#read(places);
  }

  /** How many deliveries are packed. */
  total(): number {
    return this.#total.read();
  }

  /** How many of them were accepted after a time. */
  countAcceptedAfter(time: number): number {
    const whole = this.#sql
      .exec<{ n: number | null }>('SELECT sum(events) AS n FROM segments WHERE accepted_from > ?', time)
      .one().n;
    const split = this.#sql
      .exec<Outline>(
        `SELECT ${OUTLINE} FROM segments WHERE accepted_from <= ? AND accepted_until > ?`,
        time,
        time,
      )
      .toArray();
    return split.reduce(
      (sum, { last_id }) => sum + this.#texts(last_id).filter((text) => acceptedAtOf(text) > time).length,
      whole ?? 0,
    );
  }

  /** When the youngest event of the first segment was accepted, ms. */
  oldestAcceptance(): number | undefined {
    return this.#sql
      .exec<{ at: number }>('SELECT accepted_until AS at FROM segments ORDER BY last_id LIMIT 1')
      .toArray()[0]?.at;
  }

  /**
   * Deletes segments whose events were all accepted at a time or before.
   * @param before an id that none of them reaches
   * @returns whether there may be more
   */
  deleteAccepted(until: number, before: string, limit: number): boolean {
    const old = this.#sql
      .exec<Outline>(
        `SELECT ${OUTLINE} FROM segments WHERE last_id < ? AND accepted_until <= ? ORDER BY last_id LIMIT ?`,
        before,
        until,
        limit,
      )
      .toArray();
    if (old.length > 0) this.#delete(old);
    return old.length === limit;
  }

  /** When `merge` should be called, ms; `undefined` while there is too little to merge. */
  mergeDue(): number | undefined {
    const { count, first } = this.#toMerge();
    return count < MERGE_SEGMENTS || first === undefined ? undefined : eventIdTime(first) + MERGE_AGE_MS;
  }

  /** Merges one bite of small segments that have come to rest. */
  merge(now: number): void {
    const due = this.mergeDue();
    if (due === undefined || due > now) return;
    try {
      this.#storage.transactionSync(() => this.#merge(now));
    } finally {
      this.forget();
    }
  }

  /** Forgets what stands in memory: rows were rolled back, or everything was deleted. */
  forget(): void {
    this.#unmerged = undefined;
    this.#total.forget();
  }

  // --- Inside -------------------------------------------------------------------------------------------

  #merge(now: number): void {
    let passed: string | undefined;
    let bytes = 0;
    for (const group of mergeable(this.#rested(now))) {
      if (bytes >= MERGE_MAX_BYTES) break;
      passed = group.at(-1)?.last_id;
      if (group.length === 1) continue;
      const entries = group.flatMap((outline) => this.#entries(outline));
      this.#delete(group);
      this.#insert(pack(entries));
      bytes += group.reduce((sum, outline) => sum + outline.bytes, 0);
    }
    if (passed !== undefined)
      this.#sql.exec('INSERT OR REPLACE INTO merged (one, up_to) VALUES (1, ?)', passed);
  }

  /** Segments that no merge has seen and to which nothing is likely to come. */
  #rested(now: number): Sized[] {
    return this.#sql
      .exec<Sized>(
        `SELECT ${OUTLINE}, bytes FROM segments
         WHERE last_id > ? AND last_id < ? ORDER BY last_id LIMIT ?`,
        this.#mergedUpTo(),
        eventIdFloor(now - MERGE_AGE_MS),
        SEGMENT_MAX_EVENTS,
      )
      .toArray();
  }

  #entries(outline: Outline): Entry[] {
    const ids = this.#ids(outline);
    return this.#texts(outline.last_id).map((text, index) => entryOf(ids.at(index), text));
  }

  #insert(segments: readonly Segment[]): void {
    for (const { firstId, lastId, events, acceptedFrom, acceptedUntil, bytes, ids, content } of segments) {
      this.#sql.exec(
        `INSERT INTO segments (last_id, first_id, events, accepted_from, accepted_until, bytes, ids, content)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        lastId,
        firstId,
        events,
        acceptedFrom,
        acceptedUntil,
        bytes,
        ids,
        content,
      );
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

  #delete(outlines: readonly Outline[]): void {
    this.#sql.exec(
      'DELETE FROM segments WHERE last_id IN (SELECT value FROM json_each(?))',
      JSON.stringify(outlines.map(({ last_id }) => last_id)),
    );
    this.#total.changed(
      outlines.map(({ last_id, events }) => ({ key: last_id, events })),
      -1,
    );
  }

  /** Where events stand that are packed here. */
  #places(eventIds: readonly string[]): Place[] {
    const places: Place[] = [];
    for (const near of nearEachOther(eventIds)) {
      const [first = '', last = ''] = [near[0], near.at(-1)];
      const outlines = this.#sql
        .exec<Outline>(
          `SELECT ${OUTLINE} FROM segments WHERE last_id >= ? AND last_id <= ? AND first_id <= ?`,
          first,
          reach(last),
          last,
        )
        .toArray();
      for (const outline of outlines) {
        const ids = this.#ids(outline);
        for (const eventId of near) {
          const index = ids.indexOf(eventId);
          if (index >= 0) places.push({ eventId, lastId: outline.last_id, index });
        }
      }
    }
    return places;
  }

  #read(places: readonly Place[]): Delivery[] {
    const texts = new Map(
      [...new Set(places.map(({ lastId }) => lastId))].map((id) => [id, this.#texts(id)]),
    );
    return places.map(({ eventId, lastId, index }) => fromEntry(eventId, texts.get(lastId)?.[index] ?? ''));
  }

  /** Segments that may have ids between two, in order of their last. */
  *#outlines(after: string | undefined, before: string | undefined): Iterable<Outline> {
    const end = before === undefined ? EVERYTHING : reach(before);
    for (let cursor = after ?? NOTHING; ; ) {
      const chunk = this.#sql
        .exec<Outline>(
          `SELECT ${OUTLINE} FROM segments WHERE last_id > ? AND last_id <= ? AND first_id < ?
           ORDER BY last_id LIMIT ?`,
          cursor,
          end,
          before ?? EVERYTHING,
          OUTLINES_CHUNK,
        )
        .toArray();
      yield* chunk;
      const last = chunk.at(-1);
      if (last === undefined || chunk.length < OUTLINES_CHUNK) return;
      cursor = last.last_id;
    }
  }

  #ids({ last_id, events }: Outline): IdList {
    if (events === 1) return IdList.of(last_id);
    const { ids } = this.#sql
      .exec<{ ids: ArrayBuffer }>('SELECT ids FROM segments WHERE last_id = ?', last_id)
      .one();
    return new IdList(new Uint8Array(ids));
  }

  #texts(lastId: string): string[] {
    const { content } = this.#sql
      .exec<{ content: ArrayBuffer }>('SELECT content FROM segments WHERE last_id = ?', lastId)
      .one();
    return unpack(new Uint8Array(content));
  }

  #toMerge() {
    this.#unmerged ??= this.#countUnmerged();
    return this.#unmerged;
  }

  #countUnmerged() {
    const rows = this.#sql
      .exec<{ last_id: string }>(
        'SELECT last_id FROM segments WHERE last_id > ? ORDER BY last_id LIMIT ?',
        this.#mergedUpTo(),
        MERGE_SEGMENTS,
      )
      .toArray();
    return { count: rows.length, first: rows[0]?.last_id };
  }

  #mergedUpTo(): string {
    return this.#sql.exec<{ up_to: string }>('SELECT up_to FROM merged').toArray()[0]?.up_to ?? NOTHING;
  }
}

/** Segments in order of their last ids, in groups each of which can become one. */
function* mergeable(outlines: readonly Sized[]): Iterable<readonly Sized[]> {
  let group: Sized[] = [];
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

/** The largest last id a segment can have that holds this one. */
function reach(eventId: string): string {
  return eventIdFloor(eventIdTime(eventId) + SEGMENT_SPAN_MS + 1);
}

function byEventId(a: Place, b: Place): number {
  return a.eventId < b.eventId ? -1 : 1;
}

/** Ids in order, in groups that lie close together in time. */
function nearEachOther(eventIds: readonly string[]): string[][] {
  const groups: string[][] = [];
  for (const eventId of eventIds.toSorted()) {
    const group = groups.at(-1);
    const since = group?.[0];
    if (since !== undefined && eventIdTime(eventId) - eventIdTime(since) <= SEARCHED_TOGETHER_MS) {
      group?.push(eventId);
    } else groups.push([eventId]);
  }
  return groups;
}
