/**
 * Figures (contract 10.14): what happened in an hour. They are made of histories, so each fact counts in the hour in which it happened,
 * whatever becomes of the delivery later.
 */
import type { HistoryEntry } from './delivery.ts';
import { HOUR_MS } from './limits.ts';

/** The histogram of answer times: the upper bounds of its classes, ms. One more class has the rest. */
export const ANSWER_TIME_BOUNDS_MS = [25, 50, 100, 250, 500, 1000, 2000, 5000, 10_000] as const;

/** Counts of one hour, or of several. */
export interface Figures {
  /** Deliveries that became a success. */
  readonly delivered: number;
  /** Deliveries that became a failure. */
  readonly failed: number;
  /** Requests that ended. */
  readonly attempts: number;
  /** Successful requests by how long the answer took: one class more than there are bounds. */
  readonly answerTimes: readonly number[];
}

/** The figures of one hour. */
export interface HourFigures extends Figures {
  /** When it began, ms. */
  readonly hour: number;
}

/** A fact that counts. */
interface Happened {
  /** When, ms. */
  readonly at: number;
  /** The delivery became final. */
  readonly became?: 'success' | 'failure';
  /** A request ended. Its answer time, ms, when it was a success. */
  readonly request?: { readonly answerMs?: number };
}

export const NO_FIGURES: Figures = {
  delivered: 0,
  failed: 0,
  attempts: 0,
  answerTimes: Array.from({ length: ANSWER_TIME_BOUNDS_MS.length + 1 }, () => 0),
};

/** When the hour of a time began, ms. */
export function hourOf(at: number): number {
  return Math.floor(at / HOUR_MS) * HOUR_MS;
}

export function addFigures(a: Figures, b: Figures): Figures {
  return {
    delivered: a.delivered + b.delivered,
    failed: a.failed + b.failed,
    attempts: a.attempts + b.attempts,
    answerTimes: a.answerTimes.map((count, index) => count + (b.answerTimes[index] ?? 0)),
  };
}

/** The class of the histogram that an answer time belongs to. */
export function answerTimeClass(answerMs: number): number {
  const index = ANSWER_TIME_BOUNDS_MS.findIndex((bound) => answerMs <= bound);
  return index < 0 ? ANSWER_TIME_BOUNDS_MS.length : index;
}

/** The fact in a history entry; `undefined`: it has none. An attempt that failed for a reason of ours leaves no entry. */
export function happenedIn(entry: HistoryEntry): Happened | undefined {
  const { at, state, response, error, durationMs } = entry;
  const hasEnded = response !== undefined || error !== undefined;
  const isFinal = state === 'success' || state === 'failure';
  if (!hasEnded && !isFinal) return undefined;
  const isAnswer = state === 'success' && durationMs !== undefined;
  return {
    at,
    ...(isFinal ? { became: state } : {}),
    ...(hasEnded ? { request: isAnswer ? { answerMs: durationMs } : {} } : {}),
  };
}

/** The beginnings of the last hours, oldest first; the last of them is the running one. */
export function lastHours(now: number, count: number): number[] {
  const running = hourOf(now);
  return Array.from({ length: count }, (_, index) => running - (count - 1 - index) * HOUR_MS);
}
