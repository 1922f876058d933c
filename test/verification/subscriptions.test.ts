/** Verification of endpoints as a customer sees it, with the real queues (contract 10.8). */
import { env } from 'cloudflare:workers';
import { decodeJwt } from 'jose';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { EventStore } from '../../src/event-store/event-store.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { runCron } from '../support/cron.ts';
import { callIn, environmentWith } from '../support/requests.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  newCustomer,
  newSubscription,
  type TestCustomer,
  TestListener,
  type TestSubscription,
} from '../support/world.ts';

async function publish(customer: TestCustomer, count: number): Promise<string[]> {
  const events = Array.from({ length: count }, () => anEvent());
  const { body } = await customer.call('POST', '/events', events);
  return body._embedded.events.map(({ id }: { id: string }) => id).sort();
}

async function read({ customer, id }: TestSubscription) {
  return (await customer.call('GET', `/subscriptions/${id}`)).body.health;
}

async function listed({ customer, id }: TestSubscription) {
  const { body } = await customer.call('GET', '/subscriptions');
  return body._embedded.subscriptions.find((one: { id: string }) => one.id === id).health;
}

/** What a listener got: `test`, or the id of an event, in order. */
async function got(listener: TestListener): Promise<string[]> {
  return (await listener.calls()).map(({ body }) => {
    const { test, entityCreated } = decodeJwt(body)['events'] as Record<string, { id: string }>;
    return test === undefined ? (entityCreated?.id ?? '') : 'test';
  });
}

async function waitFor(subscription: TestSubscription, waiting: number): Promise<void> {
  await until(async () => (await read(subscription)).waiting === waiting, `${waiting} waiting events`);
}

/** In this time the cron visits every event store once. */
const ALL_RANGES_MS = 256 * 300_000;

/** Rings the alarm, a second apart, until it is so. */
async function ringUntil(
  clock: HeldClock,
  subscription: TestSubscription,
  isSo: () => Promise<boolean>,
  what: string,
): Promise<void> {
  await until(async () => {
    await subscription.ring();
    clock.advance(1000);
    return await isSo();
  }, what);
}

const isHealthy = (subscription: TestSubscription) => async () =>
  (await read(subscription)).state === 'healthy';

