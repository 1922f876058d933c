import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { holdClock } from '../support/clock.ts';
import { callIn, environmentWith } from '../support/requests.ts';
import { until } from '../support/until.ts';
import { call, newCustomer, newSubscription, TestListener } from '../support/world.ts';

describe('a test notification', () => {
  it('a test notification holds only the test, whatever event types the subscription has', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { events: [] });
    const answer = await customer.call('POST', `/subscriptions/${subscription.id}/test`);
    expect(answer.status).toBe(202);
    const { id } = answer.body;
    expect(['awaiting-executing', 'executing', 'success']).toContain(answer.body.state);
    await subscription.ring();
    await until(async () => (await subscription.event(id)).state === 'success', 'the test notification');
    const [received] = await subscription.listener.calls();
    const jwks = createLocalJWKSet((await call('GET', `/${customer.id}/login/jwk`)).body);
    const { payload } = await jwtVerify(received?.body ?? '', jwks);
    expect(payload['events']).toEqual({ test: { id } });
    expect(payload['toe']).toBe(payload.iat);
    expect(Object.keys(payload)).toEqual(['aud', 'events', 'iat', 'iss', 'jti', 'toe']);
  });

  it('a test event is stored before the answer and retried like any event', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ status: 503 }] });
    const { body } = await customer.call('POST', `/subscriptions/${subscription.id}/test`);
    expect((await subscription.event(body.id)).id).toBe(body.id);
    await subscription.ring();
    await until(async () => (await subscription.event(body.id)).state === 'awaiting-retry', 'the retry');
  });

  it('a test of a disabled subscription gets a 409 and stores nothing', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { enabled: false });
    const answer = await customer.call('POST', `/subscriptions/${subscription.id}/test`);
    expect(answer).toMatchObject({
      status: 409,
      body: { status: 409, title: 'Conflict', details: 'Subscription is disabled' },
    });
    expect(await subscription.events()).toEqual([]);
  });

  it("a test of another customer's subscription gets a 404", async () => {
    const subscription = await newSubscription(await newCustomer());
    const other = await newCustomer();
    expect((await other.call('POST', `/subscriptions/${subscription.id}/test`)).status).toBe(404);
    expect(await subscription.events()).toEqual([]);
  });
});

describe('the limit on test notifications', () => {
  it('a subscription sends ten tests at once, then one every six seconds', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const test = () => subscription.customer.call('POST', `/subscriptions/${subscription.id}/test`);
    for (let count = 0; count < 10; count++) expect((await test()).status).toBe(202);
    const refused = await test();
    expect(refused).toMatchObject({
      status: 429,
      body: {
        type: '/too-many-requests',
        details: '10 test notifications of a subscription at once, then one every 6 seconds',
      },
    });
    expect(refused.headers.get('retry-after')).toBe('6');
    expect(await subscription.events()).toHaveLength(10);
    clock.advance(6000);
    expect((await test()).status).toBe(202);
    expect((await test()).status).toBe(429);
    clock.advance(60_000);
    for (let count = 0; count < 10; count++) expect((await test()).status).toBe(202);
  });

  it('a create and a PATCH send and count no test while no endpoint has to be verified', async () => {
    const customer = await newCustomer();
    const none = environmentWith({ TESTS: { limit: async () => ({ success: false }) } as RateLimit });
    const path = `/${customer.id}/webhooks/subscriptions`;
    const body = { title: 'new', endpoint: new TestListener().endpoint, events: [] };
    const created = await callIn(none, 'POST', path, { token: customer.token, body });
    expect(created).toMatchObject({ status: 201, body: { health: { state: 'healthy', waiting: 0 } } });
    const changed = await callIn(none, 'PATCH', `${path}/${created.body.id}`, {
      token: customer.token,
      body: { endpoint: new TestListener().endpoint },
    });
    expect(changed).toMatchObject({ status: 200, body: { health: { state: 'healthy', waiting: 0 } } });
  });
});
