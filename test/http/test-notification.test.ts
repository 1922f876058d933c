import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
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

describe('a test that names an event type', () => {
  const NOBODY = '00000000-0000-0000-0000-000000000000';
  const claims = {
    captureApplicationId: 'example',
    captureClientId: 'example',
    entityType: 'user',
    globalSub: `capture-v1://us.janraincapture.com/example/user/${NOBODY}`,
    sub: NOBODY,
    test: true,
  };

  it.each([
    ['entityCreated', claims],
    ['entityUpdated', { attributes: ['givenName', 'primaryAddress.city'], ...claims }],
    ['entityDeleted', claims],
  ])('a test that names %s sends an example of it that is marked as a test', async (type, expected) => {
    const customer = await newCustomer();
    const filter = { properties: { entityCreated: false }, additionalProperties: false };
    const subscription = await newSubscription(customer, { events: [] });
    await customer.call('PATCH', `/subscriptions/${subscription.id}`, { filter });
    const answer = await customer.call('POST', `/subscriptions/${subscription.id}/test`, { type });
    expect(answer.status).toBe(202);
    const { id } = answer.body;
    await subscription.ring();
    await until(async () => (await subscription.event(id)).state === 'success', 'the example');
    const [received] = await subscription.listener.calls();
    const jwks = createLocalJWKSet((await call('GET', `/${customer.id}/login/jwk`)).body);
    const { payload } = await jwtVerify(received?.body ?? '', jwks);
    expect(payload['events']).toEqual({ [type]: { ...expected, id } });
    const members = Object.keys((payload['events'] as Record<string, object>)[type] ?? {});
    expect(members).toEqual(members.toSorted());
    expect(payload['toe']).toBe(payload.iat);
  });

  it('an example is stored before the answer and retried like any event', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ status: 503 }] });
    const path = `/subscriptions/${subscription.id}/test`;
    const { body } = await customer.call('POST', path, { type: 'entityDeleted' });
    expect((await subscription.event(body.id)).id).toBe(body.id);
    await subscription.ring();
    await until(async () => (await subscription.event(body.id)).state === 'awaiting-retry', 'the retry');
  });

  it.each([['entityRenamed'], ['test'], ['EntityUpdated'], ['toString'], [7], [null], [['entityUpdated']]])(
    'a test that names the type %j gets a 400 and stores nothing',
    async (type) => {
      const subscription = await newSubscription(await newCustomer());
      const path = `/subscriptions/${subscription.id}/test`;
      const answer = await subscription.customer.call('POST', path, { type });
      expect(answer).toMatchObject({
        status: 400,
        body: {
          type: '/validation-error',
          'invalid-body-params': [
            { name: 'type', reason: 'must be one of entityCreated, entityUpdated, entityDeleted' },
          ],
        },
      });
      expect(await subscription.events()).toEqual([]);
    },
  );

  it.each([
    ['an empty object', '{}'],
    ['an object with other members', '{"event":"entityUpdated"}'],
    ['an array', '[{"type":"entityUpdated"}]'],
    ['a text', '"entityUpdated"'],
    ['null', 'null'],
    ['no JSON', '{"type":'],
    ['a body of more than 1,024 bytes', JSON.stringify({ type: 'entityUpdated', more: 'x'.repeat(1000) })],
    ['a body over every limit', 'x'.repeat(200_000)],
  ])('a test with %s as its body sends the test notification', async (_, body) => {
    const subscription = await newSubscription(await newCustomer());
    const path = `/subscriptions/${subscription.id}/test`;
    expect((await subscription.customer.call('POST', path, body)).status).toBe(202);
    await subscription.ring();
    await until(async () => (await subscription.listener.calls()).length === 1, 'the test');
    const [received] = await subscription.listener.calls();
    expect(Object.keys(decodeJwt(received?.body ?? '')['events'] as object)).toEqual(['test']);
  });

  it('a test may name a type whatever the media type of its body is', async () => {
    const subscription = await newSubscription(await newCustomer());
    const path = `/subscriptions/${subscription.id}/test`;
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const { customer } = subscription;
    expect((await customer.call('POST', path, '{"type":"entityCreated"}', form)).status).toBe(202);
    expect((await customer.call('POST', path, '{"type":"nonsense"}', form)).status).toBe(400);
  });

  it('a test that names a type of an unknown or disabled subscription is refused as any test is', async () => {
    const customer = await newCustomer();
    const { id } = await newSubscription(customer, { enabled: false });
    const ask = (sid: string, type: string) => customer.call('POST', `/subscriptions/${sid}/test`, { type });
    expect((await ask(crypto.randomUUID(), 'nonsense')).status).toBe(404);
    expect((await ask(id, 'nonsense')).status).toBe(400);
    expect((await ask(id, 'entityUpdated')).status).toBe(409);
  });
});

describe('the limit on test notifications', () => {
  it('a test that names a type counts like one that does not', async () => {
    holdClock();
    const subscription = await newSubscription(await newCustomer());
    const path = `/subscriptions/${subscription.id}/test`;
    for (let count = 0; count < 10; count++)
      expect((await subscription.customer.call('POST', path, { type: 'entityCreated' })).status).toBe(202);
    expect((await subscription.customer.call('POST', path)).status).toBe(429);
    expect((await subscription.customer.call('POST', path, { type: 'entityCreated' })).status).toBe(429);
  });

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
