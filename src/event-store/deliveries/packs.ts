/**
 * # Packs: held deliveries that nobody has attempted, many to a row
 *
 * An endpoint that is down for a week may hold millions of deliveries. All of them look alike: no attempt, no signature, one endpoint. So
 * the held deliveries of one `settle` go into one row together, as successes do (segments.ts), and merging makes few large packs of many
 * small ones. Whatever happens to one of them, except to fail with all others, takes it out of its pack, and it gets a row of its own
 * (rows.ts). A bit of the pack says that it is gone.
 *
 * The packs of a *group* share their endpoint and their fate. A group is held, or has failed for a reason. So disabling a subscription
 * fails a million packed deliveries by writing its groups, and nothing has to be rewritten: what failed stays packed, is listed, exported
 * and redelivered from there, and expires as a pack.
 *
 * docs/decisions/0034-held-deliveries-are-packed.md has the reasons.
 */
import {
  type Delivery,
  DISABLED,
  type EndpointNow,
  endOfHold,
  type HeldFailure,
} from '../../domain/delivery.ts';
import { eventIdFloor } from '../../domain/ids.ts';
import { EVENT_MAX_AGE_MS, HOUR_MS } from '../../domain/limits.ts';
import { expiresAt, type Retention } from '../../domain/retention.ts';
import type { Order, PageQuery } from '../rpc.ts';
import { DEADLINE_PACKS, PACK_GROUPS_MAX, SEGMENT_ID_MAX_SKEW_MS, SEGMENT_SPAN_MS } from '../tuning.ts';
import type { Ledger } from './figure-ledger.ts';
import { AFTER_ALL, BEFORE_ALL, byEventId } from './near-ids.ts';
import type { PackGroup, PackGroups } from './pack-groups.ts';
import { BEFORE_EVERY_TIME, bitsOf, PackPlaces, setBit } from './pack-places.ts';
import type { PackRows } from './pack-rows.ts';
import type { PackOutline } from './pack-scan.ts';
import { acceptedAtOf, type Entry, packSettled } from './packing.ts';
import type { Failure } from './rows.ts';
import type { Tally } from './tally.ts';

export class Packs {
  readonly #groups: PackGroups;
  readonly #rows: PackRows;
  readonly #places: PackPlaces;
  readonly #tally: Tally;
  readonly #ledger: Ledger;
  readonly #generation: () => number;

  /** @param generation of what is written now (disabled.ts) */
  constructor(groups: PackGroups, rows: PackRows, tally: Tally, ledger: Ledger, generation: () => number) {
    this.#groups = groups;
    this.#rows = rows;
    this.#places = new PackPlaces(rows, groups);
    this.#tally = tally;
    this.#ledger = ledger;
    this.#generation = generation;
  }

  // --- Writing ----------------------------------------------------------------------------------------

