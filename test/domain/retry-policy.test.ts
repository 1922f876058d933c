import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ListenerOutcome } from '../../src/domain/attempt.ts';
import {
  nextAttemptAt,
  ourFaultWaitMs,
  parseRetryAfter,
  type RetryPolicy,
} from '../../src/domain/retry-policy.ts';

const SECOND = 1000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ENDED = 1_700_000_000_000;

const policy: RetryPolicy = { delaysMs: [3, 30, 300, 3600, 86_400].map((seconds) => seconds * SECOND) };

function answered(statusCode: number, retryAfterMs?: number): ListenerOutcome {
  const response = { statusCode, headers: {} };
  return { kind: 'http_error', response, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

const wait = (runAttempt: number, outcome: ListenerOutcome) => {
  const at = nextAttemptAt(policy, runAttempt, outcome, ENDED);
  return at === undefined ? undefined : at - ENDED;
};

describe('the schedule', () => {
  it.each([
    [1, 3 * SECOND],
    [2, 30 * SECOND],
    [3, 300 * SECOND],
    [4, HOUR],
    [5, DAY],
  ])('the wait after failed attempt %i of a run is %i ms', (attempt, delay) => {
    expect(wait(attempt, answered(503))).toBe(delay);
  });

  it('the schedule ends with the sixth attempt', () => {
    expect(wait(6, answered(503))).toBeUndefined();
  });

  it('a schedule without waits has one attempt', () => {
    expect(nextAttemptAt({ delaysMs: [] }, 1, answered(503), ENDED)).toBeUndefined();
  });
});

describe('a further attempt', () => {
  it.each<[string, ListenerOutcome]>([
    ['a 400', answered(400)],
    ['a 401', answered(401)],
    ['a 404', answered(404)],
    ['a 410', answered(410)],
    ['a 499', answered(499)],
    ['a 500', answered(500)],
    ['a 503', answered(503)],
    ['a 599', answered(599)],
    ['a time-out', { kind: 'timed_out', message: 'no answer within 10 s' }],
    ['an unreachable host', { kind: 'unreachable', message: 'connection refused' }],
  ])('another attempt follows after %s', (_, outcome) => {
    expect(wait(1, outcome)).toBe(3 * SECOND);
  });

  it.each<[string, ListenerOutcome]>([
    ['a success', { kind: 'success', response: { statusCode: 200, headers: {} } }],
    ['a 101', answered(101)],
    ['a 300', answered(300)],
    ['a 301', answered(301)],
    ['a 304', answered(304)],
    ['a 399', answered(399)],
    ['an answer that is not HTTP', { kind: 'invalid_response', message: 'the answer is not HTTP' }],
    ['a blocked address', { kind: 'blocked', message: 'not public' }],
  ])('no attempt follows after %s', (_, outcome) => {
    expect(wait(1, outcome)).toBeUndefined();
  });
});

describe('the wait after a fault of ours', () => {
  it('the waits after faults of ours double from five seconds to five minutes', () => {
    const waits: number[] = [];
    for (let waited = 0; waits.length < 9; ) {
      const next = ourFaultWaitMs(waited);
      waits.push(next / SECOND);
      waited += next;
    }
    expect(waits).toEqual([5, 5, 10, 20, 40, 80, 160, 300, 300]);
  });
});

describe('Retry-After', () => {
  it('Retry-After moves the next attempt later', () => {
    expect(wait(1, answered(429, 60 * SECOND))).toBe(60 * SECOND);
  });

  it('Retry-After never moves the next attempt earlier', () => {
    expect(wait(4, answered(503, SECOND))).toBe(HOUR);
    expect(wait(1, answered(503, 0))).toBe(3 * SECOND);
  });

  it('Retry-After moves the next attempt by 24 h at most', () => {
    expect(wait(1, answered(503, 2 * DAY))).toBe(DAY);
  });

  it('Retry-After adds no attempt to the schedule', () => {
    expect(wait(6, answered(503, 60 * SECOND))).toBeUndefined();
  });

  it('a wait with Retry-After is at least as long as the schedule says', () => {
    const attempt = fc.integer({ min: 1, max: 5 });
    const asked = fc.option(fc.integer({ min: 0, max: 3 * DAY }), { nil: undefined });
    fc.assert(
      fc.property(attempt, asked, (runAttempt, retryAfterMs) => {
        const delay = wait(runAttempt, answered(503, retryAfterMs));
        expect(delay).toBeGreaterThanOrEqual(policy.delaysMs[runAttempt - 1] ?? 0);
        expect(delay).toBeLessThanOrEqual(DAY);
      }),
    );
  });
});

describe('the header Retry-After', () => {
  const NOW = Date.parse('2026-10-21T07:28:00Z');

  it.each([
    ['0', 0],
    ['120', 120 * SECOND],
    [' 120 ', 120 * SECOND],
    ['86400', DAY],
    ['Wed, 21 Oct 2026 07:29:00 GMT', 60 * SECOND],
    ['Wednesday, 21-Oct-26 07:29:00 GMT', 60 * SECOND],
    ['Wed Oct 21 07:29:00 2026', 60 * SECOND],
  ])('the Retry-After header %j asks for a wait of %i ms', (value, ms) => {
    expect(parseRetryAfter(value, NOW)).toBe(ms);
  });

  it.each([
    ['86401', '86401'],
    ['999999999', '999999999'],
    ['of 400 digits', '9'.repeat(400)],
    ['of a date after 24.5 hours', 'Thu, 22 Oct 2026 08:00:00 GMT'],
    ['of the year 9999', 'Fri, 31 Dec 9999 23:59:59 GMT'],
  ])('a Retry-After header %s is cut to 24 h', (_, value) => {
    expect(parseRetryAfter(value, NOW)).toBe(DAY);
  });

  it('a Retry-After date that has passed asks for no wait', () => {
    expect(parseRetryAfter('Tue, 20 Oct 2026 07:28:00 GMT', NOW)).toBe(0);
  });

  it.each([
    '',
    ' ',
    '-1',
    '+5',
    '1.5',
    '1e3',
    '0x10',
    '5s',
    'soon',
    'in 5 minutes',
    '2026-10-22T07:28:00Z',
    '5, 6',
  ])('the Retry-After header %j is ignored as nonsense', (value) => {
    expect(parseRetryAfter(value, NOW)).toBeUndefined();
  });

  it.each(['Year 2099', 'try again in 2099', 'Maintenance until Jan 2099'])(
    'the Retry-After header %j is ignored: it is neither a number nor a date',
    (value) => {
      expect(parseRetryAfter(value, NOW)).toBeUndefined();
    },
  );
});
