import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import type { SubscriptionRef } from '../../src/domain/subscription.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { type FlatReport, reportOf } from '../support/reports.ts';
import { environmentWith, limiter, newIsolate, withNewToken } from '../support/requests.ts';
import {
  call,
  newCustomer,
  newSubscription,
  type Reply,
  storeOf,
  type TestCustomer,
} from '../support/world.ts';

const ENDPOINT = 'https://listener.example.com:8443/hooks?a=b';
const SET = 'header.payload.signature';
const ok: Outcome = {
  kind: 'success',
  response: { statusCode: 200, headers: { 'Content-Type': 'text/plain' } },
};
const unavailable: Outcome = {
  kind: 'http_error',
  response: { statusCode: 503, headers: { 'Retry-After': '1' } },
};
const redirected: Outcome = { kind: 'http_error', response: { statusCode: 301, headers: {} } };
const timedOut: Outcome = { kind: 'timed_out', message: 'no answer within 10 s' };

let clock: HeldClock;
let shared: TestCustomer;
let customer: TestCustomer;
beforeAll(async () => {
  shared = await newCustomer();
});
beforeEach(async () => {
  clock = holdClock();
  customer = await withNewToken(shared);
});

interface Store {
  readonly id: string;
  readonly path: string;
  settle(...reports: FlatReport[]): Promise<void>;
}

async function newStore(): Promise<Store> {
  const { id } = await newSubscription(customer);
  const ref: SubscriptionRef = {
    customerId: customer.id,
    subscriptionId: id,
    version: 1,
    enabled: true,
    endpoint: 'https://listener.example/',
  };
  return {
    id,
    path: `/${customer.id}/webhooks/subscriptions/${id}/events`,
    settle: async (...reports) => {
      for (let start = 0; start < reports.length; start += 100) {
        await storeOf({ id }).settle(ref, reports.slice(start, start + 100).map(reportOf));
      }
    },
  };
}

const newIds = (count: number, at = clock.now()) =>
  newEventIds(at, count, crypto.getRandomValues(new Uint8Array(16)));
const newId = () => newIds(1)[0] ?? '';

const facts = (eventId: string) => ({ eventId, acceptedAt: clock.now(), endpoint: ENDPOINT, set: SET });
const attempted = (eventId: string, outcome: Outcome, attempt = 1): FlatReport => ({
  ...facts(eventId),
  result: { attempt, startedAt: clock.now(), durationMs: 41, outcome },
});

/** All tests share a customer, and costly-reads.test.ts is about the limit of its lists: here it never applies. */
const unlimited = newIsolate(environmentWith({ COSTLY_WORK: limiter(Number.POSITIVE_INFINITY) }));
const get = (path: string): Promise<Reply> => unlimited('GET', path, { token: customer.token });
const idsOf = (reply: Reply): string[] =>
  reply.body._embedded.events.map((event: { id: string }) => event.id);
const iso = (ms: number) => new Date(ms).toISOString();
const notFound = (what: string) => ({
  type: '/not-found',
  status: 404,
  title: 'Not Found',
  details: `${what} not found`,
});

