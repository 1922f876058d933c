import { describe, expect, it, vi } from 'vitest';
import { issueAccessToken } from '../../src/signing/access-token.ts';
import { holdClock } from '../support/clock.ts';
import { asOperator, call, getToken, newCustomer, type Reply, type TestCustomer } from '../support/world.ts';

const MINUTE_MS = 60_000;

interface Line {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** The lines about refusals that the service writes during `act`. They begin with a new minute and without counts. */
async function refusalsOf(act: () => Promise<unknown>): Promise<Line[]> {
  // Another minute than that of the refusal before it, whatever minute earlier tests left: so this one writes all counts.
  await call('GET', '/operator/customers');
  holdClock().advance(MINUTE_MS);
  await call('GET', '/operator/customers');
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  try {
    await act();
    return warned.mock.calls
      .map(([text]) => JSON.parse(String(text)) as Line)
      .filter(({ event }) => event.startsWith('forbidden'));
  } finally {
    warned.mockRestore();
  }
}

const list = (customerId: string, token?: string, headers: Record<string, string> = {}): Promise<Reply> =>
  call('GET', `/${customerId}/webhooks/subscriptions`, {
    ...(token === undefined ? {} : { token }),
    headers,
  });

describe('the log line of a 403', () => {
  const cases: readonly [string, (customer: TestCustomer) => Promise<Reply>, clientIsKnown: boolean][] = [
    ['missing', ({ id }) => list(id), false],
    ['malformed', ({ id }) => list(id, undefined, { authorization: 'Basic abc' }), false],
    ['malformed', ({ id, token }) => list(id, `${token.slice(0, -4)}AAAA`), false],
    [
      'expired',
      async ({ id, token }) => {
        holdClock().advance(3_600_000);
        return await list(id, token);
      },
      false,
    ],
    [
      'revoked',
      async ({ id, clientId, token }) => {
        await asOperator('DELETE', `/customers/${id}/clients/${clientId}`);
        return await list(id, token);
      },
      false,
    ],
    [
      'revoked',
      async ({ id, clientId, token }) => {
        await asOperator('POST', `/customers/${id}/clients/${clientId}/rotate-secret`, {
          keepOldSeconds: 60,
        });
        holdClock().advance(2 * MINUTE_MS);
        return await list(id, token);
      },
      true,
    ],
    [
      'scope',
      async ({ id, clientId, clientSecret }) => {
        const { body } = await getToken(id, clientId, clientSecret, 'POST:webhooks/events');
        return await list(id, body.access_token);
      },
      true,
    ],
  ];

  it.each(cases)(
    'a management call that is refused logs the reason: %s',
    async (reason, act, clientIsKnown) => {
      const customer = await newCustomer();
      let reply: Reply | undefined;
      const lines = await refusalsOf(async () => {
        reply = await act(customer);
      });
      expect(reply?.status).toBe(403);
      expect(reply?.body).toEqual({ errors: 'Forbidden' });
      expect(lines.filter(({ event }) => event === 'forbidden')).toEqual([
        {
          level: 'warn',
          event: 'forbidden',
          door: 'management',
          reason,
          customerId: customer.id,
          ...(clientIsKnown ? { clientId: customer.clientId } : {}),
          method: 'GET',
          requestId: reply?.headers.get('x-request-id'),
        },
      ]);
    },
  );

  it("a token of another customer logs that, with the path's customer and the token's client", async () => {
    const [customer, other] = await Promise.all([newCustomer(), newCustomer()]);
    const [line] = await refusalsOf(() => list(customer.id, other.token));
    expect(line).toMatchObject({
      reason: 'other customer',
      customerId: customer.id,
      clientId: other.clientId,
    });
  });

  it.each([
    ['missing', {}],
    ['malformed', { authorization: 'Basic abc' }],
    ['wrong token', { authorization: 'Bearer a-token-that-is-wrong' }],
  ])(
    'an operator call that is refused logs the reason: %s',
    async (reason, headers: Record<string, string>) => {
      const lines = await refusalsOf(() => call('POST', '/operator/customers', { headers }));
      expect(lines.at(-1)).toMatchObject({ event: 'forbidden', door: 'operator', reason, method: 'POST' });
    },
  );

  it('the line of a refusal holds no token, no path, and no customer id that is no UUID', async () => {
    const lines = await refusalsOf(async () => {
      await call('GET', '/not-a-uuid/webhooks/secret-path', { token: 'secret-token' });
      await call('GET', '/operator/secret-path', { token: 'secret-token' });
    });
    expect(lines).toHaveLength(2);
    expect(JSON.stringify(lines)).not.toMatch(/secret|not-a-uuid/);
  });
});

describe('a flood of refusals', () => {
  it('like refusals of a minute share a line, and the next refusal after the minute writes their count', async () => {
    const { id } = await newCustomer();
    const lines = await refusalsOf(async () => {
      for (let n = 0; n < 30; n++) await list(id);
      holdClock().advance(MINUTE_MS);
      await list(id);
    });
    expect(lines.map(({ event, count }) => [event, count])).toEqual([
      ['forbidden', undefined],
      ['forbidden again', 29],
      ['forbidden', undefined],
    ]);
    expect(lines[1]).toEqual({
      level: 'warn',
      event: 'forbidden again',
      door: 'management',
      reason: 'missing',
      customerId: id,
      method: 'GET',
      count: 29,
    });
  });

  it('refusals of more than a hundred kinds in a minute share one count', async () => {
    const lines = await refusalsOf(async () => {
      for (let n = 0; n < 130; n++) await list(crypto.randomUUID());
      holdClock().advance(MINUTE_MS);
      await list(crypto.randomUUID());
    });
    // A hundred in the minute, the first of which began it, and one in the next.
    expect(lines.filter(({ event }) => event === 'forbidden')).toHaveLength(100);
    expect(lines.filter(({ event }) => event === 'forbidden again')).toEqual([
      { level: 'warn', event: 'forbidden again', reason: 'others', count: expect.any(Number) },
    ]);
    const counted = lines.reduce((sum, { count }) => sum + (typeof count === 'number' ? count : 1), 0);
    expect(counted).toBe(131);
  });
});

it('a forged token is logged as malformed, also when it says that it has expired', async () => {
  const { id } = await newCustomer();
  const forged = await issueAccessToken(new Uint8Array(32).fill(9), {
    kind: 'client',
    secretId: crypto.randomUUID(),
    expiresAt: 1,
    scope: '',
  });
  const [line] = await refusalsOf(() => list(id, forged));
  expect(line).toMatchObject({ reason: 'malformed' });
});