describe('a new subscription', () => {
  it('events of a new subscription are held until its endpoint answers a test with 2xx', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ status: 404 }] });
    const since = new Date(clock.now()).toISOString();
    expect(await read(subscription)).toEqual({ state: 'unverified', since, waiting: 1 });
    expect(await listed(subscription)).toEqual({ state: 'unverified' });
    const ids = await publish(customer, 3);
    await waitFor(subscription, 4);
    await subscription.ring();
    await until(async () => (await got(subscription.listener)).length === 1, 'the first test');
    await subscription.listener.script({ status: 204 });
    await ringUntil(clock, subscription, isHealthy(subscription), 'the proof');
    await ringUntil(clock, subscription, async () => (await read(subscription)).waiting === 0, 'the events');
    const requests = await got(subscription.listener);
    expect(requests.slice(0, 2)).toEqual(['test', 'test']);
    expect(requests.slice(2).sort()).toEqual(ids);
    await until(async () => (await listed(subscription)).state === 'healthy', 'the state in the list');
    await publish(customer, 1);
    await until(async () => (await got(subscription.listener)).length === 6, 'an event from the queue');
  });

  it('the create answers 201 with the state unverified, and its test is among the events', async () => {
    const customer = await newCustomer();
    const answer = await customer.call('POST', '/subscriptions', {
      title: 'new',
      endpoint: new TestListener().endpoint,
      events: ['entityCreated'],
    });
    expect(answer.status).toBe(201);
    expect(answer.body.health).toEqual({
      state: 'unverified',
      since: answer.body.createdAt,
      waiting: 1,
    });
    const events = await customer.call('GET', `/subscriptions/${answer.body.id}/events`);
    expect(events.body.total).toBe(1);
    expect(decodeJwt(events.body._embedded.events[0].request.payload)['events']).toHaveProperty('test');
  });

  it("a stranger's endpoint that answers 404 gets no event, only six requests of a test", async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const stranger = await newSubscription(customer, { answers: [{ status: 404 }] });
    const [id = ''] = await publish(customer, 1);
    await waitFor(stranger, 2);
    const attempts = async () =>
      (await stranger.events()).find(
        ({ request }) => 'test' in (decodeJwt(request.payload)['events'] as object),
      );
    for (let attempt = 1; attempt <= 6; attempt++) {
      await stranger.ring();
      await until(async () => {
        const test = await attempts();
        return test.attempts === attempt && test.state !== 'executing';
      }, `attempt ${attempt}`);
      clock.advance(86_400_000);
    }
    await stranger.ring();
    expect(await got(stranger.listener)).toEqual(Array(6).fill('test'));
    clock.advance(2 * 86_400_000);
    await stranger.ring();
    const history = await stranger.history(id);
    expect(history.at(-1)).toMatchObject({ state: 'failure', attempts: 0, reason: 'endpoint not verified' });
    for (const path of [`/events/${id}/redeliver`, '/redeliveries']) {
      expect(await customer.call('POST', `/subscriptions/${stranger.id}${path}`)).toMatchObject({
        status: 409,
        body: { details: 'Endpoint is not verified' },
      });
    }
    expect(await got(stranger.listener)).toHaveLength(6);
  });

  it.each([
    ['a 500', { status: 500 }],
    ['a redirect', { status: 302, headers: { location: 'https://example.com/' } }],
    ['an answer that is not HTTP', { manner: 'garbage' as const }],
  ])('%s proves nothing, and the next test does', async (_, answer) => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer(), { answers: [answer] });
    const [id = ''] = await publish(subscription.customer, 1);
    await waitFor(subscription, 2);
    const isAnswered = async () =>
      (await subscription.events()).some(({ state }) => state === 'awaiting-retry' || state === 'failure');
    await ringUntil(clock, subscription, isAnswered, 'the answer');
    expect((await read(subscription)).state).toBe('unverified');
    expect(await got(subscription.listener)).toEqual(['test']);
    await subscription.listener.script({ status: 202 });
    await subscription.customer.call('POST', `/subscriptions/${subscription.id}/test`);
    await ringUntil(clock, subscription, isHealthy(subscription), 'the proof');
    await ringUntil(clock, subscription, async () => (await read(subscription)).waiting === 0, 'the event');
    expect(await got(subscription.listener)).toContain(id);
  });

  it('held events are in the list of their state and in the summary, and are exported when they fail', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ status: 404 }] });
    const ids = await publish(customer, 2);
    await waitFor(subscription, 3);
    const path = `/subscriptions/${subscription.id}`;
    const { body } = await customer.call('GET', `${path}/events?state=awaiting-executing`);
    const shown = body._embedded.events.map(({ id }: { id: string }) => id);
    expect(shown).toEqual(expect.arrayContaining(ids));
    expect((await customer.call('GET', `${path}/summary`)).body).toMatchObject({ total: 3, retrying: 3 });
    await customer.call('PATCH', path, { enabled: false });
    const job = await customer.call('POST', `${path}/exports`);
    const state = async () => (await customer.call('GET', `${path}/exports/${job.body.id}`)).body.state;
    await ringUntil(clock, subscription, async () => (await state()) === 'completed', 'the export');
    const file = await customer.call('GET', `${path}/exports/${job.body.id}/download`);
    for (const id of ids) expect(JSON.stringify(file.body)).toContain(id);
  });

  it('a disabled subscription gets its test when it is enabled', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { enabled: false });
    expect(await read(subscription)).toMatchObject({ state: 'unverified', waiting: 0 });
    expect(await subscription.events()).toEqual([]);
    await customer.call('PATCH', `/subscriptions/${subscription.id}`, { enabled: true });
    await ringUntil(clock, subscription, isHealthy(subscription), 'the proof');
    expect(await got(subscription.listener)).toEqual(['test']);
  });

  it('a deleted subscription sends no test', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    expect((await customer.call('DELETE', `/subscriptions/${subscription.id}`)).status).toBe(204);
    await subscription.ring();
    expect(await got(subscription.listener)).toEqual([]);
    const query = env.DB.prepare('SELECT proof, proven FROM subscriptions WHERE id = ?').bind(
      subscription.id,
    );
    expect(await query.first()).toEqual({ proof: null, proven: null });
  });

  it('the create succeeds while its event store is away, and a later test is the proof', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    onTestFinished(() => error.mockRestore());
    const settle = vi.spyOn(EventStore.prototype, 'settle').mockRejectedValue(new Error('away'));
    onTestFinished(() => settle.mockRestore());
    const subscription = await newSubscription(customer);
    settle.mockRestore();
    expect(error.mock.calls.flat().join()).toContain('endpoint not asked for its proof');
    expect(await read(subscription)).toMatchObject({ state: 'unverified', waiting: 0 });
    await publish(customer, 1);
    await waitFor(subscription, 1);
    await customer.call('POST', `/subscriptions/${subscription.id}/test`);
    await ringUntil(clock, subscription, isHealthy(subscription), 'the proof');
    await ringUntil(clock, subscription, async () => (await read(subscription)).waiting === 0, 'the event');
  });

  it('the daily visit sends the test of an endpoint when it was lost, and sends it once', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    onTestFinished(() => error.mockRestore());
    const settle = vi.spyOn(EventStore.prototype, 'settle').mockRejectedValue(new Error('away'));
    onTestFinished(() => settle.mockRestore());
    const subscription = await newSubscription(customer);
    settle.mockRestore();
    const range = Number.parseInt(subscription.id.slice(0, 2), 16);
    const today = clock.now() - (clock.now() % ALL_RANGES_MS);
    for (let visit = 0; visit < 2; visit++) await runCron(env, today + range * 300_000);
    expect(await subscription.events()).toHaveLength(1);
    await ringUntil(clock, subscription, isHealthy(subscription), 'the proof');
  });

  it('the daily visit notes in the list that an endpoint is verified', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    await ringUntil(clock, subscription, isHealthy(subscription), 'the proof');
    await env.DB.prepare('UPDATE subscriptions SET proven = NULL WHERE id = ?').bind(subscription.id).run();
    expect(await listed(subscription)).toEqual({ state: 'unverified' });
    const range = Number.parseInt(subscription.id.slice(0, 2), 16);
    await runCron(env, range * 300_000);
    expect(await listed(subscription)).toEqual({ state: 'healthy' });
  });
});

