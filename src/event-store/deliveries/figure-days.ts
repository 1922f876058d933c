/**
 * Figures that are counted: tables `figure_days` and `figures_counted`, kept in memory as well. A row has all hours of a day, so that what
 * is counted together, late or in a store with few deliveries, is one row or a few.
 *
 * `up_to` is a last id: what is in the segments up to that one is counted, and what is in later segments is not.
 */
import { DAY_MS, HOUR_MS } from '../../domain/limits.ts';
import type { StoreDatabase } from '../database.ts';
import { FIGURE_DAYS } from '../tuning.ts';
import { Counted, type CountedHour } from './figure-counts.ts';

interface Kept {
  /** By day, as days since 1970. */
  readonly days: ReadonlyMap<number, Counted>;
  readonly upTo: string;
  /** Since when the store counts, ms. Absent: since its first delivery. 0: since it is asked. */
  readonly since: number | undefined;
}

const HOURS_PER_DAY = DAY_MS / HOUR_MS;

export class FigureDays {
  readonly #database: StoreDatabase;
  #known: Kept | undefined;

  constructor(database: StoreDatabase) {
    this.#database = database;
    database.whenRolledBack(() => {
      this.#known = undefined;
    });
  }

  /** The last id up to which segments are counted; empty when none is. */
  get upTo(): string {
    return this.#kept.upTo;
  }

  /** Since when the store counts, ms; `undefined`: since its first delivery. */
  since(now: number): number | undefined {
    const { since } = this.#kept;
    return since === 0 ? now : since;
  }

  /** An earlier version stored deliveries that were never counted: from now on they are. One row, once in the life of a store. */
  beginOnce(now: number): void {
    if (this.#kept.since === 0) this.#save(this.upTo, now);
  }

  /** All that is counted. */
  all(): Counted {
    const all = new Counted();
    for (const counted of this.#kept.days.values()) all.add(counted);
    return all;
  }

  /** Adds counts: a row for each day. @param upTo the segments up to this last id are among them */
  add(counts: Counted, upTo?: string): void {
    const byDay = Map.groupBy(counts.hours(), ([hour]) => Math.floor(hour / HOURS_PER_DAY));
    const { days } = this.#kept;
    const newest = Math.max(...byDay.keys(), ...days.keys());
    const isNew = !days.has(newest);
    for (const [day, hours] of byDay) {
      if (day <= newest - FIGURE_DAYS) continue;
      const counted = Counted.of([...(days.get(day)?.hours() ?? []), ...hours]);
      this.#database.run(
        'INSERT OR REPLACE INTO figure_days (day, hours) VALUES (?, ?)',
        day,
        JSON.stringify(counted.hours()),
      );
    }
    if (isNew) this.#database.run('DELETE FROM figure_days WHERE day <= ?', newest - FIGURE_DAYS);
    if (upTo !== undefined) this.#save(upTo, this.#kept.since);
    this.#known = undefined;
  }

  #save(upTo: string, since: number | undefined): void {
    this.#database.run(
      'INSERT OR REPLACE INTO figures_counted (one, up_to, since) VALUES (1, ?, ?)',
      upTo,
      since ?? null,
    );
    this.#known = undefined;
  }

  get #kept(): Kept {
    this.#known ??= this.#read();
    return this.#known;
  }

  #read(): Kept {
    const days = this.#database.rows<{ day: number; hours: string }>('SELECT day, hours FROM figure_days');
    const counted = this.#database.first<{ up_to: string; since: number | null }>(
      'SELECT up_to, since FROM figures_counted',
    );
    // `add` alone writes the hours.
    const parsed = days.map(
      ({ day, hours }) => [day, Counted.of(JSON.parse(hours) as CountedHour[])] as const,
    );
    return { days: new Map(parsed), upTo: counted?.up_to ?? '', since: counted?.since ?? undefined };
  }
}
