/** Figures by hour over HTTP (contract 10.14), and the operator's (10.2). */
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { maintain } from '../../src/operations/maintain.ts';
import { createServices } from '../../src/services.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { noteHealth } from '../../src/storage/recipients.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { aSet, moved, ok } from '../support/delivery-fixtures.ts';
import { refTo, reportOf } from '../support/reports.ts';
import { callIn, environmentWith } from '../support/requests.ts';
import {
  asOperator,
  call,
  getToken,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type Reply,
  storeOf,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

const HOUR_MS = 3_600_000;
const BOUNDS = [25, 50, 100, 250, 500, 1000, 2000, 5000, 10_000];

let clock: HeldClock;
let customer: TestCustomer;
beforeEach(async () => {
  clock = holdClock();
  customer = await newCustomer();
});

/** Stores deliveries whose first attempts took so long, ms. */
async function deliver(
  subscription: TestSubscription,
  durations: number[],
  outcome: typeof ok | typeof moved = ok,
) {
  const now = clock.now();
  const ids = newEventIds(now, durations.length, crypto.getRandomValues(new Uint8Array(16)));
  const { endpoint } = subscription.listener;
  await storeOf(subscription).settle(
    refTo(subscription),
    ids.map((eventId, index) => {
      const result = { attempt: 1, startedAt: now, durationMs: durations[index] ?? 0, outcome };
      return reportOf({ eventId, acceptedAt: now, endpoint, set: aSet(eventId), result });
    }),
  );
}

const timeOf = (ms: number) => new Date(ms).toISOString();
const hourOf = (ms: number) => Math.floor(ms / HOUR_MS) * HOUR_MS;
const statsOf = async (subscription: TestSubscription, query = '') =>
  await customer.call('GET', `/subscriptions/${subscription.id}/stats${query}`);

async function newSubscriptions(count: number): Promise<TestSubscription[]> {
  const all: TestSubscription[] = [];
  for (let index = 0; index < count; index++) {
    all.push(await newSubscription(customer, { title: `subscription ${index}` }));
    clock.advance(1);
  }
  return all;
}

describe('the figures of a subscription', () => {
  it('a subscription shows each hour with its deliveries, its failures and its answer times', async () => {
    const subscription = await newSubscription(customer);
    await deliver(subscription, [25, 26, 20_000]);
    const first = hourOf(clock.now());
    clock.advance(2 * HOUR_MS);
    await deliver(subscription, [10], moved);
    const reply = await statsOf(subscription, '?hours=3');
    const none = { delivered: 0, failed: 0, attempts: 0, answerTimes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] };
    const delivered = { delivered: 3, failed: 0, attempts: 3, answerTimes: [1, 1, 0, 0, 0, 0, 0, 0, 0, 1] };
    expect(reply.status).toBe(200);
    const self = `/${customer.id}/webhooks/subscriptions/${subscription.id}`;
    expect(reply.body).toEqual({
      from: timeOf(first),
      until: timeOf(clock.now()),
      answerTimeBoundsMs: BOUNDS,
      exact: true,
      totals: { ...delivered, failed: 1, attempts: 4 },
      waiting: 0,
      lastDeliveredAt: timeOf(clock.now() - 2 * HOUR_MS),
      hours: [
        { hour: timeOf(first), ...delivered },
        { hour: timeOf(first + HOUR_MS), ...none },
        { hour: timeOf(first + 2 * HOUR_MS), ...none, failed: 1, attempts: 1 },
      ],
      _links: { self: { href: `${self}/stats?hours=3` }, subscription: { href: self } },
    });
  });

  it('a subscription without deliveries shows 168 hours of zeros, and an hour when it is asked for one', async () => {
    const subscription = await newSubscription(customer);
    const all = (await statsOf(subscription)).body;
    expect([all.hours.length, all.totals.attempts, all.waiting]).toEqual([168, 0, 0]);
    expect(all.hours[167].hour).toBe(timeOf(hourOf(clock.now())));
    expect('oldestWaitingAt' in all || 'lastDeliveredAt' in all).toBe(false);
    expect((await statsOf(subscription, '?hours=1')).body.hours.length).toBe(1);
  });

  it.each([
    ['hours=0', 'hours', 'must be a whole number from 1 to 168'],
    ['hours=169', 'hours', 'must be a whole number from 1 to 168'],
    ['hours=x', 'hours', 'must be a whole number from 1 to 168'],
    ['days=7', 'days', 'is not a parameter of this call: it has hours'],
  ])('a call with %s gets a 400 that names %s', async (query, name, reason) => {
    const reply = await statsOf(await newSubscription(customer), `?${query}`);
    expect(reply.status).toBe(400);
    expect(reply.body['invalid-query-params']).toEqual([{ name, reason }]);
  });

  it("another customer's subscription is the 404 of an unknown one, and its token gets a 403", async () => {
    const other = await newCustomer();
    const theirs = await newSubscription(other);
    const replies = [await statsOf(theirs), await statsOf({ ...theirs, id: crypto.randomUUID() })];
    for (const { status, body } of replies)
      expect([status, body.details]).toEqual([404, 'Subscription not found']);
    const path = `/${other.id}/webhooks/subscriptions/${theirs.id}/stats`;
    expect((await call('GET', path, { token: customer.token })).status).toBe(403);
  });

  it('a store of an earlier version, or one that is away, makes it a 503', async () => {
    const subscription = await newSubscription(customer);
    const environment = environmentWith({
      EVENT_STORE: {
        idFromName: (name: string) => name,
        get: () => ({
          figures: async () => {
            throw new TypeError('The RPC receiver does not implement the method "figures".');
          },
        }),
      } as unknown as typeof env.EVENT_STORE,
    });
    const path = `/${customer.id}/webhooks/subscriptions/${subscription.id}/stats`;
    expect((await callIn(environment, 'GET', path, { token: customer.token })).status).toBe(503);
  });
});

