/** Where an event went (contract 10.13). */
import type { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { aSetWith, moved, ok } from '../support/delivery-fixtures.ts';
import { refTo, reportOf } from '../support/reports.ts';
import { callIn, countingQueries, environmentWith, newIsolate } from '../support/requests.ts';
import {
  call,
  getToken,
  newCustomer,
  newSubscription,
  type Reply,
  storeOf,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

let clock: HeldClock;
let customer: TestCustomer;
let eventId: string;
beforeEach(async () => {
  clock = holdClock();
  customer = await newCustomer();
  eventId = newEventId();
});

const newEventId = () => newEventIds(clock.now(), 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';

/** Stores the event for a subscription. */
async function deliver(subscription: TestSubscription, outcome: typeof ok | typeof moved = ok) {
  const now = clock.now();
  const set = aSetWith({ entityUpdated: { id: eventId } });
  const result = { attempt: 1, startedAt: now, durationMs: 1, outcome };
  const { endpoint } = subscription.listener;
  await storeOf(subscription).settle(refTo(subscription), [
    reportOf({ eventId, acceptedAt: now, endpoint, set, result }),
  ]);
}

async function newSubscriptions(count: number): Promise<TestSubscription[]> {
  const all: TestSubscription[] = [];
  for (let index = 0; index < count; index++) {
    all.push(await newSubscription(customer, { title: `subscription ${index}` }));
    clock.advance(1);
  }
  return all;
}

const ask = (query = '') => customer.call('GET', `/events/${eventId}${query}`);
const subscriptionsIn = ({ body }: Reply): string[] =>
  body._embedded.deliveries.map(({ subscription }: { subscription: { id: string } }) => subscription.id);

describe('where an event went', () => {
  it('an event shows its deliveries: state, type, subscription and links, the oldest subscription first', async () => {
    const [first, , last] = (await newSubscriptions(3)) as [
      TestSubscription,
      TestSubscription,
      TestSubscription,
    ];
    await deliver(first);
    await deliver(last, moved);
    const reply = await ask();
    expect(reply.status).toBe(200);
    const href = (id: string) => `/${customer.id}/webhooks/subscriptions/${id}`;
    const event = `${href(last.id)}/events/${eventId}`;
    expect(reply.body).toEqual({
      id: eventId,
      _links: { self: { href: `/${customer.id}/webhooks/events/${eventId}` } },
      _embedded: { deliveries: [expect.anything(), expect.anything()] },
    });
    expect(reply.body._embedded.deliveries[1]).toEqual({
      id: eventId,
      type: 'entityUpdated',
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
      state: 'failure',
      attempts: 1,
      response: { statusCode: 301, headers: {} },
      subscription: { id: last.id, title: 'subscription 2' },
      _links: {
        self: { href: event },
        redeliver: { href: `${event}/redeliver` },
        history: { href: `${event}/history` },
        subscription: { href: href(last.id) },
      },
    });
    expect(subscriptionsIn(reply)).toEqual([first.id, last.id]);
  });

  it('an event that went nowhere, or that nobody published, has an empty list', async () => {
    await newSubscriptions(1);
    expect((await ask()).body._embedded.deliveries).toEqual([]);
    customer = await newCustomer();
    expect(await ask()).toMatchObject({ status: 200, body: { _embedded: { deliveries: [] } } });
  });

  it.each(['nonsense', '01890A5D-AC96-774B-BCCE-B302099A8057', '726087ec-35df-4041-aec8-c11ecc208efa'])(
    'the id %s, which no event can have, is a 404',
    async (id) => {
      const reply = await customer.call('GET', `/events/${id}?limit=none`);
      expect([reply.status, reply.body.details]).toEqual([404, 'Event not found']);
    },
  );

  it('a subscription that was deleted is not shown, and its event is gone', async () => {
    const [kept, deleted] = (await newSubscriptions(2)) as [TestSubscription, TestSubscription];
    await deliver(kept);
    await deliver(deleted);
    expect(subscriptionsIn(await ask())).toEqual([kept.id, deleted.id]);
    await customer.call('DELETE', `/subscriptions/${deleted.id}`);
    expect(subscriptionsIn(await ask())).toEqual([kept.id]);
  });

  it('an event that has expired is not shown', async () => {
    const [subscription] = (await newSubscriptions(1)) as [TestSubscription];
    await deliver(subscription);
    clock.advance(7 * 86_400_000);
    expect(subscriptionsIn(await ask())).toEqual([]);
  });
});

describe('the pages of deliveries', () => {
  it('next links lead over all subscriptions, also over pages without the event and past one that was deleted', async () => {
    const all = await newSubscriptions(5);
    const having = [all[0], all[4]] as TestSubscription[];
    for (const subscription of having) await deliver(subscription);
    const pages: string[][] = [];
    for (let href = `/${customer.id}/webhooks/events/${eventId}?limit=2`; href !== undefined; ) {
      const page = await call('GET', href, { token: customer.token });
      pages.push(subscriptionsIn(page));
      href = page.body._links.next?.href;
      // The page ended at this subscription.
      if (pages.length === 1) {
        expect(new URL(href, 'http://webhooks.test').searchParams.get('after')).toBe(all[1]?.id);
        await customer.call('DELETE', `/subscriptions/${all[1]?.id}`);
      }
    }
    expect(pages).toEqual([[having[0]?.id], [], [having[1]?.id]]);
  });

  it('a page after a subscription of another customer is the 404 of an unknown one', async () => {
    const other = await newSubscription(await newCustomer());
    for (const id of [other.id, crypto.randomUUID()]) {
      const reply = await ask(`?after=${id}`);
      expect([reply.status, reply.body.details]).toEqual([404, 'Subscription not found']);
    }
  });

  it.each([
    ['limit=101', 'limit', 'must be a whole number from 1 to 100'],
    ['after=x', 'after', 'must be a subscription id'],
    ['x=1', 'x', 'is not a parameter of this call: it has after, limit'],
  ])('a call with %s gets a 400 that names %s', async (query, name, reason) => {
    const reply = await ask(`?${query}`);
    expect(reply.status).toBe(400);
    expect(reply.body['invalid-query-params']).toEqual([{ name, reason }]);
  });
});

describe('the bounds of the call', () => {
  it('a call takes one unit of work for each started 10 subscriptions, before it asks their stores', async () => {
    await newSubscriptions(21);
    const granted = async (units: number, query = '') => {
      const asked: string[] = [];
      const stores: string[] = [];
      const environment = environmentWith({
        COSTLY_WORK: { limit: async ({ key }) => ({ success: asked.push(key) <= units }) } as RateLimit,
        EVENT_STORE: {
          idFromName: (name: string) => name,
          get: (name: string) => ({ glance: async () => void stores.push(name) }),
        } as unknown as typeof env.EVENT_STORE,
      });
      const path = `/${customer.id}/webhooks/events/${eventId}${query}`;
      const { status, headers } = await callIn(environment, 'GET', path, { token: customer.token });
      return { status, units: asked.length, stores: stores.length, wait: headers.get('retry-after') };
    };
    expect(await granted(1000)).toEqual({ status: 200, units: 3, stores: 21, wait: null });
    expect(await granted(1000, '?limit=10')).toEqual({ status: 200, units: 1, stores: 10, wait: null });
    expect(await granted(2)).toEqual({ status: 429, units: 3, stores: 0, wait: '10' });
    expect(await granted(0)).toEqual({ status: 429, units: 1, stores: 0, wait: '10' });
  });

  it('six stores are asked at once at most, and after one that is away no further one is', async () => {
    await newSubscriptions(20);
    let [now, most, asked] = [0, 0, 0];
    const away = Object.assign(new Error('the object restarts'), { overloaded: true });
    const environment = environmentWith({
      EVENT_STORE: {
        idFromName: (name: string) => name,
        get: () => ({
          glance: async () => {
            const nth = ++asked;
            most = Math.max(most, ++now);
            await scheduler.wait(0);
            now--;
            if (nth === 8) throw away;
          },
        }),
      } as unknown as typeof env.EVENT_STORE,
    });
    const path = `/${customer.id}/webhooks/events/${eventId}`;
    const reply = await callIn(environment, 'GET', path, { token: customer.token });
    expect(reply.status).toBe(503);
    expect(most).toBe(6);
    expect(asked).toBeLessThan(20);
  });

  it('a call makes one query of the database, and one more for the subscription that it goes on after', async () => {
    const [first] = (await newSubscriptions(2)) as [TestSubscription];
    const { environment, queries } = countingQueries();
    const isolate = newIsolate(environment);
    const queriesOf = async (query: string) => {
      const before = queries();
      const path = `/${customer.id}/webhooks/events/${eventId}${query}`;
      expect((await isolate('GET', path, { token: customer.token })).status).toBe(200);
      return queries() - before;
    };
    // The first call also looks the token up.
    expect([await queriesOf(''), await queriesOf(''), await queriesOf(`?after=${first.id}`)]).toEqual([
      2, 1, 2,
    ]);
  });
});

describe('who may see where an event went', () => {
  it('another customer sees nothing of an event that both have', async () => {
    const [mine] = (await newSubscriptions(1)) as [TestSubscription];
    await deliver(mine);
    const other = await newCustomer();
    const theirs = await newSubscription(other);
    await deliver(theirs);
    expect(subscriptionsIn(await ask())).toEqual([mine.id]);
    expect(subscriptionsIn(await other.call('GET', `/events/${eventId}`))).toEqual([theirs.id]);
    const path = `/${customer.id}/webhooks/events/${eventId}`;
    expect((await call('GET', path, { token: other.token })).status).toBe(403);
  });

  it('a token that may read deliveries may call it; one that may only publish, or read subscriptions, may not', async () => {
    const { id, clientId, clientSecret } = customer;
    const statusWith = async (scope: string) => {
      const { access_token } = (await getToken(id, clientId, clientSecret, scope)).body;
      return (await call('GET', `/${id}/webhooks/events/${eventId}`, { token: access_token })).status;
    };
    expect(await statusWith('GET:webhooks/**')).toBe(200);
    expect(await statusWith('GET:webhooks/events/*')).toBe(200);
    expect(await statusWith('POST:webhooks/events')).toBe(403);
    expect(await statusWith('GET:webhooks/subscriptions/**')).toBe(403);
  });
});
