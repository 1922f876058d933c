/** Notices for the operator (contract 10.16), from the listener that fails to the token that the operator verifies. */

import { runDurableObjectAlarm } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sharded } from '../../src/domain/subscription.ts';
import { noteHealthWithNotice } from '../../src/operations/notices.ts';
import { createAddressCheck } from '../../src/outbound/address-check.ts';
import { createServices } from '../../src/services.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { runCron } from '../support/cron.ts';
import { environmentWith } from '../support/requests.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  asOperator,
  BASE_URL,
  call,
  newSubscription as makeSubscription,
  newCustomer,
  storeOf,
  TestListener,
  type TestSubscription,
} from '../support/world.ts';

const DAY_MS = 86_400_000;

let clock: HeldClock;
let alarms: TestListener;
beforeEach(async () => {
  clock = holdClock();
  alarms = new TestListener();
  ours.clear();
});
afterEach(async () => {
  await asOperator('DELETE', '/notices');
});

/** The subscriptions of this test. The daily visit also finds those of other tests, whose endpoints may have failed, too. */
const ours = new Set<string>();

async function newSubscription(...values: Parameters<typeof makeSubscription>): Promise<TestSubscription> {
  const subscription = await makeSubscription(...values);
  ours.add(subscription.id);
  return subscription;
}

/** Sets up notices to the listener of the test. */
async function setUp(body: Record<string, unknown> = {}) {
  const { status, body: notices } = await asOperator('PUT', '/notices', {
    endpoint: alarms.endpoint,
    ...body,
  });
  expect(status, JSON.stringify(notices)).toBe(200);
  return notices as { customerId: string; subscriptionId: string; endpoint: string; enabled: boolean };
}

async function publish({ customer }: TestSubscription, count: number): Promise<void> {
  await customer.call(
    'POST',
    '/events',
    Array.from({ length: count }, () => anEvent()),
  );
}

async function stateInD1({ id }: TestSubscription): Promise<unknown> {
  return await env.DB.prepare('SELECT health FROM subscriptions WHERE id = ?').bind(id).first('health');
}

async function failing(title = 'Profile sync'): Promise<TestSubscription> {
  const subscription = await newSubscription(await newCustomer(), { title, answers: [{ status: 500 }] });
  await publish(subscription, 5);
  await until(async () => (await stateInD1(subscription)) === 'failing', 'the failing endpoint');
  return subscription;
}

async function recover(subscription: TestSubscription): Promise<void> {
  await subscription.listener.script({});
  await until(async () => {
    clock.advance(1000);
    await subscription.ring();
    return (await stateInD1(subscription)) === 'healthy';
  }, 'the recovery');
}

/** What is stored for the operator about the subscriptions of this test, the oldest first, before it is sent. */
async function storedNotices(subscriptionId: string) {
  const page = await storeOf({ id: subscriptionId }).list({ limit: 100 });
  return page
    .map(({ set, eventId, state }) => ({ eventId, state, claim: claimOf(set) }))
    .filter(({ claim }) => Object.values(claim).some((about) => ours.has(String(about.subscriptionId))));
}

/** A member of an object, for a proxy of it. */
function bound(target: object, name: string | symbol): unknown {
  const value = Reflect.get(target, name) as unknown;
  return typeof value === 'function' ? value.bind(target) : value;
}

function claimOf(set: string): Record<string, Record<string, unknown>> {
  const payload = new TextDecoder().decode(
    Uint8Array.fromBase64(set.split('.')[1] ?? '', { alphabet: 'base64url' }),
  );
  return JSON.parse(payload).events;
}

const kinds = (notices: readonly { claim: object }[]) => notices.flatMap(({ claim }) => Object.keys(claim));

/** The run of the cron that visits this subscription, at the time of the test or soon after. */
async function visit({ id }: { readonly id: string }, environment = env): Promise<void> {
  const range = Number.parseInt(id.slice(0, 2), 16);
  const runs = Math.floor(clock.now() / 300_000);
  const run = runs - (runs % 256) + 256 + range;
  clock.advance(run * 300_000 - clock.now());
  await runCron(environment, clock.now());
}

