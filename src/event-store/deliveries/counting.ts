/**
 * Figures by hour (contract 10.14), made of what is stored. Most deliveries succeed at once, and are in segments: nothing is written to
 * count them when they come. A bite of this duty counts what has come since, and remembers the last id up to which all is counted. What is
 * not counted yet is counted when somebody looks, which takes a bounded time; when there is more, the figures say that they are not exact.
 *
 * A store with few deliveries never has a bite: it is looked through each time. Only when the sweep deletes what is not counted, it is counted
 * before.
 *
 * Correctness rests on this: a segment is counted if its last id is at most `up_to`, and by nothing else. The counts and `up_to` are written
 * in one transaction, and so is what comes among the counted ones (figure-ledger.ts).
 */
import { eventIdFloor } from '../../domain/ids.ts';
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import {
  FIGURES_BITE,
  FIGURES_BITE_BYTES,
  FIGURES_COUNT_FROM,
  FIGURES_DUE_FROM,
  FIGURES_KNOWN_MAX,
  FIGURES_LOOK_BYTES,
  FIGURES_LOOK_MAX,
  FIGURES_SEGMENT_WEIGHT,
  FIGURES_STEP_MS,
} from '../tuning.ts';
import { Counted } from './figure-counts.ts';
import { countedIn, type Ledger } from './figure-ledger.ts';
import type { FirstRetries } from './first-retries.ts';
import { AFTER_ALL } from './near-ids.ts';
import type { SegmentRows } from './segment-rows.ts';

/** What was counted of segments that follow each other. */
interface Bite {
  readonly counted: Counted;
  /** The last id of the last of them; absent when there are none. */
  readonly upTo?: string;
  /** There are more, for which the bite had no room. */
  readonly hasMore: boolean;
}

/** A segment by its key and its size: one that has grown has more events than before. */
interface Known {
  readonly last_id: string;
  readonly events: number;
}

interface Look {
  readonly counted: Counted;
  /** Everything that is stored is counted. */
  readonly isWhole: boolean;
  /** When the last success was that is counted, or that is in the last segment; ms. */
  readonly lastDeliveredAt: number | undefined;
}

export class Counting implements Duty {
  /** From which weight on it counts, in an alarm that rings anyway and in one of its own, and how much at once. A test makes them smaller. */
  static weights = {
    from: FIGURES_COUNT_FROM,
    due: FIGURES_DUE_FROM,
    bite: FIGURES_BITE,
    look: FIGURES_LOOK_MAX,
  };
  readonly name = 'count';
  readonly #database: StoreDatabase;
  readonly #ledger: Ledger;
  readonly #rows: SegmentRows;
  readonly #firstRetries: FirstRetries;
  #nextBiteAt = 0;
  #isSoon = false;
  /** What is in segments that were looked at, by last id. One that has grown since has more events. */
  readonly #known = new Map<string, { readonly events: number; readonly counted: Counted }>();
  #replacements = 0;

  constructor(database: StoreDatabase, ledger: Ledger, rows: SegmentRows, firstRetries: FirstRetries) {
    this.#database = database;
    this.#ledger = ledger;
    this.#rows = rows;
    this.#firstRetries = firstRetries;
  }

