/** What the history of a delivery may look like: contract 5.3, rule by rule. */
import type { Delivery, HistoryEntry } from '../../src/domain/delivery.ts';

/** One request that a listener got. */
export interface Post {
  readonly at: number;
  readonly attempt: number;
  readonly succeeded: boolean;
}

/** The current run while the history is read. */
interface Run {
  /** Attempts before the run. */
  base: number;
  /** Attempts of the run whose failure is in the history. */
  failed: number;
}

/**
 * The first rule that a history breaks.
 * @param delaysMs the schedule of retries
 * @returns `undefined` when it keeps all rules
 */
export function faultOf(
  delivery: Delivery,
  posts: readonly Post[],
  delaysMs: readonly number[],
): string | undefined {
  const { history, state, attempts, runBase } = delivery;
  const [first, ...others] = history;
  if (first?.state !== 'awaiting-executing' || first.attempts !== 0) return 'the history does not begin';
  if (history.at(-1)?.state !== state) return `the history does not end in ${state}`;
  if (history.at(-1)?.attempts !== attempts) return 'the history has other attempts than the delivery';
  const run: Run = { base: 0, failed: 0 };
  let before: HistoryEntry = first;
  for (const [index, entry] of others.entries()) {
    const fault = faultBetween(before, entry, others[index + 1], run, posts, delaysMs);
    if (fault !== undefined) return `${entry.state} after ${before.state}: ${fault}`;
    before = entry;
  }
  if (run.base !== runBase)
    return `the run begins after ${runBase} attempts, in the history after ${run.base}`;
  if (attempts - runBase > delaysMs.length + 1) return `${attempts - runBase} attempts in a run`;
  return undefined;
}

function faultBetween(
  before: HistoryEntry,
  entry: HistoryEntry,
  after: HistoryEntry | undefined,
  run: Run,
  posts: readonly Post[],
  delaysMs: readonly number[],
): string | undefined {
  switch (entry.state) {
    case 'awaiting-executing':
      // Only a redelivery begins a run, and only of a failure (contract 5.4).
      if (before.state !== 'failure') return 'only a failure is redelivered';
      if (entry.attempts !== before.attempts) return 'a redelivery makes no attempt';
      run.base = entry.attempts;
      run.failed = 0;
      return undefined;
    case 'executing':
      return faultOfStart(before, entry, after);
    case 'awaiting-retry':
      if (before.state !== 'executing') return 'no attempt was under way';
      run.failed++;
      return faultOfWait(before, entry, delaysMs[entry.attempts - run.base - 1]);
    case 'failure':
      if (before.state === 'success' || before.state === 'failure') return 'the delivery was final';
      if (entry.attempts !== before.attempts) return 'a failure makes no attempt';
      if (entry.reason === undefined) return 'it does not say why';
      // An attempt whose result never came has not failed: it may turn out to have succeeded.
      if (before.state === 'executing' && !entry.reason.startsWith('result of the attempt unknown'))
        run.failed++;
      return undefined;
    case 'success':
      return faultOfSuccess(before, entry, run, posts);
  }
}

function faultOfStart(
  before: HistoryEntry,
  entry: HistoryEntry,
  after: HistoryEntry | undefined,
): string | undefined {
  if (entry.attempts !== before.attempts + 1) return `attempt ${entry.attempts} after ${before.attempts}`;
  switch (before.state) {
    case 'awaiting-executing':
      return undefined;
    case 'awaiting-retry':
      return entry.at >= (before.nextAttemptAt ?? 0) ? undefined : 'attempted early';
    case 'failure':
      // An attempt was under way that the store knew nothing of, because an object that ends forgets what has begun. It succeeded.
      return after?.state === 'success' ? undefined : 'the delivery was final';
    case 'executing':
    case 'success':
      return 'an attempt cannot begin';
  }
}

function faultOfWait(
  before: HistoryEntry,
  entry: HistoryEntry,
  delayMs: number | undefined,
): string | undefined {
  if (entry.attempts !== before.attempts) return 'a wait makes no attempt';
  if (entry.reason === undefined) return 'it does not say why';
  if (delayMs === undefined) return 'the schedule has no more retries';
  const waitMs = (entry.nextAttemptAt ?? 0) - entry.at;
  return waitMs >= delayMs ? undefined : `waits ${waitMs} ms instead of ${delayMs}`;
}

/** A success of any attempt of the current run is final, also a late one. It needs a request that succeeded. */
function faultOfSuccess(
  before: HistoryEntry,
  entry: HistoryEntry,
  run: Run,
  posts: readonly Post[],
): string | undefined {
  if (before.state === 'success') return 'the delivery was final';
  if (before.state === 'awaiting-executing') return 'no attempt was under way';
  if (entry.attempts !== before.attempts) return 'a success makes no attempt';
  if (entry.attempts <= run.base) return 'no attempt of this run';
  // One beyond the entry's number was made before the delivery was deleted and its event came once more.
  const made = posts.filter(({ attempt }) => attempt > run.base);
  if (!made.some(({ succeeded }) => succeeded)) return 'no request of this run succeeded';
  return made.length > run.failed ? undefined : `${made.length} requests, ${run.failed} of them failed`;
}
