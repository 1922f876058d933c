/** How figures by hour are shown (contract 10.14). A histogram knows bounds, not times, so the words here claim no more than it knows. */
import type { ResultOf } from '@identity-webhooks/client';
import { count } from './text.ts';

export type Figures = ResultOf<'getSubscriptionStats'>['totals'];
export type HourFigures = ResultOf<'getSubscriptionStats'>['hours'][number];

const BARS = [...'▁▂▃▄▅▆▇█'];
const NONE = '·';
const HOURS_OF_DAY = 24;

/** `1,234`. */
export const number = (value: number) => value.toLocaleString('en');

/** `half within 50 ms, 95 % within 250 ms, of 120 successful requests`; undefined when no request succeeded. */
export function answerTimeOf({ answerTimes }: Figures, boundsMs: readonly number[]): string | undefined {
  const all = answerTimes.reduce((sum, one) => sum + one, 0);
  if (all === 0) return undefined;
  const [half, nearlyAll] = [0.5, 0.95].map((share) => boundOf(answerTimes, boundsMs, share));
  const over = `over ${span(boundsMs.at(-1) ?? 0)}`;
  const of = `of ${count(all, 'successful request')}`;
  if (half === undefined) return `more than half ${over}, ${of}`;
  if (nearlyAll === undefined) return `half within ${span(half)}, more than 5 % ${over}, ${of}`;
  return half === nearlyAll
    ? `95 % within ${span(nearlyAll)}, ${of}`
    : `half within ${span(half)}, 95 % within ${span(nearlyAll)}, ${of}`;
}

/** The half of an hour, for a column: `50 ms`, `> 10 s`. */
export function halfWithin({ answerTimes }: Figures, boundsMs: readonly number[]): string {
  if (answerTimes.every((one) => one === 0)) return '';
  const bound = boundOf(answerTimes, boundsMs, 0.5);
  return bound === undefined ? `> ${span(boundsMs.at(-1) ?? 0)}` : span(bound);
}

/** @returns the least bound within which at least this share of the requests was answered, ms; undefined when it is over the last bound */
function boundOf(
  answerTimes: readonly number[],
  boundsMs: readonly number[],
  share: number,
): number | undefined {
  const all = answerTimes.reduce((sum, one) => sum + one, 0);
  let within = 0;
  return boundsMs.find((_, index) => {
    within += answerTimes[index] ?? 0;
    return within >= all * share;
  });
}

const span = (ms: number) => (ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);

/** One day (UTC) of figures: the sums, and a character for each hour. */
export interface Day {
  readonly day: string;
  readonly delivered: number;
  readonly failed: number;
  readonly deliveredByHour: string;
  readonly failedByHour: string;
}

/** The hours as days. Each line of characters begins at midnight, so that the same hours are below each other. */
export function daysOf(hours: readonly HourFigures[]): Day[] {
  const days = Map.groupBy(hours, ({ hour }) => hour.slice(0, 10));
  const top = { delivered: most(hours, 'delivered'), failed: most(hours, 'failed') };
  return [...days].map(([day, ofDay]) => {
    const before = ' '.repeat(Number(ofDay[0]?.hour.slice(11, 13) ?? 0) % HOURS_OF_DAY);
    const line = (name: 'delivered' | 'failed') =>
      before + ofDay.map((one) => bar(one[name], top[name])).join('');
    return {
      day,
      delivered: ofDay.reduce((sum, one) => sum + one.delivered, 0),
      failed: ofDay.reduce((sum, one) => sum + one.failed, 0),
      deliveredByHour: line('delivered'),
      failedByHour: line('failed'),
    };
  });
}

export function most(hours: readonly HourFigures[], name: 'delivered' | 'failed'): number {
  return Math.max(0, ...hours.map((one) => one[name]));
}

/** One of eight heights; what is not none is never shown as none. */
function bar(value: number, top: number): string {
  return value === 0 ? NONE : (BARS[Math.ceil((value / top) * BARS.length) - 1] ?? '');
}
