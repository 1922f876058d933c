import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import { holdClock } from '../support/clock.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { refTo, reportOf } from '../support/reports.ts';
import { BASE_URL, getToken, newCustomer, newSubscription, type TestSubscription } from '../support/world.ts';

const DAY_MS = 86_400_000;

/** Stores failed deliveries directly, without the event path. */
async function fail(
  subscription: TestSubscription,
  count: number,
  set = 'header.claims.signature',
): Promise<string[]> {
  const now = Date.now();
  const ids = newEventIds(now, count, crypto.getRandomValues(new Uint8Array(16)));
  const ref = refTo(subscription);
  const outcome = { kind: 'http_error', response: { statusCode: 302, headers: { Server: 'test' } } } as const;
  for (let start = 0; start < ids.length; start += 500) {
    await eventStoreStub(subscription.id).settle(
      ref,
      ids.slice(start, start + 500).map((eventId) =>
        reportOf({
          eventId,
          acceptedAt: now,
          endpoint: 'https://listener.example/hooks',
          set,
          result: { attempt: 1, startedAt: now, durationMs: 1, outcome },
        }),
      ),
    );
  }
  return ids;
}

function call(subscription: TestSubscription, method: string, path = '') {
  return subscription.customer.call(method, `/subscriptions/${subscription.id}/exports${path}`);
}

/** Starts an export and rings the alarm until it is done. */
async function complete(subscription: TestSubscription): Promise<string> {
  const started = await call(subscription, 'POST');
  expect(started.status).toBe(202);
  const { id } = started.body as { id: string };
  for (let ring = 0; ring < 50; ring++) {
    await runDurableObjectAlarm(eventStoreStub(subscription.id));
    if ((await call(subscription, 'GET', `/${id}`)).body.state !== 'processing') return id;
  }
  throw new Error('the export does not end');
}