describe('the event resource', () => {
  const shown = (store: Store, id: string) => ({
    id,
    request: {
      endpoint: ENDPOINT,
      headers: {
        Accept: '*/*',
        'Content-Length': String(SET.length),
        'Content-Type': 'application/secevent+jwt',
        Host: 'listener.example.com:8443',
        'User-Agent': 'identity-webhooks/3.0',
      },
      payload: SET,
    },
    _links: {
      self: { href: `${store.path}/${id}` },
      redeliver: { href: `${store.path}/${id}/redeliver` },
      history: { href: `${store.path}/${id}/history` },
    },
  });

  it('a delivered event shows its request and its response', async () => {
    const store = await newStore();
    const id = newId();
    const settlement = attempted(id, ok);
    const acceptedAt = clock.now();
    clock.advance(120);
    await store.settle(settlement);
    const reply = await get(`${store.path}/${id}`);
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      ...shown(store, id),
      createdAt: iso(acceptedAt),
      updatedAt: iso(acceptedAt + 120),
      state: 'success',
      attempts: 1,
      response: { statusCode: 200, headers: { 'Content-Type': 'text/plain' } },
    });
  });

  it('a failed event shows the response of its last attempt and no next attempt', async () => {
    const store = await newStore();
    const id = newId();
    await store.settle(attempted(id, redirected));
    expect((await get(`${store.path}/${id}`)).body).toEqual({
      ...shown(store, id),
      createdAt: iso(clock.now()),
      updatedAt: iso(clock.now()),
      state: 'failure',
      attempts: 1,
      response: { statusCode: 301, headers: {} },
    });
  });

  it('an event that waits for a retry shows when its next attempt is due', async () => {
    const store = await newStore();
    const id = newId();
    await store.settle(attempted(id, unavailable));
    expect((await get(`${store.path}/${id}`)).body).toEqual({
      ...shown(store, id),
      createdAt: iso(clock.now()),
      updatedAt: iso(clock.now()),
      state: 'awaiting-retry',
      attempts: 1,
      nextAttemptAt: iso(clock.now() + 3000),
      response: { statusCode: 503, headers: { 'Retry-After': '1' } },
    });
  });

  it('an event that got no answer shows an error and no response', async () => {
    const store = await newStore();
    const id = newId();
    await store.settle(attempted(id, timedOut));
    const { body } = await get(`${store.path}/${id}`);
    expect(body.error).toEqual({ code: 'timed_out', message: 'no answer within 10 s' });
    expect(body).not.toHaveProperty('response');
    expect(body.state).toBe('awaiting-retry');
  });

  it.each<[string, Outcome]>([
    ['unreachable', { kind: 'unreachable', message: 'connection refused' }],
    ['invalid_response', { kind: 'invalid_response', message: 'not HTTP' }],
    ['blocked', { kind: 'blocked', message: 'the address is not public' }],
  ])('an event whose attempt ended as %s shows that error code', async (code, outcome) => {
    const store = await newStore();
    const id = newId();
    await store.settle(attempted(id, outcome));
    expect((await get(`${store.path}/${id}`)).body.error).toEqual({ code, message: expect.any(String) });
  });

  it('an event shows the result of its last attempt only', async () => {
    const store = await newStore();
    const id = newId();
    await store.settle(attempted(id, unavailable));
    await store.settle(attempted(id, timedOut, 2));
    const second = (await get(`${store.path}/${id}`)).body;
    expect(second).toMatchObject({ attempts: 2, error: { code: 'timed_out' } });
    expect(second).not.toHaveProperty('response');
    await store.settle(attempted(id, ok, 3));
    const third = (await get(`${store.path}/${id}`)).body;
    expect(third).toMatchObject({ state: 'success', attempts: 3, response: { statusCode: 200 } });
    expect(third).not.toHaveProperty('error');
    expect(third).not.toHaveProperty('nextAttemptAt');
  });

  it('an event without an attempt shows neither response nor error', async () => {
    const store = await newStore();
    const id = newId();
    await store.settle(facts(id));
    expect((await get(`${store.path}/${id}`)).body).toEqual({
      ...shown(store, id),
      createdAt: iso(clock.now()),
      updatedAt: iso(clock.now()),
      state: 'awaiting-executing',
      attempts: 0,
    });
  });

  it('the list shows an event exactly as it is shown alone', async () => {
    const store = await newStore();
    const ids = newIds(3);
    await store.settle(...ids.map((id, index) => attempted(id, [ok, unavailable, timedOut][index] ?? ok)));
    const listed = (await get(store.path)).body._embedded.events;
    for (const event of listed) expect((await get(`${store.path}/${event.id}`)).body).toEqual(event);
    expect(listed).toHaveLength(3);
  });

  it('an unknown event answers 404', async () => {
    const store = await newStore();
    for (const path of [`${store.path}/${newId()}`, `${store.path}/${newId()}/history`]) {
      const reply = await get(path);
      expect(reply.status).toBe(404);
      expect(reply.body).toEqual(notFound('Event'));
    }
  });

  it.each(['1', 'nonsense', '%00', "'--"])(
    'the event id %s, which is not a UUID, answers 404',
    async (id) => {
      const store = await newStore();
      for (const path of [`${store.path}/${id}`, `${store.path}/${id}/history`]) {
        const reply = await get(path);
        expect(reply.status).toBe(404);
        expect(reply.body).toEqual(notFound('Event'));
      }
    },
  );

  it('an event of another subscription answers 404', async () => {
    const [store, another] = [await newStore(), await newStore()];
    const id = newId();
    await store.settle(attempted(id, ok));
    expect((await get(`${another.path}/${id}`)).status).toBe(404);
  });

  it("an event of another customer's subscription answers 404 for the subscription", async () => {
    const store = await newStore();
    const id = newId();
    await store.settle(attempted(id, ok));
    const stranger = await newCustomer();
    for (const path of ['', `/${id}`, `/${id}/history`]) {
      const reply = await stranger.call('GET', `/subscriptions/${store.id}/events${path}`);
      expect(reply.status).toBe(404);
      expect(reply.body).toEqual(notFound('Subscription'));
    }
  });
});

