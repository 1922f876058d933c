import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { insertDeadLetters } from '../../src/storage/dead-letters.ts';
import { holdClock } from '../support/clock.ts';
import { reportOf } from '../support/reports.ts';
import { callIn, environmentWith, environmentWithout, send } from '../support/requests.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  asOperator,
  call,
  consumeBatch,
  getToken,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type Reply,
  storeOf,
} from '../support/world.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const UNKNOWN = '0b8f2a52-6a0c-4b7e-9d6e-0f3d8a6b1c47';

const notFound = (what: string) => ({
  type: '/not-found',
  status: 404,
  title: 'Not Found',
  details: `${what} not found`,
});

function isNotFound(reply: Reply, what: string): void {
  expect(reply.status).toBe(404);
  expect(reply.body).toEqual(notFound(what));
}

function faultNames(reply: Reply): string[] {
  expect(reply.status).toBe(400);
  expect(reply.body).toMatchObject({ type: '/validation-error', status: 400, title: 'Bad Request' });
  return reply.body['invalid-body-params'].map(({ name }: { name: string }) => name);
}

/** Every row of every table of D1, as text. */
async function everythingStored(): Promise<string> {
  const { results } = await env.DB.prepare(
    `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_cf%' ESCAPE '\\'`,
  ).all<{ name: string }>();
  const rows = await Promise.all(results.map(({ name }) => env.DB.prepare(`SELECT * FROM "${name}"`).all()));
  return JSON.stringify(rows.map((table) => table.results));
}

async function rowsOf(table: string, customerId: string): Promise<Record<string, unknown>[]> {
  return (await env.DB.prepare(`SELECT * FROM ${table} WHERE customer_id = ?`).bind(customerId).all())
    .results;
}

describe('the token of an operator call', () => {
  const paths: [string, string][] = [
    ['GET', '/operator/customers'],
    ['POST', '/operator/customers'],
    ['GET', `/operator/customers/${UNKNOWN}`],
    ['DELETE', `/operator/customers/${UNKNOWN}`],
    ['GET', `/operator/customers/${UNKNOWN}/clients`],
    ['POST', `/operator/customers/${UNKNOWN}/clients`],
    ['DELETE', `/operator/customers/${UNKNOWN}/clients/x`],
    ['POST', `/operator/customers/${UNKNOWN}/clients/x/rotate-secret`],
    ['GET', '/operator/dead-letters'],
    ['GET', `/operator/dead-letters/${UNKNOWN}`],
    ['POST', `/operator/dead-letters/${UNKNOWN}/replay`],
    ['DELETE', `/operator/dead-letters/${UNKNOWN}`],
    ['PATCH', '/operator/customers'],
    ['GET', '/operator/nonsense'],
    ['GET', '/operator'],
    ['GET', '/operator/login/jwk'],
    ['POST', '/operator/login/token'],
    ['GET', '/operator/webhooks/subscriptions'],
  ];

  it.each(paths)('a missing, malformed or wrong operator token gets a 403: %s %s', async (method, path) => {
    const headers = [
      {},
      { authorization: '' },
      { authorization: OPERATOR_TOKEN },
      { authorization: `Basic ${btoa(`operator:${OPERATOR_TOKEN}`)}` },
      { authorization: 'Bearer wrong' },
      { authorization: `Bearer ${OPERATOR_TOKEN}x` },
      { authorization: `Bearer ${OPERATOR_TOKEN.slice(0, -1)}` },
      { authorization: `Bearer ${OPERATOR_TOKEN.toUpperCase()}` },
    ];
    for (const header of headers) {
      const reply = await call(method, path, { headers: header as Record<string, string> });
      expect(reply.status).toBe(403);
      expect(reply.body).toEqual({ errors: 'Forbidden' });
    }
  });

  it.each(paths)(
    'an operator path gets a 404 while no operator token is configured: %s %s',
    async (method, path) => {
      const without = environmentWithout('OPERATOR_TOKEN');
      const empty = environmentWith({ OPERATOR_TOKEN: '' });
      for (const environment of [without, empty]) {
        for (const token of [OPERATOR_TOKEN, 'undefined', '']) {
          isNotFound(await callIn(environment, method, path, { token }), 'Route');
        }
        isNotFound(await callIn(environment, method, path), 'Route');
      }
    },
  );

  it("a customer's token gets a 403 from the operator API", async () => {
    const customer = await newCustomer();
    expect((await call('GET', '/operator/customers', { token: customer.token })).status).toBe(403);
  });

  it('the operator API answers 404 to an unknown route and 405 with Allow to a wrong method', async () => {
    isNotFound(await asOperator('GET', '/nonsense'), 'Route');
    const reply = await asOperator('PATCH', '/customers', {});
    expect(reply.status).toBe(405);
    expect(reply.headers.get('allow')?.split(', ')).toEqual(expect.arrayContaining(['GET', 'POST']));
  });
});