async function download(subscription: TestSubscription, id: string) {
  const { customer } = subscription;
  const token = (await getToken(customer.id, customer.clientId, customer.clientSecret)).body.access_token;
  const path = `/${customer.id}/webhooks/subscriptions/${subscription.id}/exports/${id}/download`;
  const response = await exports.default.fetch(`${BASE_URL}${path}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const text = await response.text();
  const lines = text.split('\n');
  expect(lines.pop()).toBe('');
  return { response, events: lines.map((line) => JSON.parse(line)) };
}

describe('an export', () => {
  it('an export is a job whose file holds every failed event as a resource without links', async () => {
    const subscription = await newSubscription(await newCustomer());
    const ids = await fail(subscription, 3);
    const started = await call(subscription, 'POST');
    const self = `/${subscription.customer.id}/webhooks/subscriptions/${subscription.id}/exports/${started.body.id}`;
    expect(started.status).toBe(202);
    expect(started.body).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      createdAt: expect.stringMatching(/Z$/),
      updatedAt: expect.stringMatching(/Z$/),
      state: 'processing',
      _links: { self: { href: self }, exports: { href: self.replace(/\/[^/]+$/, '') } },
    });
    await runDurableObjectAlarm(eventStoreStub(subscription.id));
    const job = (await call(subscription, 'GET', `/${started.body.id}`)).body;
    expect(job.state).toBe('completed');
    expect(job._links.download).toEqual({ href: `${self}/download` });
    const { response, events } = await download(subscription, job.id);
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    expect(events.map(({ id }) => id)).toEqual(ids);
    const { _links, ...resource } = await subscription.event(ids[0] ?? '');
    expect(_links).toBeDefined();
    expect(events[0]).toEqual(resource);
    expect((await call(subscription, 'GET')).body).toMatchObject({ total: 1, _embedded: { exports: [job] } });
  });

  it('an event is exported only once, even if it is redelivered and fails again', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const first = await fail(subscription, 2);
    await complete(subscription);
    clock.advance(DAY_MS);
    await subscription.customer.call(
      'POST',
      `/subscriptions/${subscription.id}/events/${first[0]}/redeliver`,
    );
    const store = eventStoreStub(subscription.id);
    const ref = refTo(subscription);
    const outcome = { kind: 'http_error', response: { statusCode: 302, headers: {} } } as const;
    const facts = {
      eventId: first[0] ?? '',
      acceptedAt: clock.now(),
      endpoint: 'https://x.example/',
      set: 's',
    };
    await store.settle(ref, [
      reportOf({ ...facts, result: { attempt: 2, startedAt: 1, durationMs: 1, outcome } }),
    ]);
    expect((await subscription.event(first[0] ?? '')).state).toBe('failure');
    const second = await fail(subscription, 1);
    const { events } = await download(subscription, await complete(subscription));
    expect(events.map(({ id }) => id)).toEqual(second);
  });

  it('the file of an export does not change when an event changes later', async () => {
    const subscription = await newSubscription(await newCustomer());
    const ids = await fail(subscription, 1);
    const id = await complete(subscription);
    const before = (await download(subscription, id)).events;
    const path = `/subscriptions/${subscription.id}/events/${ids[0]}/redeliver`;
    expect((await subscription.customer.call('POST', path)).status).toBe(202);
    expect((await download(subscription, id)).events).toEqual(before);
  });

  it('an export of 1,600 events takes three alarms without a wait between them and keeps the order', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const store = eventStoreStub(subscription.id);
    const ids = await fail(subscription, 1600);
    const { id } = (await call(subscription, 'POST')).body as { id: string };
    const state = async () => (await call(subscription, 'GET', `/${id}`)).body.state;
    // Contract 7: 10,000 events in under 10 s. So the next alarm is due at once.
    for (const expected of ['processing', 'processing', 'completed']) {
      const alarm = await runInDurableObject(store, (_, { storage }) => storage.getAlarm());
      expect(alarm).toBeLessThanOrEqual(clock.now());
      await runDurableObjectAlarm(store);
      expect(await state()).toBe(expected);
    }
    const { events } = await download(subscription, id);
    expect(events.map(({ id }) => id)).toEqual(ids);
  });

  it('an export holds events of the largest size', async () => {
    const subscription = await newSubscription(await newCustomer());
    const ids = await fail(subscription, 120, 'x'.repeat(80_000));
    const { events } = await download(subscription, await complete(subscription));
    expect(events.map(({ id }) => id)).toEqual(ids);
  });

  it('the summary counts failed events that are in no export as exportable', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const summary = async () =>
      (await subscription.customer.call('GET', `/subscriptions/${subscription.id}/summary`)).body;
    await fail(subscription, 2);
    expect(await summary()).toMatchObject({ failed: 2, exportable: 2 });
    await complete(subscription);
    await fail(subscription, 1);
    expect(await summary()).toMatchObject({ failed: 3, exportable: 1 });
    clock.advance(1);
  });
});

describe('the limits of exports', () => {
  it('a second export gets a 409 while the first one is active', async () => {
    const subscription = await newSubscription(await newCustomer());
    await call(subscription, 'POST');
    expect(await call(subscription, 'POST')).toMatchObject({
      status: 409,
      body: { status: 409, title: 'Conflict', details: 'Too many active exports' },
    });
  });

  it('a new export gets a 429 until 24 hours after the last one was completed', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    await complete(subscription);
    clock.advance(DAY_MS - 30_000);
    const refused = await call(subscription, 'POST');
    expect(refused).toMatchObject({ status: 429, body: { type: '/too-many-requests', status: 429 } });
    expect(refused.headers.get('retry-after')).toBe('30');
    clock.advance(30_000);
    expect((await call(subscription, 'POST')).status).toBe(202);
  });

  it('an export job is deleted after seven days', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const id = await complete(subscription);
    clock.advance(7 * DAY_MS - 1);
    expect((await call(subscription, 'GET', `/${id}`)).status).toBe(200);
    clock.advance(1);
    await runDurableObjectAlarm(eventStoreStub(subscription.id));
    expect((await call(subscription, 'GET', `/${id}`)).status).toBe(404);
  });
});

describe('canceling an export', () => {
  it('the events of a canceled export are in the next export', async () => {
    const subscription = await newSubscription(await newCustomer());
    const ids = await fail(subscription, 10_001);
    const { id } = (await call(subscription, 'POST')).body;
    await runDurableObjectAlarm(eventStoreStub(subscription.id));
    expect((await call(subscription, 'GET', `/${id}`)).body.state).toBe('processing');
    expect((await call(subscription, 'DELETE', `/${id}`)).status).toBe(204);
    expect((await call(subscription, 'GET', `/${id}`)).body.state).toBe('canceled');
    const { events } = await download(subscription, await complete(subscription));
    expect(events).toHaveLength(ids.length);
  });

  it('canceling an export calls the event store once: no list is read first', async () => {
    const subscription = await newSubscription(await newCustomer());
    const { id } = (await call(subscription, 'POST')).body;
    const list = vi.spyOn(EventStore.prototype, 'exports');
    onTestFinished(() => list.mockRestore());
    expect((await call(subscription, 'DELETE', `/${id}`)).status).toBe(204);
    expect(list).not.toHaveBeenCalled();
    await call(subscription, 'GET', `/${id}`);
    expect(list).toHaveBeenCalledOnce();
  });

  it('a hundred exports are kept: one more forgets the oldest that was canceled, and no completed one', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const store = eventStoreStub(subscription.id);
    const ref = refTo(subscription);
    const completed = await complete(subscription);
    clock.advance(DAY_MS);
    const canceled: string[] = [];
    for (let start = 0; start < 105; start++) {
      clock.advance(1);
      const started = await store.startExport(ref);
      if (started.answer !== 'started') throw new Error(started.answer);
      await store.cancelExport(started.job.id);
      canceled.push(started.job.id);
    }
    const { body } = await call(subscription, 'GET');
    const kept = body._embedded.exports.map(({ id }: { id: string }) => id);
    expect(kept).toEqual([completed, ...canceled.slice(6)]);
    expect((await call(subscription, 'GET', `/${completed}`)).body.state).toBe('completed');
    expect((await call(subscription, 'GET', `/${canceled[0]}`)).status).toBe(404);
  });

  it('an export gets a 429 while a hundred completed ones are kept, until the oldest is deleted', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const first = await complete(subscription);
    const now = clock.now();
    await runInDurableObject(eventStoreStub(subscription.id), async (_, { storage }) => {
      for (let index = 1; index < 100; index++) {
        storage.sql.exec(
          "INSERT INTO exports (id, state, created_at, updated_at, cursor, parts) VALUES (?, 'completed', ?, ?, '', 0)",
          crypto.randomUUID(),
          now,
          now,
        );
      }
    });
    clock.advance(DAY_MS);
    const refused = await call(subscription, 'POST');
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe(String((6 * DAY_MS) / 1000));
    expect(refused.body.details).toBe('At most 100 exports are kept');
    expect((await call(subscription, 'GET', `/${first}`)).status).toBe(200);
    clock.advance(6 * DAY_MS);
    expect((await call(subscription, 'POST')).status).toBe(202);
  });

  it('reading one export reads no other', async () => {
    const subscription = await newSubscription(await newCustomer());
    const id = await complete(subscription);
    expect(await eventStoreStub(subscription.id).exports(crypto.randomUUID())).toEqual([]);
    const read = vi.spyOn(EventStore.prototype, 'exports');
    onTestFinished(() => read.mockRestore());
    await call(subscription, 'GET', `/${id}`);
    await call(subscription, 'GET', `/${id}/download`);
    expect(read.mock.calls).toEqual([[id], [id]]);
  });

  it('an export gets a 409 for a download before completion and for a cancel after it', async () => {
    const subscription = await newSubscription(await newCustomer());
    const { id } = (await call(subscription, 'POST')).body;
    const early = await call(subscription, 'GET', `/${id}/download`);
    expect(early).toMatchObject({ status: 409, body: { status: 409, title: 'Conflict' } });
    await runDurableObjectAlarm(eventStoreStub(subscription.id));
    expect((await call(subscription, 'DELETE', `/${id}`)).status).toBe(409);
  });

  it('an unknown export answers 404', async () => {
    const subscription = await newSubscription(await newCustomer());
    const body = { type: '/not-found', status: 404, title: 'Not Found', details: 'Export not found' };
    for (const id of [crypto.randomUUID(), 'nonsense']) {
      expect(await call(subscription, 'DELETE', `/${id}`)).toMatchObject({ status: 404, body });
      expect(await call(subscription, 'GET', `/${id}`)).toMatchObject({ status: 404, body });
      expect(await call(subscription, 'GET', `/${id}/download`)).toMatchObject({ status: 404, body });
    }
  });
});
