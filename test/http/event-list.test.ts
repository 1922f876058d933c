/** Lists of events in either order, by type and by time, and as summaries (contract 10.12). */
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import type { ShownType } from '../../src/domain/shown-type.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { aSetWith, moved, ok } from '../support/delivery-fixtures.ts';
import { refTo, reportOf } from '../support/reports.ts';
import { callIn, environmentWith } from '../support/requests.ts';
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

const MINUTE_MS = 60_000;

let clock: HeldClock;
let customer: TestCustomer;
let subscription: TestSubscription;
beforeEach(async () => {
  clock = holdClock();
  customer = await newCustomer();
  subscription = await newSubscription(customer);
});

interface Given {
  readonly type?: ShownType;
  readonly outcome?: Outcome;
  /** How long before its acceptance the time in the id is. */
  readonly lateMs?: number;
}

/** Stores events one after the other, a minute apart. @returns their ids */
async function store(count: number, { type = 'entityCreated', outcome = ok, lateMs = 0 }: Given = {}) {
  const ids: string[] = [];
  for (let index = 0; index < count; index++) {
    clock.advance(MINUTE_MS);
    ids.push(...(await storeAtOnce(1, { type, outcome, lateMs })));
  }
  return ids;
}

async function storeAtOnce(count: number, { type = 'entityCreated', outcome = ok, lateMs = 0 }: Given = {}) {
  const now = clock.now();
  const ids = newEventIds(now - lateMs, count, crypto.getRandomValues(new Uint8Array(16)));
  const { endpoint } = subscription.listener;
  const result = { attempt: 1, startedAt: now, durationMs: 1, outcome };
  for (let start = 0; start < count; start += 100) {
    const reports = ids.slice(start, start + 100).map((eventId) => {
      const set = aSetWith({ [type]: { id: eventId } });
      return reportOf({ eventId, acceptedAt: now, endpoint, set, result });
    });
    await storeOf(subscription).settle(refTo(subscription), reports);
  }
  return ids;
}

const listPath = () => `/subscriptions/${subscription.id}/events`;
const list = (query: string) => customer.call('GET', `${listPath()}?${query}`);
const idsOf = (reply: Reply): string[] => reply.body._embedded.events.map(({ id }: { id: string }) => id);

/** Follows `next` from a query to the end. @returns the ids of each page */
async function pagesOf(query: string, between: () => Promise<unknown> = async () => undefined) {
  const pages: string[][] = [];
  for (
    let href: string | undefined = `/${customer.id}/webhooks${listPath()}?${query}`;
    href !== undefined;
  ) {
    const page: Reply = await call('GET', href, { token: customer.token });
    expect(page.status).toBe(200);
    pages.push(idsOf(page));
    href = page.body._links.next?.href;
    if (href !== undefined) await between();
  }
  return pages;
}

/** Makes calls while the limiter grants so many units in all; `asked` counts them. */
function withUnits(units: number) {
  const asked: string[] = [];
  const limit = async ({ key }: { key: string }) => ({ success: asked.push(key) <= units });
  const environment = environmentWith({ COSTLY_WORK: { limit } as RateLimit });
  const path = `/${customer.id}/webhooks${listPath()}`;
  const get = (query: string) => callIn(environment, 'GET', `${path}?${query}`, { token: customer.token });
  return { asked, get };
}

describe('the order of a list', () => {
  it('a list is oldest first without order and with order=asc, and newest first with order=desc', async () => {
    const ids = [...(await store(2)), ...(await store(2, { outcome: moved }))];
    expect(idsOf(await list(''))).toEqual(ids);
    expect(idsOf(await list('order=asc'))).toEqual(ids);
    expect(idsOf(await list('order=desc'))).toEqual(ids.toReversed());
  });

  it('the parameter before takes the nearest older events with order=desc, and the oldest ones without it as ever', async () => {
    const ids = await store(6);
    expect(idsOf(await list(`order=desc&before=${ids[4]}&limit=2`))).toEqual([ids[3], ids[2]]);
    expect(idsOf(await list(`before=${ids[4]}&limit=2`))).toEqual([ids[0], ids[1]]);
    expect(idsOf(await list(`order=desc&after=${ids[2]}&before=${ids[5]}`))).toEqual([ids[4], ids[3]]);
  });

  it('next links lead to the end in both directions, and keep every other parameter', async () => {
    const ids = [...(await store(4)), ...(await store(3, { outcome: moved }))];
    const upwards = await pagesOf('order=asc&limit=3&x=1');
    expect(upwards).toEqual([ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)]);
    const downwards = ids.toReversed();
    expect(await pagesOf('order=desc&limit=3')).toEqual([
      downwards.slice(0, 3),
      downwards.slice(3, 6),
      downwards.slice(6),
    ]);
    const { _links } = (await list('order=desc&limit=3&type=entityCreated&x=1')).body;
    expect(new URL(_links.next.href, 'http://webhooks.test').search).toBe(
      `?order=desc&limit=3&type=entityCreated&x=1&before=${ids[4]}`,
    );
  });

  it('events that arrive between two pages of a list downwards do not move the others', async () => {
    const ids = await store(6);
    const pages = await pagesOf('order=desc&limit=2', () => store(1));
    expect(pages.flat()).toEqual(ids.toReversed());
  });
});

