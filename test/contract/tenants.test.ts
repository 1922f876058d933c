/**
 * Customers see nothing of each other. The tests call every route that the OpenAPI document lists: with another
 * customer's token, and with another customer's ids in a customer's own paths. The answers must not tell which ids exist.
 */
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { allRoutes, fill, type Route } from '../support/routes.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  call,
  newCustomer,
  newSubscription,
  type Reply,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

/** A customer that has one of everything. */
interface Tenant {
  readonly customer: TestCustomer;
  readonly subscription: TestSubscription;
  /** Its ids, by the names of path parameters. */
  readonly ids: Readonly<Record<string, string>>;
}

async function newTenant(): Promise<Tenant> {
  const customer = await newCustomer();
  const subscription = await newSubscription(customer, { answers: [{ status: 302 }] });
  const path = `/subscriptions/${subscription.id}`;
  const published = await customer.call('POST', '/events', anEvent());
  const eid = published.body._embedded.events[0].id as string;
  await until(async () => (await subscription.event(eid)).state === 'failure', 'the failure');
  const exported = await customer.call('POST', `${path}/exports`);
  const exportId = exported.body.id as string;
  await until(async () => {
    const { body } = await customer.call('GET', `${path}/exports/${exportId}`);
    return body.state === 'completed';
  }, 'the export');
  const job = await customer.call('POST', `${path}/redeliveries`, { until: '2020-01-01T00:00:00Z' });
  const redeliveryId = job.body.id as string;
  return {
    customer,
    subscription,
    ids: { cid: customer.id, sid: subscription.id, eid, exportId, redeliveryId },
  };
}

/** Everything stored for a tenant that a call could change, as text. */
async function traces({ customer, subscription }: Tenant): Promise<string> {
  const rows = await env.DB.prepare('SELECT * FROM subscriptions WHERE customer_id = ?')
    .bind(customer.id)
    .all();
  const path = `/subscriptions/${subscription.id}`;
  const seen = await Promise.all(
    ['', '/events', '/exports', '/redeliveries'].map((part) => customer.call('GET', `${path}${part}`)),
  );
  return JSON.stringify([rows.results, seen.map(({ body }) => body)]);
}

const BODIES: Readonly<Record<string, unknown>> = {
  'POST /{cid}/webhooks/subscriptions': {
    title: 'of a stranger',
    endpoint: 'https://listener.example/',
    events: [],
  },
  'PATCH /{cid}/webhooks/subscriptions/{sid}': { title: 'taken over' },
  'POST /{cid}/webhooks/events': anEvent(),
  'POST /{cid}/webhooks/subscriptions/{sid}/test': { type: 'entityCreated' },
  'POST /{cid}/webhooks/filter-tests': { filter: {}, event: anEvent() },
  'POST /{cid}/webhooks/subscriptions/{sid}/redeliveries': {},
};

function bodyOf(route: Route): { readonly body?: unknown } {
  if (!route.takesBody) return {};
  const body = BODIES[`${route.method} ${route.path}`];
  if (body === undefined) throw new Error(`no body for ${route.method} ${route.path}`);
  return { body };
}

let routes: Route[];
let victim: Tenant;
let attacker: Tenant;
beforeAll(async () => {
  routes = (await allRoutes()).filter(({ access }) => access === 'token');
  [victim, attacker] = await Promise.all([newTenant(), newTenant()]);
});

const UNKNOWN = '01900000-0000-7000-8000-000000000000';
/** Every event id has an answer there, that of another customer too: it went nowhere. */
const WHERE_AN_EVENT_WENT = '/{cid}/webhooks/events/{eid}';

/** An answer as text, with a name in place of the id that was asked for. */
const withoutId = ({ status, body }: Reply, id: string) =>
  JSON.stringify([status, body]).replaceAll(id, 'the id');

const statusAndBody = ({ status, body }: Reply) => ({ status, body });

describe('the routes of a customer', () => {
  it('the OpenAPI document lists the routes of a customer', () => {
    expect(routes.length).toBeGreaterThanOrEqual(20);
  });

  it("another customer's token gets the same 403 as no token on every route, and changes nothing", async () => {
    const before = await traces(victim);
    for (const route of routes) {
      const path = fill(route.path, victim.ids);
      const name = `${route.method} ${route.path}`;
      const answer = await call(route.method, path, { token: attacker.customer.token, ...bodyOf(route) });
      expect(statusAndBody(answer), name).toEqual({ status: 403, body: { errors: 'Forbidden' } });
      expect(statusAndBody(await call(route.method, path, bodyOf(route))), name).toEqual(
        statusAndBody(answer),
      );
    }
    expect(await traces(victim)).toBe(before);
  });

  it("another customer's ids get the same 404 as ids that do not exist, on every route", async () => {
    const before = await traces(victim);
    const inner = routes.filter(({ path }) => /\{(?!cid)/.test(path));
    expect(inner.length).toBeGreaterThanOrEqual(15);
    for (const route of inner) {
      const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '').slice(1);
      // Each id in turn is the victim's; all others are the attacker's own.
      for (const name of names) {
        const reached = (id: string) => fill(route.path, { ...attacker.ids, [name]: id });
        const stranger = await attacker.customer.call(
          route.method,
          reached(victim.ids[name] ?? '').replace(`/${attacker.customer.id}/webhooks`, ''),
          bodyOf(route).body,
        );
        const unknown = await attacker.customer.call(
          route.method,
          reached(UNKNOWN).replace(`/${attacker.customer.id}/webhooks`, ''),
          bodyOf(route).body,
        );
        const what = `${route.method} ${route.path} with ${name}`;
        if (route.path === WHERE_AN_EVENT_WENT) {
          expect(stranger, what).toMatchObject({ status: 200, body: { _embedded: { deliveries: [] } } });
          expect(withoutId(stranger, victim.ids[name] ?? ''), what).toBe(withoutId(unknown, UNKNOWN));
          continue;
        }
        expect(stranger.status, what).toBe(404);
        expect(statusAndBody(stranger), what).toEqual(statusAndBody(unknown));
      }
    }
    expect(await traces(victim)).toBe(before);
  });

  it('no route lists an id of another customer', async () => {
    const foreign = Object.entries(victim.ids).map(([, id]) => id);
    for (const route of routes.filter(({ method }) => method === 'GET')) {
      const path = fill(route.path, attacker.ids).replace(`/${attacker.customer.id}/webhooks`, '');
      const text = JSON.stringify((await attacker.customer.call('GET', path)).body);
      for (const id of foreign) expect(text, route.path).not.toContain(id);
    }
  });
});

describe('the routes of the operator', () => {
  it('every operator route answers 403 to a customer and to a caller without a token', async () => {
    const operators = (await allRoutes()).filter(({ access }) => access === 'operator');
    expect(operators.length).toBeGreaterThanOrEqual(12);
    for (const { method, path } of operators) {
      const filled = path.replaceAll(/\{\w+\}/g, victim.customer.id);
      for (const options of [{ token: attacker.customer.token }, {}]) {
        expect(statusAndBody(await call(method, filled, options)), `${method} ${path}`).toEqual({
          status: 403,
          body: { errors: 'Forbidden' },
        });
      }
    }
  });
});
