import { beforeAll, describe, expect, it } from 'vitest';
import { holdClock } from '../support/clock.ts';
import { callIn, environmentWith } from '../support/requests.ts';
import { anEvent, call, getToken, newCustomer, type Reply, type TestCustomer } from '../support/world.ts';

const UNKNOWN = '0b8f2a52-6a0c-4b7e-9d6e-0f3d8a6b1c47';

let customer: TestCustomer;
let other: TestCustomer;
beforeAll(async () => {
  [customer, other] = await Promise.all([newCustomer(), newCustomer()]);
});

function isForbidden(reply: Reply): void {
  expect(reply.status).toBe(403);
  expect(reply.body).toEqual({ errors: 'Forbidden' });
  expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
  expect(reply.headers.has('www-authenticate')).toBe(false);
}

const withHeader = (authorization: string, path = '/subscriptions') =>
  call('GET', `/${customer.id}/webhooks${path}`, { headers: { authorization } });

async function tokenFor(scope: string): Promise<string> {
  const reply = await getToken(customer.id, customer.clientId, customer.clientSecret, scope);
  expect(reply.status).toBe(200);
  return reply.body.access_token;
}

describe('the token of a management call', () => {
  it('a management call without a token gets a 403', async () => {
    isForbidden(await call('GET', `/${customer.id}/webhooks/subscriptions`));
  });

  it.each([
    ['an empty value', () => ''],
    ['the scheme alone', () => 'Bearer'],
    ['the token alone', () => customer.token],
    ['the Basic scheme', () => `Basic ${customer.token}`],
    ['two tokens', () => `Bearer ${customer.token} ${customer.token}`],
    ['a quoted token', () => `Bearer "${customer.token}"`],
    ['the credentials of the client', () => `Basic ${btoa(`${customer.clientId}:${customer.clientSecret}`)}`],
  ])('an Authorization header with %s gets a 403', async (_, authorization) => {
    isForbidden(await withHeader(authorization()));
  });

  it.each([
    ['a single word', () => 'garbage'],
    ['three meaningless parts', () => 'a.b.c'],
    ['a token longer than any of ours', () => 'x'.repeat(5000)],
    ['a token with a changed end', () => `${customer.token.slice(0, -4)}AAAA`],
    ['a token with a changed beginning', () => `x${customer.token.slice(1)}`],
    ['a token cut short', () => customer.token.slice(0, -1)],
    ['a token without its signature', () => `${customer.token.slice(0, customer.token.lastIndexOf('.'))}.`],
    [
      'a token that says it needs no signature',
      () => `${btoa('{"alg":"none"}').replaceAll('=', '')}.${customer.token.split('.')[1]}.`,
    ],
  ])('an invalid token gets a 403: %s', async (_, token) => {
    isForbidden(await withHeader(`Bearer ${token()}`));
  });

  it('an expired token gets a 403', async () => {
    const clock = holdClock();
    const token = await tokenFor('*:webhooks/**');
    expect((await withHeader(`Bearer ${token}`)).status).toBe(200);
    clock.advance(3_600_000);
    isForbidden(await withHeader(`Bearer ${token}`));
  });

  it("a customer's token gets a 403 from another customer's path", async () => {
    isForbidden(await withHeader(`Bearer ${other.token}`));
    isForbidden(await call('GET', `/${other.id}/webhooks/subscriptions`, { token: customer.token }));
  });

  it('a token signed with another key gets a 403', async () => {
    const foreign = environmentWith({ TOKEN_SIGNING_KEY: btoa('x'.repeat(32)) });
    isForbidden(
      await callIn(foreign, 'GET', `/${customer.id}/webhooks/subscriptions`, { token: customer.token }),
    );
  });

  it("the operator's token gets a 403 from the management API", async () => {
    isForbidden(await withHeader('Bearer operator-token-of-the-tests'));
  });

  it('the Bearer scheme is accepted in any case', async () => {
    expect((await withHeader(`bearer ${customer.token}`)).status).toBe(200);
  });
});