describe('a test that names an event type', () => {
  it('an example of an event that its listener takes verifies the endpoint', async () => {
    holdClock();
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 404 }] });
    await subscription.ring();
    await until(async () => (await got(subscription.listener)).length === 1, 'the first test');
    const path = `/subscriptions/${subscription.id}/test`;
    await subscription.listener.script({ status: 204 });
    const { body } = await subscription.customer.call('POST', path, { type: 'entityCreated' });
    const isSent = async () => (await subscription.event(body.id)).state === 'success';
    // The first test waits for its retry: the clock is held.
    await subscription.ring();
    await until(isSent, 'the example');
    expect(await got(subscription.listener)).toEqual(['test', body.id]);
    await until(isHealthy(subscription), 'the proof');
  });
});

describe('a changed endpoint', () => {
  async function verified(clock: HeldClock): Promise<TestSubscription> {
    const subscription = await newSubscription(await newCustomer());
    await ringUntil(clock, subscription, isHealthy(subscription), 'the proof');
    await until(async () => (await listed(subscription)).state === 'healthy', 'the state in the list');
    return subscription;
  }

  const patch = ({ customer, id }: TestSubscription, change: object) =>
    customer.call('PATCH', `/subscriptions/${id}`, change);

  it('a PATCH that changes the endpoint sends a test, and events wait for the answer', async () => {
    const clock = holdClock();
    const subscription = await verified(clock);
    const other = new TestListener();
    const answer = await patch(subscription, { endpoint: other.endpoint });
    expect(answer.body.health).toEqual({
      state: 'unverified',
      since: new Date(clock.now()).toISOString(),
      waiting: 1,
    });
    expect(await listed(subscription)).toEqual({ state: 'unverified' });
    const [id = ''] = await publish(subscription.customer, 1);
    await waitFor(subscription, 2);
    expect(await got(other)).toEqual([]);
    await ringUntil(clock, subscription, async () => (await read(subscription)).waiting === 0, 'the event');
    expect(await got(other)).toEqual(['test', id]);
    expect(await got(subscription.listener)).toEqual(['test']);
  });

  it('a PATCH that repeats the endpoint, or changes something else, asks for no proof', async () => {
    const subscription = await verified(holdClock());
    const { endpoint } = subscription.listener;
    for (const change of [{ endpoint }, { title: `renamed ${subscription.id}` }, { enabled: true }]) {
      expect((await patch(subscription, change)).body.health.state).toBe('healthy');
    }
    expect(await subscription.events()).toHaveLength(1);
  });

  it('an endpoint that comes back must be verified again', async () => {
    const subscription = await verified(holdClock());
    await patch(subscription, { endpoint: new TestListener().endpoint });
    const back = await patch(subscription, { endpoint: subscription.listener.endpoint });
    expect(back.body.health.state).toBe('unverified');
  });

  it('a change that died before its event store learned of it still holds the next events', async () => {
    const clock = holdClock();
    const subscription = await verified(clock);
    const other = new TestListener();
    // What a PATCH writes to D1 first.
    await env.DB.prepare(
      'UPDATE subscriptions SET endpoint = ?, version = version + 1, proof = version + 1 WHERE id = ?',
    )
      .bind(other.endpoint, subscription.id)
      .run();
    expect(await read(subscription)).toMatchObject({ state: 'unverified' });
    await publish(subscription.customer, 1);
    await waitFor(subscription, 1);
    await subscription.ring();
    expect(await got(other)).toEqual([]);
    await subscription.customer.call('POST', `/subscriptions/${subscription.id}/test`);
    await ringUntil(clock, subscription, async () => (await read(subscription)).waiting === 0, 'the event');
    expect((await got(other))[0]).toBe('test');
  });
});

