/**
 * Query parameters that a call does not have (contract 1, 10): ignored on the compatible surface, refused by our own calls. And
 * parameters that are given twice.
 */
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { insertDeadLetters } from '../../src/storage/dead-letters.ts';
import { allRoutes, fill, type Route } from '../support/routes.ts';
import {
  anEvent,
  asOperator,
  call,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type Reply,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

let customer: TestCustomer;
let subscription: TestSubscription;
let routes: Route[];
let known: Record<string, string>;

beforeAll(async () => {
  routes = await allRoutes();
  customer = await newCustomer();
  subscription = await newSubscription(customer);
  const id = crypto.randomUUID();
  const refused = { queue: 'webhook-events', reason: 'a fault', body: '{}', refused: true };
  const letter = { ...refused, id, acceptedAt: 1, createdAt: Date.now(), customerId: customer.id };
  await insertDeadLetters(openDatabase(env.DB), [letter]);
  known = { cid: customer.id, sid: subscription.id, clientId: customer.clientId, id };
});

const name = ({ method, path }: Route) => `${method} ${path}`;
/** Ours among the calls that take a token: section 10. Publishing has a rule of its own. */
const isOurs = ({ path, access }: Route) =>
  access === 'operator' || /\/(redeliveries|filter-tests|stats)\b|\/webhooks\/events\/\{eid\}/.test(path);

async function ask(route: Route, query: string): Promise<Reply> {
  const ids = new Proxy(known, { get: (all, key) => all[String(key)] ?? crypto.randomUUID() });
  const token = route.access === 'operator' ? OPERATOR_TOKEN : customer.token;
  const options = route.takesBody ? { token, body: {} } : { token };
  return await call(route.method, `${fill(route.path, ids)}?${query}`, options);
}

function namesOf(reply: Reply): string[] {
  expect(reply.status).toBe(400);
  expect(reply.body).toMatchObject({ type: '/validation-error', status: 400, title: 'Bad Request' });
  return reply.body['invalid-query-params'].map((fault: { name: string }) => fault.name);
}

describe('a query parameter that a call does not have', () => {
  it('every call of the operator, of bulk redelivery, of filter tests and of where an event went refuses it with a 400 that names it', async () => {
    const ours = routes.filter(isOurs);
    expect(ours.length).toBeGreaterThan(19);
    for (const route of ours) {
      const reply = await ask(route, 'surprise=1&other=2&surprise=3');
      expect(reply.status, name(route)).toBe(400);
      expect(namesOf(reply), name(route)).toEqual(['surprise', 'other']);
    }
    // Nothing was deleted, rotated or started.
    expect((await asOperator('GET', `/dead-letters/${known['id']}`)).status).toBe(200);
    expect((await asOperator('GET', `/customers/${customer.id}/clients`)).body.total).toBe(1);
    const jobs = await customer.call('GET', `/subscriptions/${subscription.id}/redeliveries`);
    expect(jobs.body.total).toBe(0);
  });

  it('the OpenAPI document shows the 400 of each call that refuses it', async () => {
    const { body } = await call('GET', '/openapi.json');
    for (const route of routes.filter(isOurs)) {
      const { responses } = body.paths[route.path][route.method.toLowerCase()];
      expect(Object.keys(responses), name(route)).toContain('400');
    }
  });

  it('the reason says which parameters the call has', async () => {
    const reasonOf = async (path: string) =>
      (await asOperator('GET', path)).body['invalid-query-params'][0].reason;
    expect(await reasonOf('/customers?pag=2')).toBe('is not a parameter of this call: it has page');
    expect(await reasonOf(`/customers/${customer.id}?x=`)).toBe(
      'is not a parameter of this call: it has no parameters',
    );
  });

  it('names of parameters that every object has are refused like others', async () => {
    const reply = await asOperator('GET', '/customers?constructor=1&__proto__=2&toString');
    expect(namesOf(reply)).toEqual(['constructor', '__proto__', 'toString']);
  });

  it('it is refused before an unknown resource is, and after a missing right', async () => {
    expect((await asOperator('GET', `/customers/${crypto.randomUUID()}?x=1`)).status).toBe(400);
    expect((await call('GET', '/operator/customers?x=1')).status).toBe(403);
    expect((await asOperator('GET', '/nothing?x=1')).status).toBe(404);
    expect((await asOperator('PATCH', '/customers?x=1')).status).toBe(405);
  });

  it('parameters that a call of the operator has are judged as before', async () => {
    expect((await asOperator('GET', '/customers?page=1')).status).toBe(200);
    expect((await asOperator('GET', '/customers?page=1&page=2')).status).toBe(200);
    expect((await call('HEAD', '/operator/customers?page=1', { token: OPERATOR_TOKEN })).status).toBe(200);
  });

  it('every other call ignores it, publishing too', async () => {
    const compatible = routes.filter((route) => route.access === 'token' && !isOurs(route));
    expect(compatible.length).toBeGreaterThan(15);
    // What deletes comes last.
    const order = compatible.toSorted(
      (a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'),
    );
    for (const route of order) {
      const reply = await ask(route, 'surprise=1');
      expect(reply.body['invalid-query-params'], name(route)).toBeUndefined();
    }
    const published = await customer.call('POST', '/events?surprise=1', anEvent());
    expect(published.status).toBe(202);
  });
});

describe('a query parameter that is given twice', () => {
  beforeAll(async () => {
    subscription = await newSubscription(customer);
    known = { ...known, sid: subscription.id, eid: '01890a5d-ac96-774b-bcce-b302099a8057' };
  });

  it('every call refuses it with one fault that says so, whatever the values are', async () => {
    const { body } = await call('GET', '/openapi.json');
    const refused: string[] = [];
    for (const route of routes.filter(({ access }) => access === 'token' || access === 'operator')) {
      const { parameters = [] } = body.paths[route.path][route.method.toLowerCase()];
      for (const parameter of parameters as { in: string; name: string }[]) {
        // The number of a page may be anything (contract 3.4).
        if (parameter.in !== 'query' || parameter.name === 'page') continue;
        const reply = await ask(route, `${parameter.name}=1&${parameter.name}=desc`);
        expect(reply.status, `${name(route)} ${parameter.name}`).toBe(400);
        expect(reply.body['invalid-query-params'], name(route)).toEqual([
          { name: parameter.name, reason: 'is given more than once' },
        ]);
        refused.push(parameter.name);
      }
    }
    expect(refused).toEqual(
      expect.arrayContaining(['limit', 'before', 'type', 'state', 'since', 'customerId']),
    );
  });

  it('the faults of the other parameters are named beside it', async () => {
    const reply = await customer.call(
      'GET',
      `/subscriptions/${subscription.id}/events?limit=1&limit=2&state=odd`,
    );
    expect(reply.body['invalid-query-params']).toEqual([
      { name: 'limit', reason: 'is given more than once' },
      { name: 'state', reason: expect.stringMatching(/^must be one of/) },
    ]);
  });
});
