import { describe, expect, it } from 'vitest';
import { type Outcome, reasonOf, visible } from '../../src/domain/attempt.ts';

const response = { statusCode: 400, headers: { 'Content-Type': 'application/json' } };

describe('the reason of a failed attempt', () => {
  it.each<[string, string, Exclude<Outcome, { kind: 'success' }>]>([
    ['a 400', 'HTTP 400', { kind: 'http_error', response }],
    [
      'a 400 with a detail',
      'HTTP 400: invalid_key: too old',
      { kind: 'http_error', response, detail: 'invalid_key: too old' },
    ],
    [
      'a time-out',
      'timed out: no answer within 10 s',
      { kind: 'timed_out', message: 'no answer within 10 s' },
    ],
    [
      'a refused connection',
      'unreachable: connection refused',
      { kind: 'unreachable', message: 'connection refused' },
    ],
    [
      'an answer that is not HTTP',
      'invalid response: not HTTP',
      { kind: 'invalid_response', message: 'not HTTP' },
    ],
    ['a fault of ours', 'our fault: no budget', { kind: 'our_fault', message: 'no budget' }],
    ['a blocked address', 'blocked: not public', { kind: 'blocked', message: 'not public' }],
  ])('the history gives %s the reason %s', (_, reason, outcome) => {
    expect(reasonOf(outcome)).toBe(reason);
  });
});

describe('the public part of an outcome', () => {
  it('an outcome with a response shows the response', () => {
    expect(visible({ kind: 'success', response })).toEqual({ response });
    expect(visible({ kind: 'http_error', response, detail: 'x', retryAfterMs: 5 })).toEqual({ response });
  });

  it.each(['timed_out', 'unreachable', 'invalid_response', 'blocked'] as const)(
    'an outcome without a response shows the error %s',
    (kind) => {
      expect(visible({ kind, message: 'why' })).toEqual({ error: { code: kind, message: 'why' } });
    },
  );
});