describe('the switch', () => {
  it('the list shows no subscription as unverified once the switch is off', async () => {
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 404 }] });
    expect(await listed(subscription)).toEqual({ state: 'unverified' });
    const { customer, id } = subscription;
    const off = environmentWith({ VERIFY_ENDPOINTS: 'false' });
    const path = `/${customer.id}/webhooks/subscriptions`;
    const { body } = await callIn(off, 'GET', path, { token: customer.token });
    expect(body._embedded.subscriptions).toMatchObject([{ id, health: { state: 'healthy' } }]);
  });

  it('a PATCH of the endpoint while the switch is off asks for no proof, later neither', async () => {
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 404 }] });
    const { customer, id } = subscription;
    const off = environmentWith({ VERIFY_ENDPOINTS: 'false' });
    const { endpoint } = new TestListener();
    const options = { token: customer.token, body: { endpoint } };
    await callIn(off, 'PATCH', `/${customer.id}/webhooks/subscriptions/${id}`, options);
    expect(await read(subscription)).toMatchObject({ state: 'healthy' });
  });

  it('a subscription from before the switch stays as it is, until its endpoint changes', async () => {
    const customer = await newCustomer();
    const listener = new TestListener();
    const body = { title: 'old', endpoint: listener.endpoint, events: ['entityCreated'] };
    const before = environmentWith({ VERIFY_ENDPOINTS: 'false' });
    const path = `/${customer.id}/webhooks/subscriptions`;
    const old = await callIn(before, 'POST', path, { token: customer.token, body });
    expect(old.body.health.state).toBe('healthy');
    const [id = ''] = await publish(customer, 1);
    await until(async () => (await got(listener)).length === 1, 'the event');
    expect(await got(listener)).toEqual([id]);
    const changed = await customer.call('PATCH', `/subscriptions/${old.body.id}`, {
      endpoint: new TestListener().endpoint,
    });
    expect(changed.body.health.state).toBe('unverified');
  });
});

describe('the limit on tests', () => {
  it('an endpoint that changes more often than a subscription may test gets no test, and is unverified', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const { customer, id } = subscription;
    const listeners = Array.from({ length: 11 }, () => new TestListener());
    for (const { endpoint } of listeners) await customer.call('PATCH', `/subscriptions/${id}`, { endpoint });
    expect(await subscription.events()).toHaveLength(10);
    expect((await read(subscription)).state).toBe('unverified');
    clock.advance(60_000);
    expect((await customer.call('POST', `/subscriptions/${id}/test`)).status).toBe(202);
    await ringUntil(clock, subscription, isHealthy(subscription), 'the proof');
  });

  const none = () => environmentWith({ TESTS: { limit: async () => ({ success: false }) } as RateLimit });

  it.each([
    ['a create', 'POST', ''],
    ['a PATCH of the endpoint', 'PATCH', '/:id'],
    ['a test', 'POST', '/:id/test'],
  ])(
    '%s is refused with 429 when its customer has sent too many tests, and changes nothing',
    async (_, method, path) => {
      const subscription = await newSubscription(await newCustomer());
      const { customer, listener } = subscription;
      const before = await customer.call('GET', '/subscriptions');
      const body = { title: 'another', endpoint: new TestListener().endpoint, events: ['entityCreated'] };
      const full = `/${customer.id}/webhooks/subscriptions${path.replace(':id', subscription.id)}`;
      const answer = await callIn(none(), method, full, { token: customer.token, body });
      expect(answer).toMatchObject({
        status: 429,
        body: { type: '/too-many-requests', details: 'More than 60 test notifications in a minute' },
      });
      expect(answer.headers.get('retry-after')).toBe('60');
      expect((await customer.call('GET', '/subscriptions')).body).toEqual(before.body);
      expect(await subscription.events()).toHaveLength(1);
      expect(await listener.calls()).toEqual([]);
    },
  );
});