describe('the scope of a token', () => {
  const subscriptions = '/subscriptions';
  const one = `/subscriptions/${UNKNOWN}`;
  const events = `${one}/events`;

  it.each([
    ['GET:webhooks/subscriptions', 'GET', subscriptions, 200],
    ['GET:webhooks/subscriptions', 'POST', subscriptions, 403],
    ['GET:webhooks/subscriptions', 'GET', one, 403],
    ['POST:webhooks/subscriptions', 'GET', subscriptions, 403],
    ['GET:webhooks/subscriptions/*', 'GET', one, 404],
    ['GET:webhooks/subscriptions/*', 'GET', subscriptions, 403],
    ['GET:webhooks/subscriptions/*', 'GET', events, 403],
    ['GET:webhooks/subscriptions/**', 'GET', subscriptions, 200],
    ['GET:webhooks/subscriptions/**', 'GET', events, 404],
    ['GET:webhooks/*/*/events', 'GET', events, 404],
    ['GET:webhooks/*/*/events', 'GET', one, 403],
    ['*:webhooks/subscriptions', 'GET', subscriptions, 200],
    ['*:webhooks/subscriptions', 'PUT', subscriptions, 405],
    ['GET:webhooks/events GET:webhooks/subscriptions', 'GET', subscriptions, 200],
    ['GET:webhooks/Subscriptions', 'GET', subscriptions, 403],
  ])('the scope %s makes %s %s answer %i', async (scope, method, path, status) => {
    const reply = await call(method, `/${customer.id}/webhooks${path}`, { token: await tokenFor(scope) });
    expect(reply.status).toBe(status);
    if (status === 403) isForbidden(reply);
  });

  it("a path spelled another way does not widen a token's scope", async () => {
    const token = await tokenFor('GET:webhooks/subscriptions/*');
    const paths = [`${one}%2Fevents`, `${one}/%2e%2e`, `${one}/../../subscriptions`, `${one}//`, `${one}/`];
    for (const path of paths) {
      const reply = await call('GET', `/${customer.id}/webhooks${path}`, { token });
      expect([403, 404]).toContain(reply.status);
    }
  });

  it('HEAD needs the same scope as GET', async () => {
    const token = await tokenFor('GET:webhooks/subscriptions');
    expect((await call('HEAD', `/${customer.id}/webhooks/subscriptions`, { token })).status).toBe(200);
    expect((await call('HEAD', `/${customer.id}/webhooks${one}`, { token })).status).toBe(403);
  });
});

describe('an unauthorized caller', () => {
  it.each([
    ['an unknown subscription', 'GET', `/subscriptions/${UNKNOWN}`],
    ['an id that is not a UUID', 'GET', '/subscriptions/1'],
    ['an unknown route', 'GET', '/nonsense'],
    ['the root of the API', 'GET', ''],
    ['a wrong method', 'PUT', '/subscriptions'],
    ['a body that is not JSON', 'POST', '/subscriptions'],
    ['an unknown event', 'GET', `/subscriptions/${UNKNOWN}/events/${UNKNOWN}`],
  ])('an unauthorized caller gets only a 403 for %s', async (_, method, path) => {
    const options = method === 'POST' ? { body: '{' } : {};
    isForbidden(await call(method, `/${customer.id}/webhooks${path}`, options));
    isForbidden(await call(method, `/${customer.id}/webhooks${path}`, { ...options, token: other.token }));
  });

  it('an unauthorized caller cannot find out which customers exist', async () => {
    isForbidden(
      await call('GET', `/${crypto.randomUUID()}/webhooks/subscriptions`, { token: customer.token }),
    );
    isForbidden(await call('GET', '/no-uuid/webhooks/subscriptions', { token: customer.token }));
    isForbidden(
      await call('GET', `/${customer.id.toUpperCase()}/webhooks/subscriptions`, { token: other.token }),
    );
  });

  it('an unauthorized caller gets a 403 for a bad body, not a 413 or a 415', async () => {
    const path = `/${customer.id}/webhooks/subscriptions`;
    isForbidden(await call('POST', path, { body: ' '.repeat(1_000_000) }));
    isForbidden(await call('POST', path, { body: 'x', headers: { 'content-type': 'text/plain' } }));
  });
});

