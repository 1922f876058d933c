import { describe, expect, it } from 'vitest';
import { presentOf } from '../src/lib/present-session.ts';

const session = { kind: 'customer', customerId: 'a', customerName: 'A Ltd.' };

describe('the session of a page that was refused something', () => {
  it('the session is over when the service knows none', () => {
    expect(presentOf('a', 403, { errors: 'Forbidden' })).toEqual({ kind: 'ended' });
  });

  it('another customer may have signed in, in another tab of the browser', () => {
    expect(presentOf('b', 200, session)).toEqual({ kind: 'other', customerName: 'A Ltd.' });
  });

  it('a refusal says nothing of a session that is as before', () => {
    expect(presentOf('a', 200, session)).toEqual({ kind: 'same' });
    expect(presentOf('', 200, { kind: 'operator' })).toEqual({ kind: 'same' });
  });

  it('a service that is away ends no session', () => {
    expect(presentOf('a', 503, undefined)).toEqual({ kind: 'unknown' });
  });
});
