import { describe, expect, it } from 'vitest';
import { type Outcome, reasonOf, visible } from '../../src/domain/attempt.ts';

const response = { statusCode: 400, headers: { 'Content-Type': 'application/json' } };

describe('the reason of an attempt that did not succeed', () => {
  it.each<[Exclude<Outcome, { kind: 'success' }>, string]>([
    [{ kind: 'http_error', response }, 'HTTP 400'],
    [{ kind: 'http_error', response, detail: 'invalid_key: too old' }, 'HTTP 400: invalid_key: too old'],
    [{ kind: 'timed_out', message: 'no answer within 10 s' }, 'timed out: no answer within 10 s'],
    [{ kind: 'unreachable', message: 'connection refused' }, 'unreachable: connection refused'],
    [{ kind: 'invalid_response', message: 'not HTTP' }, 'invalid response: not HTTP'],
    [{ kind: 'blocked', message: 'not public' }, 'blocked: not public'],
  ])('of %j is %s', (outcome, reason) => {
    expect(reasonOf(outcome)).toBe(reason);
  });
});

describe('what is shown of an outcome', () => {
  it('is the answer where there was one', () => {
    expect(visible({ kind: 'success', response })).toEqual({ response });
    expect(visible({ kind: 'http_error', response, detail: 'x', retryAfterMs: 5 })).toEqual({ response });
  });

  it.each(['timed_out', 'unreachable', 'invalid_response', 'blocked'] as const)(
    'is the error %s where there was none',
    (kind) => {
      expect(visible({ kind, message: 'why' })).toEqual({ error: { code: kind, message: 'why' } });
    },
  );
});
