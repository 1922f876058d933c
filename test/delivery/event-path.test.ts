import { env, exports } from 'cloudflare:workers';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, it, vi } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import type { PackedEvents } from '../../src/outbound/queues.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  asOperator,
  BASE_URL,
  call,
  consumeBatch,
  newCustomer,
  newSubscription,
  storeOf,
  type TestSubscription,
} from '../support/world.ts';

function newId(now: number): string {
  return newEventIds(now, 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';
}

/** Publishes one event with a known id over HTTPS. */
async function publish(subscription: TestSubscription, now: number, overrides = {}): Promise<string> {
  const id = newId(now);
  const answer = await subscription.customer.call('POST', '/events', anEvent({ id, ...overrides }));
  expect(answer.status).toBe(202);
  return id;
}

/** Waits until a delivery has this state and this number of attempts. */
async function untilState(subscription: TestSubscription, id: string, state: string, attempts: number) {
  return await until(async () => {
    const event = await subscription.event(id);
    return event.state === state && event.attempts === attempts && event;
  }, `${state} after ${attempts} attempts`);
}

/** Moves the clock to the next attempt and rings the alarm. */
async function nextAttempt(clock: HeldClock, subscription: TestSubscription, waitMs: number): Promise<void> {
  clock.advance(waitMs);
  await subscription.ring();
}

const attributes = ['givenName', 'primaryAddress.city'];

describe('an event published over HTTPS', () => {
  it('an event reaches each listener subscribed to its type, as a SET that verifies by the JWKS', async () => {
    const customer = await newCustomer();
    const all = await newSubscription(customer);
    const updates = await newSubscription(customer, { events: ['entityUpdated'] });
    const none = await newSubscription(customer, { events: [] });
    const ids = [
      await publish(all, Date.now()),
      await publish(all, Date.now(), { type: 'entityUpdated', attributes }),
      await publish(all, Date.now(), { type: 'entityDeleted' }),
    ];
    for (const id of ids) await untilState(all, id, 'success', 1);
    await untilState(updates, ids[1] ?? '', 'success', 1);
    expect(await updates.events()).toHaveLength(1);
    expect(await none.events()).toEqual([]);

    const jwks = createLocalJWKSet((await call('GET', `/${customer.id}/login/jwk`)).body);
    const calls = await all.listener.calls();
    expect(calls).toHaveLength(3);
    const types = await Promise.all(
      calls.map(async ({ body }) => {
        const { payload } = await jwtVerify(body, jwks, {
          issuer: `${BASE_URL}/${customer.id}/webhooks`,
          audience: all.listener.endpoint,
          typ: 'secevent+jwt',
        });
        return Object.keys(payload['events'] as object)[0];
      }),
    );
    expect(types.sort()).toEqual(['entityCreated', 'entityDeleted', 'entityUpdated']);
    expect(await none.listener.calls()).toEqual([]);
  });

  it('an event does not reach the subscription of another customer', async () => {
    const ours = await newSubscription(await newCustomer());
    const theirs = await newSubscription(await newCustomer());
    await untilState(ours, await publish(ours, Date.now()), 'success', 1);
    expect(await theirs.events()).toEqual([]);
  });

  it('an event shows its SET exactly as the listener got it', async () => {
    const subscription = await newSubscription(await newCustomer());
    const event = await untilState(subscription, await publish(subscription, Date.now()), 'success', 1);
    const [received] = await subscription.listener.calls();
    expect(event.request.payload).toBe(received?.body);
    expect(event.request.headers['Content-Length']).toBe(received?.headers['content-length']);
  });
});

describe('an event that was held', () => {
  it('a held event is signed when it is sent, with the key of its arrival, and shows what the listener got', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const { customer, listener } = subscription;
    await listener.script(...Array.from({ length: 5 }, () => ({ status: 503 })), { status: 200 });
    for (let index = 0; index < 5; index++)
      await untilState(subscription, await publish(subscription, clock.now()), 'awaiting-retry', 1);
    const jwks = createLocalJWKSet((await call('GET', `/${customer.id}/login/jwk`)).body);
    const id = await publish(subscription, clock.now());
    const held = await untilState(subscription, id, 'awaiting-executing', 0);
    await asOperator('POST', `/customers/${customer.id}/signing-keys/rotate`);
    for (let step = 0; step < 3; step++) {
      await nextAttempt(clock, subscription, 3000);
      await until(
        async () => (await subscription.events()).every(({ state }) => state !== 'executing'),
        'results',
      );
    }
    const sent = await untilState(subscription, id, 'success', 1);
    const bodies = (await listener.calls()).map(({ body }) => body);
    expect(bodies).toContain(sent.request.payload);
    expect(sent.request.payload).toBe(held.request.payload);
    // The key set was read before the rotation.
    const { payload } = await jwtVerify(sent.request.payload, jwks, { audience: listener.endpoint });
    expect(JSON.stringify(payload)).toContain(id);
  });
});