describe('customers', () => {
  it('a new customer has an id, a name and three signing keys', async () => {
    const reply = await asOperator('POST', '/customers', { name: 'Acme' });
    expect(reply.status).toBe(201);
    const { id } = reply.body;
    expect(reply.headers.get('location')).toBe(`/operator/customers/${id}`);
    expect(reply.body).toEqual({
      id: expect.stringMatching(UUID),
      name: 'Acme',
      signingAlgorithm: 'RS256',
      fullestStorePercent: 0,
      createdAt: expect.stringMatching(TIME),
      _links: {
        self: { href: `/operator/customers/${id}` },
        clients: { href: `/operator/customers/${id}/clients` },
        subscriptions: { href: `/${id}/webhooks/subscriptions` },
        keys: { href: `/${id}/login/jwk` },
      },
    });
    expect((await asOperator('GET', `/customers/${id}`)).body).toEqual(reply.body);
    expect((await call('GET', `/${id}/login/jwk`)).body.keys).toHaveLength(3);
  });

  it('a customer keeps a given id, lower-cased; the same id again gets a 409', async () => {
    const id = crypto.randomUUID();
    const made = await asOperator('POST', '/customers', { name: 'Moved', id: id.toUpperCase() });
    expect(made.status).toBe(201);
    expect(made.body.id).toBe(id);
    const keys = (await call('GET', `/${id}/login/jwk`)).body;
    const again = await asOperator('POST', '/customers', { name: 'Other', id });
    expect(again.status).toBe(409);
    expect(again.body).toEqual({ status: 409, title: 'Conflict', details: expect.any(String) });
    expect((await asOperator('GET', `/customers/${id}`)).body.name).toBe('Moved');
    expect((await call('GET', `/${id}/login/jwk`)).body).toEqual(keys);
  });

  it('creating an invalid customer gets a 400 that names every fault at once', async () => {
    expect(faultNames(await asOperator('POST', '/customers', {}))).toEqual(['name']);
    expect(faultNames(await asOperator('POST', '/customers', { name: '', id: 'x' })).sort()).toEqual([
      'id',
      'name',
    ]);
    expect(faultNames(await asOperator('POST', '/customers', { name: 'x'.repeat(201) }))).toEqual(['name']);
  });

  it.each(['GET', 'DELETE'])(
    '%s of a customer gets a 404 when the id is unknown or is not a UUID',
    async (method) => {
      for (const id of [UNKNOWN, 'nonsense', '%00']) {
        isNotFound(await asOperator(method, `/customers/${id}`), 'Customer');
      }
    },
  );

  it('the private keys of a customer are stored only sealed', async () => {
    const { id } = (await asOperator('POST', '/customers', { name: 'Sealed' })).body;
    const keys = await rowsOf('signing_keys', id);
    expect(keys).toHaveLength(3);
    for (const key of keys) {
      const publicJwk = JSON.parse(String(key['public_jwk'])) as object;
      expect(Object.keys(publicJwk).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use']);
      const parts = String(key['sealed_private_key']).split('.');
      expect(parts).toHaveLength(5);
      const header = JSON.parse(atob((parts[0] ?? '').replaceAll('-', '+').replaceAll('_', '/')));
      expect(header).toMatchObject({ alg: 'dir', enc: 'A256GCM' });
    }
    // Other tests store what they like, also members with these names: a part of a private key is a long text.
    const part = /"(d|dp|dq|qi)\\*":\s*\\*"[\w-]{40}/;
    expect(JSON.stringify(JSON.stringify({ d: 'x'.repeat(342) }))).toMatch(part);
    expect(await everythingStored()).not.toMatch(part);
  });
});

describe('the list of customers', () => {
  beforeAll(async () => {
    const { total } = (await asOperator('GET', '/customers')).body;
    const insert = env.DB.prepare('INSERT INTO customers (id, name, created_at) VALUES (?, ?, ?)');
    const soon = Date.now() + 86_400_000;
    await env.DB.batch(
      Array.from({ length: 205 - total }, (_, index) =>
        insert.bind(crypto.randomUUID(), `listed ${index}`, soon + index),
      ),
    );
  });

  const path = '/operator/customers';

  it('the list of customers has pages of 100, oldest first, each customer once', async () => {
    const first = await asOperator('GET', '/customers');
    expect(first.status).toBe(200);
    expect(first.body.total).toBe(205);
    expect(first.body._embedded.customers).toHaveLength(100);
    expect(first.body._links).toEqual({ self: { href: path }, next: { href: `${path}?page=2` } });
    const second = await asOperator('GET', '/customers?page=2');
    expect(second.body._links).toEqual({
      self: { href: `${path}?page=2` },
      prev: { href: `${path}?page=1` },
      next: { href: `${path}?page=3` },
    });
    const third = await asOperator('GET', '/customers?page=3');
    expect(third.body._links).toEqual({ self: { href: `${path}?page=3` }, prev: { href: `${path}?page=2` } });
    const all = [first, second, third].flatMap((reply) => reply.body._embedded.customers) as {
      id: string;
      createdAt: string;
    }[];
    expect(new Set(all.map(({ id }) => id)).size).toBe(205);
    const times = all.map(({ createdAt }) => createdAt);
    expect(times).toEqual([...times].sort());
  });

  it('the list shows a customer exactly as it is shown alone', async () => {
    const [listed] = (await asOperator('GET', '/customers')).body._embedded.customers;
    expect((await asOperator('GET', `/customers/${listed.id}`)).body).toEqual(listed);
  });
});

describe('clients', () => {
  let customerId: string;
  let clientsPath: string;
  beforeEach(async () => {
    customerId = (await asOperator('POST', '/customers', { name: 'Clients' })).body.id;
    clientsPath = `/customers/${customerId}/clients`;
  });

  it('a new client has an id and a secret that works', async () => {
    const reply = await asOperator('POST', clientsPath, { name: 'main', scope: 'GET:webhooks/**' });
    expect(reply.status).toBe(201);
    expect(reply.headers.get('cache-control')).toBe('no-store');
    const { _links, ...client } = reply.body;
    expect(client).toEqual({
      clientId: expect.stringMatching(/^iwh_client_[a-z0-9]{32}$/),
      clientSecret: expect.stringMatching(/^iwh_secret_[a-z0-9]{48}$/),
      name: 'main',
      scope: 'GET:webhooks/**',
      createdAt: expect.stringMatching(TIME),
    });
    const token = await getToken(customerId, client.clientId, client.clientSecret, 'GET:webhooks/**');
    expect(token.status).toBe(200);
  });

  it('a client secret is shown only at creation and stored only as a hash', async () => {
    const { clientId, clientSecret } = (await asOperator('POST', clientsPath, { name: 'main' })).body;
    const listed = await asOperator('GET', clientsPath);
    expect(listed.body._embedded.clients).toEqual([
      {
        clientId,
        name: 'main',
        scope: '*:webhooks/**',
        createdAt: expect.stringMatching(TIME),
        _links: expect.any(Object),
      },
    ]);
    const stored = await everythingStored();
    expect(stored).toContain(clientId);
    expect(stored).not.toContain(clientSecret);
    const [secret] = await rowsOf('client_secrets', customerId);
    expect(secret?.['secret_hash']).toMatch(/^[0-9a-f]{64}$/);
  });

  it('a client keeps a given id and secret; the same id again gets a 409', async () => {
    const given = { clientId: 'Moved-Client', clientSecret: 'a-secret-from-elsewhere-32-long.' };
    const made = await asOperator('POST', clientsPath, { name: 'moved', ...given });
    expect(made.body).toMatchObject(given);
    expect(await everythingStored()).not.toContain(given.clientSecret);
    const again = await asOperator('POST', clientsPath, { name: 'again', clientId: given.clientId });
    expect(again.status).toBe(409);
    expect(again.body).toEqual({ status: 409, title: 'Conflict', details: expect.any(String) });
    expect((await getToken(customerId, given.clientId, given.clientSecret)).status).toBe(200);
    const other = (await asOperator('POST', '/customers', { name: 'Other' })).body.id;
    expect((await asOperator('POST', `/customers/${other}/clients`, { name: 'same', ...given })).status).toBe(
      201,
    );
  });

  it('creating an invalid client gets a 400 that names every fault at once', async () => {
    expect(faultNames(await asOperator('POST', clientsPath, {}))).toEqual(['name']);
    const reply = await asOperator('POST', clientsPath, {
      name: '',
      scope: 'webhooks',
      clientId: 'with space',
      clientSecret: 'thirty-one-characters-is-short.',
    });
    expect(faultNames(reply).sort()).toEqual(['clientId', 'clientSecret', 'name', 'scope']);
    expect((await asOperator('GET', clientsPath)).body.total).toBe(0);
  });

  it.each(['.', '..'])(
    'a client cannot have the id %s, which the path of its URL would lose',
    async (clientId) => {
      const reply = await asOperator('POST', clientsPath, { name: 'dots', clientId });
      expect(faultNames(reply)).toEqual(['clientId']);
    },
  );

  it('the list of clients holds the clients of one customer only', async () => {
    const names = ['one', 'two', 'three'];
    for (const name of names) await asOperator('POST', clientsPath, { name });
    await newCustomer();
    const { body } = await asOperator('GET', clientsPath);
    expect(body.total).toBe(3);
    expect(body._links.self).toEqual({ href: `/operator${clientsPath}` });
    expect(body._embedded.clients.map(({ name }: { name: string }) => name).sort()).toEqual(
      [...names].sort(),
    );
  });

  it('a client is deleted together with its secrets', async () => {
    const { clientId, clientSecret } = (await asOperator('POST', clientsPath, { name: 'main' })).body;
    const deleted = await asOperator('DELETE', `${clientsPath}/${clientId}`);
    expect(deleted.status).toBe(204);
    expect(deleted.body).toBe('');
    expect((await asOperator('GET', clientsPath)).body.total).toBe(0);
    expect(await rowsOf('client_secrets', customerId)).toEqual([]);
    expect((await getToken(customerId, clientId, clientSecret)).status).toBe(401);
    isNotFound(await asOperator('DELETE', `${clientsPath}/${clientId}`), 'Client');
  });

  it('a secret rotation gives a client a new secret, and the old one stops working', async () => {
    const { clientSecret: old, ...client } = (await asOperator('POST', clientsPath, { name: 'main' })).body;
    const rotated = await asOperator('POST', `${clientsPath}/${client.clientId}/rotate-secret`, {});
    expect(rotated.status).toBe(200);
    expect(rotated.headers.get('cache-control')).toBe('no-store');
    const { clientSecret, ...same } = rotated.body;
    expect(same).toEqual(client);
    expect(clientSecret).not.toBe(old);
    expect((await getToken(customerId, client.clientId, old)).status).toBe(401);
    expect((await getToken(customerId, client.clientId, clientSecret)).status).toBe(200);
    expect(await everythingStored()).not.toContain(clientSecret);
  });

  it.each([-1, 604_801, 1.5, '60', null])(
    'a secret rotation refuses to keep the old secret for %j seconds',
    async (keepOldSeconds) => {
      const { clientId, clientSecret } = (await asOperator('POST', clientsPath, { name: 'main' })).body;
      const reply = await asOperator('POST', `${clientsPath}/${clientId}/rotate-secret`, { keepOldSeconds });
      expect(faultNames(reply)).toEqual(['keepOldSeconds']);
      expect((await getToken(customerId, clientId, clientSecret)).status).toBe(200);
    },
  );

  it.each([0, 604_800])(
    'a secret rotation may keep the old secret for %i seconds',
    async (keepOldSeconds) => {
      const { clientId } = (await asOperator('POST', clientsPath, { name: 'main' })).body;
      const reply = await asOperator('POST', `${clientsPath}/${clientId}/rotate-secret`, { keepOldSeconds });
      expect(reply.status).toBe(200);
    },
  );

  it('a customer has at most 100 clients: one more gets a 409', async () => {
    for (let nth = 1; nth <= 100; nth++) {
      expect((await asOperator('POST', clientsPath, { name: `client ${nth}` })).status).toBe(201);
    }
    const refused = await asOperator('POST', clientsPath, { name: 'one too many' });
    expect(refused).toMatchObject({ status: 409, body: { details: 'Too many clients: at most 100' } });
    expect(await rowsOf('clients', customerId)).toHaveLength(100);
  });

  it('a client has at most 10 secrets at once: one more that keeps the others is refused and ends none', async () => {
    const made = (await asOperator('POST', clientsPath, { name: 'main' })).body;
    const path = `${clientsPath}/${made.clientId}/rotate-secret`;
    for (let nth = 2; nth <= 10; nth++) {
      expect((await asOperator('POST', path, { keepOldSeconds: 600 })).status).toBe(200);
    }
    const before = await rowsOf('client_secrets', customerId);
    const refused = await asOperator('POST', path, { keepOldSeconds: 60 });
    expect(refused.status).toBe(409);
    expect(refused.body.details).toBe(
      'Too many secrets: at most 10 at once; rotate with keepOldSeconds 0, or wait until one ends',
    );
    expect(await rowsOf('client_secrets', customerId)).toEqual(before);
    expect((await getToken(customerId, made.clientId, made.clientSecret)).status).toBe(200);
  });

  it('a rotation that keeps no secret succeeds however many there are', async () => {
    const made = (await asOperator('POST', clientsPath, { name: 'main' })).body;
    const path = `${clientsPath}/${made.clientId}/rotate-secret`;
    for (let nth = 2; nth <= 10; nth++) await asOperator('POST', path, { keepOldSeconds: 600 });
    const rotated = await asOperator('POST', path);
    expect(rotated.status).toBe(200);
    expect((await getToken(customerId, made.clientId, made.clientSecret)).status).toBe(401);
    expect((await getToken(customerId, made.clientId, rotated.body.clientSecret)).status).toBe(200);
    expect((await asOperator('POST', path, { keepOldSeconds: 600 })).status).toBe(200);
  });

  it.each([
    ['that is not sent as JSON', '{"keepOldSeconds":600}', 'text/plain', 415],
    ['that is not JSON', '{', 'application/json', 400],
    ['that is not an object', '[]', 'application/json', 400],
  ])('a secret rotation with a body %s is refused and changes nothing', async (_, body, type, status) => {
    const { clientId, clientSecret } = (await asOperator('POST', clientsPath, { name: 'main' })).body;
    const reply = await call('POST', `/operator${clientsPath}/${clientId}/rotate-secret`, {
      token: OPERATOR_TOKEN,
      headers: { 'content-type': type },
      body,
    });
    expect(reply.status).toBe(status);
    expect((await getToken(customerId, clientId, clientSecret)).status).toBe(200);
  });

  it('a secret rotation with a body without a content type gets a 415 and changes nothing', async () => {
    const { clientId, clientSecret } = (await asOperator('POST', clientsPath, { name: 'main' })).body;
    const reply = await send(`/operator${clientsPath}/${clientId}/rotate-secret`, {
      method: 'POST',
      headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
      body: new TextEncoder().encode('{"keepOldSeconds":600}'),
    });
    expect(reply.status).toBe(415);
    expect((await getToken(customerId, clientId, clientSecret)).status).toBe(200);
  });

  it('an unknown client gets a 404 before the body is checked', async () => {
    isNotFound(await asOperator('DELETE', `${clientsPath}/unknown`), 'Client');
    isNotFound(await asOperator('POST', `${clientsPath}/unknown/rotate-secret`), 'Client');
    isNotFound(
      await asOperator('POST', `${clientsPath}/unknown/rotate-secret`, { keepOldSeconds: -1 }),
      'Client',
    );
  });

  it('a client call for an unknown customer gets a 404 before the body is checked', async () => {
    for (const id of [UNKNOWN, 'nonsense']) {
      const path = `/customers/${id}/clients`;
      isNotFound(await asOperator('GET', path), 'Customer');
      isNotFound(await asOperator('POST', path, { name: 'main' }), 'Customer');
      isNotFound(await asOperator('POST', path, {}), 'Customer');
      isNotFound(await asOperator('POST', path, ' '.repeat(1_000_000)), 'Customer');
      isNotFound(await asOperator('DELETE', `${path}/x`), 'Customer');
      isNotFound(await asOperator('POST', `${path}/x/rotate-secret`, { keepOldSeconds: -1 }), 'Customer');
    }
  });
});

describe('erasing a customer', () => {
  it('the id of an erased customer is taken again no sooner than its old tokens have stopped working', async () => {
    const clock = holdClock();
    const before = await newCustomer();
    expect((await before.call('GET', '/subscriptions')).status).toBe(200);
    expect((await asOperator('DELETE', `/customers/${before.id}`)).status).toBe(204);
    const again = { name: 'Next', id: before.id };
    clock.advance(59_000);
    const early = await asOperator('POST', '/customers', again);
    expect(early.status).toBe(409);
    expect(early.body.details).toContain('60 seconds');
    isNotFound(await asOperator('GET', `/customers/${before.id}`), 'Customer');
    expect((await call('GET', `/${before.id}/login/jwk`)).status).toBe(404);
    clock.advance(1001);
    expect((await asOperator('POST', '/customers', again)).status).toBe(201);
    expect((await before.call('GET', '/subscriptions')).status).toBe(403);
  });

  it('erasing a customer erases its clients, keys, subscriptions and event stores', async () => {
    const customer = await newCustomer();
    const subscriptions = [await newSubscription(customer), await newSubscription(customer)];
    const now = Date.now();
    const eventId = newEventIds(now, 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';
    for (const { id } of subscriptions) {
      const ref = {
        customerId: customer.id,
        subscriptionId: id,
        version: 1,
        enabled: true,
        endpoint: 'https://listener.example/',
      };
      const facts = { eventId, acceptedAt: now, endpoint: 'https://listener.example.com/', set: 'a.b.c' };
      const outcome = { kind: 'success', response: { statusCode: 200, headers: {} } } as const;
      const result = { attempt: 1, startedAt: now, durationMs: 1, outcome };
      await storeOf({ id }).settle(ref, [reportOf({ ...facts, result })]);
      expect(await storeOf({ id }).total()).toBe(1);
    }
    const bystander = await newCustomer();
    const kept = await newSubscription(bystander);

    const erased = await asOperator('DELETE', `/customers/${customer.id}`);
    expect(erased.status).toBe(204);
    expect(erased.body).toBe('');

    isNotFound(await asOperator('GET', `/customers/${customer.id}`), 'Customer');
    isNotFound(await asOperator('DELETE', `/customers/${customer.id}`), 'Customer');
    isNotFound(await call('GET', `/${customer.id}/login/jwk`), 'Customer');
    expect((await getToken(customer.id, customer.clientId, customer.clientSecret)).status).toBe(401);
    expect(await rowsOf('clients', customer.id)).toEqual([]);
    expect(await rowsOf('client_secrets', customer.id)).toEqual([]);
    expect(await rowsOf('signing_keys', customer.id)).toEqual([]);
    const tombstones = await rowsOf('subscriptions', customer.id);
    expect(tombstones).toHaveLength(2);
    for (const tombstone of tombstones) {
      // A store adopts the newer version, so that it learns of the erasure.
      expect(tombstone['version']).toBe(2);
      expect(tombstone['deleted_at']).not.toBeNull();
      expect(tombstone['erased_at']).not.toBeNull();
      expect(tombstone).toMatchObject({ title: '', endpoint: '', events: '[]', filter: null });
    }
    for (const { id } of subscriptions) {
      const rows = await runInDurableObject(storeOf({ id }), (_, state) =>
        state.storage.sql.exec('SELECT * FROM deliveries').toArray(),
      );
      expect(rows).toEqual([]);
    }
    expect((await bystander.call('GET', `/subscriptions/${kept.id}`)).status).toBe(200);
  });

  it('erasing a customer deletes the dead letters of its events, and those of no other', async () => {
    const [customer, bystander] = [await newCustomer(), await newCustomer()];
    for (const { id } of [customer, bystander]) {
      await consumeBatch('events', [{ body: { ...anEvent(), customerId: id, sub: 'nobody' } }]);
      expect(await rowsOf('dead_letters', id)).toHaveLength(1);
    }
    await asOperator('DELETE', `/customers/${customer.id}`);
    expect(await rowsOf('dead_letters', customer.id)).toEqual([]);
    expect(await rowsOf('dead_letters', bystander.id)).toHaveLength(1);
  });

  it('a new customer with the id of an erased one starts empty', async () => {
    const customer = await newCustomer();
    await newSubscription(customer, { title: 'the old one' });
    const clock = holdClock();
    await asOperator('DELETE', `/customers/${customer.id}`);
    clock.advance(60_001);
    const again = await asOperator('POST', '/customers', { name: 'Again', id: customer.id });
    expect(again.status).toBe(201);
    expect((await asOperator('GET', `/customers/${customer.id}/clients`)).body.total).toBe(0);
    const client = (await asOperator('POST', `/customers/${customer.id}/clients`, { name: 'new' })).body;
    const token = (await getToken(customer.id, client.clientId, client.clientSecret)).body
      .access_token as string;
    const listed = await call('GET', `/${customer.id}/webhooks/subscriptions`, { token });
    expect(listed.body.total).toBe(0);
  });
});

describe('dead letters', () => {
  const path = '/operator/dead-letters';
  let ids: string[];

  const bodyOf = (index: number) => ({
    replay: 1,
    acceptedAt: 1_000 + index,
    eventId: UNKNOWN,
    event: { index },
  });

  beforeEach(async () => {
    await env.DB.prepare('DELETE FROM dead_letters').run();
    ids = [];
  });

  async function insert(count: number): Promise<void> {
    const letters = Array.from({ length: count }, (_, index) => ({
      id: crypto.randomUUID(),
      queue: 'webhook-events',
      reason: `sub must be a UUID (${index})`,
      body: JSON.stringify(bodyOf(index)),
      acceptedAt: 1_000 + index,
      createdAt: 2_000 + index,
      customerId: null,
      refused: true,
    }));
    ids = letters.map(({ id }) => id);
    await insertDeadLetters(openDatabase(env.DB), letters);
  }

  const shown = (index: number) => ({
    id: ids[index],
    queue: 'webhook-events',
    reason: `sub must be a UUID (${index})`,
    acceptedAt: new Date(1_000 + index).toISOString(),
    createdAt: new Date(2_000 + index).toISOString(),
    _links: {
      self: { href: `${path}/${ids[index]}` },
      replay: { href: `${path}/${ids[index]}/replay` },
    },
  });

  it('dead letters are listed oldest first, without their bodies', async () => {
    await insert(3);
    const reply = await asOperator('GET', '/dead-letters');
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      total: 3,
      _links: { self: { href: path } },
      _embedded: { deadLetters: [shown(0), shown(1), shown(2)] },
    });
  });

  it('the list of dead letters has pages of 100', async () => {
    await insert(205);
    const pages = await Promise.all(
      ['', '?page=2', '?page=3', '?page=4'].map((query) => asOperator('GET', `/dead-letters${query}`)),
    );
    const listed = pages.map((page) => page.body._embedded.deadLetters.map(({ id }: { id: string }) => id));
    expect(listed).toEqual([ids.slice(0, 100), ids.slice(100, 200), ids.slice(200), []]);
    expect(pages[0]?.body._links.next).toEqual({ href: `${path}?page=2` });
    expect(pages[1]?.body._links.prev).toEqual({ href: `${path}?page=1` });
    expect(pages[2]?.body._links).not.toHaveProperty('next');
    expect(pages.map((page) => page.body.total)).toEqual([205, 205, 205, 205]);
  });

  it('a dead letter that is read alone shows its body', async () => {
    await insert(1);
    const reply = await asOperator('GET', `/dead-letters/${ids[0]}`);
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({ ...shown(0), body: bodyOf(0) });
  });

  it('a replayed dead letter is queued again and leaves the list', async () => {
    await insert(2);
    const sent: unknown[] = [];
    const recording = environmentWith({
      EVENTS: {
        sendBatch: async (messages: Iterable<MessageSendRequest<unknown>>) => {
          sent.push(...[...messages].map(({ body }) => body));
        },
      } as unknown as Queue<unknown>,
    });
    const reply = await callIn(recording, 'POST', `${path}/${ids[0]}/replay`, { token: OPERATOR_TOKEN });
    expect(reply.status).toBe(202);
    expect(reply.body).toEqual(shown(0));
    expect(sent).toEqual([bodyOf(0)]);
    isNotFound(await asOperator('GET', `/dead-letters/${ids[0]}`), 'Dead letter');
    isNotFound(
      await callIn(recording, 'POST', `${path}/${ids[0]}/replay`, { token: OPERATOR_TOKEN }),
      'Dead letter',
    );
    expect((await asOperator('GET', '/dead-letters')).body.total).toBe(1);
  });

  it('a replay gets a 503 with Retry-After while the queue fails, and the dead letter stays', async () => {
    await insert(1);
    const away = environmentWith({
      EVENTS: {
        sendBatch: async () => {
          throw new Error('Queue sendBatch failed: Too Many Requests');
        },
      } as unknown as Queue<unknown>,
    });
    const reply = await callIn(away, 'POST', `${path}/${ids[0]}/replay`, { token: OPERATOR_TOKEN });
    expect(reply.status).toBe(503);
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await asOperator('GET', '/dead-letters')).body.total).toBe(1);
  });

  it('a replayed dead letter is delivered once its customer exists', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const now = Date.now();
    const eventId = newEventIds(now, 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';
    const event = anEvent({ customerId: customer.id });
    const letter = {
      id: crypto.randomUUID(),
      queue: 'webhook-events',
      reason: 'customer unknown',
      body: JSON.stringify({ replay: 1, acceptedAt: now, eventId, event }),
      acceptedAt: now,
      createdAt: now,
      customerId: customer.id,
      refused: true,
    };
    await insertDeadLetters(openDatabase(env.DB), [letter]);
    expect((await asOperator('POST', `/dead-letters/${letter.id}/replay`)).status).toBe(202);
    await until(async () => (await subscription.event(eventId)).state === 'success', 'the replayed event');
    expect((await subscription.event(eventId)).createdAt).toBe(new Date(now).toISOString());
  });

  it('a deleted dead letter leaves the list', async () => {
    await insert(2);
    const reply = await asOperator('DELETE', `/dead-letters/${ids[0]}`);
    expect(reply.status).toBe(204);
    isNotFound(await asOperator('DELETE', `/dead-letters/${ids[0]}`), 'Dead letter');
    expect((await asOperator('GET', '/dead-letters')).body._embedded.deadLetters).toEqual([shown(1)]);
  });

  it('a dead letter gets a 404 when its id is unknown or is not a UUID', async () => {
    for (const id of [UNKNOWN, 'nonsense', '%00']) {
      isNotFound(await asOperator('GET', `/dead-letters/${id}`), 'Dead letter');
      isNotFound(await asOperator('POST', `/dead-letters/${id}/replay`), 'Dead letter');
      isNotFound(await asOperator('DELETE', `/dead-letters/${id}`), 'Dead letter');
    }
  });
});
