/**
 * Log lines of attempts (contract 10.5). An attempt that did not succeed has one wide line. Successes share one line for each
 * `settle`, or have one each with `LOG_LEVEL=debug`: log lines are billed too.
 */
import { reasonOf } from '../domain/attempt.ts';
import { eventIdTime } from '../domain/ids.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import { rfc3339Time } from '../domain/time.ts';
import type { AttemptedReport, SentReport, StoredReport } from '../event-store/rpc.ts';
import { logInfo, logWarn } from '../log.ts';

/** Writes the lines of one `settle`. */
export function logStored(
  ref: SubscriptionRef,
  pairs: readonly (readonly [SentReport, StoredReport])[],
  debug: boolean,
): void {
  const names = { customerId: ref.customerId, subscriptionId: ref.subscriptionId };
  const durations: number[] = [];
  let deferred = 0;
  for (const [report, stored] of pairs) {
    if (report.kind === 'deferred') deferred++;
    // A request that is still waiting has its line when it ends.
    if (report.kind !== 'attempted') continue;
    const succeeded = report.result.outcome.kind === 'success';
    if (succeeded) durations.push(report.result.durationMs);
    if (succeeded && !debug) continue;
    const line = { ...names, ...attemptFields(report, stored) };
    if (succeeded) logInfo('attempt', line);
    else logWarn('attempt', line);
  }
  if (deferred > 0) logInfo('deferred', { ...names, count: deferred });
  if (durations.length > 0 && !debug) {
    durations.sort((a, b) => a - b);
    logInfo('delivered', {
      ...names,
      count: durations.length,
      medianMs: durations[Math.floor(durations.length / 2)],
      maxMs: durations.at(-1),
    });
  }
}

function attemptFields(
  { eventId, acceptedAt, result }: AttemptedReport,
  { state, attempts, nextAttemptAt }: StoredReport,
) {
  const { outcome } = result;
  return {
    eventId,
    attempt: result.attempt,
    outcome: outcome.kind,
    statusCode: 'response' in outcome ? outcome.response.statusCode : null,
    reason: outcome.kind === 'success' ? null : withoutListenerWords(reasonOf(outcome)),
    durationMs: result.durationMs,
    sinceAcceptanceMs: result.startedAt - acceptedAt,
    eventAgeMs: result.startedAt - eventIdTime(eventId),
    state,
    attempts,
    nextAttemptAt: nextAttemptAt === undefined ? null : rfc3339Time(nextAttemptAt),
  };
}

/** A listener's own words (RFC 8935) stay out of the log: they may quote what we sent. */
function withoutListenerWords(reason: string): string {
  return reason.replace(/^(HTTP \d+):.*$/s, '$1');
}
