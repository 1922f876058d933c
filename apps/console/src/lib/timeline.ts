/** The history of an event (contract 5.3) as a story: attempts, the waits between them, and what ended it. */
import type { components } from '@identity-webhooks/client';

export type HistoryEntry = components['schemas']['HistoryEntry'];

export type Step =
  /** The event was accepted, or its redelivery was asked for. */
  | { readonly kind: 'accepted' | 'redelivered'; readonly at: string }
  | {
      readonly kind: 'attempt';
      readonly number: number;
      /** When the request began; unknown when the history does not have it. */
      readonly at: string | undefined;
      readonly endedAt: string | undefined;
      readonly outcome: 'success' | 'failure' | 'under way';
      readonly status: number | undefined;
      readonly reason: string | undefined;
      readonly durationMs: number | undefined;
      readonly headers: Readonly<Record<string, string>>;
    }
  /** Until the next attempt. */
  | { readonly kind: 'wait'; readonly from: string; readonly until: string; readonly over: boolean }
  /** The event failed without an attempt: for example because its subscription was disabled. */
  | { readonly kind: 'gave up'; readonly at: string; readonly reason: string | undefined }
  | { readonly kind: 'delivered' | 'failed'; readonly at: string };

/** A first attempt that begins later waited: its endpoint was failing, or many others were before it. */
const AT_ONCE_MS = 2_000;

export function stepsOf(history: readonly HistoryEntry[]): Step[] {
  return withFirstWaits(stepsIn(history));
}

function withFirstWaits(steps: readonly Step[]): Step[] {
  return steps.flatMap((step, index) => {
    const before = steps[index - 1];
    if (step.kind !== 'attempt' || step.at === undefined) return [step];
    if (before?.kind !== 'accepted' && before?.kind !== 'redelivered') return [step];
    if (Date.parse(step.at) - Date.parse(before.at) < AT_ONCE_MS) return [step];
    return [{ kind: 'wait', from: before.at, until: step.at, over: true }, step];
  });
}

function stepsIn(history: readonly HistoryEntry[]): Step[] {
  const steps: Step[] = [];
  for (const [index, entry] of history.entries()) {
    const before = history[index - 1];
    const isLast = index === history.length - 1;
    switch (entry.state) {
      case 'awaiting-executing':
        steps.push({ kind: before === undefined ? 'accepted' : 'redelivered', at: entry.createdAt });
        break;
      case 'executing':
        if (isLast) steps.push(attemptOf(entry, entry.createdAt, 'under way'));
        break;
      case 'awaiting-retry':
        steps.push(attemptOf(entry, startOf(entry, before), 'failure'));
        if (entry.nextAttemptAt !== undefined)
          steps.push({
            kind: 'wait',
            from: entry.createdAt,
            // A retry may be late: what is over lasted until something happened.
            until: history[index + 1]?.createdAt ?? entry.nextAttemptAt,
            over: !isLast,
          });
        break;
      case 'success':
        steps.push(attemptOf(entry, startOf(entry, before), 'success'));
        if (isLast) steps.push({ kind: 'delivered', at: entry.createdAt });
        break;
      case 'failure':
        if (hasAttempt(entry)) {
          steps.push(attemptOf(entry, startOf(entry, before), 'failure'));
          if (isLast) steps.push({ kind: 'failed', at: entry.createdAt });
        } else {
          steps.push({ kind: 'gave up', at: entry.createdAt, reason: entry.reason });
        }
        break;
    }
  }
  return steps;
}

/** Whether the entry ends an attempt. */
function hasAttempt(entry: HistoryEntry): boolean {
  return entry.durationMs !== undefined || entry.response !== undefined || entry.error !== undefined;
}

function startOf(entry: HistoryEntry, before: HistoryEntry | undefined): string | undefined {
  if (before?.state === 'executing') return before.createdAt;
  if (entry.durationMs === undefined) return undefined;
  return new Date(Date.parse(entry.createdAt) - entry.durationMs).toISOString();
}

function attemptOf(
  entry: HistoryEntry,
  at: string | undefined,
  outcome: 'success' | 'failure' | 'under way',
): Step {
  return {
    kind: 'attempt',
    number: entry.attempts,
    at,
    endedAt: outcome === 'under way' ? undefined : entry.createdAt,
    outcome,
    status: entry.response?.statusCode,
    reason: entry.reason,
    durationMs: entry.durationMs,
    headers: entry.response?.headers ?? {},
  };
}
