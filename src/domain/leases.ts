/**
 * How long a consumer may work on something before others take it for dead. Leases only save duplicates, but they must
 * be longer than anything that is still alive, or they make duplicates.
 */
import { MINUTE_MS, SECOND_MS } from './limits.ts';

/** No attempt starts later than this in an invocation. What is left is sent on, to another invocation. */
export const INVOCATION_BUDGET_MS = 10 * SECOND_MS;
/** A request without an answer is overdue after this long at the soonest. */
export const OVERDUE_AFTER_MIN_MS = 250;
/** A request without an answer is overdue after this long at the latest: then no batch waits for it any more. */
export const OVERDUE_AFTER_MAX_MS = 1250;
/** How long a request may outlive its batch. The platform ends such work after 30 s. */
export const OUTLIVES_BATCH_MS = 20 * SECOND_MS;
/** The report of a success waits at most this long for others: a consumer that dies repeats what waits. */
export const SETTLE_INTERVAL_MS = 5 * SECOND_MS;
/** A name server that says nothing for this long counts as away. */
export const RESOLVE_TIMEOUT_MS = 3 * SECOND_MS;
/** An attempt counts as lapsed this long after its own time limit. */
const LEASE_MARGIN_MS = 30 * SECOND_MS;
/** A dispatched delivery may wait in its queue for this long before the store dispatches it again for the first time. */
export const DISPATCH_LEASE_MS = 2 * MINUTE_MS;

/** The longest time until the store dispatches such a delivery again. */
const DISPATCH_LEASE_MAX_MS = 30 * MINUTE_MS;

/**
 * How long a dispatch may wait in its queue before it is sent again, ms: as long as it has waited already. So what a slow queue has
 * not delivered is sent again after 2, 4, 8, 16 and 32 minutes, and then each 30.
 * @param waitedMs since it was first sent
 */
export function dispatchLeaseMs(waitedMs: number): number {
  return Math.min(Math.max(waitedMs, DISPATCH_LEASE_MS), DISPATCH_LEASE_MAX_MS);
}

/** How long after `begin` an attempt counts as lapsed, and is made again; ms. */
export function attemptLeaseMs(attemptTimeoutMs: number): number {
  return attemptTimeoutMs + LEASE_MARGIN_MS;
}

/** How long a claim lasts after `admit`, ms: longer than the invocation that has it. */
export function claimMs(attemptTimeoutMs: number): number {
  return INVOCATION_BUDGET_MS + attemptLeaseMs(attemptTimeoutMs);
}

/** The longest time from the start of an attempt until its result is on its way to the store, ms. */
export function longestAttemptMs(attemptTimeoutMs: number): number {
  return RESOLVE_TIMEOUT_MS + attemptTimeoutMs + SETTLE_INTERVAL_MS;
}

/**
 * How long places at a host last that nobody returns, ms. `longestMs` is the longest attempt. An invocation that is dead has
 * them for this long; one that is alive has returned them by then.
 */
export function placesLeaseMs(longestMs: number): number {
  return INVOCATION_BUDGET_MS + longestMs + SETTLE_MAY_TAKE_MS;
}

/** The same for places that a dispatch takes with it through its queue. */
export function dispatchPlacesLeaseMs(longestMs: number): number {
  return DISPATCH_LEASE_MS + longestMs + SETTLE_MAY_TAKE_MS;
}

/** A store may take this long to store a result: a slow store must not make a finished attempt lapse. */
const SETTLE_MAY_TAKE_MS = 10_000;

/**
 * Checks that every lease is longer than the work it waits for. `config.ts` asks when it reads the configuration.
 * @returns what is wrong, or `undefined`
 */
export function leaseFault(
  attemptTimeoutMs: number,
  leases = {
    attempt: attemptLeaseMs(attemptTimeoutMs),
    claim: claimMs(attemptTimeoutMs),
    dispatch: DISPATCH_LEASE_MS,
  },
): string | undefined {
  const alive = longestAttemptMs(attemptTimeoutMs) + SETTLE_MAY_TAKE_MS;
  if (leases.attempt < alive) return `an attempt may take ${alive} ms, its lease is ${leases.attempt} ms`;
  if (leases.claim < INVOCATION_BUDGET_MS + alive)
    return `a consumer may take ${INVOCATION_BUDGET_MS + alive} ms, its claims last ${leases.claim} ms`;
  // A dispatched delivery may wait in an invocation for as long as attempts may start there.
  if (leases.dispatch <= INVOCATION_BUDGET_MS)
    return `a dispatch may wait ${INVOCATION_BUDGET_MS} ms for a slot, its lease is ${leases.dispatch} ms`;
  return undefined;
}
