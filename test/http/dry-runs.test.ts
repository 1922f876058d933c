/** Dry runs of a bulk redelivery (contract 10.3): they say what a job would send, and send nothing. */
import { runInDurableObject } from 'cloudflare:test';
import type { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { aSet, moved, ok, unavailable } from '../support/delivery-fixtures.ts';
import { refTo, reportOf } from '../support/reports.ts';
import { callIn, environmentWith } from '../support/requests.ts';
import { rowsRead } from '../support/rows-read.ts';
import {
  call,
  getToken,
  newCustomer,
  newSubscription,
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

/** Stores events at once. @param outcome of their attempts; 'none': nobody has attempted them yet @returns their ids */
async function store(count: number, outcome: Outcome | 'none' = moved, set?: string): Promise<string[]> {
  clock.advance(MINUTE_MS);
  const now = clock.now();
  const ids = newEventIds(now, count, crypto.getRandomValues(new Uint8Array(16)));
  const attempted =
    outcome === 'none' ? {} : { result: { attempt: 1, startedAt: now, durationMs: 1, outcome } };
  const { endpoint } = subscription.listener;
  for (let start = 0; start < count; start += 100) {
    const reports = ids
      .slice(start, start + 100)
      .map((eventId) =>
        reportOf({ eventId, acceptedAt: now, endpoint, set: set ?? aSet(eventId), ...attempted }),
      );
    await storeOf(subscription).settle(refTo(subscription), reports);
  }
  return ids;
}

const path = () => `/subscriptions/${subscription.id}/redeliveries`;
const dryRun = (body: object = {}) => customer.call('POST', path(), { ...body, dryRun: true });
const at = (ms: number) => new Date(ms).toISOString();

/** Every row of the event store, as text. */
async function contents(): Promise<string> {
  return await runInDurableObject(storeOf(subscription), async (_, { storage }) => {
    const rows = (query: string) => storage.sql.exec(query).toArray();
    const tables = rows(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'",
    );
    const all = tables.map(({ name }) => [name, rows(`SELECT * FROM ${String(name)}`)]);
    return JSON.stringify([all, await storage.getAlarm()]);
  });
}

describe('a dry run', () => {
  it('a dry run answers 200 with the count and the span of what a job takes, and changes nothing', async () => {
    const [oldest] = await store(1);
    const oldestAt = clock.now();
    await store(3);
    await store(2, ok);
    await store(1, unavailable);
    const [newest] = await store(1);
    const before = await contents();
    const reply = await dryRun();
    expect(reply.status).toBe(200);
    expect(reply.headers.get('location')).toBeNull();
    const self = `/${customer.id}/webhooks/subscriptions/${subscription.id}`;
    expect(reply.body).toEqual({
      dryRun: true,
      total: 5,
      exact: true,
      oldest: { id: oldest, createdAt: at(oldestAt) },
      newest: { id: newest, createdAt: at(clock.now()) },
      leftOut: { notKept: 0, notVerified: 0 },
      _links: { redeliveries: { href: `${self}/redeliveries` }, subscription: { href: self } },
    });
    expect(await contents()).toBe(before);
    expect((await customer.call('GET', path())).body.total).toBe(0);
    expect((await customer.call('POST', path(), {})).body).toMatchObject({ state: 'processing', total: 5 });
  });

  it('a dry run of a span counts what is in it, both ends included, and has no ends when that is nothing', async () => {
    await store(1);
    const since = clock.now();
    const ids = [...(await store(1)), ...(await store(2))];
    const until = clock.now();
    await store(1);
    const span = { since: at(since + MINUTE_MS), until: at(until) };
    const { body } = await dryRun(span);
    expect(body).toMatchObject({ total: 3, oldest: { id: ids[0] }, newest: { createdAt: at(until) } });
    expect((await customer.call('POST', path(), span)).body.total).toBe(3);
    await customer.call(
      'DELETE',
      `${path()}/${(await customer.call('GET', path())).body._embedded.redeliveries[0].id}`,
    );
    const empty = (await dryRun({ until: '2020-01-01T00:00:00Z' })).body;
    expect(empty).toMatchObject({ total: 0, exact: true });
    expect(empty).not.toHaveProperty('oldest');
    expect(empty).not.toHaveProperty('newest');
  });

  it('a dry run counts what is left out: events of the span without their SETs', async () => {
    await store(2);
    await store(3, moved, '');
    expect((await dryRun()).body).toMatchObject({ total: 2, leftOut: { notKept: 3, notVerified: 0 } });
  });

  it('a dry run right after the subscription was disabled and enabled again says that there may be more', async () => {
    await store(3, 'none');
    await store(1);
    const change = (enabled: boolean) =>
      customer.call('PATCH', `/subscriptions/${subscription.id}`, { enabled });
    await change(false);
    await change(true);
    expect((await dryRun()).body).toMatchObject({ total: 1, exact: false });
    await subscription.ring();
    expect((await dryRun()).body).toMatchObject({ total: 4, exact: true });
  });

  it.each([
    ['a text', { dryRun: 'true' }],
    ['a number', { dryRun: 1 }],
    ['null', { dryRun: null }],
  ])('a dryRun that is %s is a 400 that names it, and starts nothing', async (_, body) => {
    await store(1);
    const reply = await customer.call('POST', path(), body);
    expect(reply.status).toBe(400);
    expect(reply.body['invalid-body-params']).toEqual([{ name: 'dryRun', reason: 'must be true or false' }]);
    expect((await customer.call('GET', path())).body.total).toBe(0);
  });

  it('dryRun false starts the job', async () => {
    await store(1);
    expect((await customer.call('POST', path(), { dryRun: false })).status).toBe(202);
  });

  it('a dry run is refused when the job would be', async () => {
    await store(1);
    const started = await customer.call('POST', path(), {});
    const active = await dryRun();
    expect([active.status, active.body.details]).toEqual([409, 'Too many active redeliveries']);
    await customer.call('DELETE', `${path()}/${started.body.id}`);
    await customer.call('PATCH', `/subscriptions/${subscription.id}`, { enabled: false });
    const disabled = await dryRun();
    expect([disabled.status, disabled.body.details]).toEqual([409, 'Subscription is disabled']);
    expect((await dryRun({ since: at(2), until: at(1) })).status).toBe(400);
  });
});

describe('the bounds of a dry run', () => {
  it('a dry run takes a unit of work for each started 1,000 failures, and says at least when none is left', async () => {
    await store(2100);
    const granted = async (units: number) => {
      const asked: string[] = [];
      const limit = async ({ key }: { key: string }) => ({ success: asked.push(key) <= units });
      const environment = environmentWith({ COSTLY_WORK: { limit } as RateLimit });
      const full = `/${customer.id}/webhooks${path()}`;
      const options = { token: customer.token, body: { dryRun: true } };
      const { status, body } = await callIn(environment, 'POST', full, options);
      return { status, total: body.total, exact: body.exact, units: asked.length };
    };
    expect(await granted(1000)).toEqual({ status: 200, total: 2100, exact: true, units: 3 });
    expect(await granted(2)).toEqual({ status: 200, total: 2000, exact: false, units: 3 });
    expect(await granted(0)).toEqual({ status: 429, total: undefined, exact: undefined, units: 1 });
  });

  it('a dry run of the last minute finds its failures first, though thousands failed earlier that day', async () => {
    await store(2100);
    clock.advance(30 * MINUTE_MS);
    const [late] = await store(3);
    const since = at(clock.now());
    let units = 2;
    const limit = async () => ({ success: units-- > 0 });
    const environment = environmentWith({ COSTLY_WORK: { limit } as RateLimit });
    const full = `/${customer.id}/webhooks${path()}`;
    const options = { token: customer.token, body: { dryRun: true, since } };
    const { body } = await callIn(environment, 'POST', full, options);
    expect(body).toMatchObject({ total: 3, exact: false, oldest: { id: late } });
    expect((await dryRun({ since })).body).toMatchObject({ total: 3, exact: true });
  });

  it('a dry run makes ten looks at most', async () => {
    let looks = 0;
    const preview = { total: 7, notKept: 1, notVerified: 2, isEarly: false };
    const environment = environmentWith({
      EVENT_STORE: {
        idFromName: (name: string) => name,
        get: () => ({
          previewRedelivery: async () => {
            looks++;
            return { answer: 'previewed', preview: { ...preview, upTo: `event ${looks}` } };
          },
        }),
      } as unknown as typeof env.EVENT_STORE,
    });
    const options = { token: customer.token, body: { dryRun: true } };
    const { body } = await callIn(environment, 'POST', `/${customer.id}/webhooks${path()}`, options);
    expect(body).toMatchObject({ total: 70, exact: false, leftOut: { notKept: 10, notVerified: 20 } });
    expect(looks).toBe(10);
  });

  it('one look reads as many rows among ten times as many failures, and begins near its span', async () => {
    const costs: number[] = [];
    const span = { since: 0, until: Number.MAX_SAFE_INTEGER };
    const cost = (since: number) =>
      rowsRead(storeOf(subscription), (instance) =>
        instance.previewRedelivery(refTo(subscription), { ...span, since }),
      );
    for (const count of [1000, 5000]) {
      await store(count);
      costs.push(await cost(0));
    }
    expect(costs[1]).toBeLessThanOrEqual(2 * (costs[0] ?? 0));
    clock.advance(2 * 86_400_000);
    await store(5);
    expect(await cost(clock.now())).toBeLessThan(100);
  });

  it('a store of an earlier version makes a dry run a 503, and starts nothing', async () => {
    const older = new TypeError('The RPC receiver does not implement the method "previewRedelivery".');
    const environment = environmentWith({
      EVENT_STORE: {
        idFromName: (name: string) => name,
        get: () => ({
          previewRedelivery: () => Promise.reject(older),
          startRedelivery: () => expect.unreachable('a job was started'),
        }),
      } as unknown as typeof env.EVENT_STORE,
    });
    const options = { token: customer.token, body: { dryRun: true } };
    const reply = await callIn(environment, 'POST', `/${customer.id}/webhooks${path()}`, options);
    expect(reply.status).toBe(503);
  });
});

describe('who may ask for a dry run', () => {
  it('a dry run needs the right to start a job: a token that may only read gets a 403', async () => {
    const { id, clientId, clientSecret } = customer;
    const { access_token } = (await getToken(id, clientId, clientSecret, 'GET:webhooks/**')).body;
    const options = { token: access_token, body: { dryRun: true } };
    expect((await call('POST', `/${id}/webhooks${path()}`, options)).status).toBe(403);
    const other = await newCustomer();
    const theirs = await other.call('POST', path(), { dryRun: true });
    expect([theirs.status, theirs.body.details]).toEqual([404, 'Subscription not found']);
  });
});
