import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { anEvent, newCustomer, newSubscription, storeOf, type TestSubscription } from '../support/world.ts';

function patch(subscription: TestSubscription, body: unknown, type = 'application/merge-patch+json') {
  return subscription.customer.call('PATCH', `/subscriptions/${subscription.id}`, body, {
    'content-type': type,
  });
}

async function publish(subscription: TestSubscription): Promise<string> {
  const answer = await subscription.customer.call('POST', '/events', anEvent());
  return answer.body._embedded.events[0].id as string;
}

async function untilState(subscription: TestSubscription, id: string, state: string) {
  return await until(async () => {
    const event = await subscription.event(id);
    return event.state === state && event;
  }, state);
}

describe('PATCH of a subscription', () => {
  it.each(['application/merge-patch+json', 'application/json', 'application/json; charset=utf-8'])(
    'a PATCH sent as %s changes only the members it supplies',
    async (type) => {
      const subscription = await newSubscription(await newCustomer());
      const before = (await subscription.customer.call('GET', `/subscriptions/${subscription.id}`)).body;
      const changed = await patch(subscription, { title: 'another title' }, type);
      expect(changed.status).toBe(200);
      expect(changed.body).toEqual({ ...before, title: 'another title', updatedAt: changed.body.updatedAt });
      expect((await subscription.customer.call('GET', `/subscriptions/${subscription.id}`)).body).toEqual(
        changed.body,
      );
    },
  );

  it('a PATCH replaces events whole and ignores read-only members', async () => {
    const subscription = await newSubscription(await newCustomer());
    const echo = { id: 'x', customerId: 'y', createdAt: 'z', updatedAt: 'z', _links: {}, unknown: 1 };
    const { body } = await patch(subscription, { ...echo, events: ['entityDeleted', 'entityDeleted'] });
    expect(body).toMatchObject({ id: subscription.id, events: ['entityDeleted'] });
  });

  it('a PATCH with an empty object changes nothing', async () => {
    const subscription = await newSubscription(await newCustomer());
    const before = (await subscription.customer.call('GET', `/subscriptions/${subscription.id}`)).body;
    expect((await patch(subscription, {})).body).toEqual(before);
  });

  it('a bad PATCH changes nothing and gets a 400 that names every fault, null members too', async () => {
    const customer = await newCustomer();
    const taken = await newSubscription(customer, { title: 'taken' });
    const subscription = await newSubscription(customer);
    const { status, body } = await patch(subscription, {
      title: 'taken',
      endpoint: 'ftp://x',
      events: null,
      enabled: null,
    });
    expect(status).toBe(400);
    expect(body).toMatchObject({ type: '/validation-error', status: 400, title: 'Bad Request' });
    const names = body['invalid-body-params'].map(({ name }: { name: string }) => name).sort();
    expect(names).toEqual(['enabled', 'endpoint', 'events', 'title']);
    expect((await subscription.events()).length + (await taken.events()).length).toBe(0);
  });

  it('a PATCH may repeat the title that the subscription has', async () => {
    const subscription = await newSubscription(await newCustomer(), { title: 'mine' });
    expect((await patch(subscription, { title: 'mine' })).status).toBe(200);
  });

  it('a PATCH of an unknown subscription gets a 404 before the body is checked', async () => {
    const customer = await newCustomer();
    const other = await newSubscription(await newCustomer());
    for (const id of [other.id, crypto.randomUUID(), 'nonsense']) {
      const answer = await customer.call('PATCH', `/subscriptions/${id}`, 'not JSON', {
        'content-type': 'text/plain',
      });
      expect(answer.status).toBe(404);
    }
  });

  it('a PATCH applies to events accepted after it; stored events keep their endpoint and token', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ status: 302 }] });
    const id = await publish(subscription);
    const before = await untilState(subscription, id, 'failure');
    const second = await newSubscription(customer, { events: [] });
    await patch(subscription, { endpoint: second.listener.endpoint });
    await untilState(subscription, await publish(subscription), 'success');
    expect(await second.listener.calls()).toHaveLength(1);
    expect((await subscription.event(id)).request).toEqual(before.request);
  });
});