describe('an attempt that fails by our fault', () => {
  it('an event whose first request the platform stops is delivered by attempt 1, and its log line says what happened', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const warned = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const real = globalThis.fetch;
    const fetching = vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
      if (String(input) !== subscription.listener.endpoint) return await real(input, init);
      throw new Error('Too many subrequests by single Worker invocation.');
    });
    const id = await publish(subscription, clock.now());
    await untilState(subscription, id, 'awaiting-executing', 0);
    fetching.mockRestore();
    const line = await until(
      async () => warned.mock.calls.map(([text]) => String(text)).find((text) => text.includes(id)),
      'the log line',
    );
    warned.mockRestore();
    expect(JSON.parse(line)).toMatchObject({
      event: 'attempt',
      attempt: 1,
      outcome: 'our_fault',
      reason: 'our fault: the platform stopped the request',
      state: 'awaiting-executing',
      attempts: 0,
      nextAttemptAt: new Date(clock.now() + 5000).toISOString(),
    });
    expect(await subscription.listener.calls()).toEqual([]);

    await nextAttempt(clock, subscription, 5000);
    await untilState(subscription, id, 'success', 1);
    const history = await subscription.history(id);
    expect(history.map(({ state, attempts }) => `${state} ${attempts}`)).toEqual([
      'awaiting-executing 0',
      'executing 1',
      'success 1',
    ]);
  });
});

describe('retries', () => {
  it('a delivery that gets 503, 503, 200 waits by the schedule, and its history shows it', async () => {
    const clock = holdClock();
    const answers = [{ status: 503 }, { status: 503 }, { status: 200 }];
    const subscription = await newSubscription(await newCustomer(), { answers });
    const id = await publish(subscription, clock.now());
    await untilState(subscription, id, 'awaiting-retry', 1);
    await nextAttempt(clock, subscription, 3000);
    await untilState(subscription, id, 'awaiting-retry', 2);
    await nextAttempt(clock, subscription, 30_000);
    await untilState(subscription, id, 'success', 3);

    const history = await subscription.history(id);
    expect(history.map(({ state, attempts }) => `${state} ${attempts}`)).toEqual([
      'awaiting-executing 0',
      'executing 1',
      'awaiting-retry 1',
      'executing 2',
      'awaiting-retry 2',
      'executing 3',
      'success 3',
    ]);
    const at = history.map(({ createdAt }) => Date.parse(createdAt));
    expect((at[3] ?? 0) - (at[2] ?? 0)).toBe(3000);
    expect((at[5] ?? 0) - (at[4] ?? 0)).toBe(30_000);
    expect(history[2]).toMatchObject({ reason: 'HTTP 503', response: { statusCode: 503 } });
    expect(Date.parse(history[2].nextAttemptAt)).toBe((at[2] ?? 0) + 3000);
    const calls = await subscription.listener.calls();
    expect(new Set(calls.map(({ body }) => body)).size).toBe(1);
    expect(calls).toHaveLength(3);
  });

  it('a delivery that keeps failing is a failure after six attempts over the whole schedule', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 500 }] });
    const id = await publish(subscription, clock.now());
    const waits = [3_000, 30_000, 300_000, 3_600_000, 86_400_000];
    for (const [index, wait] of waits.entries()) {
      await untilState(subscription, id, 'awaiting-retry', index + 1);
      await nextAttempt(clock, subscription, wait - 1);
      expect((await subscription.event(id)).state).toBe('awaiting-retry');
      await nextAttempt(clock, subscription, 1);
    }
    const event = await untilState(subscription, id, 'failure', 6);
    expect(event.nextAttemptAt).toBeUndefined();
    expect(await subscription.listener.calls()).toHaveLength(6);
    clock.advance(86_400_000);
    await subscription.ring();
    expect((await subscription.event(id)).attempts).toBe(6);
  });

  it.each([301, 302, 304, 307])('a delivery that got a %i is a failure at once', async (status) => {
    const answers = [{ status, headers: { location: 'http://127.0.0.1:1/elsewhere' } }];
    const subscription = await newSubscription(await newCustomer(), { answers });
    const id = await publish(subscription, Date.now());
    const event = await untilState(subscription, id, 'failure', 1);
    expect(event.response.statusCode).toBe(status);
    expect(await subscription.listener.calls()).toHaveLength(1);
  });

  it('a retry waits as long as Retry-After asks', async () => {
    const clock = holdClock();
    const answers = [{ status: 429, headers: { 'retry-after': '120' } }, {}];
    const subscription = await newSubscription(await newCustomer(), { answers });
    const id = await publish(subscription, clock.now());
    const event = await untilState(subscription, id, 'awaiting-retry', 1);
    expect(Date.parse(event.nextAttemptAt)).toBe(clock.now() + 120_000);
  });

  it('a delivery that timed out waits for a retry and shows an error, not a response', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ manner: 'hang' }] });
    const message = { body: { ...anEvent(), customerId: customer.id } };
    await consumeBatch('events', [message], { ...env, ATTEMPT_TIMEOUT_SECONDS: '1' });
    const [event] = await subscription.events();
    expect(event).toMatchObject({ state: 'awaiting-retry', attempts: 1 });
    expect(event.error).toEqual({ code: 'timed_out', message: 'no answer within 1 s' });
    expect(event.response).toBeUndefined();
    await subscription.listener.release();
  });
});