describe('an authorized caller', () => {
  const notFound = (what: string) => ({
    type: '/not-found',
    status: 404,
    title: 'Not Found',
    details: `${what} not found`,
  });

  it('an authorized caller gets a 404 for an unknown route', async () => {
    const reply = await customer.call('GET', '/nonsense');
    expect(reply.status).toBe(404);
    expect(reply.body).toEqual(notFound('Route'));
  });

  it.each([
    ['PUT', '/subscriptions', ['GET', 'POST']],
    ['PUT', `/subscriptions/${UNKNOWN}`, ['GET']],
    ['POST', `/subscriptions/${UNKNOWN}/events`, ['GET']],
    ['GET', '/events', ['POST']],
  ])('an unsupported method gets a 405 with Allow: %s %s', async (method, path, allowed) => {
    const reply = await customer.call(method, path);
    expect(reply.status).toBe(405);
    expect(reply.body).toMatchObject({
      type: '/method-not-allowed',
      status: 405,
      title: 'Method Not Allowed',
    });
    const allow = (reply.headers.get('allow') ?? '').split(/, */);
    expect(allow).toEqual(expect.arrayContaining(allowed));
    expect(allow).not.toContain(method);
  });

  it('an unknown subscription gets a 404 before the query is checked', async () => {
    const reply = await customer.call('GET', `/subscriptions/${UNKNOWN}/events?limit=0`);
    expect(reply.status).toBe(404);
    expect(reply.body).toEqual(notFound('Subscription'));
  });

  it('an unsupported method gets a 405 before the resource and the body are checked', async () => {
    const path = `/subscriptions/${UNKNOWN}`;
    expect((await customer.call('PUT', path, '{', { 'content-type': 'text/plain' })).status).toBe(405);
  });

  it('an unknown route gets a 404 before the body is checked', async () => {
    expect((await customer.call('POST', '/nonsense', ' '.repeat(1_000_000))).status).toBe(404);
  });

  it('a body with several faults gets a 413 before a 415, and a 415 before a 400', async () => {
    const large = ' '.repeat(1_000_000);
    const text = { 'content-type': 'text/plain' };
    expect((await customer.call('POST', '/subscriptions', large, text)).status).toBe(413);
    expect((await customer.call('POST', '/subscriptions', '{', text)).status).toBe(415);
    expect((await customer.call('POST', '/subscriptions', '{')).status).toBe(400);
  });
});

describe('the limit on management calls', () => {
  const exhausted = () =>
    environmentWith({ MANAGEMENT_CALLS: { limit: async () => ({ success: false }) } as RateLimit });

  it('a management call over the limit gets a 429 with Retry-After', async () => {
    const path = `/${customer.id}/webhooks/subscriptions`;
    const reply = await callIn(exhausted(), 'GET', path, { token: customer.token });
    expect(reply.status).toBe(429);
    expect(reply.body).toEqual({
      type: '/too-many-requests',
      status: 429,
      title: 'Too Many Requests',
      details: expect.any(String),
    });
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('publishing is still accepted when the limit on management calls is used up', async () => {
    const path = `/${customer.id}/webhooks/events`;
    const reply = await callIn(exhausted(), 'POST', path, { token: customer.token, body: anEvent() });
    expect(reply.status).toBe(202);
  });

  it('an unauthorized caller gets a 403 when the limit on management calls is used up', async () => {
    isForbidden(await callIn(exhausted(), 'GET', `/${customer.id}/webhooks/subscriptions`));
  });

  it('management calls are counted separately for each customer, and publishing is not counted', async () => {
    const counted: string[] = [];
    const counting = environmentWith({
      MANAGEMENT_CALLS: {
        limit: async ({ key }: { key: string }) => {
          counted.push(key);
          return { success: true };
        },
      } as RateLimit,
    });
    const { token } = customer;
    await callIn(counting, 'GET', `/${customer.id}/webhooks/subscriptions`, { token });
    await callIn(counting, 'GET', `/${other.id}/webhooks/subscriptions`, { token: other.token });
    await callIn(counting, 'POST', `/${customer.id}/webhooks/events`, { token, body: anEvent() });
    expect(counted).toEqual([customer.id, other.id]);
  });
});
