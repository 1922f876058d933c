/**
 * Log lines of attempts (contract 10.5): one wide line for each that did not succeed; successes share one line
 * per `settle`, or have one each with `LOG_LEVEL=debug`. Log lines are billed too.
 */
import { reasonOf } from '../domain/attempt.ts';
import { eventIdTime } from '../domain/ids.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { Settled, Settlement } from '../event-store/rpc.ts';
import { logInfo, logWarn } from '../log.ts';

export function logSettled(
  ref: SubscriptionRef,
  pairs: readonly (readonly [Settlement, Settled])[],
  debug: boolean,
): void {
  const names = { customerId: ref.customerId, subscriptionId: ref.subscriptionId };
  const durations: number[] = [];
  let held = 0;
  for (const [settlement, settled] of pairs) {
    const { result } = settlement;
    if (result === undefined) {
      held++;
      continue;
    }
    const succeeded = result.outcome.kind === 'success';
    if (succeeded) durations.push(result.durationMs);
    if (succeeded && !debug) continue;
    const { outcome } = result;
    const line = {
      ...names,
      eventId: settlement.eventId,
      attempt: result.attempt,
      outcome: outcome.kind,
      statusCode: 'response' in outcome ? outcome.response.statusCode : null,
      reason: outcome.kind === 'success' ? null : logged(reasonOf(outcome)),
      durationMs: result.durationMs,
      sinceAcceptanceMs: result.startedAt - settlement.acceptedAt,
      eventAgeMs: result.startedAt - eventIdTime(settlement.eventId),
      state: settled.state,
      attempts: settled.attempts,
      nextAttemptAt:
        settled.nextAttemptAt === undefined ? null : new Date(settled.nextAttemptAt).toISOString(),
    };
    if (succeeded) logInfo('attempt', line);
    else logWarn('attempt', line);
  }
  if (held > 0) logInfo('deferred', { ...names, count: held });
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

/** A listener's own words (RFC 8935) stay out of the log: they may quote what we sent. */
function logged(reason: string): string {
  return reason.replace(/^(HTTP \d+):.*$/s, '$1');
}
