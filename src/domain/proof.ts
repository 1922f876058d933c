/**
 * # Proof that an endpoint wants our requests (contract 10.8)
 *
 * While the operator has switched verification on, an endpoint that is new must answer a test notification with a success
 * before any event is sent to it. Each time such an endpoint is set, a *proof* is asked for. A proof is named by the version
 * of the subscription that set the endpoint. A test gives the proof of the URL that it was sent to: what one URL answers never
 * counts for another, however late it comes. An endpoint that comes back is asked again.
 *
 * D1 says which proof the present endpoint needs. The event store knows which proofs were given, because it stores the results.
 */
import { HEALTH_STATES, type HealthState } from './endpoint-health.ts';
import { TEST_INTERVAL_MS, TESTS_AT_ONCE } from './limits.ts';

/** The states that a subscription shows: those of health, or that its endpoint is not verified. */
export const SHOWN_STATES = [...HEALTH_STATES, 'unverified'] as const;
export type ShownState = HealthState | 'unverified';

/**
 * The allowance of test notifications of one subscription (contract 3.7): so many at once, and another one each interval.
 * @param wholeAt when the allowance is whole again, ms; 0 before the first test
 * @returns the new `wholeAt`, or how long the caller must wait
 */
export function takeTest(
  wholeAt: number,
  now: number,
): { readonly wholeAt: number } | { readonly waitMs: number } {
  const next = Math.max(wholeAt, now) + TEST_INTERVAL_MS;
  const waitMs = next - now - TESTS_AT_ONCE * TEST_INTERVAL_MS;
  return waitMs > 0 ? { waitMs } : { wholeAt: next };
}