describe('an event id published twice', () => {
  it('an event id published again over HTTPS, RPC or the queue is delivered once', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const id = newId(Date.now());
    const event = anEvent({ id });
    await customer.call('POST', '/events', event);
    await untilState(subscription, id, 'success', 1);
    await customer.call('POST', '/events', event);
    await exports.Publisher.publish({ ...event, customerId: customer.id });
    await env.EVENTS.send({ ...event, customerId: customer.id });
    const fence = await publish(subscription, Date.now());
    await untilState(subscription, fence, 'success', 1);
    const last = await consumeBatch('events', [{ body: { ...event, customerId: customer.id } }]);
    expect(last.acked).toHaveLength(1);
    expect(await subscription.events()).toHaveLength(2);
    expect(await subscription.listener.calls()).toHaveLength(2);
  });

  it('a second message of an event sends nothing while the first attempt hangs', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ manner: 'hang' }] });
    const id = newId(Date.now());
    const message = { body: { ...anEvent({ id }), customerId: customer.id } };
    const first = consumeBatch('events', [message]);
    // The store learns of the attempt while the listener hangs; the message needs the consumer no more.
    await untilState(subscription, id, 'executing', 1);
    expect((await consumeBatch('events', [message])).acked).toHaveLength(1);
    await subscription.listener.release();
    expect((await first).acked).toHaveLength(1);
    await untilState(subscription, id, 'success', 1);
    expect(await subscription.listener.calls()).toHaveLength(1);
  });

  it('an event that comes twice in a batch is attempted once', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const event = { ...anEvent({ id: newId(Date.now()) }), customerId: customer.id };
    const { acked } = await consumeBatch('events', [{ body: event }, { body: [event, event] }]);
    expect(acked).toHaveLength(2);
    expect(await subscription.listener.calls()).toHaveLength(1);
  });
});

describe('a message straight from a producer', () => {
  it('a message without event ids yields the same events when the queue brings it again', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const body = [1, 2].map(() => ({ ...anEvent(), customerId: customer.id }));
    const message = { id: 'message-1', timestamp: Date.now(), body };
    await consumeBatch('events', [message]);
    await consumeBatch('events', [{ ...message, attempts: 2 }]);
    expect(await subscription.events()).toHaveLength(2);
    expect(await subscription.listener.calls()).toHaveLength(2);
  });

  it('an event from a queue message is accepted at the timestamp of the message', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const timestamp = Date.now() - 3_600_000;
    await consumeBatch('events', [{ timestamp, body: { ...anEvent(), customerId: customer.id } }]);
    const [event] = await subscription.events();
    expect(Date.parse(event.createdAt)).toBe(timestamp);
  });
});

