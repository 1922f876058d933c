import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { call, newCustomer, newSubscription } from '../support/world.ts';

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
