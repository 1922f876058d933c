/** Where packed deliveries are: packs.ts looks for them by id, by page and by age. */
import { type Delivery, failHeld } from '../../domain/delivery.ts';
import { EVENT_MAX_AGE_MS } from '../../domain/limits.ts';
import type { Retention } from '../../domain/retention.ts';
import type { Order } from '../rpc.ts';
import { markCounted } from './figure-ledger.ts';
import { AFTER_ALL, BEFORE_ALL, byEventId, nearEachOther, reach } from './near-ids.ts';
import type { PackGroup, PackGroups } from './pack-groups.ts';
import type { PackRows } from './pack-rows.ts';
import type { PackOutline } from './pack-scan.ts';
import { acceptedAtOf, fromHeldEntry } from './packing.ts';
import { RecentIds } from './recent-ids.ts';

/** Where a packed delivery is. */
export interface Place {
  readonly eventId: string;
  readonly pack: PackOutline;
  readonly index: number;
}

/** Packs that the first query of a page reads. Each further one reads twice as many. */
const FIRST_CHUNK = 2;

/** What a page asks for. */
interface Bounds {
  /** Of the event ids; ascending without it. */
  readonly order?: Order | undefined;
  readonly after?: string | undefined;
  readonly before?: string | undefined;
  /** Absent: deliveries that have expired, too. */
  readonly retention?: Retention;
}

/** Before every time, ms. */
export const BEFORE_EVERY_TIME = -1;

export class PackPlaces {
  readonly #rows: PackRows;
  readonly #groups: PackGroups;
  #recentIds: RecentIds | undefined;

  constructor(rows: PackRows, groups: PackGroups) {
    this.#rows = rows;
    this.#groups = groups;
  }

  /** Deliveries of these ids are being added. */
  note(eventIds: readonly string[]): void {
    this.#recent.add(eventIds);
  }

  /** Where these events are, as far as they are packed here. */
  of(eventIds: readonly string[]): Place[] {
    if (this.#groups.all().length === 0) return [];
    const places: Place[] = [];
    const packs = new Map<string, PackOutline>();
    const recent = this.#recent;
    for (const near of nearEachOther(eventIds.filter((eventId) => recent.mayHave(eventId)))) {
      const [first = '', last = ''] = [near[0], near.at(-1)];
      for (const found of this.#rows.around(first, reach(last), last)) {
        // Ids that are searched apart may be in one pack.
        const key = `${found.group_number} ${found.last_id}`;
        const pack = packs.get(key) ?? found;
        packs.set(key, pack);
        const ids = this.#rows.ids(pack);
        const gone = bitsOf(pack);
        for (const eventId of near) {
          const index = ids.indexOf(eventId);
          if (index >= 0 && !hasBit(gone, index)) places.push({ eventId, pack, index });
        }
      }
    }
    return places;
  }

  /** Where the deliveries of the oldest packs are. Packs may overlap, so others may be a little older. */
  oldest(groups: readonly PackGroup[], limit: number): Place[] {
    const places = groups.flatMap((group) => {
      const some: Place[] = [];
      for (const pack of this.#outlines(group, false, BEFORE_ALL, AFTER_ALL, BEFORE_EVERY_TIME)) {
        some.push(...this.present(pack).slice(0, limit - some.length));
        if (some.length === limit) break;
      }
      return some;
    });
    return places.sort(byEventId).slice(0, limit);
  }

  /** Where the first deliveries of groups are, in the order of the bounds. */
  first(groups: readonly PackGroup[], bounds: Bounds, limit: number): Place[] {
    return groups
      .flatMap((group) => this.#firstOf(group, bounds, limit))
      .sort(inOrder(bounds.order))
      .slice(0, limit);
  }

  #firstOf(
    group: PackGroup,
    { order, after = BEFORE_ALL, before = AFTER_ALL, retention }: Bounds,
    limit: number,
  ): Place[] {
    const isExpiring = retention !== undefined && group.reason !== null;
    const failedUntil = isExpiring ? retention.now - retention.retentionMs : BEFORE_EVERY_TIME;
    if (group.failed_at !== null && group.failed_at <= failedUntil) return [];
    const acceptedUntil = isExpiring ? retention.now - EVENT_MAX_AGE_MS : BEFORE_EVERY_TIME;
    const heldAfter = group.failed_at === null ? failedUntil : BEFORE_EVERY_TIME;
    const isDown = order === 'desc';
    const places: Place[] = [];
    for (const pack of this.#outlines(group, isDown, after, before, heldAfter)) {
      const bound = places[limit - 1]?.eventId;
      if (bound !== undefined && (isDown ? pack.last_id < bound : pack.last_id > reach(bound))) break;
      if (bound !== undefined && !isDown && pack.first_id > bound) continue;
      const ids = this.#rows.ids(pack);
      const gone = bitsOf(pack);
      const texts = pack.accepted_from > acceptedUntil ? undefined : this.#rows.texts(pack);
      const [start, end] = ids.between(after, before);
      for (let step = 0, taken = 0; step < end - start && taken < limit; step++) {
        const index = isDown ? end - 1 - step : start + step;
        if (hasBit(gone, index)) continue;
        if (texts !== undefined && acceptedAtOf(texts[index] ?? '') <= acceptedUntil) continue;
        places.push({ eventId: ids.at(index), pack, index });
        taken++;
      }
      places.sort(inOrder(order));
      places.splice(limit);
    }
    return places;
  }

  /** Packs of a group that may have ids between two, in order of their last ids, upwards or downwards. */
  *#outlines(group: PackGroup, isDown: boolean, after: string, before: string, heldAfter: number) {
    if (!isDown && before === AFTER_ALL && heldAfter === BEFORE_EVERY_TIME) {
      yield* this.#rows.scan(group, after);
      return;
    }
    const end = before === AFTER_ALL ? AFTER_ALL : reach(before);
    // Downwards, the first pack may end at `end` itself.
    for (let cursor = isDown ? `${end}~` : after, chunk = FIRST_CHUNK; ; chunk *= 2) {
      const packs = isDown
        ? this.#rows.below(group, cursor, after, before, heldAfter, chunk)
        : this.#rows.after(group, cursor, end, before, heldAfter, chunk);
      yield* packs;
      const last = packs.at(-1);
      if (last === undefined || packs.length < chunk) return;
      cursor = last.last_id;
    }
  }