/** Rings the store of the notices until the listener has so many. */
async function delivered(subscriptionId: string, count: number) {
  return await until(async () => {
    await runDurableObjectAlarm(storeOf({ id: subscriptionId }));
    const calls = await alarms.calls();
    return calls.length >= count ? calls : undefined;
  }, `${count} notices`);
}

describe('setting up notices', () => {
  it('the operator sets up notices, changes them, reads them and ends them', async () => {
    expect((await asOperator('GET', '/notices')).status).toBe(404);
    const made = await setUp();
    expect(made).toEqual({
      endpoint: alarms.endpoint,
      enabled: true,
      customerId: expect.any(String),
      subscriptionId: expect.any(String),
      health: { state: 'healthy' },
      updatedAt: new Date(clock.now()).toISOString(),
      _links: {
        self: { href: '/operator/notices' },
        subscription: { href: `/${made.customerId}/webhooks/subscriptions/${made.subscriptionId}` },
        keys: { href: `/${made.customerId}/login/jwk` },
      },
    });
    expect((await asOperator('GET', '/notices')).body).toEqual(made);
    const changed = await setUp({ enabled: false });
    expect(changed).toMatchObject({
      enabled: false,
      customerId: made.customerId,
      subscriptionId: made.subscriptionId,
    });
    expect((await asOperator('DELETE', '/notices')).status).toBe(204);
    expect((await asOperator('GET', '/notices')).status).toBe(404);
    expect((await asOperator('DELETE', '/notices')).status).toBe(404);
    expect((await asOperator('GET', `/customers/${made.customerId}`)).status).toBe(404);
  });

  it.each([
    ['endpoint', {}],
    ['endpoint', { endpoint: 'ftp://alarms.test/' }],
    ['endpoint', { endpoint: 5 }],
    ['enabled', { endpoint: 'https://alarms.acme.test/', enabled: 'yes' }],
    ['body', []],
  ])('a bad %s is a 400 that names it, and sets up nothing', async (name, body) => {
    const reply = await asOperator('PUT', '/notices', body);
    expect(reply.status).toBe(400);
    expect(reply.body['invalid-body-params'].map((fault: { name: string }) => fault.name)).toContain(name);
    expect((await asOperator('GET', '/notices')).status).toBe(404);
  });

  it('two calls at once set up one customer', async () => {
    const replies = await Promise.all(
      [1, 2, 3].map(() => asOperator('PUT', '/notices', { endpoint: alarms.endpoint })),
    );
    const done = replies.filter(({ status }) => status === 200);
    expect(replies.every(({ status }) => status === 200 || status === 409)).toBe(true);
    expect(done.length).toBeGreaterThan(0);
    const { results } = await env.DB.prepare(
      "SELECT id FROM customers WHERE name = 'Notices for the operator'",
    ).all();
    expect(results).toHaveLength(1);
  });

  it('notices whose subscription was deleted get another one with the next call', async () => {
    const { customerId, subscriptionId } = await setUp();
    const { body: client } = await asOperator('POST', `/customers/${customerId}/clients`, { name: 'c' });
    const { body: token } = await call('POST', `/${customerId}/login/token`, {
      headers: {
        authorization: `Basic ${btoa(`${client.clientId}:${client.clientSecret}`)}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: 'grant_type=client_credentials&scope=*:webhooks/**',
    });
    const path = `/${customerId}/webhooks/subscriptions/${subscriptionId}`;
    expect((await call('DELETE', path, { token: token.access_token })).status).toBe(204);
    const again = await setUp();
    expect(again.customerId).toBe(customerId);
    expect(again.subscriptionId).not.toBe(subscriptionId);
    await failing();
    expect(kinds(await storedNotices(again.subscriptionId))).toEqual(['endpointFailing']);
  });
});

describe('a notice about an endpoint', () => {
  it('an endpoint that fails and recovers makes two notices, signed with the keys of their own customer', async () => {
    const { customerId, subscriptionId } = await setUp();
    const subscription = await failing();
    const since = new Date(clock.now()).toISOString();
    await recover(subscription);
    const calls = await delivered(subscriptionId, 2);
    const keys = await call('GET', `/${customerId}/login/jwk`);
    const verified = await Promise.all(
      calls.map(({ body }) =>
        jwtVerify(body, createLocalJWKSet(keys.body), {
          issuer: `${BASE_URL}/${customerId}/webhooks`,
          audience: alarms.endpoint,
          typ: 'secevent+jwt',
        }),
      ),
    );
    const claims = verified.map(
      ({ payload }) => payload['events'] as Record<string, Record<string, unknown>>,
    );
    const named = {
      customerId: subscription.customer.id,
      subscriptionId: subscription.id,
      title: 'Profile sync',
    };
    expect(claims.find((claim) => 'endpointFailing' in claim)).toEqual({
      endpointFailing: { ...named, id: expect.any(String), state: 'failing', since, waiting: 5 },
    });
    expect(claims.find((claim) => 'endpointRecovered' in claim)).toEqual({
      endpointRecovered: {
        ...named,
        id: expect.any(String),
        state: 'healthy',
        since: expect.any(String),
        waiting: expect.any(Number),
      },
    });
  });

  it('a notice is retried like every delivery', async () => {
    await alarms.script({ status: 503 }, {});
    const { subscriptionId } = await setUp();
    await failing();
    await delivered(subscriptionId, 1);
    clock.advance(4000);
    await delivered(subscriptionId, 2);
    await until(async () => (await storedNotices(subscriptionId))[0]?.state === 'success', 'the success');
  });

  it('nothing is sent, and nothing is noted, while notices are not set up or not enabled', async () => {
    const off = await failing();
    const { subscriptionId } = await setUp({ enabled: false });
    const paused = await failing();
    await visit(paused);
    expect(await storedNotices(subscriptionId)).toEqual([]);
    const ids = [off.id, paused.id];
    for (const id of ids) {
      const row = await env.DB.prepare('SELECT * FROM notices_sent WHERE subscription_id = ?')
        .bind(id)
        .first();
      expect(row).toBeNull();
    }
  });

  it('the daily visit sends a notice about an endpoint that failed before the notices were set up', async () => {
    const subscription = await failing();
    clock.advance(3 * DAY_MS);
    const { subscriptionId } = await setUp();
    await visit(subscription);
    expect(kinds(await storedNotices(subscriptionId))).toEqual(['endpointFailing']);
    await visit(subscription);
    expect(await storedNotices(subscriptionId)).toHaveLength(1);
  });

  it('the daily visit says that a failing endpoint was replaced', async () => {
    const { subscriptionId } = await setUp();
    const subscription = await failing();
    await subscription.customer.call('PATCH', `/subscriptions/${subscription.id}`, {
      endpoint: new TestListener().endpoint,
    });
    await visit(subscription);
    expect(kinds(await storedNotices(subscriptionId))).toEqual(['endpointFailing', 'endpointRecovered']);
  });

  it('a notice that an isolate sends to a store that was erased is not noted as sent, and the next one goes where notices go now', async () => {
    await setUp();
    const other = createServices(
      environmentWith({ DB: new Proxy(env.DB, { get: (target, name) => bound(target, name) }) }),
      createAddressCheck(),
    );
    const needs = { db: other.db, signer: other.signer, eventStore: other.eventStore };
    const failsThere = async () => {
      const { id, customer } = await newSubscription(await newCustomer(), { answers: [{ status: 500 }] });
      const health = { state: 'failing', since: clock.now() } as const;
      await noteHealthWithNotice(
        needs,
        { id, customerId: customer.id, shards: null },
        health,
        'healthy',
        clock.now(),
      );
      return { id, customer };
    };
    await failsThere();
    expect((await asOperator('DELETE', '/notices')).status).toBe(204);
    const { subscriptionId } = await setUp();
    const late = await failsThere();
    expect(kinds(await storedNotices(subscriptionId))).toEqual([]);
    const sent = 'SELECT failing_since FROM notices_sent WHERE subscription_id = ?';
    expect(await env.DB.prepare(sent).bind(late.id).first()).toBeNull();
    // The isolate has learned who gets the notices now.
    const next = await failsThere();
    const [notice] = await storedNotices(subscriptionId);
    expect(notice?.claim).toMatchObject({ endpointFailing: { subscriptionId: next.id } });
  });

  it('an endpoint that fails and recovers many times makes four notices at once', async () => {
    const { subscriptionId } = await setUp();
    const subscription = await newSubscription(await newCustomer());
    const services = createServices(env, createAddressCheck());
    const needs = { db: services.db, signer: services.signer, eventStore: services.eventStore };
    const subject = { id: subscription.id, customerId: subscription.customer.id, shards: null };
    for (let turn = 0; turn < 20; turn++) {
      clock.advance(1000);
      const [state, before] =
        turn % 2 === 0 ? (['failing', 'healthy'] as const) : (['healthy', 'failing'] as const);
      await noteHealthWithNotice(needs, subject, { state, since: clock.now() }, before, clock.now());
    }
    expect(kinds(await storedNotices(subscriptionId))).toEqual([
      'endpointFailing',
      'endpointRecovered',
      'endpointFailing',
      'endpointRecovered',
    ]);
  });
});

describe('a loop of notices', () => {
  it('the trouble of the endpoint of the notices makes no notice, and its health is noted all the same', async () => {
    await alarms.script({ status: 500 });
    const { customerId, subscriptionId } = await setUp();
    for (let nth = 0; nth < 5; nth++) await failing(`subscription ${nth}`);
    await delivered(subscriptionId, 5);
    const ofNotices = { id: subscriptionId } as TestSubscription;
    await until(
      async () => (await stateInD1(ofNotices)) === 'failing',
      'the failing endpoint of the notices',
    );
    await visit(ofNotices);
    const stored = await storedNotices(subscriptionId);
    expect(kinds(stored)).toEqual(Array(5).fill('endpointFailing'));
    for (const { claim } of stored) expect(claim['endpointFailing']?.['customerId']).not.toBe(customerId);
  });
});

describe('a death between the notice and the note', () => {
  it('a notice that was sent and not noted is sent again, and is one notice', async () => {
    const { subscriptionId } = await setUp();
    const subscription = await newSubscription(await newCustomer());
    const subject = { id: subscription.id, customerId: subscription.customer.id, shards: null };
    const health = { state: 'failing', since: clock.now() } as const;
    const services = createServices(env, createAddressCheck());
    const needs = { db: services.db, signer: services.signer, eventStore: services.eventStore };
    await noteHealthWithNotice(needs, subject, health, 'healthy', clock.now());
    // The invocation died before it noted anything.
    await env.DB.batch([
      env.DB.prepare("UPDATE subscriptions SET health = 'healthy', health_since = 0 WHERE id = ?").bind(
        subscription.id,
      ),
      env.DB.prepare('DELETE FROM notices_sent WHERE subscription_id = ?').bind(subscription.id),
    ]);
    clock.advance(60_000);
    await noteHealthWithNotice(needs, subject, health, 'healthy', clock.now());
    expect(await stateInD1(subscription)).toBe('failing');
    expect(await storedNotices(subscriptionId)).toHaveLength(1);
  });

  it('a notice that could not be stored does not keep the health from being noted, and the visit sends it', async () => {
    const subscription = await failing();
    const { state, since } = await storeOf(subscription).health();
    await env.DB.prepare("UPDATE subscriptions SET health = 'healthy', health_since = 0 WHERE id = ?")
      .bind(subscription.id)
      .run();
    const { subscriptionId } = await setUp();
    const services = createServices(env, createAddressCheck());
    const store = services.eventStore({ id: subscriptionId, shards: null });
    const away = { ...store, settle: () => Promise.reject(new Error('away')) };
    const eventStore = (one: Sharded) => (one.id === subscriptionId ? away : services.eventStore(one));
    const needs = { db: services.db, signer: services.signer, eventStore };
    const subject = { id: subscription.id, customerId: subscription.customer.id, shards: null };
    await noteHealthWithNotice(needs, subject, { state, since }, 'healthy', clock.now());
    expect(await stateInD1(subscription)).toBe('failing');
    expect(await storedNotices(subscriptionId)).toEqual([]);
    await visit(subscription);
    expect(kinds(await storedNotices(subscriptionId))).toEqual(['endpointFailing']);
  });
});

describe('a notice about events that ended in failure', () => {
  const quick = environmentWith({ RETRY_DELAYS_SECONDS: '1' });

  it('the daily visit counts what was retried to its end, and counts nothing twice', async () => {
    const { subscriptionId } = await setUp();
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 302 }] });
    await publish(subscription, 3);
    await until(
      async () => (await subscription.events()).filter(({ state }) => state === 'failure').length === 3,
      'three failures',
    );
    await visit(subscription);
    const [notice, ...others] = (await storedNotices(subscriptionId)).filter(
      ({ claim }) => 'eventsExpired' in claim,
    );
    expect(others).toEqual([]);
    expect(notice?.claim['eventsExpired']).toMatchObject({
      customerId: subscription.customer.id,
      subscriptionId: subscription.id,
      count: 3,
      total: 3,
      waiting: 0,
    });
    await visit(subscription, quick as typeof env);
    expect(
      (await storedNotices(subscriptionId)).filter(({ claim }) => 'eventsExpired' in claim),
    ).toHaveLength(1);
  });

  it('what failed because its subscription was disabled is not counted', async () => {
    const { subscriptionId } = await setUp();
    const subscription = await newSubscription(await newCustomer(), { enabled: false });
    await publish(subscription, 2);
    await until(async () => (await subscription.events()).length === 2, 'two failures');
    await visit(subscription);
    expect(await storedNotices(subscriptionId)).toEqual([]);
  });
});

describe('who sees notices', () => {
  it('a customer can neither subscribe to notices, nor publish one, nor read those of the operator', async () => {
    const { customerId, subscriptionId } = await setUp();
    const customer = await newCustomer();
    for (const type of ['endpointFailing', 'endpointRecovered', 'eventsExpired']) {
      const wish = { title: 'notices', endpoint: new TestListener().endpoint, events: [type] };
      expect((await customer.call('POST', '/subscriptions', wish)).status).toBe(400);
      expect((await customer.call('POST', '/events', anEvent({ type }))).status).toBe(400);
    }
    const path = `/${customerId}/webhooks/subscriptions/${subscriptionId}`;
    for (const part of ['', '/events', '/summary'])
      expect((await call('GET', `${path}${part}`, { token: customer.token })).status).toBe(403);
    const own = await customer.call('GET', `/subscriptions/${subscriptionId}`);
    expect(own.status).toBe(404);
  });

  it("a failing endpoint makes nothing in the customer's own subscriptions", async () => {
    await setUp();
    const subscription = await failing();
    const sibling = await newSubscription(subscription.customer);
    await recover(subscription);
    await publish(subscription, 1);
    await until(async () => (await sibling.listener.calls()).length === 1, 'the event');
    expect(await sibling.events()).toHaveLength(1);
  });

  it('what a producer publishes for the customer of the notices does not go to their endpoint', async () => {
    const { customerId, subscriptionId } = await setUp();
    const { body: client } = await asOperator('POST', `/customers/${customerId}/clients`, { name: 'c' });
    const { body: token } = await call('POST', `/${customerId}/login/token`, {
      headers: {
        authorization: `Basic ${btoa(`${client.clientId}:${client.clientSecret}`)}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: 'grant_type=client_credentials&scope=*:webhooks/**',
    });
    const forged = await call('POST', `/${customerId}/webhooks/events`, {
      token: token.access_token,
      body: anEvent(),
    });
    expect(forged.status).toBe(202);
    await failing();
    expect(kinds(await storedNotices(subscriptionId))).toEqual(['endpointFailing']);
  });
});