describe('the figures of all subscriptions', () => {
  it('a page shows each subscription with its hours, and sums of the page', async () => {
    const [first, second] = (await newSubscriptions(2)) as [TestSubscription, TestSubscription];
    await deliver(first, [5, 5]);
    await deliver(second, [600], moved);
    const { status, body } = await customer.call('GET', '/stats?hours=2');
    expect(status).toBe(200);
    const answerTimes = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expect(body.totals).toEqual({ delivered: 2, failed: 1, attempts: 3, answerTimes });
    expect(body.hours).toMatchObject([
      { attempts: 0 },
      { delivered: 2, failed: 1, attempts: 3, answerTimes },
    ]);
    const path = `/${customer.id}/webhooks/subscriptions/${first.id}`;
    expect(body._embedded.subscriptions).toEqual([
      {
        id: first.id,
        title: 'subscription 0',
        enabled: true,
        health: { state: 'healthy', since: expect.any(String) },
        totals: { delivered: 2, failed: 0, attempts: 2, answerTimes },
        delivered: [0, 2],
        failed: [0, 0],
        waiting: 0,
        lastDeliveredAt: timeOf(clock.now()),
        _links: { self: { href: path }, stats: { href: `${path}/stats` } },
      },
      expect.objectContaining({ id: second.id, delivered: [0, 0], failed: [0, 1] }),
    ]);
    expect(body._links).toEqual({ self: { href: `/${customer.id}/webhooks/stats?hours=2` } });
    expect((await customer.call('GET', '/stats')).body.hours.length).toBe(24);
  });

  it('next links lead over all subscriptions, and a page after one of another customer is a 404', async () => {
    const all = await newSubscriptions(5);
    const seen: string[] = [];
    let pages = 0;
    for (let href = `/${customer.id}/webhooks/stats?limit=2&hours=1`; href !== undefined; pages++) {
      const { body }: Reply = await call('GET', href, { token: customer.token });
      seen.push(...body._embedded.subscriptions.map(({ id }: { id: string }) => id));
      href = body._links.next?.href;
    }
    expect([pages, seen]).toEqual([3, all.map(({ id }) => id)]);
    const other = await newSubscription(await newCustomer());
    const reply = await customer.call('GET', `/stats?after=${other.id}`);
    expect([reply.status, reply.body.details]).toEqual([404, 'Subscription not found']);
  });

  it('a call takes one unit of work for each started 10 subscriptions, before it asks their stores', async () => {
    await newSubscriptions(11);
    const granted = async (units: number, query = '') => {
      const asked: string[] = [];
      const stores: string[] = [];
      const environment = environmentWith({
        COSTLY_WORK: { limit: async ({ key }) => ({ success: asked.push(key) <= units }) } as RateLimit,
        EVENT_STORE: {
          idFromName: (name: string) => name,
          get: (name: string) => ({
            figures: async () => {
              stores.push(name);
              return { at: clock.now(), hours: [], isExact: stores.length !== 3, waiting: 0 };
            },
          }),
        } as unknown as typeof env.EVENT_STORE,
      });
      const reply = await callIn(environment, 'GET', `/${customer.id}/webhooks/stats${query}`, {
        token: customer.token,
      });
      return { status: reply.status, exact: reply.body.exact, units: asked.length, stores: stores.length };
    };
    expect(await granted(1000)).toEqual({ status: 200, exact: false, units: 2, stores: 11 });
    expect(await granted(1000, '?limit=2')).toEqual({ status: 200, exact: true, units: 1, stores: 2 });
    expect(await granted(1)).toEqual({ status: 429, exact: undefined, units: 2, stores: 0 });
    expect(await granted(0)).toEqual({ status: 429, exact: undefined, units: 1, stores: 0 });
  });

  it('a token that may read may call it; one that may only publish, or read subscriptions, may not', async () => {
    const { id, clientId, clientSecret } = customer;
    const statusWith = async (scope: string) => {
      const { access_token } = (await getToken(id, clientId, clientSecret, scope)).body;
      return (await call('GET', `/${id}/webhooks/stats`, { token: access_token })).status;
    };
    expect(await statusWith('GET:webhooks/**')).toBe(200);
    expect(await statusWith('GET:webhooks/stats')).toBe(200);
    expect(await statusWith('POST:webhooks/events')).toBe(403);
    expect(await statusWith('GET:webhooks/subscriptions/**')).toBe(403);
  });
});

