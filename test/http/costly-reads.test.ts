/** Work that costs more than a call is bounded before it is done (contract 5.2 and 8). */
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { Delivery } from '../../src/domain/delivery.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { withSignatures } from '../../src/operations/show-deliveries.ts';
import { aSet, awaitingRetry, ok } from '../support/delivery-fixtures.ts';
import { refTo, reportOf } from '../support/reports.ts';
import { callIn, environmentWith } from '../support/requests.ts';
import {
  newCustomer,
  newSubscription,
  type Reply,
  storeOf,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

const redirected: Outcome = { kind: 'http_error', response: { statusCode: 302, headers: {} } };

/** Stores events of a subscription. Those that succeeded are packed: their tokens lack the signature. */
async function store(subscription: TestSubscription, count: number, outcome: Outcome) {
  const now = Date.now();
  const ids = newEventIds(now, count, crypto.getRandomValues(new Uint8Array(16)));
  const { endpoint } = subscription.listener;
  const ref = refTo(subscription);
  const result = { attempt: 1, startedAt: now, durationMs: 1, outcome };
  for (let start = 0; start < count; start += 100) {
    const some = ids.slice(start, start + 100);
    await storeOf(subscription).settle(
      ref,
      some.map((eventId) => reportOf({ eventId, acceptedAt: now, endpoint, set: aSet(eventId), result })),
    );
  }
  return ids;
}

/** Makes calls while the limiter grants so many units in all; `asked` has the key of each unit. */
function withUnits(
  customer: TestCustomer,
  units: number,
  others: Parameters<typeof environmentWith>[0] = {},
) {
  const asked: string[] = [];
  const environment = environmentWith({
    COSTLY_WORK: {
      limit: async ({ key }: { key: string }) => ({ success: asked.push(key) <= units }),
    } as RateLimit,
    ...others,
  });
  const request = (method: string, path: string, body?: unknown): Promise<Reply> =>
    callIn(environment, method, `/${customer.id}/webhooks${path}`, { token: customer.token, body });
  return { asked, request };
}

const idsOf = (reply: Reply): string[] => reply.body._embedded.events.map(({ id }: { id: string }) => id);

const isTooMuch = (reply: Reply) => {
  expect(reply.status).toBe(429);
  expect(reply.body.type).toBe('/too-many-requests');
  expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
};

describe('a list of events', () => {
  it('a list of events asks for one unit of work for each started 20 events that it shows', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const ids = await store(subscription, 45, ok);
    const { asked, request } = withUnits(customer, 1000);
    expect(idsOf(await request('GET', `/subscriptions/${subscription.id}/events`))).toEqual(ids);
    expect(asked).toEqual([customer.id, customer.id, customer.id]);
  });

  it('a list of events ends early, with a next link, when no unit of work is left', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const failed = await store(subscription, 3, redirected);
    const delivered = await store(subscription, 45, ok);
    const ids = [...failed, ...delivered].sort();
    const path = `/subscriptions/${subscription.id}/events`;
    const first = await withUnits(customer, 2).request('GET', `${path}?limit=1000`);
    expect(first.status).toBe(200);
    const shown = idsOf(first);
    expect(shown).toEqual(ids.slice(0, 40));
    const next = new URL(first.body._links.next.href, 'http://webhooks.test');
    const rest = await withUnits(customer, 1).request('GET', `${path}${next.search}`);
    expect([...shown, ...idsOf(rest)]).toEqual(ids);
    expect(rest.body._links).not.toHaveProperty('next');
  });

  it('a list of events without a unit of work gets a 429 with Retry-After, and its store is not asked', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    await store(subscription, 1, ok);
    const { asked, request } = withUnits(customer, 0, {
      EVENT_STORE: {
        idFromName: (name: string) => env.EVENT_STORE.idFromName(name),
        get: () => ({ list: () => expect.unreachable('the store was asked'), total: async () => 1 }),
      } as unknown as typeof env.EVENT_STORE,
    });
    isTooMuch(await request('GET', `/subscriptions/${subscription.id}/events`));
    expect(asked).toEqual([customer.id]);
  });

  it('a list of failed events takes as many units of work as any other, though their tokens are stored whole', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const ids = await store(subscription, 30, redirected);
    const { asked, request } = withUnits(customer, 2);
    const path = `/subscriptions/${subscription.id}/events?state=failure`;
    expect(idsOf(await request('GET', path))).toEqual(ids);
    expect(asked).toHaveLength(2);
    const first = await withUnits(customer, 1).request('GET', path);
    expect(idsOf(first)).toEqual(ids.slice(0, 20));
    expect(first.body._links.next.href).toContain(`after=${ids[19]}`);
  });

  it('a list without events takes one unit of work', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const { asked, request } = withUnits(customer, 1000);
    expect((await request('GET', `/subscriptions/${subscription.id}/events`)).body.total).toBe(0);
    expect(asked).toHaveLength(1);
  });

  it('other work of the isolate has its turn after each 20 tokens that are signed', async () => {
    let signed = 0;
    const signer = {
      open: async () => undefined,
      signAgain: async (set: string) => `${set}${++signed}`,
    };
    const unsigned: Delivery[] = Array.from({ length: 100 }, (_, index) => ({
      ...awaitingRetry(),
      set: aSet(`event ${index}`).replace(/[^.]*$/, ''),
    }));
    const listing = withSignatures(signer, unsigned);
    const seen = new Set<number>();
    while (signed < 100) {
      await scheduler.wait(0);
      seen.add(signed);
    }
    expect(await listing).toHaveLength(100);
    expect([...seen].filter((count) => count > 0 && count < 100).length).toBeGreaterThan(1);
  });
});

describe('other costly calls', () => {
  it('a create takes one unit of work, and without one D1 has no new row', async () => {
    const customer = await newCustomer();
    const body = { title: 'one', endpoint: 'https://listener.test/', events: ['entityCreated'] };
    const create = (units: number) => withUnits(customer, units).request('POST', '/subscriptions', body);
    isTooMuch(await create(0));
    expect((await withUnits(customer, 1).request('GET', '/subscriptions')).body.total).toBe(0);
    expect((await create(1)).status).toBe(201);
  });

  it('a list of subscriptions takes one unit of work for each started 100 subscriptions', async () => {
    const customer = await newCustomer();
    for (let index = 0; index < 101; index++) await newSubscription(customer);
    const enough = withUnits(customer, 2);
    expect((await enough.request('GET', '/subscriptions')).body._embedded.subscriptions).toHaveLength(101);
    expect(enough.asked).toEqual([customer.id, customer.id]);
    isTooMuch(await withUnits(customer, 1).request('GET', '/subscriptions'));
    const page = withUnits(customer, 1);
    expect((await page.request('GET', '/subscriptions?page=2')).body._embedded.subscriptions).toHaveLength(1);
    isTooMuch(await withUnits(customer, 0).request('GET', '/subscriptions?page=2'));
  });

  it.each(['exports', 'redeliveries'])('a start in %s takes one unit of work', async (jobs) => {
    const customer = await newCustomer();
    const { id } = await newSubscription(customer);
    const none = withUnits(customer, 0);
    isTooMuch(await none.request('POST', `/subscriptions/${id}/${jobs}`));
    expect((await none.request('GET', `/subscriptions/${id}/${jobs}`)).body.total).toBe(0);
    const one = withUnits(customer, 1);
    expect((await one.request('POST', `/subscriptions/${id}/${jobs}`)).status).toBe(202);
    expect(one.asked).toEqual([customer.id]);
  });
});
