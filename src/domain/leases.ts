/**
 * How long a consumer may be at something before others take it for dead. Leases only save duplicates, but they must
 * be longer than anything that is still alive, or they make them.
 */
import {
  DISPATCH_LEASE_MS,
  INVOCATION_BUDGET_MS,
  LEASE_MARGIN_MS,
  RESOLVE_TIMEOUT_MS,
  SETTLE_INTERVAL_MS,
} from './limits.ts';

/** From `begin` on: after this an attempt counts as lapsed, and is made again. */
export function attemptLeaseMs(attemptTimeoutMs: number): number {
  return attemptTimeoutMs + LEASE_MARGIN_MS;
}

/** From `admit` on: a claim outlives the invocation that has it. */
export function claimMs(attemptTimeoutMs: number): number {
  return INVOCATION_BUDGET_MS + attemptLeaseMs(attemptTimeoutMs);
}

/** The longest time from the start of an attempt to its result's being on the way to the store. */
export function longestAttemptMs(attemptTimeoutMs: number): number {
  return RESOLVE_TIMEOUT_MS + attemptTimeoutMs + SETTLE_INTERVAL_MS;
}

/** A store that is slow to take a result must not turn it into a lapsed attempt. */
const SETTLE_MAY_TAKE_MS = 10_000;

/**
 * Whether every lease is longer than what it waits for; asked when configuration is read.
 * @returns what is wrong; `undefined` when nothing is
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
