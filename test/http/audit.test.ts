/** The audit trail (contract 10.7), with a real D1. Each test looks at a customer or a call of its own. */
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { readConfig } from '../../src/config.ts';
import type { AuditEvent } from '../../src/domain/audit.ts';
import type { Env } from '../../src/env.ts';
import { newAuditRow } from '../../src/operations/audit-trail.ts';
import { resealSigningKey } from '../../src/signing/keys.ts';
import { writeAudit } from '../../src/storage/audit.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { insertDeadLetters } from '../../src/storage/dead-letters.ts';
import { auditEntries, type Entry, flushTrail } from '../support/audit.ts';
import { holdClock } from '../support/clock.ts';
import { runCron } from '../support/cron.ts';
import { callIn, countingQueries, environmentWith, limiter, newIsolate, send } from '../support/requests.ts';
import { allRoutes } from '../support/routes.ts';
import {
  asOperator,
  call,
  getToken,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type Reply,
  type TestCustomer,
} from '../support/world.ts';

const HOME = '198.51.100.1';
const db = openDatabase(env.DB);

beforeEach(async () => {
  holdClock();
  await flushTrail();
  // What other tests wrote may have filled the hour.
  await env.DB.prepare('DELETE FROM audit').run();
});

const byOperator = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  call(method, `/operator${path}`, {
    token: OPERATOR_TOKEN,
    headers: { 'cf-connecting-ip': HOME, 'x-request-id': 'ticket-7', ...headers },
    ...(body === undefined ? {} : { body }),
  });

async function newLetter(customerId: string): Promise<string> {
  const id = crypto.randomUUID();
  const letter = { id, queue: 'webhook-events', reason: 'r', body: '{"secret":"payload-of-the-letter"}' };
  await insertDeadLetters(db, [
    { ...letter, acceptedAt: 1, createdAt: Date.now(), customerId, refused: true },
  ]);
  return id;
}

/** Seals the keys of a customer under another key encryption key. */
async function sealUnder(other: string, customerId: string): Promise<void> {
  const sealing = readConfig(
    environmentWith({ KEY_ENCRYPTION_KEY: other, KEY_ENCRYPTION_KEY_PREVIOUS: env.KEY_ENCRYPTION_KEY ?? '' }),
  );
  const { results } = await env.DB.prepare(
    'SELECT kid, sealed_private_key AS sealed FROM signing_keys WHERE customer_id = ?',
  )
    .bind(customerId)
    .all<{ kid: string; sealed: string }>();
  for (const { kid, sealed } of results) {
    const again = await resealSigningKey(sealing, customerId, kid, sealed);
    await env.DB.prepare('UPDATE signing_keys SET sealed_private_key = ? WHERE kid = ?')
      .bind(again, kid)
      .run();
  }
}