  /** Where the deliveries of a pack are that were not taken out. @param acceptedUntil only those accepted by this time */
  present(pack: PackOutline, acceptedUntil = Number.POSITIVE_INFINITY): Place[] {
    const ids = this.#rows.ids(pack);
    const gone = bitsOf(pack);
    const texts = pack.accepted_until <= acceptedUntil ? undefined : this.#rows.texts(pack);
    const places: Place[] = [];
    for (let index = 0; index < pack.events; index++) {
      if (hasBit(gone, index)) continue;
      if (texts !== undefined && acceptedAtOf(texts[index] ?? '') > acceptedUntil) continue;
      places.push({ eventId: ids.at(index), pack, index });
    }
    return places;
  }

  /** Reads deliveries, in order of event id. One pack is inflated at a time: the text of one may be a megabyte. */
  read(places: readonly Place[]): Delivery[] {
    const deliveries: Delivery[] = [];
    for (const [pack, inside] of Map.groupBy(places, (place) => place.pack)) {
      const { endpoint, reason } = this.#groups.get(pack.group_number);
      const texts = this.#rows.texts(pack);
      for (const { eventId, index } of inside) {
        const held = fromHeldEntry(eventId, texts[index] ?? '', endpoint);
        const delivery = reason === null ? held : failHeld(held, this.failedAt(pack), reason);
        markCounted(delivery.history);
        deliveries.push(delivery);
      }
    }
    return deliveries.sort(byEventId);
  }

  /** When the deliveries of a failed pack failed, ms. */
  failedAt({ group_number, held_until }: PackOutline): number {
    return this.#groups.get(group_number).failed_at ?? held_until;
  }

  /** What was added since the object woke. What was stored then has no greater id than the last pack. */
  get #recent(): RecentIds {
    this.#recentIds ??= new RecentIds(this.#rows.greatestId());
    return this.#recentIds;
  }
}

function inOrder(order: Order | undefined) {
  return order === 'desc' ? (a: Place, b: Place) => byEventId(b, a) : byEventId;
}

/** The bits of a pack: one is set for each delivery that was taken out. */
export function bitsOf({ gone, events }: PackOutline): Uint8Array {
  return gone === null ? new Uint8Array(Math.ceil(events / 8)) : new Uint8Array(gone.slice(0));
}

export function hasBit(bits: Uint8Array, index: number): boolean {
  return ((bits[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0;
}

export function setBit(bits: Uint8Array, index: number): void {
  bits[index >>> 3] = (bits[index >>> 3] ?? 0) | (1 << (index & 7));
}
