/**
 * Sends nonsense to every route that the service's OpenAPI document lists: paths, queries, headers and bodies that no
 * client would send. The answer is never a 5xx, it is always JSON or empty, and a refused request writes nothing.
 */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { allRoutes, type Route } from '../support/routes.ts';
import {
  BASE_URL,
  call,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type Reply,
  storeOf,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

const RUNS = 15;

let routes: Route[];
let customer: TestCustomer;
let subscription: TestSubscription;
beforeAll(async () => {
  routes = await allRoutes();
  customer = await newCustomer();
  subscription = await newSubscription(customer);
});

/** Values that often break a service: of the wrong type, too long, too deep, too large, half a character. */
const hostile = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    1e308,
    -0,
    '',
    '\0',
    '\ud800',
    '__proto__',
    'constructor',
    "'; DROP TABLE subscriptions; --",
    '%',
    '../../etc',
    '𝕌'.repeat(300),
    [],
    [[[[[[]]]]]],
    {},
    { __proto__: { admin: true } },
    { toString: 1 },
  ),
  fc.jsonValue({ maxDepth: 4 }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.integer(),
  fc.double(),
);

const KEYS = [
  'title',
  'endpoint',
  'events',
  'enabled',
  'filter',
  'type',
  'id',
  'occurredAt',
  'captureApplicationId',
  'captureClientId',
  'entityType',
  'sub',
  'globalSub',
  'attributes',
  'customerId',
  'name',
  'scope',
  'clientId',
  'clientSecret',
  'keepOldSeconds',
  'since',
  'until',
  'dryRun',
  '__proto__',
];

/** Body texts: objects with known keys and hostile values, arrays of these objects, and texts that are not JSON. */
const bodies = fc.oneof(
  { weight: 6, arbitrary: fc.dictionary(fc.constantFrom(...KEYS), hostile, { maxKeys: 8 }).map(toJson) },
  {
    weight: 2,
    arbitrary: fc.array(fc.dictionary(fc.constantFrom(...KEYS), hostile), { maxLength: 4 }).map(toJson),
  },
  { weight: 2, arbitrary: hostile.map(toJson) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '',
      '{',
      '{"title":"a","title":"b"}',
      '{"title":"\\ud800"}',
      '{"__proto__":{"title":"x"},"constructor":1}',
      `${'['.repeat(3000)}${']'.repeat(3000)}`,
      `{"filter":${'{"not":'.repeat(500)}true${'}'.repeat(500)}}`,
      `{"n":${'9'.repeat(5000)}}`,
      '\ufeff{}',
      '{"a":1}x',
    ),
  },
);

function toJson(value: unknown): string {
  return JSON.stringify(value) ?? 'undefined';
}

const segments = fc.oneof(
  fc.constantFrom('%00', '%2e%2e', '..%2f', '%ff', 'a'.repeat(3000), '*', '{sid}', "'", '%F0%9F', 'null'),
  fc.uuid(),
  fc.string({ maxLength: 20 }).map(encodeURIComponent),
);

const SEARCHING = ['order', 'type', 'since', 'until', 'fields'];

const queries = fc.dictionary(
  fc.constantFrom(...['page', 'limit', 'after', 'before', 'state', 'x', '__proto__'], ...SEARCHING),
  fc.oneof(
    fc.constantFrom('-1', '0', '1e9', '99999999999999999999', 'NaN', '\0', "' OR 1=1 --", '[]', 'failure'),
    fc.constantFrom('desc', 'test', 'summary', '2026-01-31T12:00:00Z'),
    fc.string({ maxLength: 40 }),
  ),
  { maxKeys: 4 },
);

const contentTypes = fc.constantFrom(
  'application/json',
  'application/merge-patch+json',
  'application/json; charset=utf-16',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'application/json;',
  'nonsense',
);

const TABLES = ['customers', 'clients', 'client_secrets', 'signing_keys', 'subscriptions', 'dead_letters'];
const COUNTS = `SELECT ${TABLES.map((table) => `(SELECT count(*) FROM ${table}) AS ${table}`).join(', ')}`;

/** Everything that a call can write, as text: rows of D1, and the content of the event store of the subscription. */
async function written(): Promise<string> {
  const [rows, inStore] = await Promise.all([
    env.DB.batch([
      env.DB.prepare(COUNTS),
      env.DB.prepare('SELECT * FROM subscriptions WHERE customer_id = ?').bind(customer.id),
    ]),
    runInDurableObject(storeOf(subscription), async (store) => [
      store.total(),
      store.exports().length,
      store.redeliveries().length,
    ]),
  ]);
  return JSON.stringify([rows.map(({ results }) => results), inStore]);
}

/** What is written as far as the last call showed; absent after a call that may write. A refused call leaves it as it is. */
let standing: string | undefined;

