/**
 * # Health of an endpoint (contract 10.4)
 *
 *     healthy ──one time-out, or three slow answers in a row──► slow ──three quick successes in a row──► healthy
 *     healthy | slow ──five failed attempts in a row──► failing ──a success──► healthy
 *
 * Every attempt that the listener or the network let fail counts as failed, a 404 and a redirect too: a listener that answers
 * but takes nothing gets probes, not everything. A fault of ours shows nothing, and for a blocked host no request was made.
 *
 * While an endpoint is not healthy, new events leave the fast lane: the event store keeps them and dispatches a few at a
 * time. While it is failing, the store holds events that nobody has attempted. Retries, tests
 * and redeliveries still go out, and each shows whether the endpoint answers again. When no attempt has ended for the length of the current wait, the backlog releases
 * one held event as a probe. The waits grow from seconds to minutes.
 *
 * Every function is pure. It returns a new value, or the same object when nothing changes, so that nothing is written.
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
  /** When this state began, ms; 0 for an endpoint that has always been healthy. */
  readonly since: number;
  /** Failed attempts in a row. */
  readonly failed: number;
  /** Slow answers in a row. */
  readonly slow: number;
  /** While slow: quick successes in a row. */
  readonly quick: number;
  /** While failing: when the last result was recorded, ms. */
  readonly heardAt: number;
  /** While failing: how long the backlog waits without a result before it releases a probe, ms. */
  readonly probeWaitMs: number;
  /** While failing: when the next probe is due, ms. */
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
 * The health of an endpoint after an attempt.
 * @param durationMs how long the answer took
 * @param now when the result was recorded, ms
 * @param firstWaitMs how long a failing endpoint is left alone before its first probe
 * @param answeredAt when the answer came, ms
 */
export function observe(
  health: EndpointHealth,
  outcome: Outcome,
  durationMs: number,
  now: number,
  firstWaitMs = PROBE_WAIT_FIRST_MS,
  answeredAt = now,
): EndpointHealth {
  // A success is reported late. One that came before the endpoint began to fail does not show that it is back.
  if (health.state === 'failing' && outcome.kind === 'success' && answeredAt < health.since) return health;
  return same(health, judged(health, outcome, durationMs, now, firstWaitMs));
}

/**
 * The health after another store of the subscription said what it found. News that are no newer change nothing.
 * @param since when that state began there, ms
 */
export function informed(
  health: EndpointHealth,
  state: HealthState,
  since: number,
  now: number,
  firstWaitMs = PROBE_WAIT_FIRST_MS,
): EndpointHealth {
  if (since <= health.since) return health;
  const reported = { ...HEALTHY, state, since };
  return state === 'failing'
    ? awaitProbe({ ...reported, failed: FAILED_IN_A_ROW }, firstWaitMs, now)
    : reported;
}

function judged(
  health: EndpointHealth,
  outcome: Outcome,
  durationMs: number,
  now: number,
  firstWaitMs: number,
): EndpointHealth {
  switch (verdictOf(outcome)) {
    case 'nothing':
      return health;
    case 'success':
      return succeeded(health, durationMs, now);
    case 'failed': {
      const failed = { ...health, failed: health.failed + 1, quick: 0 };
      const answered = outcome.kind === 'http_error' ? withAnswer(failed, durationMs, now) : failed;
      return afterFailure(answered, outcome.kind === 'timed_out', now, firstWaitMs);
    }
  }
}

/** The backlog released a probe: the next one waits for `patienceMs`, until this one must have ended. Only `probeAt` moves. */
export function probed(health: EndpointHealth, now: number, patienceMs: number): EndpointHealth {
  return { ...health, probeAt: now + patienceMs };
}

function verdictOf(outcome: Outcome): 'success' | 'failed' | 'nothing' {
  switch (outcome.kind) {
    case 'success':
      return 'success';
    case 'http_error':
    case 'timed_out':
    case 'unreachable':
    case 'invalid_response':
      return 'failed';
    case 'blocked':
    case 'our_fault':
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

/** Counts slow answers in a row. Those of a failing endpoint do not count. */
function withAnswer(health: EndpointHealth, durationMs: number, now: number): EndpointHealth {
  if (health.state === 'failing') return health;
  const slow = durationMs > SLOW_ANSWER_MS ? health.slow + 1 : 0;
  return health.state === 'healthy' && slow >= SLOW_IN_A_ROW
    ? turned(health, 'slow', now)
    : { ...health, slow };
}

function afterFailure(
  health: EndpointHealth,
  timedOut: boolean,
  now: number,
  firstWaitMs: number,
): EndpointHealth {
  if (health.state === 'failing') return probedInVain(health, now);
  if (health.failed >= FAILED_IN_A_ROW) {
    return awaitProbe(turned(health, 'failing', now), firstWaitMs, now);
  }
  return timedOut && health.state === 'healthy' ? turned(health, 'slow', now) : health;
}

/** Several results within one wait count as one probe: the wait grows only after it is over. */
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

/** `before` itself if `after` has the same values. */
function same(before: EndpointHealth, after: EndpointHealth): EndpointHealth {
  const keys = Object.keys(HEALTHY) as (keyof EndpointHealth)[];
  return keys.every((key) => before[key] === after[key]) ? before : after;
}