describe('disabling a subscription', () => {
  it('events of a disabled subscription are stored as failures, unsent, and can be redelivered later', async () => {
    const subscription = await newSubscription(await newCustomer());
    await patch(subscription, { enabled: false });
    const id = await publish(subscription);
    const event = await untilState(subscription, id, 'failure');
    expect(event.attempts).toBe(0);
    expect((await subscription.history(id)).at(-1)).toMatchObject({ reason: 'subscription disabled' });
    const path = `/subscriptions/${subscription.id}/events/${id}/redeliver`;
    const refused = await subscription.customer.call('POST', path);
    expect(refused).toMatchObject({
      status: 409,
      body: { status: 409, title: 'Conflict', details: 'Subscription is disabled' },
    });
    await patch(subscription, { enabled: true });
    expect((await subscription.customer.call('POST', path)).status).toBe(202);
    await subscription.ring();
    await untilState(subscription, id, 'success');
    expect(await subscription.listener.calls()).toHaveLength(1);
  });

  it('disabling a subscription fails its events that wait for a retry', async () => {
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 503 }] });
    const id = await publish(subscription);
    await untilState(subscription, id, 'awaiting-retry');
    await patch(subscription, { enabled: false });
    expect((await subscription.event(id)).state).toBe('failure');
  });

  it('an attempt under way when its subscription is disabled can still succeed', async () => {
    const subscription = await newSubscription(await newCustomer(), { answers: [{ manner: 'hang' }] });
    const id = await publish(subscription);
    await until(async () => (await subscription.listener.calls()).length === 1, 'the attempt');
    await patch(subscription, { enabled: false });
    await subscription.listener.release();
    await untilState(subscription, id, 'success');
  });

  it('an attempt under way when its subscription is disabled is not retried if it fails', async () => {
    const answers = [{ manner: 'hang', status: 503 } as const];
    const subscription = await newSubscription(await newCustomer(), { answers });
    const id = await publish(subscription);
    await until(async () => (await subscription.listener.calls()).length === 1, 'the attempt');
    await patch(subscription, { enabled: false });
    await subscription.listener.release();
    expect((await untilState(subscription, id, 'failure')).attempts).toBe(1);
    // The event failed at once, not when its retry would have been due.
    const states = (await subscription.history(id)).map(({ state }) => state);
    expect(states).toEqual(['awaiting-executing', 'executing', 'failure']);
  });

  it('a store that missed the disabling learns of it with the next event', async () => {
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 503 }] });
    const waiting = await publish(subscription);
    await untilState(subscription, waiting, 'awaiting-retry');
    await env.DB.prepare('UPDATE subscriptions SET enabled = 0, version = 2 WHERE id = ?')
      .bind(subscription.id)
      .run();
    const id = await publish(subscription);
    await untilState(subscription, id, 'failure');
    expect((await subscription.event(waiting)).state).toBe('failure');
  });
});

describe('DELETE of a subscription', () => {
  it('a deleted subscription and its events are gone, and its title is free again', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { title: 'to be deleted' });
    const id = await publish(subscription);
    await untilState(subscription, id, 'success');
    const path = `/subscriptions/${subscription.id}`;
    expect((await customer.call('DELETE', path)).status).toBe(204);
    for (const gone of [path, `${path}/events`, `${path}/events/${id}`, `${path}/summary`]) {
      expect((await customer.call('GET', gone)).status).toBe(404);
    }
    expect((await customer.call('DELETE', path)).status).toBe(404);
    // The rows are deleted, not only hidden by the mark that drops late results.
    const { rows } = await runInDurableObject(storeOf(subscription), (_, state) =>
      state.storage.sql.exec<{ rows: number }>('SELECT count(*) AS rows FROM deliveries').one(),
    );
    expect(rows).toBe(0);
    expect((await customer.call('GET', '/subscriptions')).body.total).toBe(0);
    await newSubscription(customer, { title: 'to be deleted' });
  });

  it('DELETE of a subscription leaves its ids, version and times behind, and nothing else', async () => {
    const { id, customer } = await newSubscription(await newCustomer());
    const filter = { properties: { entityCreated: { required: ['sub'] } } };
    await customer.call('PATCH', `/subscriptions/${id}`, {
      title: 'a secret title',
      endpoint: 'https://listener.example/?secret=1',
      filter,
    });
    expect((await customer.call('DELETE', `/subscriptions/${id}`)).status).toBe(204);
    const row = await env.DB.prepare('SELECT * FROM subscriptions WHERE id = ?').bind(id).first();
    expect(row).toEqual({
      id,
      customer_id: customer.id,
      version: 3,
      created_at: expect.any(Number),
      updated_at: expect.any(Number),
      deleted_at: expect.any(Number),
      erased_at: expect.any(Number),
      title: '',
      endpoint: '',
      events: '[]',
      enabled: 0,
      filter: null,
      filter_steps: 0,
      health: 'healthy',
      health_since: 0,
      proof: null,
      proven: null,
      store_tenths: 0,
      day_accepted: 0,
      day_delivered: 0,
      day_failed: 0,
      waiting: 0,
      oldest_waiting_at: null,
      shards: null,
    });
    const mark = await runInDurableObject(storeOf({ id }), (_, { storage }) =>
      storage.sql.exec('SELECT endpoint FROM store').one(),
    );
    expect(mark).toEqual({ endpoint: '' });
  });

  it('DELETE of a subscription drops the result of an attempt under way', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ manner: 'hang' }] });
    await publish(subscription);
    await until(async () => (await subscription.listener.calls()).length === 1, 'the attempt');
    await customer.call('DELETE', `/subscriptions/${subscription.id}`);
    await subscription.listener.release();
    const other = await newSubscription(customer);
    await untilState(other, await publish(other), 'success');
    expect(await storeOf(subscription).total()).toBe(0);
    expect(await subscription.listener.calls()).toHaveLength(1);
  });

  it("DELETE of another customer's subscription gets a 404 and deletes nothing", async () => {
    const subscription = await newSubscription(await newCustomer());
    const other = await newCustomer();
    expect((await other.call('DELETE', `/subscriptions/${subscription.id}`)).status).toBe(404);
    expect((await subscription.customer.call('GET', `/subscriptions/${subscription.id}`)).status).toBe(200);
  });
});

describe('PUT of a subscription', () => {
  it('PUT of a subscription gets a 405 with Allow', async () => {
    const subscription = await newSubscription(await newCustomer());
    const { status, headers } = await subscription.customer.call(
      'PUT',
      `/subscriptions/${subscription.id}`,
      {},
    );
    expect(status).toBe(405);
    expect(headers.get('allow')?.split(', ').sort()).toEqual(['DELETE', 'GET', 'HEAD', 'PATCH']);
  });
});