describe('the history of an event', () => {
  it('the history lists every state with its time, oldest first', async () => {
    const store = await newStore();
    const id = newId();
    const t0 = clock.now();
    const first = attempted(id, unavailable);
    clock.advance(50);
    await store.settle(first);
    const t1 = clock.now();
    clock.advance(3000);
    const second = attempted(id, timedOut, 2);
    clock.advance(50);
    await store.settle(second);
    const t2 = clock.now();
    clock.advance(30_000);
    await store.settle(attempted(id, ok, 3));
    const reply = await get(`${store.path}/${id}/history`);
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      total: 7,
      _links: {
        self: { href: `${store.path}/${id}/history` },
        event: { href: `${store.path}/${id}` },
      },
      _embedded: {
        history: [
          { createdAt: iso(t0), state: 'awaiting-executing', attempts: 0 },
          { createdAt: iso(t0), state: 'executing', attempts: 1 },
          {
            createdAt: iso(t1),
            state: 'awaiting-retry',
            attempts: 1,
            reason: 'HTTP 503',
            response: { statusCode: 503, headers: { 'Retry-After': '1' } },
            durationMs: 41,
            nextAttemptAt: iso(t1 + 3000),
          },
          { createdAt: iso(t1 + 3000), state: 'executing', attempts: 2 },
          {
            createdAt: iso(t2),
            state: 'awaiting-retry',
            attempts: 2,
            reason: expect.stringMatching(/timed out/),
            error: { code: 'timed_out', message: 'no answer within 10 s' },
            durationMs: 41,
            nextAttemptAt: iso(t2 + 30_000),
          },
          { createdAt: iso(t2 + 30_000), state: 'executing', attempts: 3 },
          {
            createdAt: iso(t2 + 30_000),
            state: 'success',
            attempts: 3,
            response: { statusCode: 200, headers: { 'Content-Type': 'text/plain' } },
            durationMs: 41,
          },
        ],
      },
    });
  });

  it('the history says why an event failed for good', async () => {
    const store = await newStore();
    const id = newId();
    await store.settle(attempted(id, redirected));
    const { history } = (await get(`${store.path}/${id}/history`)).body._embedded;
    expect(history.at(-1)).toMatchObject({ state: 'failure', reason: 'HTTP 301' });
    expect(history.at(-1)).not.toHaveProperty('nextAttemptAt');
  });

  it('the history says that an event failed because its subscription was disabled', async () => {
    const subscription = await newSubscription(customer, { enabled: false });
    const ref = {
      customerId: customer.id,
      subscriptionId: subscription.id,
      version: 1,
      enabled: false,
      endpoint: 'https://listener.example/',
    };
    const id = newId();
    await storeOf(subscription).settle(ref, [reportOf(facts(id))]);
    expect(await subscription.event(id)).toMatchObject({ state: 'failure', attempts: 0 });
    expect(await subscription.history(id)).toEqual([
      { createdAt: iso(clock.now()), state: 'awaiting-executing', attempts: 0 },
      { createdAt: iso(clock.now()), state: 'failure', attempts: 0, reason: 'subscription disabled' },
    ]);
  });
});

