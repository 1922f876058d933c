/**
 * Log lines of attempts (contract 10.5). An attempt that did not succeed has one wide line. Successes share lines (`successes.ts`), or
 * have one each with `LOG_LEVEL=debug`: log lines are billed too.
 */
import { reasonOf } from '../domain/attempt.ts';
import { eventIdTime } from '../domain/ids.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import { rfc3339Time } from '../domain/time.ts';
import type { AttemptedReport, SentReport, StoredReport } from '../event-store/rpc.ts';
import { logInfo, logWarn } from '../log.ts';
import type { Successes } from './successes.ts';

/** Writes the lines of one `settle`, and counts its successes. */
export function logStored(
  ref: SubscriptionRef,
  pairs: readonly (readonly [SentReport, StoredReport])[],
  debug: boolean,
  successes: Successes,
): void {
  const names = { customerId: ref.customerId, subscriptionId: ref.subscriptionId };
  let deferred = 0;
  for (const [report, stored] of pairs) {
    if (report.kind === 'deferred') deferred++;
    // A request that is still waiting has its line when it ends.
    if (report.kind !== 'attempted') continue;
    const succeeded = report.result.outcome.kind === 'success';
    if (succeeded && !debug) {
      successes.note(ref, report.result.durationMs);
      continue;
    }
    const line = { ...names, ...attemptFields(report, stored) };
    if (succeeded) logInfo('attempt', line);
    else logWarn('attempt', line);
  }
  if (deferred > 0) logInfo('deferred', { ...names, count: deferred });
}

function attemptFields(
  { eventId, acceptedAt, requestId, result }: AttemptedReport,
  { state, attempts, nextAttemptAt }: StoredReport,
) {
  const { outcome } = result;
  return {
    eventId,
    requestId,
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