describe('the filters of a list', () => {
  it('type takes the events of these types, and test has every test notification', async () => {
    const created = await store(2, { type: 'entityCreated' });
    const deleted = await store(1, { type: 'entityDeleted', outcome: moved });
    const tested = (await customer.call('POST', `/subscriptions/${subscription.id}/test`)).body.id;
    const example = { type: 'entityUpdated' };
    clock.advance(1);
    const shown = (await customer.call('POST', `/subscriptions/${subscription.id}/test`, example)).body.id;
    expect(idsOf(await list('type=entityCreated'))).toEqual(created);
    expect(idsOf(await list('type=entityDeleted,entityCreated,entityDeleted'))).toEqual([
      ...created,
      ...deleted,
    ]);
    expect(idsOf(await list('type=test'))).toEqual([tested, shown]);
    expect(idsOf(await list('type=entityUpdated'))).toEqual([]);
    expect((await list('type=test')).body.total).toBe(5);
  });

  it('since and until go by createdAt, both ends included, however late the ids are', async () => {
    const ids = [
      ...(await store(2)),
      ...(await store(1, { lateMs: 4 * MINUTE_MS })),
      ...(await store(1, { lateMs: 20 * 60 * MINUTE_MS })),
      ...(await store(1, { outcome: moved })),
    ];
    const times = await Promise.all(ids.map(async (id) => (await subscription.event(id)).createdAt));
    const inSpan = ids.slice(1, 4).toSorted();
    expect(idsOf(await list(`since=${times[1]}&until=${times[3]}`))).toEqual(inSpan);
    expect(idsOf(await list(`since=${times[1]}&until=${times[3]}&order=desc`))).toEqual(inSpan.toReversed());
    expect(idsOf(await list(`since=${times[4]}`))).toEqual([ids[4]]);
    expect(idsOf(await list('until=2020-01-01T00:00:00Z'))).toEqual([]);
  });

  it('filters narrow a list together with state', async () => {
    await store(1, { type: 'entityCreated' });
    await store(1, { type: 'entityCreated', outcome: moved });
    clock.advance(MINUTE_MS);
    const since = new Date(clock.now()).toISOString();
    await store(1, { type: 'entityDeleted', outcome: moved });
    const [wanted] = await store(1, { type: 'entityCreated', outcome: moved });
    expect(idsOf(await list(`state=failure&type=entityCreated&since=${since}&order=desc`))).toEqual([wanted]);
  });

  it.each([
    ['order=up', 'order', 'must be asc or desc'],
    ['type=', 'type', /^must be one or more of entityCreated, entityUpdated, entityDeleted, test/],
    ['type=entityRenamed', 'type', /^must be one or more of/],
    ['type=test,', 'type', /^must be one or more of/],
    ['since=yesterday', 'since', /^must be an RFC 3339 time/],
    ['until=2016-12-31T23:59:60Z', 'until', /^must be an RFC 3339 time/],
    ['since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z', 'until', 'must not be before since'],
    ['fields=all', 'fields', 'must be summary'],
    ['type=test&type=test', 'type', 'is given more than once'],
    ['order=asc&order=desc', 'order', 'is given more than once'],
  ])('a list with %s gets a 400 that names %s', async (query, name, reason) => {
    const reply = await list(query);
    expect(reply.status).toBe(400);
    expect(reply.body['invalid-query-params']).toEqual([
      { name, reason: expect.stringMatching(typeof reason === 'string' ? `^${reason}$` : reason) },
    ]);
  });
});

