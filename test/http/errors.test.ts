import type { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Env } from '../../src/env.ts';
import { callIn, environmentWith, environmentWithout } from '../support/requests.ts';
import {
  anEvent,
  call,
  getToken,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type Reply,
  type TestCustomer,
} from '../support/world.ts';

let customer: TestCustomer;
beforeAll(async () => {
  customer = await newCustomer();
});

/** Records what is logged as an error until the test ends. */
function errorLog(): () => string {
  const spy = vi.spyOn(console, 'error').mockImplementation(() => {});
  onTestFinished(() => spy.mockRestore());
  return () => spy.mock.calls.flat().map(String).join('\n');
}

/** One request of every kind: successes, and every error of contract 8. */
function everyKind(): [string, Promise<Reply>][] {
  const subscriptions = `/${customer.id}/webhooks/subscriptions`;
  const { token } = customer;
  return [
    ['200', call('GET', subscriptions, { token })],
    ['200 jwk', call('GET', `/${customer.id}/login/jwk`)],
    ['200 openapi', call('GET', '/openapi.json')],
    ['200 token', getToken(customer.id, customer.clientId, customer.clientSecret)],
    ['202', call('POST', `/${customer.id}/webhooks/events`, { token, body: anEvent() })],
    ['404 operator', call('DELETE', '/operator/nonsense', { token: OPERATOR_TOKEN })],
    ['400 not JSON', call('POST', subscriptions, { token, body: '{' })],
    ['400 faults', call('POST', subscriptions, { token, body: {} })],
    ['400 token', getToken(customer.id, customer.clientId, customer.clientSecret, 'x')],
    ['401', getToken(customer.id, customer.clientId, 'wrong')],
    ['403', call('GET', subscriptions)],
    ['403 operator', call('GET', '/operator/customers')],
    ['404 route', call('GET', '/nonsense/of/any/kind')],
    ['404 root', call('GET', '/')],
    ['404 resource', call('GET', `${subscriptions}/1`, { token })],
    ['405', call('PUT', subscriptions, { token })],
    ['413', call('POST', subscriptions, { token, body: ' '.repeat(1_000_000) })],
    ['415', call('POST', subscriptions, { token, body: 'x', headers: { 'content-type': 'text/plain' } })],
  ];
}

