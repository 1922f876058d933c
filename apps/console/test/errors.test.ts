import { describe, expect, it } from 'vitest';
import { errorOf, faultSentence, faultsOf } from '../src/lib/errors.ts';

const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  errorOf(
    new Response(typeof body === 'string' ? body : JSON.stringify(body), {
      status,
      headers: { 'X-Request-Id': 'r-1', ...headers },
    }),
  );

describe('errors in words', () => {
  it('an error has the id of its request and the time to wait', async () => {
    const error = await answer(429, { details: 'at most 10 tests at once' }, { 'Retry-After': '6' });
    expect(error).toMatchObject({ status: 429, requestId: 'r-1', retryAfterSeconds: 6 });
    expect(error.message).toBe('Too many requests: at most 10 tests at once.');
  });

  it.each([
    [403, { errors: 'Forbidden' }, 'You are not permitted to do this.'],
    [404, { details: 'Event not found' }, 'Event not found'],
    [409, { details: 'Subscription is disabled' }, 'Subscription is disabled'],
    [500, '<html>', 'The service has a fault. If it stays, give the request id to your operator.'],
    [503, {}, 'The service is away for a moment. Try again shortly.'],
    [418, 'null', 'The service answered with status 418.'],
    [400, { details: 'Request body is not valid JSON' }, 'Request body is not valid JSON'],
  ])('an answer of status %d is put in words', async (status, body, words) => {
    expect((await answer(status, body)).message).toBe(words);
  });

  it.each([
    ['is already used by another subscription', 'This title is already used by another subscription.'],
    ['must be a string of 2 to 200 characters', 'This title must be a string of 2 to 200 characters.'],
    ['[1] must be one of entityCreated', '[1] must be one of entityCreated'],
    ['Enter the title.', 'Enter the title.'],
  ])('the fault “%s” of a field is a sentence', (reason, sentence) => {
    expect(faultSentence('title', reason)).toBe(sentence);
  });

  it('faults are found by their field, with the place in a list', async () => {
    const error = await answer(400, {
      'invalid-body-params': [
        { name: 'title', reason: 'must be a string of 2 to 200 characters' },
        { name: 'events[1]', reason: 'must be one of entityCreated' },
        { name: 'event.sub', reason: 'must be a UUID' },
        { name: 7, reason: 'no name' },
      ],
    });
    expect(faultsOf(error, 'title')).toEqual(['must be a string of 2 to 200 characters']);
    expect(faultsOf(error, 'events')).toEqual(['[1] must be one of entityCreated']);
    expect(faultsOf(error, 'event')).toEqual(['.sub must be a UUID']);
    expect(faultsOf(error, 'endpoint')).toEqual([]);
    expect(error.faults).toHaveLength(3);
    expect(faultsOf(new Error('another'), 'title')).toEqual([]);
  });
});
