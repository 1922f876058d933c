/** What caches may keep, and what an isolate remembers for strangers. */
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Outage } from '../../src/domain/errors.ts';
import { CustomerMemory } from '../../src/http/kit/customer-memory.ts';
import { holdClock } from '../support/clock.ts';
import {
  callIn,
  countingQueries,
  environmentWith,
  environmentWithout,
  limiter,
  newIsolate,
} from '../support/requests.ts';
import { allRoutes, fill, type Route } from '../support/routes.ts';
import {
  anEvent,
  asOperator,
  call,
  getToken,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type TestCustomer,
} from '../support/world.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);
const keysOf = (customerId: string) => `/${customerId}/login/jwk`;

describe('the header Cache-Control', () => {
  let routes: Route[];
  let customer: TestCustomer;
  let ids: Record<string, string>;
  beforeAll(async () => {
    routes = await allRoutes();
    customer = await newCustomer();
    const { id } = await newSubscription(customer);
    ids = { cid: customer.id, sid: id };
  });

  const PUBLIC = new Map([
    ['GET /openapi.json', 'public, max-age=300'],
    ['GET /{cid}/login/jwk', 'public, max-age=300, stale-if-error=43200'],
  ]);
  const name = ({ method, path }: Route) => `${method} ${path}`;
  const tokenOf = ({ access }: Route) =>
    access === 'operator' ? OPERATOR_TOKEN : access === 'token' ? customer.token : undefined;

  /** The path with ids that exist where the test has one. */
  const path = (route: Route) =>
    fill(route.path, new Proxy(ids, { get: (known, key) => known[String(key)] ?? crypto.randomUUID() }));

  it('every route forbids caches to store its answer, except the key set and the OpenAPI document', async () => {
    expect(routes.length).toBeGreaterThan(30);
    // What deletes comes last.
    const order = routes.toSorted((a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'));
    for (const route of order) {
      const token = tokenOf(route);
      const options = { ...(token === undefined ? {} : { token }), ...(route.takesBody ? { body: {} } : {}) };
      const reply = await call(route.method, path(route), options);
      const expected = PUBLIC.get(name(route)) ?? 'no-store';
      expect(reply.headers.get('cache-control'), `${name(route)} ${reply.status}`).toBe(expected);
    }
  });

  it('every route forbids caches to store its refusal of a stranger', async () => {
    for (const route of routes.filter((one) => !PUBLIC.has(name(one)))) {
      const reply = await call(route.method, path(route), route.takesBody ? { body: '{' } : {});
      expect(reply.headers.get('cache-control'), `${name(route)} ${reply.status}`).toBe('no-store');
    }
  });

  it('the platform may keep a key set for 15 s, and for 12 h while the service fails', async () => {
    const { headers } = await call('GET', keysOf((await newCustomer()).id));
    expect(headers.get('cloudflare-cdn-cache-control')).toBe('public, max-age=15, stale-if-error=43200');
  });

  it('what a cache may keep has no id of a caller, and what none may keep has it', async () => {
    const headers = { 'x-request-id': 'chosen-by-the-caller' };
    const idIn = async (path: string) =>
      (await call('GET', path, { headers })).headers.get('x-caller-request-id');
    expect(await idIn(keysOf((await newCustomer()).id))).toBeNull();
    expect(await idIn('/openapi.json')).toBeNull();
    expect(await idIn(keysOf(crypto.randomUUID()))).toBe('chosen-by-the-caller');
    expect(await idIn('/healthz')).toBe('chosen-by-the-caller');
  });

  it('no cache may store an error of the key set', async () => {
    const limited = environmentWith({
      PUBLIC_LOOK_UPS: { limit: async () => ({ success: false }) } as RateLimit,
    });
    const wrong = environmentWith({ LOG_LEVEL: 'wrong' });
    const replies = [
      await call('GET', keysOf(crypto.randomUUID())),
      await call('GET', keysOf('no-uuid')),
      await call('POST', keysOf(customer.id)),
      await callIn(limited, 'GET', keysOf(customer.id)),
      await callIn(wrong, 'GET', keysOf(customer.id)),
      await call('GET', '/nothing'),
      await callIn(environmentWithout('OPERATOR_TOKEN'), 'GET', '/operator/customers'),
    ];
    expect(replies.map(({ status }) => status)).toEqual([404, 404, 405, 429, 500, 404, 404]);
    for (const { headers } of replies) expect(headers.get('cache-control')).toBe('no-store');
  });

  it('no cache may store a token, a secret, or an accepted event', async () => {
    const customer = await newCustomer();
    const clients = `/customers/${customer.id}/clients`;
    const made = await asOperator('POST', clients, { name: 'main' });
    const replies = [
      await getToken(customer.id, customer.clientId, customer.clientSecret),
      made,
      await asOperator('POST', `${clients}/${made.body.clientId}/rotate-secret`),
      await customer.call('POST', '/events', anEvent()),
    ];
    expect(replies.map(({ status }) => status)).toEqual([200, 201, 200, 202]);
    for (const { headers } of replies) expect(headers.get('cache-control')).toBe('no-store');
  });
});

describe('what strangers cost D1', () => {
  it('a key set costs one query in 15 s, however often it is asked for', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const { environment, queries } = countingQueries();
    const isolate = newIsolate(environment);
    const first = await isolate('GET', keysOf(customer.id));
    for (const _ of numbers(300)) {
      const reply = await isolate('GET', keysOf(customer.id));
      expect(reply.body).toEqual(first.body);
    }
    clock.advance(14_999);
    await isolate('GET', keysOf(customer.id));
    expect(queries()).toBe(1);
    clock.advance(1);
    await isolate('GET', keysOf(customer.id));
    expect(queries()).toBe(2);
  });

  it('an id that is no customer costs one query in ten seconds, for its keys and its tokens together', async () => {
    const clock = holdClock();
    const id = crypto.randomUUID();
    const { environment, queries } = countingQueries();
    const isolate = newIsolate(environment);
    const authorization = `Basic ${btoa('client:secret')}`;
    const askToken = () => isolate('POST', `/${id}/login/token`, { headers: { authorization }, body: '' });
    expect((await askToken()).status).toBe(401);
    for (const _ of numbers(50)) expect((await isolate('GET', keysOf(id))).status).toBe(404);
    for (const _ of numbers(15)) expect((await askToken()).status).toBe(401);
    expect(queries()).toBe(1);
    clock.advance(10_000);
    expect((await isolate('GET', keysOf(id))).status).toBe(404);
    expect(queries()).toBe(2);
  });

  it('an address that asks for the keys of random ids gets a 429 before D1 is asked', async () => {
    const { environment, queries } = countingQueries({ PUBLIC_LOOK_UPS: limiter(200) });
    const isolate = newIsolate(environment);
    const from = (address: string) => ({ headers: { 'cf-connecting-ip': address } });
    const known = await newCustomer();
    await isolate('GET', keysOf(known.id), from('2001:db8::1'));
    const before = queries();
    const askFrom = (nth: number) =>
      isolate('GET', keysOf(crypto.randomUUID()), from(`2001:db8::${nth.toString(16)}`));
    for (const nth of numbers(199)) expect((await askFrom(nth)).status).toBe(404);
    for (const nth of numbers(100)) {
      const reply = await askFrom(nth);
      expect(reply.status).toBe(429);
      expect(reply.body).toMatchObject({ type: '/too-many-requests', status: 429 });
      expect(reply.headers.get('retry-after')).toBe('10');
    }
    expect(queries() - before).toBe(199);
    // What the isolate remembers needs no look-up.
    expect((await isolate('GET', keysOf(known.id), from('2001:db8::1'))).status).toBe(200);
    expect((await isolate('GET', keysOf(crypto.randomUUID()), from('2001:db8:0:1::1'))).status).toBe(404);
  });

  it('the OpenAPI document, healthz and ids that are no UUID cost no query', async () => {
    const { environment, queries } = countingQueries();
    const isolate = newIsolate(environment);
    const document = await isolate('GET', '/openapi.json');
    expect((await isolate('GET', '/openapi.json')).body).toEqual(document.body);
    expect((await isolate('GET', '/healthz')).status).toBe(200);
    expect((await isolate('GET', keysOf('no-uuid'))).status).toBe(404);
    expect(queries()).toBe(0);
  });

  it('the OpenAPI document is made once, and again for another BASE_URL', async () => {
    const isolate = newIsolate(env);
    const other = environmentWith({ BASE_URL: 'http://other.test' });
    const stringify = vi.spyOn(JSON, 'stringify');
    onTestFinished(() => stringify.mockRestore());
    const made = () => stringify.mock.calls.filter(([value]) => value?.openapi !== undefined).length;
    for (const _ of [1, 2, 3])
      expect((await isolate('GET', '/openapi.json')).body.servers).toEqual([{ url: 'http://webhooks.test' }]);
    expect(made()).toBe(1);
    expect((await callIn(other, 'GET', '/openapi.json')).body.servers).toEqual([
      { url: 'http://other.test' },
    ]);
  });
});

describe('what an isolate remembers of a customer', () => {
  it('a customer that was created just after its keys were asked for has keys and tokens at once', async () => {
    const id = crypto.randomUUID();
    expect((await call('GET', keysOf(id))).status).toBe(404);
    expect((await asOperator('POST', '/customers', { name: 'Acme', id })).status).toBe(201);
    expect((await call('GET', keysOf(id))).status).toBe(200);
    const { body } = await asOperator('POST', `/customers/${id}/clients`, { name: 'main' });
    expect((await getToken(id, body.clientId, body.clientSecret)).status).toBe(200);
  });

  it('another isolate sees a created customer after 10 s, and an erased or rotated one after 15 s', async () => {
    const clock = holdClock();
    const [created, erased, rotated] = [crypto.randomUUID(), await newCustomer(), await newCustomer()];
    const other = newIsolate(env);
    const seen = async (id: string) => {
      const { status, body } = await other('GET', keysOf(id));
      return status === 200 ? body.keys[0].kid : status;
    };
    const kid = await seen(rotated.id);
    expect([await seen(created), typeof (await seen(erased.id))]).toEqual([404, 'string']);
    await asOperator('POST', '/customers', { name: 'Acme', id: created });
    await asOperator('DELETE', `/customers/${erased.id}`);
    await asOperator('POST', `/customers/${rotated.id}/signing-keys/rotate`);
    expect((await call('GET', keysOf(erased.id))).status).toBe(404);
    expect((await call('GET', keysOf(rotated.id))).body.keys[0].kid).not.toBe(kid);
    expect(await seen(rotated.id)).toBe(kid);
    clock.advance(10_000);
    expect(await seen(created)).toEqual(expect.any(String));
    clock.advance(5000);
    expect(await seen(erased.id)).toBe(404);
    expect(await seen(rotated.id)).not.toBe(kid);
  });

  it('what was read before a change of the customer is not remembered after it', async () => {
    const memory = new CustomerMemory();
    const old = [{ kty: 'RSA' }];
    await memory.publishedKeys('a', async () => {
      memory.forget('a');
      return old;
    });
    expect(await memory.publishedKeys('a', async () => undefined)).toBeUndefined();
    await memory.publishedKeys('b', async () => {
      memory.forget('b');
      return undefined;
    });
    expect(await memory.publishedKeys('b', async () => old)).toBe(old);
  });

  it('a customer counts as found for a minute, unless it is changed meanwhile', async () => {
    const clock = holdClock();
    const memory = new CustomerMemory();
    expect(memory.wasFound('a')).toBe(false);
    await memory.find('a', async () => 'a customer');
    await memory.find('b', async () => undefined);
    clock.advance(59_999);
    expect([memory.wasFound('a'), memory.wasFound('b')]).toEqual([true, false]);
    clock.advance(1);
    expect(memory.wasFound('a')).toBe(false);
    await memory.find('a', async () => 'a customer');
    memory.forget('a');
    expect(memory.wasFound('a')).toBe(false);
    await memory.find('a', async () => {
      memory.forget('a');
      return 'an old customer';
    });
    expect(memory.wasFound('a')).toBe(false);
  });

  it('the keys of a customer are shown for 12 h while the database is away, and not after that', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    let isAway = false;
    const DB = new Proxy(env.DB, {
      get(target, name) {
        if (isAway && name === 'prepare') {
          return () => {
            throw new Error('D1_ERROR: Network connection lost.');
          };
        }
        const member = Reflect.get(target, name) as unknown;
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    const isolate = newIsolate(environmentWith({ DB }));
    const { body: keys } = await isolate('GET', keysOf(customer.id));
    isAway = true;
    clock.advance(12 * 3_600_000 - 1);
    expect((await isolate('GET', keysOf(customer.id))).body).toEqual(keys);
    clock.advance(1);
    expect((await isolate('GET', keysOf(customer.id))).status).toBe(503);
    isAway = false;
    expect((await isolate('GET', keysOf(customer.id))).body).toEqual(keys);
  });

  it('the keys of a customer that was erased are not shown while the database is away', async () => {
    const clock = holdClock();
    const memory = new CustomerMemory();
    await memory.publishedKeys('a', async () => [{ kty: 'RSA' }]);
    clock.advance(15_000);
    const during = memory.publishedKeys('a', async () => {
      memory.forget('a');
      throw new Outage('database', new Error('away'));
    });
    await expect(during).rejects.toThrow(Outage);
    const after = memory.publishedKeys('a', async () => {
      throw new Outage('database', new Error('away'));
    });
    await expect(after).rejects.toThrow(Outage);
  });

  it('ids of no customer push out no key set', async () => {
    const memory = new CustomerMemory();
    const keys = [{ kty: 'RSA' }];
    await memory.publishedKeys('known', async () => keys);
    for (const nth of numbers(20_000)) await memory.publishedKeys(`unknown ${nth}`, async () => undefined);
    const again = await memory.publishedKeys('known', async () => {
      throw new Error('was asked for');
    });
    expect(again).toBe(keys);
  });
});
