import { beforeEach, describe, expect, it } from 'vitest';
import { Access } from '../src/lib/access.ts';

/** A service that gives tokens t1, t2, … and answers calls as the test says. */
class Service {
  time = 1_000_000;
  tokens = 0;
  ended = 0;
  refused = 0;
  hasSession = true;
  calls: { readonly url: string; readonly token: string | null; readonly init: RequestInit }[] = [];
  answer: (token: string | null) => Response = () => Response.json({ ok: true });
  held: Promise<void> = Promise.resolve();

  readonly access = new Access('customer', {
    now: () => this.time,
    ended: () => {
      this.ended++;
    },
    refused: () => {
      this.refused++;
    },
    fetch: async (url, init = {}) => {
      await this.held;
      if (url === '/console/token') {
        if (!this.hasSession) return Response.json({ errors: 'Forbidden' }, { status: 403 });
        this.tokens++;
        return Response.json({ access_token: `t${this.tokens}`, expires_in: 600, scope: 'GET:webhooks/**' });
      }
      const token = new Headers(init.headers).get('authorization');
      this.calls.push({ url, token, init });
      return this.answer(token);
    },
  });
}

let service: Service;

beforeEach(() => {
  service = new Service();
});

describe('access tokens of the page', () => {
  it('calls that begin together share one token', async () => {
    await Promise.all([1, 2, 3].map((n) => service.access.json(`/x/${n}`)));
    expect(service.tokens).toBe(1);
    expect(service.calls.map(({ token }) => token)).toEqual(['Bearer t1', 'Bearer t1', 'Bearer t1']);
    expect(service.access.scope).toBe('GET:webhooks/**');
  });

  it('a token is replaced before it ends', async () => {
    await service.access.json('/x');
    service.time += 554_000;
    await service.access.json('/x');
    expect(service.tokens).toBe(1);
    service.time += 2_000;
    await service.access.json('/x');
    expect(service.tokens).toBe(2);
  });

  it('a call that is refused with an old token is made once more with a new one', async () => {
    await service.access.json('/x');
    service.time += 60_000;
    service.answer = (token) =>
      token === 'Bearer t2'
        ? Response.json({ ok: true })
        : Response.json({ errors: 'Forbidden' }, { status: 403 });
    expect(await service.access.json('/x')).toEqual({ ok: true });
    expect(service.calls).toHaveLength(3);
    expect(service.refused).toBe(0);
  });

  it('a call that a new token may not make is refused at once', async () => {
    service.answer = () => Response.json({ errors: 'Forbidden' }, { status: 403 });
    await expect(service.access.json('/x')).rejects.toThrow('You are not permitted to do this.');
    expect(service.calls).toHaveLength(1);
    expect([service.ended, service.refused]).toEqual([0, 1]);
  });

  it('a call without a session says so, and the session is over', async () => {
    service.hasSession = false;
    await expect(service.access.json('/x')).rejects.toThrow('Your session has ended.');
    expect(service.ended).toBe(1);
    expect(service.calls).toEqual([]);
  });

  it('a call without an answer is an error in words', async () => {
    service.held = Promise.reject(new TypeError('fetch failed'));
    await expect(service.access.json('/x')).rejects.toThrow('The service could not be reached.');
  });

  it('a call sends its query and its body, and no cookie', async () => {
    await service.access.json('/x', {
      method: 'POST',
      query: { limit: 5, state: '', type: undefined },
      body: { a: 1 },
    });
    expect(service.calls[0]).toMatchObject({
      url: '/x?limit=5',
      init: { method: 'POST', body: '{"a":1}', credentials: 'omit' },
    });
  });

  it('an answer without a body is undefined, and one that is cut short is an error', async () => {
    service.answer = () => new Response(null, { status: 204 });
    expect(await service.access.json('/x', { method: 'DELETE' })).toBeUndefined();
    service.answer = () => new Response('{"a":');
    await expect(service.access.json('/x')).rejects.toThrow('cut short');
  });
});
