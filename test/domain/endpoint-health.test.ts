import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { type EndpointHealth, HEALTHY, observe, probed } from '../../src/domain/endpoint-health.ts';

const QUICK = 50;
const SLOW = 2001;
const answer = (statusCode: number): Outcome => ({
  kind: 'http_error',
  response: { statusCode, headers: {} },
});
const ok: Outcome = { kind: 'success', response: { statusCode: 200, headers: {} } };
const timedOut: Outcome = { kind: 'timed_out', message: '' };
const unreachable: Outcome = { kind: 'unreachable', message: '' };
const ourFault: Outcome = { kind: 'our_fault', message: '' };
const blocked: Outcome = { kind: 'blocked', message: '' };
const invalid: Outcome = { kind: 'invalid_response', message: '' };

type Seen = Outcome | readonly [Outcome, number];

/** The health after attempts that end one second apart. The first one ends at second 1. */
function healthAfter(...seen: readonly Seen[]): EndpointHealth {
  return continued(HEALTHY, 0, ...seen);
}

function continued(health: EndpointHealth, startMs: number, ...seen: readonly Seen[]): EndpointHealth {
  let now = startMs;
  let current = health;
  for (const one of seen) {
    const [outcome, durationMs] = 'kind' in one ? [one, QUICK] : one;
    now += 1000;
    current = observe(current, outcome, durationMs, now);
  }
  return current;
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);
const failing = healthAfter(...times(5, unreachable));

describe('the health of an endpoint', () => {
  it('a success that came before the endpoint began to fail, and is reported late, does not show that it is back', () => {
    const before = failing.since - 1;
    expect(observe(failing, ok, QUICK, failing.since + 4000, undefined, before)).toBe(failing);
    expect(observe(failing, ok, QUICK, failing.since + 4000, undefined, failing.since).state).toBe('healthy');
  });

  it('an endpoint is slow after one time-out', () => {
    expect(healthAfter(ok, timedOut)).toMatchObject({ state: 'slow', since: 2000 });
  });

  it.each([
    ['successes', ok],
    ['answers with 404', answer(404)],
    ['answers with 503', answer(503)],
  ])('an endpoint is slow after three %s in a row that took over two seconds', (_, outcome) => {
    expect(healthAfter([outcome, SLOW], [outcome, SLOW]).state).toBe('healthy');
    expect(healthAfter([outcome, SLOW], [outcome, SLOW], [outcome, SLOW])).toMatchObject({
      state: 'slow',
      since: 3000,
    });
  });

  it('an endpoint stays healthy with a quick answer between slow ones, or with answers of exactly 2 s', () => {
    expect(healthAfter([ok, SLOW], [ok, SLOW], ok, [ok, SLOW], [ok, SLOW]).state).toBe('healthy');
    expect(healthAfter(...times(9, [ok, 2000] as const)).state).toBe('healthy');
  });

  it.each([
    ['time-outs', timedOut],
    ['lost connections', unreachable],
    ['answers with 500', answer(500)],
    ['answers with 599', answer(599)],
    ['answers with 429', answer(429)],
    ['answers with 404', answer(404)],
    ['answers with 400', answer(400)],
    ['redirects', answer(302)],
    ['answers that are not HTTP', invalid],
  ])('an endpoint is failing after five %s in a row, and not before', (_, outcome) => {
    expect(healthAfter(...times(4, outcome)).state).not.toBe('failing');
    expect(healthAfter(...times(5, outcome))).toMatchObject({ state: 'failing', since: 5000 });
  });

  it('an endpoint is not failing when a success comes between its failures', () => {
    expect(healthAfter(...times(4, unreachable), ok, ...times(4, unreachable)).state).toBe('healthy');
  });

  it('an endpoint is failing after five failures in a row that are all different', () => {
    const different = [unreachable, answer(404), answer(302), invalid, answer(503)];
    expect(healthAfter(...different.slice(1)).state).toBe('healthy');
    expect(healthAfter(...different).state).toBe('failing');
  });

  it.each([
    ['an attempt that failed for a reason of ours', ourFault],
    ['an address that is not public', blocked],
  ])('%s does not change the health of an endpoint', (_, outcome) => {
    expect(healthAfter(...times(9, outcome))).toBe(HEALTHY);
    expect(healthAfter(...times(4, unreachable), outcome, unreachable).state).toBe('failing');
    expect(continued(failing, 5000, outcome)).toBe(failing);
  });

  it('a healthy endpoint keeps the same health value, so that nothing is written', () => {
    expect(healthAfter(...times(9, ok))).toBe(HEALTHY);
  });
});

describe('a slow endpoint', () => {
  const slow = healthAfter(timedOut);

  it('a slow endpoint is healthy after three quick successes in a row', () => {
    expect(continued(slow, 1000, ok, ok).state).toBe('slow');
    expect(continued(slow, 1000, ok, ok, ok)).toEqual({ ...HEALTHY, since: 4000 });
  });

  it.each([
    ['a slow success', [ok, SLOW] as const],
    ['a failure', unreachable],
  ])('a slow endpoint counts its quick successes from zero again after %s', (_, between) => {
    expect(continued(slow, 1000, ok, ok, between, ok, ok).state).toBe('slow');
  });

  it('a slow endpoint is failing after five failures in a row, its first time-out included', () => {
    expect(continued(slow, 1000, ...times(4, timedOut)).state).toBe('failing');
  });
});

describe('a failing endpoint', () => {
  it('a failing endpoint is healthy after one success', () => {
    expect(continued(failing, 5000, ok)).toEqual({ ...HEALTHY, since: 6000 });
  });

  it('a failing endpoint stays failing while it answers with 404', () => {
    expect(continued(failing, 5000, ...times(9, answer(404))).state).toBe('failing');
  });

  it('the first probe of a failing endpoint is due after three seconds without a result', () => {
    expect(failing.probeAt).toBe(8000);
  });

  it('the waits between probes of a failing endpoint double up to five minutes', () => {
    let health = failing;
    const waits: number[] = [];
    for (let probe = 0; probe < 9; probe++) {
      const now = health.probeAt;
      health = observe(probed(health, now, 40_000), timedOut, 10_000, now + 10_000);
      waits.push(health.probeAt - (now + 10_000));
    }
    expect(waits).toEqual([6000, 12_000, 24_000, 48_000, 96_000, 192_000, 300_000, 300_000, 300_000]);
  });

  it('failures that arrive together count as one failed probe', () => {
    const bunch = times(20, unreachable).reduce<EndpointHealth>(
      (health) => observe(health, unreachable, QUICK, 9000),
      failing,
    );
    expect(bunch).toMatchObject({ probeWaitMs: 6000, probeAt: 15_000 });
  });

  it('the next probe waits for the result of the probe under way', () => {
    expect(probed(failing, 8000, 41_000).probeAt).toBe(49_000);
  });
});