  dueAt(now: number): number | undefined {
    const { from, due } = Counting.weights;
    const isDue = this.#ledger.uncounted >= (this.#isSoon ? from : due);
    return isDue ? Math.max(now, this.#nextBiteAt) : undefined;
  }

  /** The daily visit: what an alarm would count that rings anyway is counted soon. */
  countSoon(): void {
    this.#weigh();
    this.#isSoon = true;
  }

  work(now: number): void {
    if (this.#ledger.mustLook) this.#weigh();
    if (this.#ledger.uncounted < Counting.weights.from || now < this.#nextBiteAt) return;
    const { lateness } = this.#ledger;
    const countsUpTo = lateness.countsUpTo(now);
    const hasMore = this.#database.transaction(() => this.#bite(now));
    // What is too young for this bite is old enough for the next one.
    this.#nextBiteAt = now + (hasMore ? FIGURES_STEP_MS : now - countsUpTo);
    if (!hasMore) lateness.forget();
    this.#isSoon = false;
    this.#weigh();
  }

  /** Looks how much is not counted, also of what was stored before the object woke. */
  #weigh(): void {
    const { upTo } = this.#ledger.days;
    const outlines = this.#rows.between(upTo, AFTER_ALL, FIGURES_DUE_FROM / FIGURES_SEGMENT_WEIGHT);
    this.#ledger.uncounted = outlines.reduce((sum, outline) => sum + weightOf(outline), 0);
    this.#ledger.mustLook = false;
  }

  /** Counts what is not counted, as far as there is room, and adds it to what is. It writes nothing. */
  look(): Look {
    const counted = this.#ledger.days.all();
    const rest = this.#read(AFTER_ALL, Counting.weights.look, FIGURES_LOOK_BYTES);
    counted.add(rest.counted);
    for (const { history } of this.#firstRetries.find(this.#firstRetries.eventIds()))
      counted.history(history);
    return { counted, isWhole: !rest.hasMore, lastDeliveredAt: this.#lastSuccess(counted, rest.hasMore) };
  }

  /** Since when the store counts, ms; `undefined`: since its first delivery. */
  since(now: number): number | undefined {
    return this.#ledger.days.since(now);
  }

  /** An earlier version stored what was not counted: from now on everything is. */
  beginOnce(now: number): void {
    this.#ledger.days.beginOnce(now);
  }

  /**
   * Segments are about to be deleted. Counts them, if anything in them happened since `from`, ms.
   * @param before an id that none of them reaches
   * @param limit so many are deleted at most
   * @returns an id that those which may be deleted do not reach
   */
  keepBefore(before: string, limit: number, from: number, now: number): string {
    const { upTo } = this.#ledger.days;
    const [first] = this.#rows.between(upTo, before, 1);
    if (first === undefined) return before;
    const next = this.#read(before, Counting.weights.bite, FIGURES_BITE_BYTES, limit);
    if (next.counted.hasSince(from)) {
      this.#bite(now);
      return withId(this.#ledger.days.upTo, before);
    }
    return next.hasMore && next.upTo !== undefined ? withId(next.upTo, before) : before;
  }

  #lastSuccess(counted: Counted, hasMore: boolean): number | undefined {
    const known = counted.lastDeliveredAt();
    if (!hasMore) return known;
    const newest = this.#rows.newest();
    const ofLast = newest && this.#countedOf(newest).lastDeliveredAt();
    return Math.max(known ?? 0, ofLast ?? 0);
  }

  /** What is in a segment. One that cannot be read counts nothing: it must not keep the sweep from its work. Merging reports it. */
  #countedOf(outline: Known): Counted {
    const { last_id, events } = outline;
    const known = this.#knows(outline) ? this.#known.get(last_id) : undefined;
    if (known !== undefined) return known.counted;
    if (this.#known.size >= FIGURES_KNOWN_MAX) this.#known.clear();
    const counted = new Counted();
    try {
      counted.add(countedIn(this.#rows.texts(last_id)));
    } catch {
      // Damaged.
    }
    this.#known.set(last_id, { events, counted });
    return counted;
  }

  #knows({ last_id, events }: Known): boolean {
    if (this.#replacements !== this.#ledger.replacements) this.#known.clear();
    this.#replacements = this.#ledger.replacements;
    return this.#known.get(last_id)?.events === events;
  }

  /** @returns whether there is more to count */
  #bite(now: number): boolean {
    const { counted, upTo, hasMore } = this.#read(
      eventIdFloor(this.#ledger.lateness.countsUpTo(now)),
      Counting.weights.bite,
      FIGURES_BITE_BYTES,
    );
    if (upTo === undefined) return false;
    this.#ledger.days.add(counted, upTo);
    for (const lastId of this.#known.keys()) if (lastId <= upTo) this.#known.delete(lastId);
    return hasMore;
  }

  /** Counts the next segments that are not counted, in order of their last ids, until there is no room. */
  #read(before: string, maxWeight: number, maxBytes: number, limit = Number.POSITIVE_INFINITY): Bite {
    const most = Math.min(limit, Math.floor(maxWeight / FIGURES_SEGMENT_WEIGHT));
    const outlines = this.#rows.between(this.#ledger.days.upTo, before, most);
    const counted = new Counted();
    let upTo: string | undefined;
    let [weight, bytes] = [0, 0];
    for (const outline of outlines) {
      const isKnown = this.#knows(outline);
      weight += isKnown ? 0 : weightOf(outline);
      bytes += isKnown ? 0 : outline.bytes;
      // The first one is counted however large it is.
      if (upTo !== undefined && (weight > maxWeight || bytes > maxBytes))
        return { counted, upTo, hasMore: true };
      counted.add(this.#countedOf(outline));
      upTo = outline.last_id;
    }
    const hasMore = outlines.length === most;
    return upTo === undefined ? { counted, hasMore } : { counted, upTo, hasMore };
  }
}

function weightOf({ events }: { readonly events: number }): number {
  return events + FIGURES_SEGMENT_WEIGHT;
}

/** What comes right after an id, among event ids: a bound that the id does not reach. `before` when that comes first. */
function withId(id: string, before: string): string {
  const next = `${id} `;
  return next < before ? next : before;
}
