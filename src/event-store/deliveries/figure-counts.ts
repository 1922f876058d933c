/** Counts by hour, as they are added up in memory and kept in rows (figure-days.ts). */
import type { HistoryEntry } from '../../domain/delivery.ts';
import {
  ANSWER_TIME_BOUNDS_MS,
  answerTimeClass,
  type HourFigures,
  happenedIn,
} from '../../domain/figures.ts';
import { HOUR_MS } from '../../domain/limits.ts';

/** The counts of one hour, as numbers in this order. Those of the histogram follow. */
const DELIVERED = 0;
const FAILED = 1;
const ATTEMPTS = 2;
/** Deliveries that are in segments and were accepted in the hour. Of the others the tally knows. */
const ACCEPTED = 3;
/** When the last success was, ms; not a count. */
const LAST = 4;
const TIMES = 5;
const LENGTH = TIMES + ANSWER_TIME_BOUNDS_MS.length + 1;

/** The counts of an hour, and which it is: hours since 1970. */
export type CountedHour = readonly [hour: number, ...counts: number[]];

export class Counted {
  readonly #hours = new Map<number, number[]>();

  static of(hours: Iterable<CountedHour>): Counted {
    const counted = new Counted();
    for (const [hour, ...counts] of hours) counted.#add(hour, counts, 1);
    return counted;
  }

  get isEmpty(): boolean {
    return this.#hours.size === 0;
  }

  clear(): void {
    this.#hours.clear();
  }

  hours(): CountedHour[] {
    return [...this.#hours].map(([hour, counts]) => [hour, ...counts]);
  }

  /** The facts in the entries of a history. */
  history(entries: readonly HistoryEntry[]): void {
    for (const entry of entries) {
      const happened = happenedIn(entry);
      if (happened === undefined) continue;
      const { at, became, request } = happened;
      if (became === 'success') {
        this.#count(at, DELIVERED);
        const counts = this.#of(hourNumber(at));
        counts[LAST] = Math.max(counts[LAST] ?? 0, at);
      }
      if (became === 'failure') this.#count(at, FAILED);
      if (request !== undefined) this.#count(at, ATTEMPTS);
      if (request?.answerMs !== undefined) this.#count(at, TIMES + answerTimeClass(request.answerMs));
    }
  }

  /** A delivery that is in a segment was accepted. */
  acceptance(at: number): void {
    this.#count(at, ACCEPTED);
  }

  /** So many deliveries failed at a time, without an attempt. */
  failures(count: number, at: number): void {
    if (count > 0) this.#count(at, FAILED, count);
  }

  /** Adds other counts, or takes them away. */
  add(others: Counted, by: 1 | -1 = 1): void {
    for (const [hour, counts] of others.#hours) this.#add(hour, counts, by);
  }

  /** How many deliveries that are in segments were accepted from the hour of a time on, and before that of another, ms. */
  acceptedBetween(from: number, until: number): number {
    let sum = 0;
    for (const [hour, counts] of this.#hours)
      if (hour >= hourNumber(from) && hour < hourNumber(until)) sum += counts[ACCEPTED] ?? 0;
    return sum;
  }

  /** When the last success was, ms, as far as it is counted here. */
  lastDeliveredAt(): number | undefined {
    const last = Math.max(0, ...[...this.#hours.values()].map((counts) => counts[LAST] ?? 0));
    return last === 0 ? undefined : last;
  }

  /** Whether anything happened in the hour of a time or later, ms. */
  hasSince(from: number): boolean {
    return [...this.#hours.keys()].some((hour) => hour >= hourNumber(from));
  }

  /** The figures from the hour of a time on (ms), the oldest first: of each hour in which anything happened. */
  figures(from: number): HourFigures[] {
    return [...this.#hours]
      .filter(([hour, counts]) => hour >= hourNumber(from) && happened(counts))
      .sort(([a], [b]) => a - b)
      .map(([hour, counts]) => ({
        hour: hour * HOUR_MS,
        delivered: counts[DELIVERED] ?? 0,
        failed: counts[FAILED] ?? 0,
        attempts: counts[ATTEMPTS] ?? 0,
        answerTimes: counts.slice(TIMES),
      }));
  }

  #add(hour: number, others: readonly number[], by: 1 | -1): void {
    const counts = this.#of(hour);
    for (let index = 0; index < LENGTH; index++) {
      const other = others[index] ?? 0;
      // A time is not taken away: its delivery is still there.
      if (index === LAST) counts[LAST] = Math.max(counts[LAST] ?? 0, by > 0 ? other : 0);
      else counts[index] = (counts[index] ?? 0) + by * other;
    }
  }

  #count(at: number, index: number, by = 1): void {
    const counts = this.#of(hourNumber(at));
    counts[index] = (counts[index] ?? 0) + by;
  }

  #of(hour: number): number[] {
    const known = this.#hours.get(hour);
    if (known !== undefined) return known;
    const fresh = Array.from({ length: LENGTH }, () => 0);
    this.#hours.set(hour, fresh);
    return fresh;
  }
}

function happened(counts: readonly number[]): boolean {
  return counts.some((count, index) => index !== ACCEPTED && index !== LAST && count > 0);
}

/** Hours since 1970. */
function hourNumber(at: number): number {
  return Math.floor(at / HOUR_MS);
}