/** A call of each operator route that leaves a trace: its event, and what the entry has besides the ids of the call. */
const ACTS: Record<string, (customer: TestCustomer) => Promise<[Reply, string, Partial<Entry>]>> = {
  'POST /operator/customers': async () => {
    const reply = await byOperator('POST', '/customers', { name: 'name-of-the-customer' });
    return [reply, 'customer-created', { customerId: reply.body.id }];
  },
  'DELETE /operator/customers/{cid}': async ({ id }) => [
    await byOperator('DELETE', `/customers/${id}`),
    'customer-erased',
    { customerId: id },
  ],
  'POST /operator/customers/{cid}/clients': async ({ id }) => {
    const reply = await byOperator('POST', `/customers/${id}/clients`, {
      name: 'n',
      clientSecret: 's'.repeat(40),
    });
    return [reply, 'client-created', { customerId: id, target: reply.body.clientId }];
  },
  'DELETE /operator/customers/{cid}/clients/{clientId}': async ({ id, clientId }) => [
    await byOperator('DELETE', `/customers/${id}/clients/${clientId}`),
    'client-deleted',
    { customerId: id, target: clientId },
  ],
  'POST /operator/customers/{cid}/clients/{clientId}/rotate-secret': async ({ id, clientId }) => [
    await byOperator('POST', `/customers/${id}/clients/${clientId}/rotate-secret`),
    'client-secret-rotated',
    { customerId: id, target: clientId },
  ],
  'PATCH /operator/customers/{cid}': async ({ id }) => [
    await byOperator('PATCH', `/customers/${id}`, { signingAlgorithm: 'EdDSA' }),
    'signing-algorithm-changed',
    { customerId: id, target: 'EdDSA' },
  ],
  'POST /operator/customers/{cid}/signing-keys/rotate': async ({ id }) => [
    await byOperator('POST', `/customers/${id}/signing-keys/rotate`),
    'signing-keys-rotated',
    { customerId: id, target: expect.stringMatching(/^[0-9a-f]{40}$/) },
  ],
  'POST /operator/customers/{cid}/subscriptions/adopt-again': async ({ id }) => [
    await byOperator('POST', `/customers/${id}/subscriptions/adopt-again`),
    'subscriptions-adopted-again',
    { customerId: id },
  ],
  'PATCH /operator/customers/{cid}/subscriptions/{sid}': async (customer) => {
    const { id } = await newSubscription(customer);
    const reply = await byOperator('PATCH', `/customers/${customer.id}/subscriptions/${id}`, { shards: 2 });
    return [reply, 'shards-changed', { customerId: customer.id, target: id }];
  },
  'POST /operator/signing-keys/reseal': async ({ id }) => {
    const other = btoa(String.fromCharCode(...new Uint8Array(32).fill(9)));
    await sealUnder(other, id);
    const reply = await callIn(
      environmentWith({ KEY_ENCRYPTION_KEY_PREVIOUS: other }),
      'POST',
      '/operator/signing-keys/reseal',
      { token: OPERATOR_TOKEN, headers: { 'cf-connecting-ip': HOME, 'x-request-id': 'ticket-7' } },
    );
    return [reply, 'signing-keys-resealed', { count: 3 }];
  },
  'POST /operator/customers/{cid}/console-links': async ({ id }) => {
    const reply = await byOperator('POST', `/customers/${id}/console-links`);
    const { results } = await env.DB.prepare('SELECT id FROM console_links WHERE customer_id = ?')
      .bind(id)
      .all();
    return [reply, 'console-link-created', { customerId: id, target: results[0]?.['id'] }];
  },
  'PUT /operator/notices': async () => {
    const reply = await byOperator('PUT', '/notices', { endpoint: 'http://127.0.0.1:1/notices' });
    return [reply, 'notices-set', { customerId: reply.body.customerId, outcome: 'begun' }];
  },
  'DELETE /operator/notices': async () => {
    const { body } = await byOperator('PUT', '/notices', { endpoint: 'http://127.0.0.1:1/notices' });
    await env.DB.prepare('DELETE FROM audit').run();
    const reply = await byOperator('DELETE', '/notices');
    return [reply, 'customer-erased', { customerId: body.customerId }];
  },
  'GET /operator/dead-letters/{id}': async ({ id }) => {
    const letter = await newLetter(id);
    const reply = await byOperator('GET', `/dead-letters/${letter}`);
    return [reply, 'dead-letter-read', { customerId: id, target: letter, outcome: 'begun' }];
  },
  'POST /operator/dead-letters/{id}/replay': async ({ id }) => {
    const letter = await newLetter(id);
    const reply = await byOperator('POST', `/dead-letters/${letter}/replay`);
    return [reply, 'dead-letter-replayed', { customerId: id, target: letter, outcome: 'begun' }];
  },
  'DELETE /operator/dead-letters/{id}': async ({ id }) => {
    const letter = await newLetter(id);
    return [await byOperator('DELETE', `/dead-letters/${letter}`), 'dead-letter-dropped', { target: letter }];
  },
};

