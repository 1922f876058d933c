/**
 * # Health of an endpoint (contract 10.4)
 *
 *     healthy ──one time-out, or three slow answers in a row──► slow ──three quick successes in a row──► healthy
 *     healthy | slow ──five failed attempts in a row──► failing ──a success──► healthy
 *
 * While it is not healthy, new events leave the fast lane: they are stored and sent from the store, where a few at a
 * time are under way. While it is failing, events without an attempt are held; attempts that are due all the same
 * (retries, tests, redeliveries) serve as probes, and when none has told anything for the current wait, one held
 * event is let go as a probe. The waits grow from seconds to minutes.
 *
 * Pure: every function returns a new value, or the same one when nothing changes, so that nothing is written for it.
 */
import type { Outcome } from './attempt.ts';
import {
  FAILED_IN_A_ROW,
  PROBE_WAIT_FIRST_MS,
  PROBE_WAIT_MAX_MS,
  QUICK_IN_A_ROW,
  SLOW_ANSWER_MS,
  SLOW_IN_A_ROW,
} from './limits.ts';

export const HEALTH_STATES = ['healthy', 'slow', 'failing'] as const;
export type HealthState = (typeof HEALTH_STATES)[number];

export interface EndpointHealth {
  readonly state: HealthState;
  /** When this state began, ms; 0 for an endpoint that was never anything but healthy. */
  readonly since: number;
  /** Failed attempts in a row. */
  readonly failed: number;
  /** Slow answers in a row. */
  readonly slow: number;
  /** While slow: quick successes in a row. */
  readonly quick: number;
  /** While failing: when an attempt told so last, ms. */
  readonly heardAt: number;
  /** While failing: how long nothing need be heard before a held event is let go, and when that is; ms. */
  readonly probeWaitMs: number;
  readonly probeAt: number;
}

export const HEALTHY: EndpointHealth = {
  state: 'healthy',
  since: 0,
  failed: 0,
  slow: 0,
  quick: 0,
  heardAt: 0,
  probeWaitMs: 0,
  probeAt: 0,
};

/**
 * What an attempt that ended tells of the endpoint.
 * @param durationMs how long its answer took
 * @param now when it was recorded, ms
 */
export function observe(
  health: EndpointHealth,
  outcome: Outcome,
  durationMs: number,
  now: number,
): EndpointHealth {
  return same(health, judged(health, outcome, durationMs, now));
}

function judged(health: EndpointHealth, outcome: Outcome, durationMs: number, now: number): EndpointHealth {
  switch (verdictOf(outcome)) {
    case 'nothing':
      return health;
    case 'success':
      return succeeded(health, durationMs, now);
    case 'answered':
      // Alive, though nothing was delivered: not failing, and not well either.
      if (health.state === 'failing') return probedInVain({ ...health, failed: 0 }, now);
      return withAnswer({ ...health, failed: 0 }, durationMs, now);
    case 'failed': {
      const failed = { ...health, failed: health.failed + 1, quick: 0 };
      const answered = outcome.kind === 'http_error' ? withAnswer(failed, durationMs, now) : failed;
      return afterFailure(answered, outcome.kind === 'timed_out', now);
    }
  }
}

/** A probe was let go: the next waits until this one must have told something. */
export function probed(health: EndpointHealth, now: number, patienceMs: number): EndpointHealth {
  return { ...health, probeAt: now + patienceMs };
}

function verdictOf(outcome: Outcome): 'success' | 'answered' | 'failed' | 'nothing' {
  switch (outcome.kind) {
    case 'success':
      return 'success';
    case 'http_error': {
      const { statusCode } = outcome.response;
      return statusCode >= 500 || statusCode === 429 ? 'failed' : 'answered';
    }
    case 'timed_out':
      return 'failed';
    case 'unreachable':
      return outcome.resolverAway === true ? 'nothing' : 'failed';
    case 'invalid_response':
    case 'blocked':
      return 'nothing';
  }
}

function succeeded(health: EndpointHealth, durationMs: number, now: number): EndpointHealth {
  const isQuick = durationMs <= SLOW_ANSWER_MS;
  if (health.state === 'failing') return { ...HEALTHY, since: now, slow: isQuick ? 0 : 1 };
  if (health.state === 'healthy') return withAnswer({ ...health, failed: 0 }, durationMs, now);
  const quick = isQuick ? health.quick + 1 : 0;
  return quick >= QUICK_IN_A_ROW ? { ...HEALTHY, since: now } : { ...health, failed: 0, quick };
}

/** Counts slow answers; a failing endpoint's do not matter. */
function withAnswer(health: EndpointHealth, durationMs: number, now: number): EndpointHealth {
  if (health.state === 'failing') return health;
  const slow = durationMs > SLOW_ANSWER_MS ? health.slow + 1 : 0;
  return health.state === 'healthy' && slow >= SLOW_IN_A_ROW
    ? turned(health, 'slow', now)
    : { ...health, slow };
}

function afterFailure(health: EndpointHealth, timedOut: boolean, now: number): EndpointHealth {
  if (health.state === 'failing') return probedInVain(health, now);
  if (health.failed >= FAILED_IN_A_ROW) {
    return awaitProbe(turned(health, 'failing', now), PROBE_WAIT_FIRST_MS, now);
  }
  return timedOut && health.state === 'healthy' ? turned(health, 'slow', now) : health;
}

/** Attempts that come in a bunch are one probe: the wait grows once it is over, not with each of them. */
function probedInVain(health: EndpointHealth, now: number): EndpointHealth {
  const isOver = now >= health.heardAt + health.probeWaitMs;
  return awaitProbe(health, isOver ? health.probeWaitMs * 2 : health.probeWaitMs, now);
}

function awaitProbe(health: EndpointHealth, waitMs: number, now: number): EndpointHealth {
  const probeWaitMs = Math.min(waitMs, PROBE_WAIT_MAX_MS);
  return { ...health, heardAt: now, probeWaitMs, probeAt: now + probeWaitMs };
}

function turned(health: EndpointHealth, state: HealthState, since: number): EndpointHealth {
  return { ...HEALTHY, state, since, failed: health.failed };
}

/** The value it was, where the new one says the same. */
function same(before: EndpointHealth, after: EndpointHealth): EndpointHealth {
  const keys = Object.keys(HEALTHY) as (keyof EndpointHealth)[];
  return keys.every((key) => before[key] === after[key]) ? before : after;
}
