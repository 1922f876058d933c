/** The schedule of attempts (contract 6.4): a wait after each failed attempt, then `failure`. */
import type { ListenerOutcome } from './attempt.ts';
import { retryable } from './attempt.ts';
import { OUR_FAULT_WAIT_FIRST_MS, OUR_FAULT_WAIT_MAX_MS, RETRY_AFTER_MAX_MS } from './limits.ts';

export interface RetryPolicy {
  /** Waits after attempt 1, 2, … of a run, in milliseconds. */
  readonly delaysMs: readonly number[];
}

/**
 * When the next attempt is due after a failed one.
 * @param runAttempt number of the failed attempt within the current run, from 1
 * @param endedAt when its failure was recorded, ms
 * @returns ms, never earlier than the schedule says; `undefined` when there is no further attempt
 */
export function nextAttemptAt(
  policy: RetryPolicy,
  runAttempt: number,
  outcome: ListenerOutcome,
  endedAt: number,
): number | undefined {
  const delay = policy.delaysMs[runAttempt - 1];
  if (delay === undefined || !retryable(outcome)) return undefined;
  const asked = outcome.kind === 'http_error' ? (outcome.retryAfterMs ?? 0) : 0;
  return endedAt + Math.max(delay, Math.min(asked, RETRY_AFTER_MAX_MS));
}

/**
 * The wait before an attempt is made again that failed for a reason of ours: as long as it has waited already. So the waits
 * double, and the time at which the attempt began is all that must be remembered.
 * @param waitedMs since the attempt began for the first time
 */
export function ourFaultWaitMs(waitedMs: number): number {
  return Math.min(Math.max(waitedMs, OUR_FAULT_WAIT_FIRST_MS), OUR_FAULT_WAIT_MAX_MS);
}

/** The three forms of a date in RFC 9110, 5.6.7. `Date.parse` accepts far more. */
const HTTP_DATE =
  /^[A-Z][a-z]{2,8}(, \d{2}[ -][A-Z][a-z]{2}[ -](\d{4}|\d{2}) \d{2}:\d{2}:\d{2} GMT| [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4})$/;

/**
 * `Retry-After` as milliseconds from now: delta-seconds or an HTTP date (RFC 9110, 10.2.3).
 * @returns ms from 0 to 24 h; `undefined` for any other text, which the caller ignores
 */
export function parseRetryAfter(value: string, nowMs: number): number | undefined {
  const text = value.trim();
  let ms: number;
  if (/^\d+$/.test(text)) ms = Number(text) * 1000;
  else if (HTTP_DATE.test(text)) ms = Date.parse(text) - nowMs;
  else return undefined;
  if (Number.isNaN(ms)) return undefined;
  return Math.min(Math.max(ms, 0), RETRY_AFTER_MAX_MS);
}