describe('the trace of an operator', () => {
  it('every operator route that changes something has its act here', async () => {
    const changing = (await allRoutes()).filter(
      ({ access, method }) => access === 'operator' && method !== 'GET',
    );
    const missing = changing
      .map(({ method, path }) => `${method} ${path}`)
      .filter((route) => !(route in ACTS));
    expect(changing.length).toBeGreaterThan(8);
    expect(missing).toEqual([]);
  });

  it.each(Object.entries(ACTS))('%s leaves exactly one entry, with the ids of its call', async (_, act) => {
    const customer = await newCustomer();
    await flushTrail();
    await env.DB.prepare('DELETE FROM audit').run();
    const [reply, event, facts] = await act(customer);
    expect(reply.status).toBeLessThan(300);
    expect(await auditEntries({})).toEqual([
      {
        id: expect.any(String),
        createdAt: new Date(Date.now()).toISOString(),
        event,
        actor: 'operator',
        outcome: 'done',
        address: HOME,
        requestId: reply.headers.get('x-request-id'),
        callerRequestId: 'ticket-7',
        count: 1,
        ...facts,
      },
    ]);
  });

  it('an operator call that changes nothing leaves no entry', async () => {
    const { id } = await newCustomer();
    await flushTrail();
    await env.DB.prepare('DELETE FROM audit').run();
    const unknown = crypto.randomUUID();
    const replies = [
      await byOperator('POST', '/customers', { name: 'again', id }),
      await byOperator('DELETE', `/customers/${unknown}`),
      await byOperator('DELETE', `/customers/${id}/clients/unknown`),
      await byOperator('POST', `/customers/${id}/clients/unknown/rotate-secret`),
      await byOperator('POST', `/customers/${unknown}/signing-keys/rotate`),
      await byOperator('DELETE', `/dead-letters/${unknown}`),
      await byOperator('POST', '/customers', {}),
    ];
    expect(replies.map(({ status }) => status)).toEqual([409, 404, 404, 404, 404, 404, 400]);
    expect(await auditEntries({})).toEqual([]);
  });

  it('no secret, token, name or payload is in the trail', async () => {
    const customer = await newCustomer();
    const secrets = [customer.clientSecret, customer.token, OPERATOR_TOKEN];
    const words = ['payload-of-the-letter', 'name-of-the-customer', 'sssss', 'wrong-secret', 'title-of-one'];
    await newSubscription(customer, { title: 'title-of-one' }).then(({ id }) =>
      customer.call('DELETE', `/subscriptions/${id}`),
    );
    await getToken(customer.id, customer.clientId, 'wrong-secret');
    await getToken(customer.id, customer.clientSecret, customer.clientId);
    await call('GET', '/operator/customers', { token: 'wrong-secret' });
    for (const [route, act] of Object.entries(ACTS)) {
      if (route.startsWith('DELETE /operator/customers')) continue;
      const [{ body }] = await act(customer);
      if (body.clientSecret !== undefined) secrets.push(body.clientSecret);
    }
    await flushTrail();
    const stored = JSON.stringify((await env.DB.prepare('SELECT * FROM audit').all()).results);
    expect(stored.length).toBeGreaterThan(1000);
    expect([...secrets, ...words].filter((text) => stored.includes(text))).toEqual([]);
  });

  it('a replay that the queue does not take has left its entry', async () => {
    const { id } = await newCustomer();
    const letter = await newLetter(id);
    const EVENTS = { sendBatch: () => Promise.reject(new Error('away')) } as unknown as Env['EVENTS'];
    const path = `/operator/dead-letters/${letter}/replay`;
    const reply = await callIn(environmentWith({ EVENTS }), 'POST', path, { token: OPERATOR_TOKEN });
    expect(reply.status).toBeGreaterThanOrEqual(500);
    expect(await auditEntries({ customerId: id, event: 'dead-letter-replayed' })).toMatchObject([
      { target: letter, outcome: 'begun', requestId: reply.headers.get('x-request-id') },
    ]);
  });

  it('signing keys that the cron rotates leave an entry of the service, without a call', async () => {
    const { id } = await newCustomer();
    await env.DB.prepare(
      "UPDATE signing_keys SET current_since = 1 WHERE customer_id = ? AND role = 'current'",
    )
      .bind(id)
      .run();
    await runCron(env, Date.now());
    const [entry, ...others] = await auditEntries({ customerId: id, event: 'signing-keys-rotated' });
    expect(others).toEqual([]);
    expect(entry).toMatchObject({ actor: 'service', outcome: 'done', target: expect.any(String) });
    expect(Object.keys(entry)).not.toContain('address');
    expect(Object.keys(entry)).not.toContain('requestId');
  });

  it('a wrong operator token leaves one entry for an address, with the number of its calls', async () => {
    for (let nth = 0; nth < 3; nth++) {
      await call('GET', '/operator/customers', {
        token: `guess-${nth}`,
        headers: { 'cf-connecting-ip': HOME },
      });
    }
    const [entry, ...others] = await auditEntries({ event: 'operator-refused' });
    expect(others).toEqual([]);
    expect(entry).toMatchObject({ actor: 'stranger', outcome: 'wrong token', address: HOME, count: 3 });
  });
});