  /**
   * Adds held deliveries whose ids are not stored yet: one row, or a few when they are large.
   * @returns false when there is no room for another group, or an id is in the way; then nothing is added
   */
  add(entries: readonly Entry[], endpoint: string): boolean {
    const group = this.#heldOf(endpoint);
    if (group === undefined && this.#groups.all().length >= PACK_GROUPS_MAX) return false;
    const segments = [...Map.groupBy(entries, ({ acceptedAt }) => hourOf(acceptedAt)).values()].flatMap(
      packSettled,
    );
    // A delivery that was taken out, and whose event comes once more after its time, may have left its id as the key of its pack.
    if (group !== undefined && segments.some(({ lastId }) => this.#rows.has(group, lastId))) return false;
    this.#places.note(entries.map(({ eventId }) => eventId));
    const generation = this.#generation();
    const to = group ?? this.#groups.open({ endpoint, generation, reason: null, failed_at: null });
    this.#rows.insert(to, segments);
    for (const { acceptedFrom, events } of segments) this.#tally.packed(acceptedFrom, events, true);
    return true;
  }

  /** Takes deliveries out of their packs. */
  take(eventIds: readonly string[]): void {
    for (const [pack, places] of Map.groupBy(this.#places.of(eventIds), (place) => place.pack)) {
      const isHeld = this.#groups.get(pack.group_number).reason === null;
      const present = pack.present - places.length;
      if (present === 0) this.#rows.delete([pack]);
      else {
        const gone = bitsOf(pack);
        for (const { index } of places) setBit(gone, index);
        this.#rows.setGone(pack, gone, present);
      }
      this.#tally.packed(pack.accepted_from, -places.length, isHeld);
    }
  }

  /** The subscription was disabled: all that is held has failed. */
  failAll(now: number): void {
    const held = this.#groups.held();
    if (held.length === 0) return;
    for (const group of held) this.#groups.fail(group, DISABLED, now);
    this.#ledger.failed(this.#tally.failPacked(), now);
  }

  /**
   * Whether a version of the code that does not know packs has disabled the subscription.
   * @param generation of the rows that a disabling has failed
   */
  hasOutlived(generation: number): boolean {
    return this.#groups.held().some((group) => group.generation <= generation);
  }

  // --- Reading ----------------------------------------------------------------------------------------

  /** Which of these events are packed here. */
  known(eventIds: readonly string[]): Set<string> {
    return new Set(this.#places.of(eventIds).map(({ eventId }) => eventId));
  }

  /** Packed deliveries of these ids. Their SETs lack the signature. */
  find(eventIds: readonly string[]): Delivery[] {
    return this.#places.read(this.#places.of(eventIds));
  }

  /** Whether any delivery is held. */
  hasHeld(): boolean {
    return this.#groups.held().length > 0;
  }

  /** Whether any failed delivery is packed. */
  hasFailed(): boolean {
    return this.#groups.failed().length > 0;
  }

  /** Held deliveries, oldest first. @param endpoint only deliveries to this one */
  held(limit: number, endpoint?: string): Delivery[] {
    const groups = this.#groups
      .held()
      .filter((group) => endpoint === undefined || group.endpoint === endpoint);
    return this.#places.read(this.#places.oldest(groups, limit));
  }

  /**
   * The first deliveries between two ids, both excluded, that have not expired.
   * @param isHeld `undefined`: held and failed ones
   * @param query.order of the event ids; ascending without it
   */
  page(
    isHeld: boolean | undefined,
    query: PageQuery & { readonly order?: Order },
    retention: Retention,
  ): Delivery[] {
    const { order, after, before, limit } = query;
    const groups = this.#groups
      .all()
      .filter(({ reason }) => isHeld === undefined || isHeld === (reason === null));
    const page = this.#places.read(this.#places.first(groups, { order, after, before, retention }, limit));
    return order === 'desc' ? page.reverse() : page;
  }

  /** The next failed deliveries after an event id, also expired ones: times, without content. */
  failures(after: string, limit: number): Failure[] {
    const places = this.#places.first(this.#groups.failed(), { after }, limit);
    // Packs may overlap. Each is inflated once, not once for each of its deliveries.
    const failures = [...Map.groupBy(places, (place) => place.pack)].flatMap(([pack, inside]) => {
      const texts = this.#rows.texts(pack);
      return inside.map(({ eventId, index }): Failure => {
        const acceptedAt = acceptedAtOf(texts[index] ?? '');
        return { eventId, acceptedAt, updatedAt: this.#places.failedAt(pack), proof: null, isKept: 1 };
      });
    });
    return failures.sort(byEventId);
  }

  // --- Ages -------------------------------------------------------------------------------------------

  /** When the first held deliveries have waited too long, ms. */
  earliestDeadline(): number | undefined {
    const times = this.#groups.held().flatMap((group) => this.#rows.earliestDeadline(group) ?? []);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /**
   * Packs whose deliveries have all waited too long fail, or go on waiting while the backlog releases them: a bite of them.
   * @returns how many deliveries failed
   */
  endHolds(now: number, endpoint: EndpointNow): number {
    let left = DEADLINE_PACKS;
    let failed = 0;
    for (const group of this.#groups.held()) {
      for (const pack of this.#rows.dueUntil(group, now, left)) {
        const end = endOfHold(pack.accepted_until, now, endpoint);
        if ('until' in end) this.#rows.setDeadline(pack, end.until);
        else {
          this.#fail(pack, group, end.reason);
          failed += pack.present;
        }
        left--;
      }
      if (left === 0) break;
    }
    return failed;
  }

  /** When the oldest failed delivery by id was accepted, ms. */
  oldestFailure(): number | undefined {
    const oldest = this.#groups.failed().flatMap((group) => this.#rows.oldest(group, 1));
    return oldest.length === 0 ? undefined : Math.min(...oldest.map((pack) => pack.accepted_until));
  }

  /** How many failed deliveries have expired. */
  countExpired(retention: Retention): number {
    let count = 0;
    for (const group of this.#groups.failed()) {
      const wholly = retention.now - retention.retentionMs;
      if (group.failed_at !== null && group.failed_at <= wholly) count += this.#rows.count(group);
      else count += this.#countOld(group, retention);
    }
    return count;
  }

  /**
   * Deletes packs that have expired as a whole.
   * @returns the ids of their deliveries, and whether there may be more
   */
  deleteExpired({ now, retentionMs }: Retention, limit: number): { eventIds: string[]; more: boolean } {
    const eventIds: string[] = [];
    let left = limit;
    for (const group of this.#groups.failed()) {
      if (left === 0) break;
      const expiry = (pack: PackOutline) =>
        expiresAt(
          { state: 'failure', acceptedAt: pack.accepted_until, updatedAt: this.#places.failedAt(pack) },
          retentionMs,
        );
      const old = this.#oldest(group, now - retentionMs, left).filter(
        (pack) => (expiry(pack) ?? now + 1) <= now,
      );
      for (const pack of old) {
        eventIds.push(...this.#places.present(pack).map(({ eventId }) => eventId));
        this.#tally.packed(pack.accepted_from, -pack.present, false);
      }
      this.#rows.delete(old);
      left -= old.length;
    }
    return { eventIds, more: left === 0 };
  }

  // --- Inside -----------------------------------------------------------------------------------------

  #heldOf(endpoint: string): PackGroup | undefined {
    return this.#groups.held().find((group) => group.endpoint === endpoint);
  }

  /** The packs of a failed group that expire first. Each may have a time of its own at which it failed. */
  #oldest(group: PackGroup, failedUntil: number, limit: number): PackOutline[] {
    const first = group.failed_at === null ? this.#rows.dueUntil(group, failedUntil, limit) : [];
    return first.length > 0 ? first : this.#rows.oldest(group, limit);
  }

  /** How many deliveries of a group have expired of which others have not. */
  #countOld(group: PackGroup, { now, retentionMs }: Retention): number {
    const failedUntil = group.failed_at === null ? now - retentionMs : BEFORE_EVERY_TIME;
    const acceptedUntil = now - EVENT_MAX_AGE_MS;
    const before = eventIdFloor(acceptedUntil + SEGMENT_SPAN_MS + SEGMENT_ID_MAX_SKEW_MS + 1);
    const old = this.#rows.after(group, BEFORE_ALL, before, AFTER_ALL, failedUntil, EVERY_ROW);
    return old.reduce(
      (sum, pack) => sum + this.#places.present(pack, acceptedUntil).length,
      this.#rows.count(group, failedUntil),
    );
  }

  #fail(pack: PackOutline, { endpoint, generation }: PackGroup, reason: HeldFailure): void {
    const to =
      this.#groups
        .failed()
        .find(
          (group) => group.failed_at === null && group.reason === reason && group.endpoint === endpoint,
        ) ?? this.#groups.open({ endpoint, generation, reason, failed_at: null });
    this.#rows.move(pack, to);
    this.#tally.packed(pack.accepted_from, -pack.present, true);
    this.#tally.packed(pack.accepted_from, pack.present, false);
    this.#ledger.failed(pack.present, pack.held_until);
  }
}

/** No limit of rows, because something else bounds them. */
const EVERY_ROW = 1_000_000;

function hourOf(time: number): number {
  return Math.floor(time / HOUR_MS);
}