describe('the list of events', () => {
  it('the event list of a new subscription is empty', async () => {
    const store = await newStore();
    const reply = await get(store.path);
    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
    expect(reply.body).toEqual({
      total: 0,
      _links: { self: { href: store.path } },
      _embedded: { events: [] },
    });
  });

  it('the event list holds all events, oldest first, in whatever order they were stored', async () => {
    const store = await newStore();
    const ids = [...newIds(3, clock.now() - 60_000), ...newIds(3)];
    for (const index of [4, 0, 5, 2, 1, 3]) await store.settle(attempted(ids[index] ?? '', ok));
    const reply = await get(store.path);
    expect(reply.body.total).toBe(6);
    expect(idsOf(reply)).toEqual(ids);
    expect(reply.body._links).toEqual({ self: { href: store.path } });
  });

  it('the parameter limit cuts the event list, and the next link continues after the last event', async () => {
    const store = await newStore();
    const ids = newIds(5);
    await store.settle(...ids.map((id) => attempted(id, ok)));
    const reply = await get(`${store.path}?limit=2`);
    expect(idsOf(reply)).toEqual(ids.slice(0, 2));
    expect(reply.body.total).toBe(5);
    expect(reply.body._links.self).toEqual({ href: `${store.path}?limit=2` });
    const next = new URL(reply.body._links.next.href, 'https://any.example');
    expect(reply.body._links.next.href).toMatch(/^\//);
    expect(next.pathname).toBe(store.path);
    expect(next.searchParams.get('after')).toBe(ids[1]);
    expect(next.searchParams.get('limit')).toBe('2');
  });

  it('the event list has no next link when limit is exactly the number of events', async () => {
    const store = await newStore();
    const ids = newIds(3);
    await store.settle(...ids.map((id) => attempted(id, ok)));
    expect((await get(`${store.path}?limit=3`)).body._links).not.toHaveProperty('next');
    expect((await get(`${store.path}?limit=2`)).body._links).toHaveProperty('next');
  });

  it('the parameters after and before select the events between two ids', async () => {
    const store = await newStore();
    const ids = newIds(6);
    const [, second = '', , , fifth = ''] = ids;
    await store.settle(...ids.map((id) => attempted(id, ok)));
    expect(idsOf(await get(`${store.path}?after=${second}`))).toEqual(ids.slice(2));
    expect(idsOf(await get(`${store.path}?before=${fifth}`))).toEqual(ids.slice(0, 4));
    const both = await get(`${store.path}?after=${second}&before=${fifth}`);
    expect(idsOf(both)).toEqual(ids.slice(2, 4));
    expect(both.body.total).toBe(6);
    expect(idsOf(await get(`${store.path}?after=${fifth}&before=${second}`))).toEqual([]);
  });

  it('the parameters after and before accept an id that is not in the store and go by its time', async () => {
    const store = await newStore();
    const early = newIds(2, clock.now() - 2000);
    const between = newIds(1, clock.now() - 1000)[0];
    const late = newIds(2);
    await store.settle(...[...early, ...late].map((id) => attempted(id, ok)));
    expect(idsOf(await get(`${store.path}?after=${between}`))).toEqual(late);
    expect(idsOf(await get(`${store.path}?before=${between}`))).toEqual(early);
  });

  it('the parameter state selects the events in that state', async () => {
    const store = await newStore();
    const ids = newIds(5);
    const outcomes = [ok, redirected, unavailable, ok];
    await store.settle(...ids.slice(0, 4).map((id, index) => attempted(id, outcomes[index] ?? ok)));
    await store.settle(facts(ids[4] ?? ''));
    const ofState = async (state: string) => idsOf(await get(`${store.path}?state=${state}`));
    expect(await ofState('success')).toEqual([ids[0], ids[3]]);
    expect(await ofState('failure')).toEqual([ids[1]]);
    expect(await ofState('awaiting-retry')).toEqual([ids[2]]);
    expect(await ofState('awaiting-executing')).toEqual([ids[4]]);
    expect(await ofState('executing')).toEqual([]);
  });

  it('next links visit every event once, with any limit and any filter', async () => {
    const store = await newStore();
    const ids = newIds(450);
    await store.settle(...ids.map((id, index) => attempted(id, index % 3 === 0 ? redirected : ok)));
    const walk = async (start: string) => {
      const seen: string[] = [];
      let pages = 0;
      let href: string | undefined = start;
      while (href !== undefined) {
        const reply: Reply = await get(href);
        seen.push(...idsOf(reply));
        pages++;
        href = reply.body._links.next?.href;
      }
      return { seen, pages };
    };
    expect(await walk(`${store.path}?limit=50`)).toEqual({ seen: ids, pages: 9 });
    expect(await walk(`${store.path}?limit=199`)).toEqual({ seen: ids, pages: 3 });
    expect(await walk(`${store.path}?limit=200`)).toEqual({ seen: ids, pages: 3 });
    expect(await walk(`${store.path}?limit=201`)).toEqual({ seen: ids, pages: 3 });
    expect(await walk(`${store.path}?limit=1000`)).toEqual({ seen: ids, pages: 1 });
    const failed = ids.filter((_, index) => index % 3 === 0);
    expect(await walk(`${store.path}?state=failure&limit=50`)).toEqual({ seen: failed, pages: 3 });
    const middle = await walk(`${store.path}?limit=100&after=${ids[99]}&before=${ids[400]}`);
    expect(middle.seen).toEqual(ids.slice(100, 400));
  });

  it('the event list ignores unknown parameters', async () => {
    const store = await newStore();
    await store.settle(attempted(newId(), ok));
    const reply = await get(`${store.path}?sort=desc&page=0`);
    expect(reply.status).toBe(200);
    expect(idsOf(reply)).toHaveLength(1);
  });

  it('HEAD of the event list answers without a body', async () => {
    const store = await newStore();
    await store.settle(attempted(newId(), ok));
    const reply = await call('HEAD', store.path, { token: customer.token });
    expect(reply.status).toBe(200);
    expect(reply.body).toBe('');
  });
});

describe('the query of the event list', () => {
  let store: Store;
  beforeEach(async () => {
    store = await newStore();
  });

  async function faultNames(query: string): Promise<string[]> {
    const reply = await get(`${store.path}?${query}`);
    expect(reply.status).toBe(400);
    expect(reply.body).toEqual({
      type: '/validation-error',
      status: 400,
      title: 'Bad Request',
      'invalid-query-params': expect.any(Array),
    });
    const faults = reply.body['invalid-query-params'] as { name: string; reason: string }[];
    for (const { reason } of faults) expect(reason).toMatch(/./);
    return faults.map(({ name }) => name);
  }

  it.each([
    ['limit', '0'],
    ['limit', '1001'],
    ['limit', '-1'],
    ['limit', '1.5'],
    ['limit', 'ten'],
    ['limit', ''],
    ['limit', '0x10'],
    ['after', 'nonsense'],
    ['after', ''],
    ['after', '00000000-0000-4000-8000-000000000000'],
    ['before', 'nonsense'],
    ['before', '%00'],
    ['state', 'failed'],
    ['state', 'Success'],
    ['state', ''],
  ])('the event list refuses the query %s=%s', async (name, value) => {
    expect(await faultNames(`${name}=${value}`)).toEqual([name]);
  });

  it('a bad query of the event list gets a 400 that names every fault at once', async () => {
    const names = await faultNames('limit=0&after=x&before=y&state=z');
    expect(names.sort()).toEqual(['after', 'before', 'limit', 'state']);
  });

  it('the event list refuses a parameter that is given twice', async () => {
    expect(await faultNames('limit=1&limit=2')).toEqual(['limit']);
  });

  it('the event list accepts a limit of 1 and a limit of 1000', async () => {
    expect((await get(`${store.path}?limit=1`)).status).toBe(200);
    expect((await get(`${store.path}?limit=1000`)).status).toBe(200);
  });
});

describe('a store of 1,005 events', () => {
  it('a list without parameters holds up to 1,000 events, and its next link holds the rest', async () => {
    const store = await newStore();
    const ids = newIds(1005);
    await store.settle(...ids.map((id) => attempted(id, ok)));
    const first = await get(store.path);
    expect(first.status).toBe(200);
    expect(first.body.total).toBe(1005);
    expect(idsOf(first)).toEqual(ids.slice(0, 1000));
    expect(first.body._links.self).toEqual({ href: store.path });
    const rest = await get(first.body._links.next.href);
    expect(idsOf(rest)).toEqual(ids.slice(1000));
    expect(rest.body._links).not.toHaveProperty('next');
  });
});