describe('acknowledgement', () => {
  it('a message is acknowledged only after settle, and returns to the queue while the store is away', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const body = { ...anEvent({ id: newId(Date.now()) }), customerId: customer.id };
    const message = { body, timestamp: Date.now() };
    const away = { ...env, EVENT_STORE: brokenStores('settle') };
    const first = await consumeBatch('events', [message], away);
    expect(first).toMatchObject({ acked: [], retried: [{ delaySeconds: 2 }] });
    expect(await subscription.listener.calls()).toHaveLength(1);
    expect(await subscription.events()).toEqual([]);
    // The claim of the first consumer is still valid, so the second consumer waits until it lapses.
    const clock = holdClock();
    clock.advance(120_000);
    expect((await consumeBatch('events', [message])).acked).toHaveLength(1);
    const calls = await subscription.listener.calls();
    expect(calls.map(({ body }) => body)).toEqual([calls[0]?.body, calls[0]?.body]);
  });

  it('a message returns to the queue while D1 is away, each time for longer', async () => {
    const customer = await newCustomer();
    const body = { ...anEvent(), customerId: customer.id };
    const DB = {
      prepare: () => fail('D1_ERROR: away'),
      batch: () => fail('D1_ERROR: away'),
    } as unknown as D1Database;
    const waits: (number | undefined)[] = [];
    for (const attempts of [1, 2, 3, 9, 10, 50]) {
      const { retried } = await consumeBatch('events', [{ body, attempts }], { ...env, DB });
      waits.push(retried[0]?.delaySeconds);
    }
    expect(waits).toEqual([2, 4, 8, 512, 900, 900]);
  });

  it('a message returns to the queue while the configuration is wrong', async () => {
    const customer = await newCustomer();
    const message = { body: { ...anEvent(), customerId: customer.id } };
    const { acked, retried } = await consumeBatch('events', [message], { ...env, RETENTION_DAYS: 'a week' });
    expect(acked).toEqual([]);
    expect(retried).toHaveLength(1);
  });

  it('a message is acknowledged although another one in its batch fails', async () => {
    const broken = await newCustomer();
    const healthy = await newCustomer();
    const [lost, kept] = [await newSubscription(broken), await newSubscription(healthy)];
    await env.DB.prepare('UPDATE signing_keys SET sealed_private_key = ? WHERE customer_id = ?')
      .bind('x', broken.id)
      .run();
    const { acked, retried } = await consumeBatch('events', [
      { id: 'broken', body: { ...anEvent(), customerId: broken.id } },
      { id: 'healthy', body: { ...anEvent(), customerId: healthy.id } },
    ]);
    expect(acked).toEqual(['healthy']);
    expect(retried.map(({ msgId }) => msgId)).toEqual(['broken']);
    expect(await lost.events()).toEqual([]);
    expect(await kept.listener.calls()).toHaveLength(1);
  });
});

describe('a disabled subscription', () => {
  it('a disabled subscription stores its events as failures at once and sends nothing', async () => {
    const subscription = await newSubscription(await newCustomer(), { enabled: false });
    const id = await publish(subscription, Date.now());
    const event = await untilState(subscription, id, 'failure', 0);
    expect(event.response).toBeUndefined();
    expect((await subscription.history(id)).at(-1)).toMatchObject({ reason: 'subscription disabled' });
    expect(await subscription.listener.calls()).toEqual([]);
  });
});

describe('a publish of many events for many subscriptions', () => {
  it('250 events for 8 subscriptions all succeed at the first attempt', async () => {
    const customer = await newCustomer();
    const subscriptions = await Promise.all(Array.from({ length: 8 }, () => newSubscription(customer)));
    const events = Array.from({ length: 250 }, () => anEvent());
    await customer.call('POST', '/events', events);
    for (const subscription of subscriptions) {
      await until(
        async () => (await storeOf(subscription).total()) === 250,
        'all events of one subscription',
      );
      const all = await storeOf(subscription).list({ limit: 250 });
      expect(new Set(all.map(({ state, attempts }) => `${state} ${attempts}`))).toEqual(
        new Set(['success 1']),
      );
    }
  });
});

