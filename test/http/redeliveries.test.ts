import { evictDurableObject, runDurableObjectAlarm } from 'cloudflare:test';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { reportOf } from '../support/reports.ts';
import { until } from '../support/until.ts';
import {
  newCustomer,
  newSubscription,
  storeOf,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

const MINUTE_MS = 60_000;
const redirected: Outcome = { kind: 'http_error', response: { statusCode: 302, headers: {} } };
const delivered: Outcome = { kind: 'success', response: { statusCode: 202, headers: {} } };

/** Makes a subscription with failed events: one was accepted each minute, the last one now. */
async function withFailures(clock: HeldClock, count: number, options: { customer?: TestCustomer } = {}) {
  const customer = options.customer ?? (await newCustomer());
  const subscription = await newSubscription(customer);
  const { endpoint } = subscription.listener;
  const ref = {
    customerId: customer.id,
    subscriptionId: subscription.id,
    version: 1,
    enabled: true,
    endpoint,
  };
  const settle = async (eventId: string, outcome: Outcome) => {
    const facts = { eventId, acceptedAt: clock.now(), endpoint, set: eventId };
    const result = { attempt: 1, startedAt: clock.now(), durationMs: 1, outcome };
    await storeOf(subscription).settle(ref, [reportOf({ ...facts, result })]);
  };
  const newId = () => newEventIds(clock.now(), 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';
  const start = clock.now();
  const ids: string[] = [];
  for (let index = 0; index < count; index++) {
    if (index > 0) clock.advance(MINUTE_MS);
    const id = newId();
    await settle(id, redirected);
    // Five failures in a row would make the endpoint failing.
    if (index % 4 === 3) await settle(newId(), delivered);
    ids.push(id);
  }
  const path = `/subscriptions/${subscription.id}/redeliveries`;
  return { customer, subscription, ids, start, path };
}

/** Rings the alarm once a second until the job is no longer processing. */
async function finish(clock: HeldClock, subscription: TestSubscription, path: string, id: string) {
  return await until(async () => {
    clock.advance(1000);
    await runDurableObjectAlarm(storeOf(subscription));
    const { body } = await subscription.customer.call('GET', `${path}/${id}`);
    return body.state !== 'processing' && body;
  }, 'the end of the job');
}

describe('a bulk redelivery', () => {
  it('a bulk redelivery gets a 202 with the job and sends every failed event again', async () => {
    const clock = holdClock();
    const { customer, subscription, ids, path } = await withFailures(clock, 3);
    const started = await customer.call('POST', path, {});
    expect(started.status).toBe(202);
    const self = `/${customer.id}/webhooks${path}/${started.body.id}`;
    expect(started.body).toEqual({
      id: expect.any(String),
      createdAt: new Date(clock.now()).toISOString(),
      updatedAt: new Date(clock.now()).toISOString(),
      state: 'processing',
      total: 3,
      redelivered: 0,
      succeeded: 0,
      failed: 0,
      _links: {
        self: { href: self },
        redeliveries: { href: `/${customer.id}/webhooks${path}` },
        subscription: { href: `/${customer.id}/webhooks/subscriptions/${subscription.id}` },
      },
    });
    expect(started.headers.get('location')).toBe(self);
    const done = await finish(clock, subscription, path, started.body.id);
    expect(done).toMatchObject({ state: 'completed', total: 3, redelivered: 3, succeeded: 3, failed: 0 });
    for (const id of ids)
      expect(await subscription.event(id)).toMatchObject({ state: 'success', attempts: 2 });
    // The listener received the stored tokens, byte for byte.
    expect((await subscription.listener.calls()).map(({ body }) => body).sort()).toEqual([...ids].sort());
  });

  it.each([
    ['no body', undefined],
    ['an empty body', ''],
    ['an empty object', {}],
    ['unknown keys', { all: true }],
  ])('a bulk redelivery with %s takes all failed events', async (_, body) => {
    const { customer, path } = await withFailures(holdClock(), 2);
    expect((await customer.call('POST', path, body)).body).toMatchObject({ total: 2 });
  });

  it('a bulk redelivery accepts a content type that ends in a semicolon', async () => {
    const { customer, path } = await withFailures(holdClock(), 1);
    const answer = await customer.call('POST', path, '{}', { 'content-type': 'application/json;' });
    expect(answer.status).toBe(202);
  });

  it('a bulk redelivery takes events whose createdAt is in the span, both ends included', async () => {
    const clock = holdClock();
    const { customer, subscription, ids, start, path } = await withFailures(clock, 4);
    const span = {
      since: new Date(start + MINUTE_MS).toISOString(),
      until: new Date(start + 2 * MINUTE_MS).toISOString(),
    };
    const { body } = await customer.call('POST', path, span);
    expect(body.total).toBe(2);
    await finish(clock, subscription, path, body.id);
    const states = await Promise.all(ids.map(async (id) => (await subscription.event(id)).state));
    expect(states).toEqual(['failure', 'success', 'success', 'failure']);
  });

  it('a bulk redelivery counts events that fail again and does not send them twice', async () => {
    const clock = holdClock();
    const { customer, subscription, path } = await withFailures(clock, 3);
    await subscription.listener.script({}, { status: 302 });
    const { body } = await customer.call('POST', path, {});
    const done = await finish(clock, subscription, path, body.id);
    expect(done).toMatchObject({ state: 'completed', redelivered: 3, succeeded: 1, failed: 2 });
    expect(await subscription.listener.calls()).toHaveLength(3);
  });

  it('the pace of a bulk redelivery doubles with each step', async () => {
    const clock = holdClock();
    const { customer, subscription, path } = await withFailures(clock, 7);
    const { body } = await customer.call('POST', path, {});
    const steps: number[] = [];
    for (let step = 0; step < 3; step++) {
      await runDurableObjectAlarm(storeOf(subscription));
      const { redelivered } = (await customer.call('GET', `${path}/${body.id}`)).body;
      await until(
        async () => (await customer.call('GET', `${path}/${body.id}`)).body.succeeded === redelivered,
        'the step',
      );
      steps.push(redelivered);
      clock.advance(1000);
    }
    expect(steps).toEqual([1, 3, 7]);
  });

  it('a bulk redelivery without failed events in its span is completed at once', async () => {
    const { customer, path } = await withFailures(holdClock(), 1);
    const { body } = await customer.call('POST', path, { until: '2020-01-01T00:00:00Z' });
    expect(body).toMatchObject({ state: 'completed', total: 0 });
  });

  it('a bulk redelivery leaves out events that fail after it began', async () => {
    const clock = holdClock();
    const { customer, subscription, path } = await withFailures(clock, 1);
    const { body } = await customer.call('POST', path, {});
    clock.advance(1);
    const ref = {
      customerId: customer.id,
      subscriptionId: subscription.id,
      version: 1,
      enabled: true,
      endpoint: 'https://listener.example/',
    };
    const [late = ''] = newEventIds(clock.now(), 1, crypto.getRandomValues(new Uint8Array(16)));
    const facts = {
      eventId: late,
      acceptedAt: clock.now(),
      endpoint: subscription.listener.endpoint,
      set: late,
    };
    const result = { attempt: 1, startedAt: clock.now(), durationMs: 1, outcome: redirected };
    await storeOf(subscription).settle(ref, [reportOf({ ...facts, result })]);
    const done = await finish(clock, subscription, path, body.id);
    expect(done).toMatchObject({ total: 1, redelivered: 1 });
    expect((await subscription.event(late)).state).toBe('failure');
  });

  it('a second bulk redelivery gets a 409 until the first one is completed', async () => {
    const clock = holdClock();
    const { customer, subscription, path } = await withFailures(clock, 2);
    const { body } = await customer.call('POST', path, {});
    const second = await customer.call('POST', path, {});
    expect(second.status).toBe(409);
    expect(second.body).toEqual({ status: 409, title: 'Conflict', details: 'Too many active redeliveries' });
    await finish(clock, subscription, path, body.id);
    expect((await customer.call('POST', path, {})).status).toBe(202);
    const list = await customer.call('GET', path);
    expect(list.body).toMatchObject({
      total: 2,
      _links: { self: { href: `/${customer.id}/webhooks${path}` } },
    });
    expect(list.body._embedded.redeliveries[0].id).toBe(body.id);
  });

  it('a bulk redelivery gets a 409 while the subscription is disabled', async () => {
    const { customer, subscription, path } = await withFailures(holdClock(), 1);
    await customer.call('PATCH', `/subscriptions/${subscription.id}`, { enabled: false });
    const answer = await customer.call('POST', path, {});
    expect(answer.status).toBe(409);
    expect(answer.body.details).toBe('Subscription is disabled');
  });

  it('DELETE cancels a bulk redelivery, and events not yet redelivered stay failed', async () => {
    const clock = holdClock();
    const { customer, subscription, ids, path } = await withFailures(clock, 3);
    const { body } = await customer.call('POST', path, {});
    await subscription.ring();
    const cancel = await customer.call('DELETE', `${path}/${body.id}`);
    expect(cancel.status).toBe(204);
    expect((await customer.call('DELETE', `${path}/${body.id}`)).status).toBe(204);
    for (let ring = 0; ring < 3; ring++) {
      clock.advance(1000);
      await subscription.ring();
    }
    expect((await customer.call('GET', `${path}/${body.id}`)).body).toMatchObject({
      state: 'canceled',
      redelivered: 1,
    });
    expect((await subscription.event(ids[2] ?? '')).state).toBe('failure');
  });

  it('canceling a bulk redelivery calls the event store once: no list is read first', async () => {
    const { customer, path } = await withFailures(holdClock(), 1);
    const { body } = await customer.call('POST', path, {});
    const list = vi.spyOn(EventStore.prototype, 'redeliveries');
    onTestFinished(() => list.mockRestore());
    expect((await customer.call('DELETE', `${path}/${body.id}`)).status).toBe(204);
    expect(list).not.toHaveBeenCalled();
    await customer.call('GET', `${path}/${body.id}`);
    expect(list).toHaveBeenCalledOnce();
  });

  it('a hundred bulk redeliveries are kept: one more forgets the oldest that ended', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const { id: subscriptionId, customer, listener } = subscription;
    const ref = {
      customerId: customer.id,
      subscriptionId,
      version: 1,
      enabled: true,
      endpoint: listener.endpoint,
    };
    const started: string[] = [];
    for (let start = 0; start < 105; start++) {
      clock.advance(1);
      const begun = await storeOf(subscription).startRedelivery(ref, { since: 0, until: 0 });
      if (begun.answer !== 'started') throw new Error(begun.answer);
      started.push(begun.job.id);
    }
    const path = `/subscriptions/${subscriptionId}/redeliveries`;
    const { body } = await customer.call('GET', path);
    expect(body._embedded.redeliveries.map(({ id }: { id: string }) => id)).toEqual(started.slice(5));
    expect((await customer.call('GET', `${path}/${started[4]}`)).status).toBe(404);
    expect((await customer.call('GET', `${path}/${started[5]}`)).status).toBe(200);
  });

  it('reading one bulk redelivery reads no other', async () => {
    const { customer, subscription, path } = await withFailures(holdClock(), 0);
    const first = await customer.call('POST', path, {});
    await customer.call('POST', path, {});
    expect(await storeOf(subscription).redeliveries(first.body.id)).toMatchObject([{ id: first.body.id }]);
    const read = vi.spyOn(EventStore.prototype, 'redeliveries');
    onTestFinished(() => read.mockRestore());
    await customer.call('GET', `${path}/${first.body.id}`);
    expect(read.mock.calls).toEqual([[first.body.id]]);
  });

  it('a completed bulk redelivery gets a 409 when it is canceled', async () => {
    const clock = holdClock();
    const { customer, subscription, path } = await withFailures(clock, 1);
    const { body } = await customer.call('POST', path, {});
    await finish(clock, subscription, path, body.id);
    const cancel = await customer.call('DELETE', `${path}/${body.id}`);
    expect(cancel.status).toBe(409);
    expect(cancel.body.details).toBe('Redelivery is completed');
  });

  it('disabling the subscription cancels its bulk redelivery', async () => {
    const { customer, subscription, path } = await withFailures(holdClock(), 3);
    const { body } = await customer.call('POST', path, {});
    await customer.call('PATCH', `/subscriptions/${subscription.id}`, { enabled: false });
    expect((await customer.call('GET', `${path}/${body.id}`)).body.state).toBe('canceled');
  });

  it('a bulk redelivery continues where it was after the object was evicted', async () => {
    const clock = holdClock();
    const { customer, subscription, path } = await withFailures(clock, 5);
    const { body } = await customer.call('POST', path, {});
    await subscription.ring();
    await evictDurableObject(storeOf(subscription));
    const done = await finish(clock, subscription, path, body.id);
    expect(done).toMatchObject({ state: 'completed', redelivered: 5, succeeded: 5 });
  });

  it.each([
    ['a since that is not a time', { since: 'yesterday' }, ['since']],
    ['an until that is not a time', { until: 5 }, ['until']],
    ['a bad since and a bad until', { since: 1, until: '2026-13-01T00:00:00Z' }, ['since', 'until']],
    [
      'an until before its since',
      { since: '2026-01-02T00:00:00Z', until: '2026-01-01T00:00:00Z' },
      ['until'],
    ],
    ['a body that is not an object', [], ['body']],
  ])('a bulk redelivery with %s gets a 400', async (_, body, names) => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const answer = await customer.call('POST', `/subscriptions/${subscription.id}/redeliveries`, body);
    expect(answer.status).toBe(400);
    const faults = answer.body['invalid-body-params'] as { name: string }[];
    expect(faults.map(({ name }) => name)).toEqual(names);
    expect((await customer.call('GET', `/subscriptions/${subscription.id}/redeliveries`)).body.total).toBe(0);
  });

  it.each(['00000000-0000-4000-8000-000000000000', 'nonsense'])(
    'an unknown bulk redelivery gets a 404: %s',
    async (id) => {
      const customer = await newCustomer();
      const subscription = await newSubscription(customer);
      const path = `/subscriptions/${subscription.id}/redeliveries/${id}`;
      for (const method of ['GET', 'DELETE']) {
        const answer = await customer.call(method, path);
        expect(answer.status).toBe(404);
        expect(answer.body.details).toBe('Redelivery not found');
      }
    },
  );

  it('a bulk redelivery gets a 404 from another customer', async () => {
    const { path } = await withFailures(holdClock(), 1);
    const stranger = await newCustomer();
    expect((await stranger.call('POST', path, {})).status).toBe(404);
    expect((await stranger.call('GET', path)).status).toBe(404);
  });
});