/** The daily visit of a store, as maintenance makes it. */
async function visit({ id }: TestSubscription, environment = env): Promise<void> {
  const services = createServices(environment, async () => ({ blocked: false }) as never);
  // The run that visits the ids which begin like this one.
  await maintain(services, Number.parseInt(id.slice(0, 2), 16) * 300_000);
}

const operatorStats = async () => (await asOperator('GET', '/stats')).body;

describe("the operator's figures", () => {
  it('the figures of the last day come with the daily visit, and customers, subscriptions and letters at once', async () => {
    const before = await operatorStats();
    const other = await newCustomer();
    const subscription = await newSubscription(other);
    const disabled = await newSubscription(other);
    await other.call('PATCH', `/subscriptions/${disabled.id}`, { enabled: false });
    await deliver(subscription, [5, 5, 5]);
    await deliver(subscription, [5], moved);
    const early = await operatorStats();
    expect(early.customers - before.customers).toBe(1);
    expect(early.subscriptions.total - before.subscriptions.total).toBe(2);
    expect(early.subscriptions.disabled - before.subscriptions.disabled).toBe(1);
    expect(early.accepted).toEqual(before.accepted);
    clock.advance(HOUR_MS);
    await visit(subscription);
    const noted = await operatorStats();
    expect(noted.accepted.lastDay - before.accepted.lastDay).toBe(4);
    expect(noted.delivered.lastDay - before.delivered.lastDay).toBe(3);
    expect(noted.failed.lastDay - before.failed.lastDay).toBe(1);
    await other.call('DELETE', `/subscriptions/${subscription.id}`);
    const late = await operatorStats();
    expect(late.accepted.lastDay).toBe(before.accepted.lastDay);
    expect(late.subscriptions.total - before.subscriptions.total).toBe(1);
    expect(late.stores).toEqual(before.stores);
  });

  it('a second visit of a store that says the same writes nothing', async () => {
    const subscription = await newSubscription(customer);
    await deliver(subscription, [5]);
    clock.advance(HOUR_MS);
    await visit(subscription);
    const updates: string[] = [];
    const DB = new Proxy(env.DB, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown;
        if (typeof value !== 'function') return value;
        if (name !== 'prepare') return value.bind(target);
        return (query: string) => {
          if (/^update "subscriptions"/.test(query)) updates.push(query);
          return target.prepare(query);
        };
      },
    });
    await visit(subscription, { ...env, DB });
    expect(updates).toEqual([]);
  });

  it('the endpoints in a state are listed, the oldest trouble first, and those of disabled subscriptions are not', async () => {
    const db = openDatabase(env.DB);
    // Other files leave endpoints in trouble behind.
    const { subscriptions: before } = await operatorStats();
    const subscriptions = await newSubscriptions(4);
    const [late, early, slow, disabled] = subscriptions as [
      TestSubscription,
      TestSubscription,
      TestSubscription,
      TestSubscription,
    ];
    const now = clock.now();
    await noteHealth(db, late.id, { state: 'failing', since: now });
    await noteHealth(db, early.id, { state: 'failing', since: now - HOUR_MS });
    await noteHealth(db, slow.id, { state: 'slow', since: now });
    await noteHealth(db, disabled.id, { state: 'failing', since: now });
    await customer.call('PATCH', `/subscriptions/${disabled.id}`, { enabled: false });
    const mine = async (query: string) => {
      const { status, body } = await asOperator('GET', `/endpoints${query}`);
      expect(status).toBe(200);
      return body._embedded.endpoints.filter(
        ({ customerId }: { customerId: string }) => customerId === customer.id,
      );
    };
    const failing = await mine('');
    expect(failing.map(({ subscriptionId }: { subscriptionId: string }) => subscriptionId)).toEqual([
      early.id,
      late.id,
    ]);
    expect(failing[0]).toEqual({
      customerId: customer.id,
      customerName: expect.any(String),
      subscriptionId: early.id,
      title: 'subscription 1',
      host: new URL(early.listener.endpoint).host,
      health: { state: 'failing', since: timeOf(now - HOUR_MS) },
      _links: {
        customer: { href: `/operator/customers/${customer.id}` },
        subscription: { href: `/${customer.id}/webhooks/subscriptions/${early.id}` },
      },
    });
    expect(await mine('?state=failing')).toEqual(failing);
    expect((await mine('?state=slow')).length).toBe(1);
    await env.DB.prepare('UPDATE subscriptions SET proof = version, proven = NULL WHERE id = ?')
      .bind(late.id)
      .run();
    expect((await mine('?state=unverified')).length).toBe(1);
    expect((await mine('')).length).toBe(1);
    const { subscriptions: counts } = await operatorStats();
    const risen = (state: 'failing' | 'slow' | 'unverified') => counts[state] - before[state];
    expect([risen('failing'), risen('slow'), risen('unverified')]).toEqual([1, 1, 1]);
    expect((await asOperator('GET', '/endpoints?state=healthy')).status).toBe(400);
    expect((await asOperator('GET', '/endpoints?states=slow')).status).toBe(400);
  });

  it('the questions of the operator go through indexes, and read no subscription that is well', async () => {
    const db = env.DB;
    await newSubscriptions(30);
    const queries: string[] = [];
    const DB = new Proxy(db, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown;
        if (typeof value !== 'function') return value;
        if (name !== 'prepare') return value.bind(target);
        return (query: string) => {
          queries.push(query);
          return target.prepare(query);
        };
      },
    });
    const environment = environmentWith({ DB });
    for (const path of ['stats', 'endpoints', 'endpoints?state=slow', 'endpoints?state=unverified']) {
      const reply = await callIn(environment, 'GET', `/operator/${path}`, { token: OPERATOR_TOKEN });
      expect(reply.status).toBe(200);
    }
    const plans: string[] = [];
    for (const query of queries.filter((one) => one.includes('"subscriptions"'))) {
      const values = Array.from({ length: query.split('?').length - 1 }, () => 1);
      const { results } = await db
        .prepare(`EXPLAIN QUERY PLAN ${query}`)
        .bind(...values)
        .all<{ detail: string }>();
      plans.push(...results.map(({ detail }) => detail).filter((detail) => detail.includes('subscriptions')));
    }
    expect(plans).toHaveLength(6);
    for (const plan of plans)
      expect(plan).toMatch(
        /USING (COVERING )?INDEX (endpoints_in_trouble|endpoints_unverified|subscriptions_that_wait|stores_by_fill)/,
      );
  });

  it('the metrics are text for Prometheus: each has a type and a help, and names are of its alphabet', async () => {
    await deliver(await newSubscription(customer), [5]);
    const reply = await asOperator('GET', '/metrics');
    expect([reply.status, reply.headers.get('content-type')]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ]);
    const text = String(reply.body);
    expect(text.endsWith('\n')).toBe(true);
    const types = [...text.matchAll(/^# TYPE (\S+) gauge$/gm)].map(([, name]) => name);
    const helps = [...text.matchAll(/^# HELP (\S+) \S.*$/gm)].map(([, name]) => name);
    expect(types).toEqual(helps);
    expect(new Set(types).size).toBe(types.length);
    for (const line of text.split('\n').slice(0, -1)) {
      if (line.startsWith('# ')) continue;
      const sample = /^(identity_webhooks_[a-z0-9_]+)(\{[a-z]+="[^"\\\n]*"\})? (\d+(?:\.\d+)?)$/.exec(line);
      expect(sample, line).not.toBeNull();
      expect(types).toContain(sample?.[1]);
    }
    const { customers } = await operatorStats();
    expect(text).toContain(`\nidentity_webhooks_customers ${customers}\n`);
    expect(text).toMatch(/^identity_webhooks_endpoints_in_trouble\{state="failing"\} \d+$/m);
  });

  it('the backlog of each queue is shown, and a queue that does not answer, or answers nonsense, is left out', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const oldest = new Date(clock.now() - 1000);
    const meter = (metrics: () => unknown) => ({ metrics }) as unknown as typeof env.EVENTS;
    const environment = environmentWith({
      EVENTS: meter(async () => ({ backlogCount: 3, backlogBytes: 900, oldestMessageTimestamp: oldest })),
      SLICES: meter(async () => ({ backlogCount: 0, backlogBytes: 0 })),
      DELIVERIES: meter(async () => {
        throw new Error('no metrics here');
      }),
      UNHEALTHY: meter(async () => ({ backlogCount: 'many' })),
      DEAD_LETTERS: {} as unknown as typeof env.EVENTS,
    });
    const { body } = await callIn(environment, 'GET', '/operator/stats', { token: OPERATOR_TOKEN });
    expect(body.queues).toEqual([
      {
        name: 'webhook-events',
        backlogMessages: 3,
        backlogBytes: 900,
        oldestMessageAt: oldest.toISOString(),
      },
      { name: 'webhook-slices', backlogMessages: 0, backlogBytes: 0 },
    ]);
    expect(warn.mock.calls.filter(([line]) => String(line).includes('backlog not read'))).toHaveLength(3);
    const metrics = await callIn(environment, 'GET', '/operator/metrics', { token: OPERATOR_TOKEN });
    expect(String(metrics.body)).toContain(
      'identity_webhooks_queue_backlog_messages{queue="webhook-events"} 3\n',
    );
    warn.mockRestore();
  });

  it('the local runtime knows the backlogs of all five queues', async () => {
    const { queues } = await operatorStats();
    expect(queues.map(({ name }: { name: string }) => name)).toEqual([
      'webhook-events',
      'webhook-slices',
      'webhook-deliveries',
      'webhook-unhealthy',
      'webhook-dead-letters',
    ]);
  });

  it.each(['stats', 'metrics', 'endpoints'])('%s needs the token of the operator', async (path) => {
    expect((await call('GET', `/operator/${path}`, { token: 'wrong' })).status).toBe(403);
    expect((await call('GET', `/operator/${path}`)).status).toBe(403);
  });
});

describe('the totals in D1', () => {
  it('the totals are what a count of all rows says, whatever happened to the rows', async () => {
    const subscriptions = await newSubscriptions(6);
    const [first, second, third, fourth] = subscriptions as [
      TestSubscription,
      TestSubscription,
      TestSubscription,
      TestSubscription,
    ];
    const set = async (id: string, what: string) =>
      await env.DB.prepare(`UPDATE subscriptions SET ${what} WHERE id = ?`).bind(id).run();
    await set(
      first.id,
      "health = 'failing', waiting = 7, day_accepted = 5, day_failed = 2, oldest_waiting_at = 3",
    );
    await set(second.id, "health = 'slow', enabled = 0, waiting = 1");
    await set(third.id, "proof = version, proven = NULL, health = 'failing'");
    await set(fourth.id, "health = 'slow', day_delivered = 9");
    await set(third.id, 'proven = proof');
    await customer.call('DELETE', `/subscriptions/${first.id}`);
    await set(second.id, 'enabled = 1');
    await env.DB.prepare('DELETE FROM subscriptions WHERE id = ?').bind(subscriptions[4]?.id).run();
    const counted = await env.DB.prepare(
      `SELECT (SELECT count(*) FROM customers) AS customers, count(*) AS subscriptions, sum(enabled = 0) AS disabled,
         sum(enabled AND proof IS NOT NULL AND proof IS NOT proven) AS unverified,
         sum(enabled AND (proof IS NULL OR proof IS proven) AND health = 'slow') AS slow,
         sum(enabled AND (proof IS NULL OR proof IS proven) AND health = 'failing') AS failing,
         sum(day_accepted) AS accepted, sum(day_delivered) AS delivered, sum(day_failed) AS failed, sum(waiting) AS waiting
       FROM subscriptions WHERE deleted_at IS NULL`,
    ).first();
    const totals = await env.DB.prepare('SELECT * FROM totals').first();
    expect(totals).toEqual({ one: 1, ...counted });
  });
});