describe('every answer', () => {
  it('every answer carries its own X-Request-Id', async () => {
    const ids = new Set<string>();
    const replies = await Promise.all(everyKind().map(async ([kind, reply]) => [kind, await reply] as const));
    for (const [kind, reply] of replies) {
      const id = reply.headers.get('x-request-id');
      expect(id, kind).toMatch(/^[\w-]{8,}$/);
      ids.add(id ?? '');
    }
    expect(ids.size).toBe(replies.length);
  });

  it('every answer is JSON and carries security headers', async () => {
    for (const [kind, request] of everyKind()) {
      const { headers } = await request;
      expect(headers.get('content-type'), kind).toMatch(/^application\/json/);
      expect(headers.get('x-content-type-options'), kind).toBe('nosniff');
      expect(headers.get('strict-transport-security'), kind).toMatch(/max-age=\d{7,}/);
      expect(headers.get('x-frame-options'), kind).toBeTruthy();
      expect(headers.has('x-powered-by'), kind).toBe(false);
    }
  });

  it('every error body has the documented shape', async () => {
    for (const [kind, request] of everyKind()) {
      const { status, body } = await request;
      if (status < 400 || kind.includes('token') || status === 401) continue;
      if (status === 403) expect(body, kind).toEqual({ errors: 'Forbidden' });
      else
        expect(body, kind).toMatchObject({ type: expect.stringMatching(/^\/[a-z-]+$/), status, title: /./ });
    }
  });

  it("the caller's X-Request-Id comes back as X-Caller-Request-Id, and only when it is harmless", async () => {
    const answered = async (id: string) =>
      (await call('GET', '/healthz', { headers: { 'x-request-id': id } })).headers;
    const headers = await answered('my-trace_42=');
    expect(headers.get('x-caller-request-id')).toBe('my-trace_42=');
    expect((await answered('x'.repeat(255))).get('x-caller-request-id')).toBe('x'.repeat(255));
    for (const odd of ['<script>', 'a b', 'x'.repeat(256), '{"a":1}', '']) {
      expect((await answered(odd)).has('x-caller-request-id'), odd).toBe(false);
    }
  });

  it('X-Request-Id is ours, whatever the caller sends', async () => {
    const sent = crypto.randomUUID();
    const replies = await Promise.all(
      [1, 2].map(() => call('GET', '/openapi.json', { headers: { 'x-request-id': sent } })),
    );
    const ids = replies.map(({ headers }) => headers.get('x-request-id'));
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(new Set([...ids, sent]).size).toBe(3);
  });

  it("a log line names a request by our id and by the caller's", async () => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const reply = await callIn(environmentWith({ RETENTION_DAYS: 'a week' }), 'GET', '/healthz', {
      headers: { 'x-request-id': 'my-trace_42' },
    });
    const line = JSON.parse(String(logged.mock.calls[0]?.[0]));
    logged.mockRestore();
    expect(line).toMatchObject({
      requestId: reply.headers.get('x-request-id'),
      callerRequestId: 'my-trace_42',
    });
  });

  it('an answer without a body carries X-Request-Id and security headers', async () => {
    const client = await call('POST', `/operator/customers/${customer.id}/clients`, {
      token: OPERATOR_TOKEN,
      body: { name: 'to be deleted' },
    });
    const path = `/operator/customers/${customer.id}/clients/${client.body.clientId}`;
    const reply = await call('DELETE', path, { token: OPERATOR_TOKEN });
    expect(reply.status).toBe(204);
    expect(reply.headers.get('x-request-id')).toMatch(/./);
    expect(reply.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('an event list carries X-Request-Id and security headers', async () => {
    const subscription = await newSubscription(customer);
    const reply = await customer.call('GET', `/subscriptions/${subscription.id}/events`);
    expect(reply.headers.get('x-request-id')).toMatch(/./);
    expect(reply.headers.get('x-content-type-options')).toBe('nosniff');
  });
});

describe('odd paths and queries', () => {
  const odd = [
    '%E0%A4%A',
    '%ZZ',
    '%',
    '%00',
    '%FF',
    '%25',
    '..%2F..',
    '🦊',
    '*',
    ':sid',
    '{}',
    'x'.repeat(80),
  ];

  it.each(odd)('a path with %j answers 403 or 404', async (part) => {
    const subscriptions = `/${customer.id}/webhooks/subscriptions`;
    const { token } = customer;
    expect((await call('GET', `${subscriptions}/${part}`, { token })).status).toBe(404);
    expect((await call('GET', `${subscriptions}/${part}/events/${part}/history`, { token })).status).toBe(
      404,
    );
    expect((await call('GET', `/${part}/webhooks/subscriptions`, { token })).status).toBe(403);
    expect((await call('GET', `/${part}/login/jwk`)).status).toBe(404);
    const operator = { token: OPERATOR_TOKEN };
    expect((await call('GET', `/operator/customers/${part}`, operator)).status).toBe(404);
    const client = `/operator/customers/${customer.id}/clients/${part}`;
    expect((await call('DELETE', client, operator)).status).toBe(404);
  });

  it.each(odd)('a query with %j answers 200 or 400', async (part) => {
    const subscription = await newSubscription(customer);
    const path = `/${customer.id}/webhooks/subscriptions`;
    const { token } = customer;
    const page = await call('GET', `${path}?page=${part}`, { token });
    expect(page.status).toBe(200);
    for (const name of ['after', 'before', 'limit', 'state']) {
      const events = await call('GET', `${path}/${subscription.id}/events?${name}=${part}`, { token });
      expect(events.status).toBe(400);
    }
    expect((await call('GET', `${path}/${subscription.id}/events?${part}=${part}`, { token })).status).toBe(
      200,
    );
  });
});

describe('a bad configuration', () => {
  const INTERNAL = {
    type: '/internal-server-error',
    status: 500,
    title: 'Internal Server Error',
    details: expect.any(String),
  };
  const requests: [string, string][] = [
    ['GET', '/healthz'],
    ['GET', '/openapi.json'],
    ['GET', '/nonsense'],
    ['GET', '/operator/customers'],
    ['POST', '/4711/login/token'],
    ['GET', '/4711/login/jwk'],
    ['GET', '/4711/webhooks/subscriptions'],
    ['POST', '/4711/webhooks/events'],
    ['PUT', '/healthz'],
  ];

  it.each(requests)('a bad configuration makes %s %s answer 500', async (method, path) => {
    errorLog();
    const reply = await callIn(environmentWith({ RETENTION_DAYS: 'a week' }), method, path);
    expect(reply.status).toBe(500);
    expect(reply.body).toEqual(INTERNAL);
    expect(reply.headers.get('x-request-id')).toMatch(/./);
  });

  it.each<[keyof Env, string]>([
    ['BASE_URL', 'value-4711'],
    ['NAME_PREFIX', 'value-4711'],
    ['JURISDICTION', 'value-4711'],
    ['LOCATION_HINT', 'value-4711'],
    ['CAPTURE_DOMAIN', 'value 4711'],
    ['RETRY_DELAYS_SECONDS', '3,value-4711'],
    ['ATTEMPT_TIMEOUT_SECONDS', '-4711'],
    ['REDELIVER_INTERVAL_SECONDS', '4711.5'],
    ['EXPORT_INTERVAL_SECONDS', 'value-4711'],
    ['RETENTION_DAYS', '4711'],
    ['KEY_ROTATION_DAYS', '471100'],
    ['MAX_SUBSCRIPTIONS', 'value-4711'],
    ['ALLOW_PRIVATE_ENDPOINTS', 'value-4711'],
    ['VERIFY_ENDPOINTS', 'value-4711'],
    ['LOG_LEVEL', 'value-4711'],
    ['TRACE_REQUESTS', 'value-4711'],
    ['SECURITY_CONTACT', 'value-4711'],
    ['CONSOLE_FRAME_ANCESTORS', 'value-4711'],
    ['OPERATOR_TOKEN', 'short-4711'],
    ['KEY_ENCRYPTION_KEY', btoa('value-4711')],
    ['KEY_ENCRYPTION_KEY_PREVIOUS', btoa('value-4711')],
    ['TOKEN_SIGNING_KEY', btoa('value-4711')],
  ])('a bad %s is named in the log, without its value', async (name, value) => {
    const log = errorLog();
    const reply = await callIn(environmentWith({ [name]: value }), 'GET', '/healthz');
    expect(reply.status).toBe(500);
    expect(log()).toContain(name);
    expect(log()).not.toContain(value);
    expect(JSON.stringify(reply.body)).not.toContain(name);
    expect(JSON.stringify(reply.body)).not.toContain(value);
  });

  it.each<keyof Env>(['BASE_URL', 'KEY_ENCRYPTION_KEY', 'TOKEN_SIGNING_KEY'])(
    'a configuration without %s answers 500 and names it in the log',
    async (name) => {
      const log = errorLog();
      expect((await callIn(environmentWithout(name), 'GET', '/healthz')).status).toBe(500);
      expect(log()).toContain(name);
    },
  );

  it('ALLOW_PRIVATE_ENDPOINTS under https answers 500 and is named in the log', async () => {
    const log = errorLog();
    const bad = environmentWith({
      BASE_URL: 'https://webhooks.acme.test',
      ALLOW_PRIVATE_ENDPOINTS: 'true',
    });
    expect((await callIn(bad, 'GET', '/healthz')).status).toBe(500);
    expect(log()).toContain('ALLOW_PRIVATE_ENDPOINTS');
  });

  it('every wrong variable is named in the log', async () => {
    const log = errorLog();
    await callIn(environmentWith({ LOG_LEVEL: 'loud', RETENTION_DAYS: '1' }), 'GET', '/healthz');
    expect(log()).toContain('LOG_LEVEL');
    expect(log()).toContain('RETENTION_DAYS');
  });
});

/** A D1 whose every call fails with this error. */
function brokenDatabase(error: Error): D1Database {
  const fail = () => {
    throw error;
  };
  return { prepare: fail, batch: fail, exec: fail, withSession: fail, dump: fail } as unknown as D1Database;
}

/** Event stores whose every call fails with this error. */
function brokenStores(error: Error): typeof env.EVENT_STORE {
  const stub = new Proxy({}, { get: () => () => Promise.reject(error) });
  return { idFromName: () => ({}), get: () => stub } as unknown as typeof env.EVENT_STORE;
}

describe('an outage of a part of the service', () => {
  const isUnavailable = (reply: Reply) => {
    expect(reply.status).toBe(503);
    expect(reply.body).toEqual({
      type: '/service-unavailable',
      status: 503,
      title: 'Service Unavailable',
      details: expect.any(String),
    });
    expect(reply.body.details).not.toMatch(/4711|D1|SQL|object/i);
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(reply.headers.get('x-request-id')).toMatch(/./);
  };

  it.each([
    ['D1_ERROR: Network connection lost. 4711'],
    ['D1_ERROR: D1 DB is overloaded. Requests queued for too long. 4711'],
    ['D1_ERROR: Internal error in D1 DB storage caused object to be reset. 4711'],
  ])('a call answers 503 with Retry-After and no inner detail when D1 fails: %s', async (message) => {
    const log = errorLog();
    const without = environmentWith({ DB: brokenDatabase(new Error(message)) });
    const stranger = await newCustomer();
    isUnavailable(
      await callIn(without, 'GET', `/${stranger.id}/webhooks/subscriptions`, { token: stranger.token }),
    );
    isUnavailable(await callIn(without, 'GET', `/${stranger.id}/login/jwk`));
    isUnavailable(await callIn(without, 'GET', '/operator/customers', { token: OPERATOR_TOKEN }));
    isUnavailable(
      await callIn(without, 'POST', `/${stranger.id}/login/token`, {
        headers: {
          authorization: `Basic ${btoa(`${stranger.clientId}:${stranger.clientSecret}`)}`,
          'content-type': 'application/x-www-form-urlencoded',
        },
        body: 'grant_type=client_credentials&scope=*:webhooks/**',
      }),
    );
    expect(log()).toContain('4711');
    expect(log()).not.toContain(stranger.token);
    expect(log()).not.toContain(stranger.clientSecret);
  });

  it('a call that does not need D1 is answered while D1 fails', async () => {
    const without = environmentWith({ DB: brokenDatabase(new Error('D1_ERROR: away')) });
    expect((await callIn(without, 'GET', '/openapi.json')).status).toBe(200);
    expect((await callIn(without, 'GET', `/${customer.id}/webhooks/subscriptions`)).status).toBe(403);
    expect((await callIn(without, 'GET', '/operator/customers')).status).toBe(403);
  });

  it.each([[{ retryable: true, remote: true }], [{ overloaded: true, remote: true }]])(
    'a call answers 503 when its event store fails with an error marked %j',
    async (marks) => {
      const log = errorLog();
      const { id } = await newSubscription(customer);
      const error = Object.assign(new Error('the object is away 4711'), marks);
      const without = environmentWith({ EVENT_STORE: brokenStores(error) });
      const path = `/${customer.id}/webhooks/subscriptions/${id}/events`;
      const { token } = customer;
      isUnavailable(await callIn(without, 'GET', path, { token }));
      isUnavailable(await callIn(without, 'GET', `${path}/${crypto.randomUUID()}`, { token }));
      expect(log()).toContain('4711');
    },
  );
});

describe('an unexpected error', () => {
  it.each([
    ['a bug', new TypeError("Cannot read properties of undefined (reading 'secret-4711')")],
    ['bad SQL', new Error('D1_ERROR: no such column: secret-4711: SQLITE_ERROR')],
  ])(
    'an unexpected error answers 500 without detail and is logged with the request id: %s',
    async (_, error) => {
      const log = errorLog();
      const broken = environmentWith({ DB: brokenDatabase(error) });
      const reply = await callIn(broken, 'GET', `/${customer.id}/login/jwk`);
      expect(reply.status).toBe(500);
      expect(reply.body).toEqual({
        type: '/internal-server-error',
        status: 500,
        title: 'Internal Server Error',
        details: expect.any(String),
      });
      expect(JSON.stringify(reply.body)).not.toContain('4711');
      const id = reply.headers.get('x-request-id') ?? '';
      expect(id).toMatch(/./);
      expect(log()).toContain(id);
      expect(log()).toContain('4711');
    },
  );

  it('an unexpected error is logged as one line of JSON, without the access token', async () => {
    const log = errorLog();
    const stranger = await newCustomer();
    const broken = environmentWith({ DB: brokenDatabase(new TypeError('a bug')) });
    await callIn(broken, 'GET', `/${stranger.id}/webhooks/subscriptions`, { token: stranger.token });
    expect(JSON.parse(log())).toMatchObject({ level: 'error', requestId: expect.any(String) });
    expect(log()).not.toContain(stranger.token);
  });
});