describe('a listener that does not answer', () => {
  it('events behind a hanging request are sent on, and reach the listener once it answers', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ manner: 'hang' }, {}] });
    const ids = newEventIds(Date.now(), 3, crypto.getRandomValues(new Uint8Array(16)));
    const body = ids.map((id) => ({ ...anEvent({ id }), customerId: customer.id }));
    const batch = consumeBatch('events', [{ body }]);
    await untilState(subscription, ids[0] ?? '', 'executing', 1);
    expect(await subscription.listener.calls()).toHaveLength(1);
    await subscription.listener.release();
    expect(await batch).toMatchObject({ acked: [expect.any(String)], retried: [] });
    for (const id of ids) await untilState(subscription, id, 'success', 1);
    expect(await subscription.listener.calls()).toHaveLength(3);
  });

  it('new events are stored and sent a few at a time once two requests have had no answer for two seconds', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const answers = [{ manner: 'hang' } as const, { manner: 'hang' } as const, {}];
    const subscription = await newSubscription(customer, { answers });
    const [one = '', two = '', next = ''] = newEventIds(
      clock.now(),
      3,
      crypto.getRandomValues(new Uint8Array(16)),
    );
    const messageOf = (id: string) => ({ body: { ...anEvent({ id }), customerId: customer.id } });
    const hanging: Promise<unknown>[] = [];
    for (const id of [one, two]) {
      hanging.push(consumeBatch('events', [messageOf(id)]));
      await untilState(subscription, id, 'executing', 1);
    }
    clock.advance(2000);
    expect((await consumeBatch('events', [messageOf(next)])).acked).toHaveLength(1);
    expect((await storeOf(subscription).read(next))?.state).toBe('awaiting-executing');
    expect(await subscription.listener.calls()).toHaveLength(2);
    await subscription.listener.release();
    await Promise.all(hanging);
    await subscription.ring();
    await untilState(subscription, next, 'success', 1);
  });
});

describe('an event that comes in two messages of a batch', () => {
  it('the rest of each message keeps its own time of acceptance', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ manner: 'hang' }, {}] });
    const [x = '', y = '', z = ''] = newEventIds(Date.now(), 3, crypto.getRandomValues(new Uint8Array(16)));
    const bodyOf = (...ids: string[]) => ids.map((id) => ({ ...anEvent({ id }), customerId: customer.id }));
    const sent: PackedEvents[] = [];
    const EVENTS = {
      sendBatch: async (messages: Iterable<MessageSendRequest<unknown>>) => {
        for (const { body } of messages) sent.push(body as PackedEvents);
      },
    } as unknown as Queue<unknown>;
    const [earlier, later] = [Date.now() - 60_000, Date.now()];
    const batch = consumeBatch(
      'events',
      [
        { timestamp: earlier, body: bodyOf(x, y) },
        { timestamp: later, body: bodyOf(y, z) },
      ],
      { ...env, EVENTS },
    );
    await until(async () => sent.length === 2, 'the rests of both messages');
    await subscription.listener.release();
    await batch;
    const rests = sent.map(({ acceptedAt, events }) => [acceptedAt, events.map(([id]) => id)]);
    expect(rests.toSorted()).toEqual([
      [earlier, [y]],
      [later, [y, z]],
    ]);
  });
});

describe('a wide message', () => {
  it('a message for many subscriptions is split, and each delivery is made once', async () => {
    const customer = await newCustomer();
    const subscriptions = await Promise.all(Array.from({ length: 5 }, () => newSubscription(customer)));
    const ids = newEventIds(Date.now(), 100, crypto.getRandomValues(new Uint8Array(16)));
    const body = ids.map((id) => ({ ...anEvent({ id }), customerId: customer.id }));
    const slices: unknown[] = [];
    const SLICES = {
      sendBatch: async (messages: Iterable<MessageSendRequest<unknown>>) => {
        for (const message of messages) slices.push(message.body);
        await env.SLICES.sendBatch(messages);
      },
    } as unknown as Queue<unknown>;
    const { acked } = await consumeBatch('events', [{ body }], { ...env, SLICES });
    expect(acked).toHaveLength(1);
    expect(slices).toHaveLength(5);
    for (const subscription of subscriptions) {
      await until(async () => (await storeOf(subscription).total()) === 100, 'all events of a subscription');
      const calls = await subscription.listener.calls();
      expect(new Set(calls.map(({ body }) => body)).size).toBe(100);
      expect(calls).toHaveLength(100);
    }
  });
});

/** The event stores, except that one method rejects. */
function brokenStores(method: string): typeof env.EVENT_STORE {
  return new Proxy(env.EVENT_STORE, {
    get: (namespace, name) =>
      name === 'get'
        ? (id: DurableObjectId) =>
            new Proxy(namespace.get(id), {
              get: (stub, property) =>
                property === method
                  ? () => Promise.reject(new Error('the object is away'))
                  : Reflect.get(stub, property),
            })
        : (Reflect.get(namespace, name) as () => unknown).bind(namespace),
  });
}

function fail(message: string): never {
  throw new Error(message);
}