describe('the trace of a customer', () => {
  it('deleting a subscription leaves an entry with the client that did it', async () => {
    const customer = await newCustomer();
    const { id } = await newSubscription(customer);
    await customer.call('DELETE', `/subscriptions/${id}`);
    await customer.call('DELETE', `/subscriptions/${id}`);
    const found = await auditEntries({ customerId: customer.id, event: 'subscription-deleted' });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({
      actor: 'client',
      clientId: customer.clientId,
      target: id,
      outcome: 'done',
    });
  });

  it('tokens that a client gets share an entry until it is written', async () => {
    const customer = await newCustomer();
    const isolate = newIsolate(countingQueries().environment);
    await flushTrail();
    await env.DB.prepare('DELETE FROM audit').run();
    for (let nth = 0; nth < 5; nth++) await askToken(isolate, customer, customer.clientSecret);
    const found = await auditEntries({ customerId: customer.id });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({
      event: 'token-issued',
      actor: 'client',
      clientId: customer.clientId,
      address: HOME,
      outcome: 'done',
      count: 5,
    });
  });

  it('a flood of 300 guesses leaves two entries, and not one more query', async () => {
    const customer = await newCustomer();
    await flushTrail();
    const { environment, queries } = countingQueries({
      FAILED_AUTH_BY_CLIENT: limiter(20),
      FAILED_AUTH_BY_ADDRESS: limiter(200),
    });
    const isolate = newIsolate(environment);
    for (let nth = 0; nth < 300; nth++) await askToken(isolate, customer, `guess-${nth}`);
    expect(queries()).toBe(20);
    const found = await auditEntries({ customerId: customer.id, event: 'token-refused' });
    expect(found.map(({ outcome, clientId, count }) => [outcome, clientId, count]).sort()).toEqual([
      ['not judged', undefined, 280],
      ['wrong credentials', customer.clientId, 20],
    ]);
  });

  it('a refused token leaves an entry that says why', async () => {
    const { id, clientId, clientSecret } = await newCustomer();
    await getToken(id, clientId, clientSecret, 'nonsense');
    await getToken(id, 'nobody', clientSecret);
    await call('POST', `/${id}/login/token`);
    const found = await auditEntries({ customerId: id, event: 'token-refused' });
    expect(found.map(({ outcome, actor, clientId: client }) => [outcome, actor, client]).sort()).toEqual([
      ['bad request', 'client', clientId],
      ['wrong credentials', 'stranger', undefined],
    ]);
    const nameless = await auditEntries({ event: 'token-refused' });
    expect(nameless.filter(({ customerId }) => customerId === undefined)).toMatchObject([
      { outcome: 'no credentials', actor: 'stranger', address: expect.any(String) },
    ]);
  });
});