describe('a list of summaries', () => {
  it('a summary is the event without its request and with its type', async () => {
    await store(1, { type: 'entityUpdated' });
    await store(1, { outcome: moved });
    const whole = (await list('')).body._embedded.events;
    const summaries = (await list('fields=summary')).body._embedded.events;
    const types = ['entityUpdated', 'entityCreated'];
    expect(summaries).toEqual(
      whole.map(({ request: _, ...rest }: { request: unknown }, index: number) => ({
        ...rest,
        type: types[index],
      })),
    );
    expect(whole[0]).not.toHaveProperty('type');
  });

  it('summaries take one unit of work for each look, which shows up to 200, and whole events one for each 20', async () => {
    const ids = await storeAtOnce(250);
    const light = withUnits(1000);
    expect(idsOf(await light.get('fields=summary&order=desc'))).toEqual(ids.toReversed());
    expect(light.asked).toHaveLength(2);
    const whole = withUnits(1000);
    expect(idsOf(await whole.get('order=desc'))).toEqual(ids.toReversed());
    expect(whole.asked).toHaveLength(13);
  });

  it('a list of summaries without a unit of work is a 429', async () => {
    const reply = await withUnits(0).get('fields=summary');
    expect([reply.status, reply.headers.get('retry-after')]).toEqual([429, '10']);
  });
});

describe('a search that finds little', () => {
  it('a page that goes through 1,000 events in vain for each unit of work ends with next, which goes on there', async () => {
    await storeAtOnce(1500);
    const [wanted] = await store(1, { type: 'entityDeleted' });
    const first = await withUnits(1).get('type=entityDeleted');
    expect(idsOf(first)).toEqual([]);
    const next = new URL(first.body._links.next.href, 'http://webhooks.test');
    expect(next.searchParams.get('type')).toBe('entityDeleted');
    const second = await withUnits(1).get(next.search.slice(1));
    expect(idsOf(second)).toEqual([wanted]);
    expect(second.body._links).not.toHaveProperty('next');
    const all = withUnits(1000);
    expect(idsOf(await all.get('type=entityDeleted'))).toEqual([wanted]);
    expect(all.asked).toHaveLength(2);
  });

  it('a full page is not followed by a search for one more', async () => {
    await store(1, { type: 'entityDeleted' });
    clock.advance(1);
    await storeAtOnce(1500);
    const { asked, get } = withUnits(1000);
    const reply = await get('type=entityDeleted&limit=1');
    expect([idsOf(reply).length, asked.length]).toEqual([1, 1]);
    expect(reply.body._links).toHaveProperty('next');
  });

  it('a search in a store of an earlier version is a 503, and a list without parameters goes on there', async () => {
    const older = new TypeError('The RPC receiver does not implement the method "search".');
    const environment = environmentWith({
      EVENT_STORE: {
        idFromName: (name: string) => env.EVENT_STORE.idFromName(name),
        get: () => ({ list: async () => [], total: async () => 0, search: () => Promise.reject(older) }),
      } as unknown as typeof env.EVENT_STORE,
    });
    const path = `/${customer.id}/webhooks${listPath()}`;
    const answers = await Promise.all(
      ['', '?order=desc'].map((query) => callIn(environment, 'GET', path + query, { token: customer.token })),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 503]);
  });
});

describe('who may search', () => {
  it('a token that may only read lists and searches; one without that scope and one of another customer get a 403', async () => {
    const reader = await newCustomer('GET:webhooks/**');
    const other = await newCustomer();
    const token = (
      await getToken(reader.id, reader.clientId, reader.clientSecret, 'GET:webhooks/subscriptions/*/events')
    ).body.access_token;
    const narrow = (
      await getToken(reader.id, reader.clientId, reader.clientSecret, 'GET:webhooks/subscriptions/*')
    ).body.access_token;
    const path = `/${reader.id}/webhooks/subscriptions/${crypto.randomUUID()}/events?order=desc&fields=summary`;
    expect((await call('GET', path, { token })).status).toBe(404);
    expect((await call('GET', path, { token: narrow })).status).toBe(403);
    expect((await call('GET', path, { token: other.token })).status).toBe(403);
  });
});
