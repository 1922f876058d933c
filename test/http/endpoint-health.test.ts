import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { runCron } from '../support/cron.ts';
import { until } from '../support/until.ts';
import { anEvent, newCustomer, newSubscription, type TestSubscription } from '../support/world.ts';

async function publish(subscription: TestSubscription, count = 1): Promise<void> {
  const events = Array.from({ length: count }, () => anEvent());
  await subscription.customer.call('POST', '/events', events);
}

async function read(subscription: TestSubscription) {
  return (await subscription.customer.call('GET', `/subscriptions/${subscription.id}`)).body.health;
}

async function listed(subscription: TestSubscription) {
  const { body } = await subscription.customer.call('GET', '/subscriptions');
  return body._embedded.subscriptions.find(({ id }: { id: string }) => id === subscription.id).health;
}

/** A subscription whose endpoint failed five times. */
async function failing(clock: HeldClock): Promise<TestSubscription> {
  const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 500 }] });
  await publish(subscription, 5);
  await until(async () => (await listed(subscription)).state === 'failing', `failing at ${clock.now()}`);
  return subscription;
}

describe('the health of an endpoint', () => {
  it('a subscription shows its health: the state, since when, and how many events wait', async () => {
    const clock = holdClock();
    const subscription = await failing(clock);
    expect(await read(subscription)).toEqual({
      state: 'failing',
      since: new Date(clock.now()).toISOString(),
      waiting: 5,
    });
    await publish(subscription, 3);
    await until(async () => (await read(subscription)).waiting === 8, 'the held events');
  });

  it("the list of subscriptions shows only the state of each endpoint's health", async () => {
    expect(await listed(await failing(holdClock()))).toEqual({ state: 'failing' });
  });

  it('a new subscription is healthy since its creation', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    expect(await read(subscription)).toEqual({
      state: 'healthy',
      since: new Date(clock.now()).toISOString(),
      waiting: 0,
    });
  });

  it('the first success makes a failing endpoint healthy, and held events are delivered', async () => {
    const clock = holdClock();
    const subscription = await failing(clock);
    await publish(subscription, 3);
    await until(async () => (await read(subscription)).waiting === 8, 'the held events');
    expect(await subscription.listener.calls()).toHaveLength(5);
    await subscription.listener.script({});
    await until(async () => {
      clock.advance(1000);
      await subscription.ring();
      return (await read(subscription)).waiting === 0;
    }, 'the delivery of all waiting events');
    expect(await read(subscription)).toMatchObject({ state: 'healthy' });
    expect(await listed(subscription)).toEqual({ state: 'healthy' });
    const events = await subscription.events();
    expect(events.map(({ state }) => state)).toEqual(Array(8).fill('success'));
  });

  it('a failing endpoint does not slow another subscription of the same customer', async () => {
    const clock = holdClock();
    const subscription = await failing(clock);
    const other = await newSubscription(subscription.customer);
    await publish(subscription, 3);
    await until(async () => (await other.listener.calls()).length === 3, 'the other deliveries');
    expect(await subscription.listener.calls()).toHaveLength(5);
    expect(await listed(other)).toEqual({ state: 'healthy' });
  });

  it('a PATCH that changes the endpoint makes a failing subscription healthy', async () => {
    const clock = holdClock();
    const subscription = await failing(clock);
    const other = await newSubscription(subscription.customer);
    clock.advance(1000);
    const { body } = await subscription.customer.call('PATCH', `/subscriptions/${subscription.id}`, {
      endpoint: other.listener.endpoint,
    });
    expect(body.health).toEqual({ state: 'healthy', since: new Date(clock.now()).toISOString(), waiting: 5 });
    expect(await listed(subscription)).toEqual({ state: 'healthy' });
    await publish(subscription);
    await until(async () => (await other.listener.calls()).length === 2, 'both deliveries');
  });

  it('a PATCH that repeats the endpoint leaves the health unchanged', async () => {
    const subscription = await failing(holdClock());
    const { endpoint } = subscription.listener;
    await subscription.customer.call('PATCH', `/subscriptions/${subscription.id}`, { endpoint });
    expect(await listed(subscription)).toEqual({ state: 'failing' });
    expect(await read(subscription)).toMatchObject({ state: 'failing' });
  });

  it('the daily visit fixes a wrong health state in the list of subscriptions', async () => {
    const clock = holdClock();
    const subscription = await failing(clock);
    await env.DB.prepare("UPDATE subscriptions SET health = 'healthy', health_since = 0 WHERE id = ?")
      .bind(subscription.id)
      .run();
    expect(await listed(subscription)).toEqual({ state: 'healthy' });
    // Choose the time of the run that visits this id: each run visits one range of the ids, named by their
    // first two digits, and runs come every five minutes.
    const range = Number.parseInt(subscription.id.slice(0, 2), 16);
    await runCron(env, range * 300_000);
    expect(await listed(subscription)).toEqual({ state: 'failing' });
  });

  it('a PATCH cannot write the health', async () => {
    const subscription = await newSubscription(await newCustomer());
    const answer = await subscription.customer.call('PATCH', `/subscriptions/${subscription.id}`, {
      health: { state: 'failing' },
    });
    expect(answer.status).toBe(200);
    expect(answer.body.health.state).toBe('healthy');
  });
});