describe('refusals that name no customer', () => {
  const GUESSER = '203.0.113.9';

  /** A request without credentials for a made-up customer, from an address of its own. */
  const withoutCredentials = (isolate: Isolate, nth: number) =>
    isolate('POST', `/${crypto.randomUUID()}/login/token`, {
      headers: { 'cf-connecting-ip': `192.0.2.${nth}` },
    });

  const guessesAt = async (isolate: Isolate, customer: TestCustomer) => {
    for (let nth = 0; nth < 20; nth++) await askToken(isolate, customer, `guess-${nth}`, GUESSER);
  };

  /** What an entry or a log line about the guesses at a client holds. */
  const guessed = ({ id, clientId }: TestCustomer) => ({
    customerId: id,
    clientId,
    address: GUESSER,
    outcome: 'wrong credentials',
  });

  it('forty at once hide no guess at a client, neither in the log nor in the table', async () => {
    const customer = await newCustomer();
    await flushTrail();
    const lines = logLines();
    const isolate = newIsolate(environmentWith({}));
    for (let nth = 0; nth < 40; nth++) await withoutCredentials(isolate, nth);
    await guessesAt(isolate, customer);
    expect(lines.filter(({ customerId }) => customerId === customer.id)).toMatchObject([guessed(customer)]);
    const found = await auditEntries({ customerId: customer.id, event: 'token-refused' });
    expect(found).toMatchObject([{ ...guessed(customer), count: 20 }]);
  });

  it('five hundred in an hour leave room for the guesses at a client', async () => {
    const customer = await newCustomer();
    await flushTrail();
    logLines();
    const isolate = newIsolate(environmentWith({}));
    for (let write = 0; write < 20; write++) {
      for (let nth = 0; nth < 26; nth++) await withoutCredentials(isolate, nth);
      await flushTrail();
    }
    await guessesAt(isolate, customer);
    const found = await auditEntries({ customerId: customer.id, event: 'token-refused' });
    expect(found).toMatchObject([{ ...guessed(customer), count: 20 }]);
  });

  it('guesses at made-up customers join by their address, and cost one query for each customer', async () => {
    const { environment, queries } = countingQueries({
      FAILED_AUTH_BY_CLIENT: limiter(20),
      FAILED_AUTH_BY_ADDRESS: limiter(200),
    });
    const isolate = newIsolate(environment);
    const ids = [crypto.randomUUID(), crypto.randomUUID()];
    for (let nth = 0; nth < 30; nth++) {
      for (const id of ids) await askToken(isolate, { id, clientId: 'c' }, `guess-${nth}`);
    }
    expect(queries()).toBe(2);
    const found = await auditEntries({ event: 'token-refused' });
    expect(found.map(({ outcome, customerId, count }) => [outcome, customerId, count]).sort()).toEqual([
      ['not judged', undefined, 20],
      ['wrong credentials', undefined, 40],
    ]);
  });
});

type Isolate = ReturnType<typeof newIsolate>;

function askToken(
  isolate: Isolate,
  { id, clientId }: Pick<TestCustomer, 'id' | 'clientId'>,
  secret: string,
  address = HOME,
) {
  return isolate('POST', `/${id}/login/token`, {
    headers: {
      authorization: `Basic ${btoa(`${clientId}:${secret}`)}`,
      'content-type': 'application/x-www-form-urlencoded',
      'cf-connecting-ip': address,
    },
    body: 'grant_type=client_credentials&scope=*:webhooks/**',
  });
}

/** The lines that are logged from now to the end of the test. */
function logLines(): Entry[] {
  const lines: Entry[] = [];
  for (const level of ['info', 'warn'] as const) {
    const spy = vi
      .spyOn(console, level)
      .mockImplementation((text: string) => void lines.push(JSON.parse(text)));
    onTestFinished(() => spy.mockRestore());
  }
  return lines;
}

