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
  it('is shown with its subscription: since when, and how much waits', async () => {
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

  it('is shown in the list by its state alone', async () => {
    expect(await listed(await failing(holdClock()))).toEqual({ state: 'failing' });
  });

  it('is healthy since its creation for a new subscription', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    expect(await read(subscription)).toEqual({
      state: 'healthy',
      since: new Date(clock.now()).toISOString(),
      waiting: 0,
    });
  });

  it('comes back with the first success, and what was held is delivered', async () => {
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
    }, 'the end of what waited');
    expect(await read(subscription)).toMatchObject({ state: 'healthy' });
    expect(await listed(subscription)).toEqual({ state: 'healthy' });
    const events = await subscription.events();
    expect(events.map(({ state }) => state)).toEqual(Array(8).fill('success'));
  });

  it('is held apart for each subscription: another of the same customer stays in the fast lane', async () => {
    const clock = holdClock();
    const subscription = await failing(clock);
    const other = await newSubscription(subscription.customer);
    await publish(subscription, 3);
    await until(async () => (await other.listener.calls()).length === 3, 'the other deliveries');
    expect(await subscription.listener.calls()).toHaveLength(5);
    expect(await listed(other)).toEqual({ state: 'healthy' });
  });

  it('begins anew with another endpoint', async () => {
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

  it('stays as it is when a PATCH names the endpoint it has', async () => {
    const subscription = await failing(holdClock());
    const { endpoint } = subscription.listener;
    await subscription.customer.call('PATCH', `/subscriptions/${subscription.id}`, { endpoint });
    expect(await listed(subscription)).toEqual({ state: 'failing' });
    expect(await read(subscription)).toMatchObject({ state: 'failing' });
  });

  it('is mended in the list by the daily visit where the note was lost', async () => {
    const clock = holdClock();
    const subscription = await failing(clock);
    await env.DB.prepare("UPDATE subscriptions SET health = 'healthy', health_since = 0 WHERE id = ?")
      .bind(subscription.id)
      .run();
    expect(await listed(subscription)).toEqual({ state: 'healthy' });
    // The run whose slice holds this id: slices go by its first two digits, one every five minutes.
    const slice = Number.parseInt(subscription.id.slice(0, 2), 16);
    await runCron(env, slice * 300_000);
    expect(await listed(subscription)).toEqual({ state: 'failing' });
  });

  it('cannot be written by a client', async () => {
    const subscription = await newSubscription(await newCustomer());
    const answer = await subscription.customer.call('PATCH', `/subscriptions/${subscription.id}`, {
      health: { state: 'failing' },
    });
    expect(answer.status).toBe(200);
    expect(answer.body.health.state).toBe('healthy');
  });
});
