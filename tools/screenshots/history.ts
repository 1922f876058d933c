/**
 * A week of figures for subscriptions that are minutes old, so that the pictures show what a service looks like that is in use. The
 * figures of past hours go into the files of the event stores, while the service is stopped: no call makes the past.
 */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
const WEEK_HOURS = 168;

export interface Course {
  /** Deliveries of an hour at noon. */
  readonly peak: number;
  /** The share of answers in each class of the histogram (contract 10.14). */
  readonly answers: readonly number[];
  /** Failures: how many hours ago they began and ended, and the share of deliveries. */
  readonly outage?: { readonly from: number; readonly until: number; readonly share: number };
}

/** @param directory the state of a service that is stopped @param courses by subscription id */
export function writeHistory(directory: string, courses: ReadonlyMap<string, Course>): void {
  const files = globSync('v3/do/*EventStore/*.sqlite', { cwd: join(directory, 'state') });
  for (const file of files.filter((name) => !name.endsWith('metadata.sqlite'))) {
    const database = new DatabaseSync(join(directory, 'state', file));
    try {
      const row = database.prepare('SELECT subscription_id AS id FROM store').get();
      const course = courses.get(String(row?.['id']));
      if (course !== undefined) write(database, course);
    } finally {
      database.close();
    }
  }
}

function write(database: DatabaseSync, course: Course): void {
  const thisHour = Math.floor(Date.now() / HOUR_MS);
  const byDay = new Map<number, number[][]>();
  for (let ago = WEEK_HOURS; ago >= 0; ago--) {
    const hour = thisHour - ago;
    const day = Math.floor(hour / DAY_HOURS);
    if (ago > 0) byDay.set(day, [...(byDay.get(day) ?? []), countsOf(course, hour, ago)]);
  }
  for (const [day, hours] of byDay) {
    const kept = database.prepare('SELECT hours FROM figure_days WHERE day = ?').get(day);
    const own = kept === undefined ? [] : (JSON.parse(String(kept['hours'])) as number[][]);
    database
      .prepare('INSERT OR REPLACE INTO figure_days (day, hours) VALUES (?, ?)')
      .run(day, JSON.stringify([...own.filter(([hour]) => hour === thisHour), ...hours]));
  }
}

/** Delivered, failed, attempts, accepted, the last success, and the histogram: the order of `figure-counts.ts`. */
function countsOf({ peak, answers, outage }: Course, hour: number, ago: number): number[] {
  // Few at night, many by day, fewer at the weekend, and never quite the same.
  const ofDay = 0.55 - 0.45 * Math.cos(((((hour + 1) % DAY_HOURS) - 2) / DAY_HOURS) * 2 * Math.PI);
  const weekday = (Math.floor(hour / DAY_HOURS) + 4) % 7;
  const ofWeek = weekday === 0 || weekday === 6 ? 0.55 : 1;
  const noise = 0.85 + 0.3 * Math.abs((Math.sin(hour * 12.9898) * 43_758.5453) % 1);
  const all = Math.round(peak * ofDay * ofWeek * noise);
  const isOut = outage !== undefined && ago <= outage.from && ago >= outage.until;
  const failed = isOut ? Math.round(all * outage.share) : 0;
  const delivered = all - failed;
  const times = answers.map((share) => Math.round(delivered * share));
  return [hour, delivered, failed, delivered + failed * 6, 0, (hour + 1) * HOUR_MS - 1_000, ...times];
}
