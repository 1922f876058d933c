import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { call, newCustomer, newSubscription } from '../support/world.ts';

describe('POST …/test', () => {
  it('sends a SET whose events claim is the test, whatever the subscription hears of', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { events: [] });
    const answer = await customer.call('POST', `/subscriptions/${subscription.id}/test`);
    expect(answer.status).toBe(202);
    const { id } = answer.body;
    expect(['awaiting-executing', 'executing', 'success']).toContain(answer.body.state);
    await until(async () => (await subscription.event(id)).state === 'success', 'the test notification');
    const [heard] = await subscription.listener.calls();
    const jwks = createLocalJWKSet((await call('GET', `/${customer.id}/login/jwk`)).body);
    const { payload } = await jwtVerify(heard?.body ?? '', jwks);
    expect(payload['events']).toEqual({ test: { id } });
    expect(payload['toe']).toBe(payload.iat);
    expect(Object.keys(payload)).toEqual(['aud', 'events', 'iat', 'iss', 'jti', 'toe']);
  });

  it('is stored before the answer, and retried as any event', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ status: 503 }] });
    const { body } = await customer.call('POST', `/subscriptions/${subscription.id}/test`);
    expect((await subscription.event(body.id)).id).toBe(body.id);
    await until(async () => (await subscription.event(body.id)).state === 'awaiting-retry', 'the retry');
  });

  it('is a 409 for a disabled subscription, and stores nothing', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { enabled: false });
    const answer = await customer.call('POST', `/subscriptions/${subscription.id}/test`);
    expect(answer).toMatchObject({
      status: 409,
      body: { status: 409, title: 'Conflict', details: 'Subscription is disabled' },
    });
    expect(await subscription.events()).toEqual([]);
  });

  it("is a 404 for another customer's subscription", async () => {
    const subscription = await newSubscription(await newCustomer());
    const other = await newCustomer();
    expect((await other.call('POST', `/subscriptions/${subscription.id}/test`)).status).toBe(404);
    expect(await subscription.events()).toEqual([]);
  });
});
