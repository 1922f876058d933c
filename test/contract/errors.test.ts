/** Every refusal of contract 3, 4, 5 and 7 with its exact body (contract 8). */
import { beforeEach, describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { reportOf } from '../support/reports.ts';
import { callIn, environmentWith, send } from '../support/requests.ts';
import {
  newCustomer,
  newSubscription,
  type Reply,
  storeOf,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

const UNKNOWN = '01890a5d-ac96-774b-bcce-b302099a8057';

let clock: HeldClock;
let customer: TestCustomer;
let subscription: TestSubscription;
let path: string;
beforeEach(async () => {
  // The clock is held: no alarm rings by itself, so an export stays active until its test rings the alarm.
  clock = holdClock();
  customer = await newCustomer();
  subscription = await newSubscription(customer);
  path = `/subscriptions/${subscription.id}`;
});

/** Stores an event directly, in the state that this answer of a listener leads to. */
async function anEventAnswered(statusCode: number): Promise<string> {
  const now = clock.now();
  const [eventId = ''] = newEventIds(now, 1, crypto.getRandomValues(new Uint8Array(16)));
  const response = { statusCode, headers: {} };
  const outcome =
    statusCode < 300 ? { kind: 'success' as const, response } : { kind: 'http_error' as const, response };
  const ref = {
    customerId: customer.id,
    subscriptionId: subscription.id,
    version: 1,
    enabled: true,
    endpoint: 'https://listener.example/',
  };
  const result = { attempt: 1, startedAt: now, durationMs: 1, outcome };
  const facts = {
    eventId,
    acceptedAt: now,
    endpoint: subscription.listener.endpoint,
    set: 'header.payload.signature',
  };
  await storeOf(subscription).settle(ref, [reportOf({ ...facts, result })]);
  return eventId;
}

async function aCompletedExport(): Promise<string> {
  const { id } = (await customer.call('POST', `${path}/exports`)).body;
  await subscription.ring();
  expect((await customer.call('GET', `${path}/exports/${id}`)).body.state).toBe('completed');
  return id;
}

const statusAndBody = ({ status, body }: Reply) => ({ status, body });
const invalid = (faults: unknown, member = 'invalid-body-params') => ({
  status: 400,
  body: { type: '/validation-error', status: 400, title: 'Bad Request', [member]: faults },
});
const notJson = {
  status: 400,
  body: {
    type: '/invalid-request-body',
    status: 400,
    title: 'Invalid request body',
    details: 'Request body is not valid JSON',
  },
};
const forbidden = { status: 403, body: { errors: 'Forbidden' } };
const notFound = (what: string) => ({
  status: 404,
  body: { type: '/not-found', status: 404, title: 'Not Found', details: `${what} not found` },
});
const conflict = (details: string) => ({ status: 409, body: { status: 409, title: 'Conflict', details } });
const tooMany = {
  status: 429,
  body: {
    type: '/too-many-requests',
    status: 429,
    title: 'Too Many Requests',
    details: expect.stringMatching(/./),
  },
};
/** An error of the same family as `/method-not-allowed`, whose details are not fixed. */
const ofFamily = (status: number, type: string, title: string) => ({
  status,
  body: { type, status, title, details: expect.stringMatching(/./) },
});

/** Every path of contract 3, 5 and 7 with its methods. */
const PATHS: readonly [string, string[]][] = [
  ['/subscriptions', ['GET', 'POST']],
  ['/subscriptions/{SID}', ['DELETE', 'GET', 'PATCH']],
  ['/subscriptions/{SID}/test', ['POST']],
  ['/subscriptions/{SID}/summary', ['GET']],
  ['/subscriptions/{SID}/events', ['GET']],
  ['/subscriptions/{SID}/events/{EID}', ['GET']],
  ['/subscriptions/{SID}/events/{EID}/history', ['GET']],
  ['/subscriptions/{SID}/events/{EID}/redeliver', ['POST']],
  ['/subscriptions/{SID}/exports', ['GET', 'POST']],
  ['/subscriptions/{SID}/exports/{exportId}', ['DELETE', 'GET']],
  ['/subscriptions/{SID}/exports/{exportId}/download', ['GET']],
];
const CALLS = PATHS.flatMap(([path, methods]) => methods.map((method) => [method, path] as const));
const withUnknown = (path: string) => path.replace(/\{\w+\}/g, UNKNOWN);

describe('403', () => {
  it.each(CALLS)('a caller without a token gets only a 403: %s %s', async (method, path) => {
    const reply = await send(`/${customer.id}/webhooks${withUnknown(path)}`, { method });
    expect(statusAndBody(reply)).toEqual(forbidden);
  });
});

describe('404', () => {
  it.each(CALLS.filter(([, path]) => path.includes('{SID}')))(
    'an unknown subscription gets a 404 that names it: %s %s',
    async (method, path) => {
      expect(statusAndBody(await customer.call(method, withUnknown(path)))).toEqual(notFound('Subscription'));
    },
  );

  it.each(CALLS.filter(([, path]) => path.includes('{EID}')))(
    'an event id that is unknown or not a UUID gets a 404 that names the event: %s %s',
    async (method, template) => {
      const known = template.replace('{SID}', subscription.id);
      for (const id of [UNKNOWN, 'nonsense', UNKNOWN.toUpperCase()]) {
        expect(statusAndBody(await customer.call(method, known.replace('{EID}', id)))).toEqual(
          notFound('Event'),
        );
      }
    },
  );

  it.each(CALLS.filter(([, path]) => path.includes('{exportId}')))(
    'an export id that is unknown or not a UUID gets a 404 that names the export: %s %s',
    async (method, template) => {
      const known = template.replace('{SID}', subscription.id);
      for (const id of [UNKNOWN, 'nonsense', UNKNOWN.toUpperCase()]) {
        expect(statusAndBody(await customer.call(method, known.replace('{exportId}', id)))).toEqual(
          notFound('Export'),
        );
      }
    },
  );

  it('a subscription id that is not a UUID gets a 404 that names the subscription', async () => {
    for (const id of ['1', 'nonsense', UNKNOWN.toUpperCase(), subscription.id.replaceAll('-', '')]) {
      expect(statusAndBody(await customer.call('GET', `/subscriptions/${id}`))).toEqual(
        notFound('Subscription'),
      );
    }
  });

  it('an unknown route gets a 404 that names the route', async () => {
    expect(statusAndBody(await customer.call('GET', `${path}/nonsense`))).toEqual(notFound('Route'));
  });
});

describe('405', () => {
  it.each(PATHS)('every method that %s does not have gets a 405 with Allow', async (template, methods) => {
    const others = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((method) => !methods.includes(method));
    for (const method of others) {
      const reply = await customer.call(method, withUnknown(template));
      expect(statusAndBody(reply), method).toEqual(
        ofFamily(405, '/method-not-allowed', 'Method Not Allowed'),
      );
      const allowed = (reply.headers.get('allow') ?? '').split(', ').filter((name) => name !== 'HEAD');
      expect(allowed.sort(), method).toEqual(methods);
    }
  });
});

/** Makes one of the two calls that take a body. */
const withBody = (method: string, body: BodyInit | undefined, type: string | undefined) =>
  send(`/${customer.id}/webhooks${method === 'POST' ? '/subscriptions' : path}`, {
    method,
    headers: {
      authorization: `Bearer ${customer.token}`,
      ...(type === undefined ? {} : { 'content-type': type }),
    },
    ...(body === undefined ? {} : { body }),
  });

describe.each(['POST', 'PATCH'])('the body of a %s', (method) => {
  it(`a ${method} body over the limit gets a 413`, async () => {
    const reply = await withBody(method, ' '.repeat(1_000_000), 'application/json');
    expect(statusAndBody(reply)).toEqual(ofFamily(413, '/payload-too-large', 'Payload Too Large'));
  });

  it.each(['text/plain', 'application/xml', 'application/x-www-form-urlencoded', 'application/json-seq'])(
    `a ${method} body sent as %s gets a 415`,
    async (type) => {
      const reply = await withBody(method, '{}', type);
      expect(statusAndBody(reply)).toEqual(
        ofFamily(415, '/unsupported-media-type', 'Unsupported Media Type'),
      );
    },
  );

  it.each(['', '{', '{"title":}', "{'title':'x'}", 'title=x', '{} {}'])(
    `a ${method} body that is not JSON gets a 400 of its own: %j`,
    async (text) => {
      expect(statusAndBody(await withBody(method, text, 'application/json'))).toEqual(notJson);
    },
  );

  it.each(['[]', 'null', '7', '"text"', 'true'])(
    `a ${method} body that is not an object gets a 400: %s`,
    async (text) => {
      const reply = await withBody(method, text, 'application/json');
      expect(statusAndBody(reply)).toEqual(invalid([{ name: 'body', reason: expect.stringMatching(/./) }]));
    },
  );
});

/** Members that are refused, each with the name that the 400 reports. */
const FAULTS: readonly [name: string, member: Record<string, unknown>][] = [
  ['title', { title: 'x' }],
  ['title', { title: 'x'.repeat(201) }],
  ['title', { title: null }],
  ['title', { title: 7 }],
  ['endpoint', { endpoint: 'nonsense' }],
  ['endpoint', { endpoint: 'ftp://listener.example.com/' }],
  ['endpoint', { endpoint: 'https://user:password@listener.example.com/' }],
  ['endpoint', { endpoint: 'https://listener.example.com/#part' }],
  ['endpoint', { endpoint: null }],
  ['events', { events: 'entityCreated' }],
  ['events', { events: null }],
  ['events[1]', { events: ['entityCreated', 'test'] }],
  ['enabled', { enabled: 'true' }],
  ['enabled', { enabled: null }],
];

const FILTERS: readonly unknown[] = [
  true,
  'x',
  [],
  { $ref: '#' },
  { $id: 'https://example.com/' },
  { definitions: {} },
  { propertys: {} },
  { $schema: 'https://json-schema.org/draft/2020-12/schema' },
  { required: 'sub' },
  { minItems: -1 },
  { type: 'text' },
  { format: 'colour' },
  { enum: 'user' },
  { properties: { entityUpdated: { items: { propertys: {} } } } },
  { $comment: 'x'.repeat(65_536) },
  Array.from({ length: 33 }).reduce((inner) => ({ not: inner }), {}),
];

describe('the faults that a 400 names', () => {
  const complete = () => ({
    title: `complete ${crypto.randomUUID()}`,
    endpoint: subscription.listener.endpoint,
    events: [],
  });

  it.each(FAULTS.map(([name, member]) => [name, JSON.stringify(member).slice(0, 60), member] as const))(
    'a bad POST or PATCH gets a 400 that names %s: %s',
    async (name, _, member) => {
      const expected = invalid([{ name, reason: expect.stringMatching(/./) }]);
      expect(
        statusAndBody(await customer.call('POST', '/subscriptions', { ...complete(), ...member })),
      ).toEqual(expected);
      expect(statusAndBody(await customer.call('PATCH', path, member))).toEqual(expected);
      expect((await customer.call('GET', '/subscriptions')).body.total).toBe(1);
    },
  );

  it.each(FILTERS.map((filter) => [JSON.stringify(filter).slice(0, 60), filter] as const))(
    'a POST or PATCH with a bad filter gets a 400 that names it: %s',
    async (_, filter) => {
      const expected = invalid([
        { name: 'filter', reason: expect.stringMatching(/^filter is invalid JSON Schema/) },
      ]);
      expect(statusAndBody(await customer.call('POST', '/subscriptions', { ...complete(), filter }))).toEqual(
        expected,
      );
      expect(statusAndBody(await customer.call('PATCH', path, { filter }))).toEqual(expected);
      expect((await customer.call('GET', path)).body).not.toHaveProperty('filter');
    },
  );

  it('a title that another subscription has gets a 400 that names title', async () => {
    const { title } = (await customer.call('GET', path)).body;
    const expected = invalid([{ name: 'title', reason: expect.stringMatching(/./) }]);
    expect(statusAndBody(await customer.call('POST', '/subscriptions', { ...complete(), title }))).toEqual(
      expected,
    );
    const other = await newSubscription(customer);
    expect(statusAndBody(await customer.call('PATCH', `/subscriptions/${other.id}`, { title }))).toEqual(
      expected,
    );
  });

  it('a subscription without members gets a 400 that names each required one, and no other', async () => {
    const reply = await customer.call('POST', '/subscriptions', {});
    expect(reply.status).toBe(400);
    const names = reply.body['invalid-body-params'].map(({ name }: { name: string }) => name);
    expect(names.sort()).toEqual(['endpoint', 'events', 'title']);
  });

  it.each([
    ['after', 'nonsense'],
    ['before', UNKNOWN.replace('-7', '-4')],
    ['limit', '0'],
    ['limit', '1001'],
    ['state', 'failed'],
  ])('a bad query gets a 400 that names its parameter: %s=%s', async (name, value) => {
    const reply = await customer.call('GET', `${path}/events?${name}=${value}`);
    expect(statusAndBody(reply)).toEqual(
      invalid([{ name, reason: expect.stringMatching(/./) }], 'invalid-query-params'),
    );
  });
});

describe('409', () => {
  it('a 409 says that an event is not in a failed state', async () => {
    const refused = conflict('Event is not in a failed state');
    for (const statusCode of [200, 503]) {
      const eventId = await anEventAnswered(statusCode);
      expect(statusAndBody(await customer.call('POST', `${path}/events/${eventId}/redeliver`))).toEqual(
        refused,
      );
    }
  });

  it('a test or redelivery gets a 409 that says that the subscription is disabled', async () => {
    const eventId = await anEventAnswered(302);
    await customer.call('PATCH', path, { enabled: false });
    const refused = conflict('Subscription is disabled');
    expect(statusAndBody(await customer.call('POST', `${path}/test`))).toEqual(refused);
    expect(statusAndBody(await customer.call('POST', `${path}/events/${eventId}/redeliver`))).toEqual(
      refused,
    );
  });

  it('a 409 says that there are too many active exports', async () => {
    expect((await customer.call('POST', `${path}/exports`)).status).toBe(202);
    expect(statusAndBody(await customer.call('POST', `${path}/exports`))).toEqual(
      conflict('Too many active exports'),
    );
  });

  it('a 409 refuses a download of an unfinished export and a cancel of a completed one', async () => {
    const { id } = (await customer.call('POST', `${path}/exports`)).body;
    const refused = conflict(expect.stringMatching(/./));
    expect(statusAndBody(await customer.call('GET', `${path}/exports/${id}/download`))).toEqual(refused);
    await subscription.ring();
    expect(statusAndBody(await customer.call('DELETE', `${path}/exports/${id}`))).toEqual(refused);
  });

  it('a 409 says that the customer may not have more subscriptions', async () => {
    const full = environmentWith({ MAX_SUBSCRIPTIONS: '1' });
    const body = { title: 'one too many', endpoint: subscription.listener.endpoint, events: [] };
    const reply = await callIn(full, 'POST', `/${customer.id}/webhooks/subscriptions`, {
      token: customer.token,
      body,
    });
    expect(statusAndBody(reply)).toEqual(conflict(expect.stringMatching(/./)));
  });
});

describe('429', () => {
  it('a 429 says when the next redelivery is accepted', async () => {
    const first = await anEventAnswered(302);
    const second = await anEventAnswered(302);
    expect((await customer.call('POST', `${path}/events/${first}/redeliver`)).status).toBe(202);
    clock.advance(15_000);
    const reply = await customer.call('POST', `${path}/events/${second}/redeliver`);
    expect(statusAndBody(reply)).toEqual(tooMany);
    expect(reply.headers.get('retry-after')).toBe('45');
  });

  it('a 429 says when the next export may be started', async () => {
    await aCompletedExport();
    clock.advance(3_000_000);
    const reply = await customer.call('POST', `${path}/exports`);
    expect(statusAndBody(reply)).toEqual(tooMany);
    expect(reply.headers.get('retry-after')).toBe(String(86_400 - 3_000));
  });
});

describe('the order of refusals', () => {
  it('a redelivery gets a 404 before a 409, and a 409 before a 429', async () => {
    const [failed, delivered] = [await anEventAnswered(302), await anEventAnswered(200)];
    expect((await customer.call('POST', `${path}/events/${failed}/redeliver`)).status).toBe(202);
    expect((await customer.call('POST', `${path}/events/${delivered}/redeliver`)).status).toBe(409);
    await customer.call('PATCH', path, { enabled: false });
    expect((await customer.call('POST', `${path}/events/${UNKNOWN}/redeliver`)).status).toBe(404);
  });

  it('a duplicate title gets a 400 before the 409 of a full customer', async () => {
    const full = environmentWith({ MAX_SUBSCRIPTIONS: '1' });
    const { title } = (await customer.call('GET', path)).body;
    const body = { title, endpoint: subscription.listener.endpoint, events: [] };
    const reply = await callIn(full, 'POST', `/${customer.id}/webhooks/subscriptions`, {
      token: customer.token,
      body,
    });
    expect(statusAndBody(reply)).toEqual(invalid([{ name: 'title', reason: expect.stringMatching(/./) }]));
  });

  it('every refusal carries its own X-Request-Id', async () => {
    const replies = await Promise.all([
      send(`/${customer.id}/webhooks/subscriptions`, {}),
      customer.call('GET', `/subscriptions/${UNKNOWN}`),
      customer.call('PUT', path),
      customer.call('POST', '/subscriptions', '{'),
      customer.call('POST', '/subscriptions', {}),
      customer.call('POST', `${path}/events/${await anEventAnswered(200)}/redeliver`),
    ]);
    expect(replies.map(({ status }) => status)).toEqual([403, 404, 405, 400, 400, 409]);
    const ids = new Set(replies.map(({ headers }) => headers.get('x-request-id')));
    expect(ids.has(null)).toBe(false);
    expect(ids.size).toBe(replies.length);
  });
});