/** Makes a call, and checks its answer. A call that is refused must have written nothing. */
async function refusedWritesNothing(name: string, ask: () => Promise<Reply>): Promise<void> {
  standing ??= await written();
  const before = standing;
  standing = undefined;
  const answer = await ask();
  checkAnswer(name, answer);
  if (answer.status < 400) return;
  standing = await written();
  expect(standing, name).toBe(before);
}

function tokenFor(route: Route): { readonly token?: string } {
  if (route.access === 'token') return { token: customer.token };
  return route.access === 'operator' ? { token: OPERATOR_TOKEN } : {};
}

function checkAnswer(name: string, { status, headers, body }: Reply): void {
  expect(status, name).toBeLessThan(500);
  if (status === 204) return;
  expect(headers.get('content-type'), name).toMatch(
    /^application\/(json|x-ndjson)|^text\/(html|plain; version=0\.0\.4)/,
  );
  if (status >= 400) expect(typeof body, name).toBe('object');
}

/** Calls a route, and checks that a refused call has written nothing. */
async function attack(route: Route, path: string, body: string | undefined, type: string): Promise<void> {
  await refusedWritesNothing(
    `${route.method} ${route.path}: ${path.slice(0, 200)} ${body?.slice(0, 200)}`,
    () =>
      call(route.method, path, {
        ...tokenFor(route),
        ...(body === undefined ? {} : { body, headers: { 'content-type': type } }),
      }),
  );
}

describe('nonsense sent to every route', () => {
  it('nonsense in the path never leads to a 5xx, and a refused call writes nothing', async () => {
    for (const route of routes.filter(({ path }) => path.includes('{'))) {
      await fc.assert(
        fc.asyncProperty(fc.array(segments, { minLength: 4, maxLength: 4 }), async (values) => {
          const left = [...values];
          // The customer is the right one, so that the call gets past the 403.
          const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name) =>
            name === 'cid' && route.access === 'token' ? customer.id : (left.shift() ?? 'x'),
          );
          await attack(route, path, route.takesBody ? '{}' : undefined, 'application/json');
        }),
        { numRuns: RUNS },
      );
    }
  });

  it('nonsense in the query never leads to a 5xx, and a refused call writes nothing', async () => {
    for (const route of routes.filter(({ method }) => method === 'GET')) {
      await fc.assert(
        fc.asyncProperty(queries, async (query) => {
          await attack(route, `${known(route)}?${new URLSearchParams(query)}`, undefined, '');
        }),
        { numRuns: RUNS },
      );
    }
  });

  it('nonsense in the body never leads to a 5xx, and a refused call writes nothing', async () => {
    const taking = routes.filter(({ takesBody }) => takesBody);
    expect(taking.length).toBeGreaterThanOrEqual(7);
    for (const route of taking) {
      await fc.assert(
        fc.asyncProperty(bodies, contentTypes, async (body, type) => {
          await attack(route, known(route), body, type);
        }),
        { numRuns: 4 * RUNS },
      );
    }
  });

  it('nonsense in the headers never leads to a 5xx, and a refused call writes nothing', async () => {
    const headers = fc.dictionary(
      fc.constantFrom(
        'authorization',
        'content-type',
        'accept',
        'x-request-id',
        'if-match',
        'content-length-x',
      ),
      fc.oneof(
        fc.constantFrom(
          'Bearer',
          'Bearer ',
          'Basic',
          'Basic ====',
          'Basic Og==',
          `Bearer ${'a'.repeat(9000)}`,
          '*/*',
        ),
        fc.string({ maxLength: 60 }).map((text) => text.replaceAll(/[^\x20-\x7e]/g, '?').trim()),
      ),
    );
    for (const route of routes) {
      await fc.assert(
        fc.asyncProperty(headers, async (sent) => {
          await refusedWritesNothing(`${route.method} ${route.path}: ${JSON.stringify(sent)}`, () =>
            call(route.method, known(route), { ...(route.takesBody ? { body: '{}' } : {}), headers: sent }),
          );
        }),
        { numRuns: RUNS },
      );
    }
  });

  it('an unusual method never leads to a 5xx on any path', async () => {
    for (const path of new Set(routes.map(known))) {
      for (const method of ['PUT', 'TRACE', 'OPTIONS', 'QUERY', 'PROPFIND']) {
        const answer = await call(method, path, { token: customer.token }).catch(() => undefined);
        if (answer !== undefined) expect(answer.status, `${method} ${path}`).toBeLessThan(500);
      }
    }
    expect((await call('GET', new URL('/healthz', BASE_URL).pathname)).status).toBe(200);
  });
});

/** The path of the route, with existing ids where the call destroys nothing, and with unknown ids elsewhere. */
function known(route: Route): string {
  const unknown = '01900000-0000-7000-8000-000000000000';
  const isSafe = route.method !== 'DELETE' && route.access === 'token';
  return route.path
    .replaceAll('{cid}', route.access === 'operator' ? unknown : customer.id)
    .replaceAll('{sid}', isSafe ? subscription.id : unknown)
    .replaceAll(/\{\w+\}/g, unknown);
}