describe('GET /operator/audit', () => {
  const CUSTOMER = 'b18fc81d-457e-4a40-ac87-2b78bd946fa2';
  const OTHER = 'c18fc81d-457e-4a40-ac87-2b78bd946fa2';

  async function insert(count: number, customerId: string, at: number, event: AuditEvent) {
    for (let nth = 0; nth < count; nth++) {
      const entry = { event, actor: 'operator', outcome: 'done', customerId, target: `${nth}` } as const;
      await writeAudit(db, newAuditRow(entry, at));
    }
  }

  /** The entries of all pages, by the links. */
  async function walk(first: string): Promise<{ pages: number; entries: Entry[] }> {
    const entries: Entry[] = [];
    let pages = 0;
    for (let path: string | undefined = first; path !== undefined; pages++) {
      const { body, status } = await call('GET', path, { token: OPERATOR_TOKEN });
      expect(status).toBe(200);
      expect(body._links.self.href).toBe(path);
      entries.push(...body._embedded.auditEntries);
      path = body._links.next?.href;
    }
    return { pages, entries };
  }

  it('the pages hold every entry once, the newest first, also entries of the same millisecond', async () => {
    await insert(7, CUSTOMER, 5_000, 'client-created');
    await insert(4, CUSTOMER, 6_000, 'client-created');
    const { pages, entries } = await walk('/operator/audit?limit=3');
    expect(pages).toBe(4);
    expect(new Set(entries.map(({ id }) => id)).size).toBe(11);
    const ids = entries.map(({ id }) => id as string);
    expect(ids).toEqual([...ids].sort().reverse());
    expect(entries.map(({ createdAt }) => createdAt)).toEqual([
      ...Array(4).fill('1970-01-01T00:00:06.000Z'),
      ...Array(7).fill('1970-01-01T00:00:05.000Z'),
    ]);
  });

  it('an entry that is written while somebody reads does not move the pages', async () => {
    await insert(4, CUSTOMER, 5_000, 'client-created');
    const first = await asOperator('GET', '/audit?limit=2');
    await insert(3, CUSTOMER, 6_000, 'client-created');
    const { entries } = await walk(first.body._links.next.href);
    expect(entries).toHaveLength(2);
  });

  it('the list shows a customer, an event and a span of time, and nothing of others', async () => {
    await insert(2, CUSTOMER, 5_000, 'client-created');
    await insert(1, CUSTOMER, 6_000, 'client-deleted');
    await insert(3, OTHER, 5_000, 'client-created');
    const count = async (query: Record<string, string>) => (await auditEntries(query)).length;
    const time = (ms: number) => new Date(ms).toISOString();
    expect(await count({ customerId: CUSTOMER })).toBe(3);
    expect(await count({ customerId: CUSTOMER.toUpperCase() })).toBe(3);
    expect(await count({ customerId: crypto.randomUUID() })).toBe(0);
    expect(await count({ event: 'client-created' })).toBe(5);
    expect(await count({ customerId: CUSTOMER, event: 'client-created' })).toBe(2);
    expect(await count({ since: time(5_001) })).toBe(1);
    expect(await count({ since: time(6_000) })).toBe(1);
    expect(await count({ until: time(6_000) })).toBe(5);
    expect(await count({ until: time(5_000) })).toBe(0);
    expect(await count({ customerId: OTHER, since: time(5_000), until: time(5_001) })).toBe(3);
    expect((await auditEntries({ customerId: OTHER })).every((entry) => entry.customerId === OTHER)).toBe(
      true,
    );
    const [last] = (await auditEntries({ until: time(6_000) })).slice(-1);
    expect(await count({ after: last.id, until: time(9_000) })).toBe(0);
  });

  it.each([
    ['limit=0', 'limit', 'must be a whole number from 1 to 1000'],
    ['limit=1001', 'limit', 'must be a whole number from 1 to 1000'],
    ['limit=ten', 'limit', 'must be a whole number from 1 to 1000'],
    ['after=1', 'after', 'must be the id of an entry'],
    ['customerId=me', 'customerId', 'must be a UUID'],
    ['since=yesterday', 'since', 'must be an RFC 3339 time, e.g. 2026-01-31T12:00:00Z'],
    ['until=2026-02-30T00:00:00Z', 'until', 'must be an RFC 3339 time, e.g. 2026-01-31T12:00:00Z'],
    ['event=login', 'event', expect.stringMatching(/^must be one of customer-created, /)],
    [
      'page=2',
      'page',
      'is not a parameter of this call: it has after, limit, customerId, since, until, event',
    ],
  ])('the query %s gets a 400 that names the fault', async (query, name, reason) => {
    const { status, body } = await asOperator('GET', `/audit?${query}`);
    expect(status).toBe(400);
    expect(body['invalid-query-params']).toEqual([{ name, reason }]);
  });

  it('the list needs the operator token, and no cache may store it', async () => {
    expect((await send('/operator/audit', {})).status).toBe(403);
    const customer = await newCustomer();
    expect((await call('GET', '/operator/audit', { token: customer.token })).status).toBe(403);
    expect((await asOperator('GET', '/audit')).headers.get('cache-control')).toBe('no-store');
  });

  it('a page takes a unit of work for each 100 entries that it may show', async () => {
    const isolate = newIsolate(environmentWith({ COSTLY_WORK: limiter(12) }));
    const read = (limit: number) =>
      isolate('GET', `/operator/audit?limit=${limit}`, { token: OPERATOR_TOKEN });
    const statuses = [];
    for (const limit of [1000, 101, 1]) statuses.push((await read(limit)).status);
    expect(statuses).toEqual([200, 200, 429]);
  });

  it.each([
    ['', 1],
    ['customerId', 1],
    ['event', 1],
    ['customerId&event', 1],
    ['since&until', 0],
    ['customerId&since&until&after', 0],
    ['event&since&until&after', 0],
    ['customerId&event&since&until&after', 0],
  ])('a page by [%s] reads no more rows than it shows, however many there are', async (names, shown) => {
    const fill = `INSERT INTO audit SELECT printf('%08x-%04x-7000-8000-000000000000', n / 65536, n % 65536), n,
        CASE n % 2 WHEN 0 THEN 'client-created' ELSE 'client-deleted' END, 'operator',
        CASE n / 2 % 2 WHEN 0 THEN '${CUSTOMER}' ELSE '${OTHER}' END, NULL, NULL, NULL, NULL, NULL, 'done', 1
      FROM (WITH RECURSIVE count(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM count WHERE n < 3999) SELECT n FROM count)`;
    await env.DB.prepare(fill).run();
    const values: Record<string, string> = {
      customerId: CUSTOMER,
      event: 'client-created',
      since: '1970-01-01T00:00:03Z',
      until: '1970-01-01T00:00:03.900Z',
      after: '00000000-0bb8-7000-8000-000000000000',
    };
    const chosen = names
      .split('&')
      .flatMap((name) => (values[name] === undefined ? [] : [[name, values[name]]]));
    const { environment, read } = countingRows();
    const query = new URLSearchParams([...chosen, ['limit', '20']] as [string, string][]);
    const reply = await callIn(environment, 'GET', `/operator/audit?${query}`, { token: OPERATOR_TOKEN });
    expect(reply.status).toBe(200);
    const found = reply.body._embedded.auditEntries.length;
    expect(found).toBe(shown === 0 && names.includes('after') ? 0 : 20);
    expect(read()).toBeLessThanOrEqual(2 * 21 + 2);
  });
});

