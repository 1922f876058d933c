import { describe, expect, it } from 'vitest';
import { asOperator, call, newCustomer } from '../support/world.ts';

const UNKNOWN = '0b8f2a52-6a0c-4b7e-9d6e-0f3d8a6b1c47';

describe('the public keys of a customer', () => {
  it('a customer has at least three RSA 2048 keys, with different ids and public members only', async () => {
    const customer = await asOperator('POST', '/customers', { name: 'Acme' });
    const reply = await call('GET', `/${customer.body.id}/login/jwk`);
    expect(reply.status).toBe(200);
    expect(Object.keys(reply.body)).toEqual(['keys']);
    const keys = reply.body.keys as Record<string, string>[];
    expect(keys.length).toBeGreaterThanOrEqual(3);
    for (const key of keys) {
      expect(key).toEqual({
        kty: 'RSA',
        use: 'sig',
        alg: 'RS256',
        kid: expect.stringMatching(/^[0-9a-f]{40}$/),
        n: expect.stringMatching(/^[A-Za-z0-9_-]{342}$/),
        e: 'AQAB',
      });
    }
    expect(new Set(keys.map((key) => key['kid'])).size).toBe(keys.length);
    expect(new Set(keys.map((key) => key['n'])).size).toBe(keys.length);
  });

  it('the public keys need no token and may be cached', async () => {
    const customer = await newCustomer();
    const reply = await call('GET', `/${customer.id}/login/jwk`, {
      headers: { authorization: 'Bearer nonsense' },
    });
    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
    expect(reply.headers.get('cache-control')).toMatch(/public.*max-age=[1-9]/);
  });

  it('two customers share no key', async () => {
    const kids = async () => {
      const customer = await newCustomer();
      const reply = await call('GET', `/${customer.id}/login/jwk`);
      return reply.body.keys.map((key: { kid: string }) => key.kid) as string[];
    };
    const [first, second] = await Promise.all([kids(), kids()]);
    expect(first.filter((kid) => second.includes(kid))).toEqual([]);
  });

  it.each([UNKNOWN, 'no-uuid', '1', '%00', `${UNKNOWN}x`])(
    'the public keys of %s, which is not a customer, answer 404',
    async (id) => {
      const reply = await call('GET', `/${id}/login/jwk`);
      expect(reply.status).toBe(404);
      expect(reply.body).toEqual({
        type: '/not-found',
        status: 404,
        title: 'Not Found',
        details: 'Customer not found',
      });
      expect(reply.headers.get('cache-control') ?? '').not.toContain('max-age');
    },
  );

  it('POST to the public keys gets a 405 with Allow', async () => {
    const reply = await call('POST', `/${UNKNOWN}/login/jwk`);
    expect(reply.status).toBe(405);
    expect(reply.headers.get('allow')).toMatch(/\bGET\b/);
  });
});
