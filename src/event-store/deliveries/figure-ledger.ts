/**
 * What is counted at once, with the write of it, because nobody could find it later: deliveries that have a row change, and fail by the
 * thousand without being read. What is in segments, and what waits for its first retry, is found later (counting.ts), and is not counted
 * here. So a healthy delivery pays for no count.
 *
 * A history entry counts once: when it is written to a row for the first time. An entry that was read from a row was counted then, so each
 * entry that is read is marked, and what is written without the mark is new. A change of a delivery keeps the entries that it has.
 *
 * The counts of a transaction are added up, and written with it: a row for all of them.
 */
import type { HistoryEntry } from '../../domain/delivery.ts';
import type { StoreDatabase } from '../database.ts';
import { FIGURES_SEGMENT_WEIGHT } from '../tuning.ts';
import { Counted } from './figure-counts.ts';
import type { FigureDays } from './figure-days.ts';
import { Lateness } from './lateness.ts';
import { acceptedAtOf, type Entry, historyOfText, type Segment } from './packing.ts';

/** Entries that are counted. A delivery is read, changed and written within one object's memory. */
const countedEntries = new WeakSet<HistoryEntry>();

/** These entries were counted when they were written. */
export function markCounted(history: readonly HistoryEntry[]): void {
  for (const entry of history) countedEntries.add(entry);
}

/** The counts of the texts of a segment. */
export function countedIn(texts: Iterable<string>): Counted {
  const counted = new Counted();
  for (const text of texts) {
    counted.acceptance(acceptedAtOf(text));
    counted.history(historyOfText(text));
  }
  return counted;
}

export class Ledger {
  readonly days: FigureDays;
  /** What was added to segments since the object woke and is not counted: how much work it is to count it. */
  uncounted = 0;
  /** Segments were merged: it is time to look how much is not counted, also of what was stored before the object woke. */
  mustLook = false;
  /** By how much the ids of segments are late. */
  readonly lateness = new Lateness();
  /** How often segments were replaced: then a last id may stand for other deliveries. */
  replacements = 0;
  readonly #database: StoreDatabase;
  readonly #pending = new Counted();

  constructor(database: StoreDatabase, days: FigureDays) {
    this.#database = database;
    this.days = days;
    database.beforeCommit(() => this.#write());
    database.whenRolledBack(() => this.#pending.clear());
  }

  /** The history of a delivery is written to its row. */
  written(history: readonly HistoryEntry[]): void {
    const fresh = history.filter((entry) => !countedEntries.has(entry));
    if (fresh.length === 0) return;
    this.#pending.history(fresh);
    markCounted(fresh);
    this.#noted();
  }

  /** So many deliveries have failed at a time, ms, whose histories do not say so yet. */
  failed(count: number, at: number): void {
    this.#pending.failures(count, at);
    this.#noted();
  }

  /** Deliveries were added to segments. Those in a segment that lies among the counted ones are counted now. */
  added(segments: readonly Segment[]): void {
    for (const { lastId, events, entries } of segments) {
      this.lateness.note(lastId);
      if (lastId > this.days.upTo) this.uncounted += events + FIGURES_SEGMENT_WEIGHT;
      else this.#pending.add(ofEntries(entries));
    }
    this.#noted();
  }

  /** A segment that is not counted has so many deliveries more than before. It is counted when its turn comes, as a whole. */
  grew({ lastId }: Segment, events: number): void {
    this.lateness.note(lastId);
    this.uncounted += events;
  }

  /**
   * Segments are replaced by others with the same deliveries. Some of them may come among the counted ones, or leave them.
   * @param entriesOf what is in a segment that is replaced
   */
  replaced<Outline extends { readonly last_id: string }>(
    before: readonly Outline[],
    after: readonly Segment[],
    entriesOf: (outline: Outline) => readonly Entry[],
  ): void {
    this.mustLook = true;
    this.replacements++;
    const { upTo } = this.days;
    const left = before.filter(({ last_id }) => last_id <= upTo);
    const come = after.filter(({ lastId }) => lastId <= upTo);
    if (left.length === 0 && come.length === 0) return;
    if (left.length === before.length && come.length === after.length) return;
    for (const { entries } of come) this.#pending.add(ofEntries(entries));
    for (const outline of left) this.#pending.add(ofEntries(entriesOf(outline)), -1);
    this.#noted();
  }

  /** A transaction writes what it has noted. Outside of one, each note is written at once. */
  #noted(): void {
    if (!this.#database.isInTransaction) this.#write();
  }

  #write(): void {
    if (this.#pending.isEmpty) return;
    const counts = Counted.of(this.#pending.hours());
    this.#pending.clear();
    this.days.add(counts);
  }
}

function ofEntries(entries: readonly Entry[]): Counted {
  return countedIn(entries.map(({ text }) => text));
}