/** The environment of the tests with a D1 that counts the rows that its queries read. */
function countingRows() {
  let read = 0;
  const counted = (statement: D1PreparedStatement): D1PreparedStatement =>
    new Proxy(statement, {
      get(target, name) {
        if (name === 'bind') return (...values: unknown[]) => counted(target.bind(...values));
        if (name !== 'raw' && name !== 'all') return Reflect.get(target, name);
        return async () => {
          const { results, meta } = await target.all<Record<string, unknown>>();
          read += meta.rows_read;
          return name === 'all' ? { results, meta } : results.map((row) => Object.values(row));
        };
      },
    });
  const DB = new Proxy(env.DB, {
    get(target, name) {
      if (name === 'prepare') return (query: string) => counted(target.prepare(query));
      return (Reflect.get(target, name) as () => unknown).bind(target);
    },
  });
  return { environment: environmentWith({ DB }), read: () => read };
}

describe('the log line of an entry', () => {
  it('every entry has one log line with the ids of its call, and a refusal is a warning', async () => {
    const lines = logLines();
    const created = await byOperator('POST', '/customers', { name: 'n' });
    await call('GET', '/operator/customers', { token: 'wrong', headers: { 'cf-connecting-ip': HOME } });
    expect(lines.filter(({ event }) => event === 'audit')).toMatchObject([
      {
        level: 'info',
        action: 'customer-created',
        customerId: created.body.id,
        requestId: created.headers.get('x-request-id'),
        callerRequestId: 'ticket-7',
        count: 1,
      },
      { level: 'warn', action: 'operator-refused', outcome: 'wrong token', address: HOME, count: 1 },
    ]);
  });
});
