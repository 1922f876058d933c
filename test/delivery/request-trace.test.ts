/** One request id runs from the call that publishes an event to each log line about the event (contract 10.5). */
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { recordResult } from '../../src/domain/delivery.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { toEntry } from '../../src/event-store/deliveries/packing.ts';
import { PackedEvents } from '../../src/outbound/queues.ts';
import { Publisher } from '../../src/publisher.ts';
import { createServices } from '../../src/services.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { listDeadLetters } from '../../src/storage/dead-letters.ts';
import { holdClock } from '../support/clock.ts';
import { aSet, FACTS } from '../support/delivery-fixtures.ts';
import { environmentWith, newIsolate } from '../support/requests.ts';
import { ok } from '../support/store-bench.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  consumeBatch,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

const TRACING = { TRACE_REQUESTS: 'true' };

type Line = Readonly<Record<string, unknown>>;
let logged: () => Line[];

beforeEach(() => {
  const spies = (['info', 'warn'] as const).map((level) =>
    vi.spyOn(console, level).mockImplementation(() => undefined),
  );
  logged = () => spies.flatMap((spy) => spy.mock.calls.map(([text]) => JSON.parse(String(text)) as Line));
});
afterEach(() => vi.restoreAllMocks());

/** The lines `attempt` of an event: attempt number and request id. */
function attemptsOf(eventId: string): [unknown, unknown][] {
  return logged()
    .filter((line) => line['event'] === 'attempt' && line['eventId'] === eventId)
    .map((line) => [line['attempt'], line['requestId']]);
}

async function untilAttempts(eventId: string, count: number): Promise<[unknown, unknown][]> {
  return await until(async () => {
    const lines = attemptsOf(eventId);
    return lines.length >= count && lines;
  }, `${count} attempts`);
}

function newId(): string {
  return newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';
}

/** Publishes one event over HTTPS. The variable is set for the call alone: the consumers of the tests run with the default. */
async function publishTraced({ customer }: TestSubscription): Promise<{ id: string; requestId: string }> {
  const id = newId();
  const options = { token: customer.token, body: anEvent({ id }) };
  const answer = newIsolate(environmentWith(TRACING));
  const { status, headers } = await answer('POST', `/${customer.id}/webhooks/events`, options);
  expect(status).toBe(202);
  return { id, requestId: headers.get('x-request-id') ?? '' };
}

/** Records what is sent to a queue. */
class Recorder {
  readonly bodies: unknown[] = [];
  readonly binding = {
    sendBatch: async (messages: Iterable<MessageSendRequest<unknown>>) => {
      this.bodies.push(...[...messages].map(({ body }) => body));
    },
  } as unknown as Queue<unknown>;
}

function packed({ id }: Pick<TestCustomer, 'id'>, more: Record<string, unknown> = {}, eventId = newId()) {
  const { captureApplicationId, captureClientId, entityType, sub } = anEvent();
  const event = [
    eventId,
    'entityCreated',
    null,
    captureApplicationId,
    captureClientId,
    entityType,
    sub,
    null,
    null,
  ];
  return { packed: 1, customerId: id, acceptedAt: Date.now(), events: [event], ...more };
}

describe('the request id of a publish', () => {
  it('each attempt of an event names the request that published it, from the first one to the last', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 500 }] });
    const { id, requestId } = await publishTraced(subscription);
    const waits = [3_000, 30_000, 300_000, 3_600_000, 86_400_000];
    for (const [index, wait] of waits.entries()) {
      await untilAttempts(id, index + 1);
      clock.advance(wait);
      await subscription.ring();
    }
    const lines = await untilAttempts(id, 6);
    expect(lines).toEqual([1, 2, 3, 4, 5, 6].map((attempt) => [attempt, requestId]));
    // A new run keeps the request of the event. The audit trail has that of the redelivery.
    await subscription.customer.call('POST', `/subscriptions/${subscription.id}/events/${id}/redeliver`);
    await subscription.ring();
    expect((await untilAttempts(id, 7)).at(-1)).toEqual([7, requestId]);
  });

  it('held events name their own requests when they are sent as probes, and when they are released', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 500 }] });
    const { customer, listener } = subscription;
    for (let index = 0; index < 5; index++) await untilAttempts((await publishTraced(subscription)).id, 1);
    const held: { id: string; requestId: string }[] = [];
    for (let index = 0; index < 4; index++) held.push(await publishTraced(subscription));
    const states = () => Promise.all(held.map(async ({ id }) => (await subscription.event(id)).state));
    await until(async () => (await states()).every((state) => state === 'awaiting-executing'), 'held events');
    const sent = () => held.filter(({ id }) => attemptsOf(id).length > 0);
    const ringUntil = async (isDone: () => boolean) => {
      for (let step = 0; !isDone() && step < 60; step++) {
        clock.advance(3_000);
        await subscription.ring();
        const isExecuting = async () =>
          (await subscription.events()).some(({ state }) => state === 'executing');
        await until(async () => !(await isExecuting()), 'results');
      }
    };
    await ringUntil(() => sent().length > 0);
    const { health } = (await customer.call('GET', `/subscriptions/${subscription.id}`)).body;
    expect(health.state).toBe('failing');
    const probes = sent().length;
    expect(probes).toBeLessThan(3);
    // One success makes the endpoint healthy. The listener refuses what is released after it, so each attempt has a line.
    await listener.script({ status: 200 }, { status: 500 });
    await ringUntil(() => sent().length >= 3);
    expect(sent().length).toBeGreaterThanOrEqual(3);
    for (const { id, requestId } of sent())
      for (const [, logged] of attemptsOf(id)) expect(logged).toBe(requestId);
  });

  it('a test notification names the call that asked for it', async () => {
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 500 }] });
    const { status, headers, body } = await subscription.customer.call(
      'POST',
      `/subscriptions/${subscription.id}/test`,
    );
    expect(status).toBe(202);
    await subscription.ring();
    expect(await untilAttempts(body.id, 1)).toEqual([[1, headers.get('x-request-id')]]);
  });

  it('a delivery that succeeded at once keeps no byte of its request', () => {
    const [eventId = ''] = newEventIds(Date.now(), 1, new Uint8Array(16));
    const facts = { ...FACTS, eventId, acceptedAt: Date.now(), set: aSet(eventId) };
    const result = { attempt: 1, startedAt: facts.acceptedAt, durationMs: 5, outcome: ok };
    const circumstances = { now: facts.acceptedAt, enabled: true, policy: { delaysMs: [] }, retentionMs: 1 };
    const delivered = (requestId: object) =>
      recordResult(undefined, { ...facts, ...requestId }, result, circumstances);
    const [without, traced] = [delivered({}), delivered({ requestId: 'a' })];
    expect(traced?.requestId).toBe('a');
    expect(without && toEntry(without)).toBeDefined();
    expect(traced && toEntry(traced)).toEqual(without && toEntry(without));
  });

  it('both paths of publishing, and the entrypoint Publisher, send their own request id', async () => {
    const customer = await newCustomer();
    const recorder = new Recorder();
    const environment = environmentWith({ ...TRACING, EVENTS: recorder.binding });
    const answer = newIsolate(environment);
    const body = JSON.stringify([anEvent(), anEvent()]);
    // The short path takes bodies of a declared length.
    const options = { token: customer.token, body, headers: { 'content-length': String(body.length) } };
    const ids: unknown[] = [];
    // The second call takes the short path.
    for (let index = 0; index < 2; index++) {
      const { headers } = await answer('POST', `/${customer.id}/webhooks/events`, options);
      ids.push(headers.get('x-request-id'));
    }
    const publisher = new Publisher({ waitUntil() {} } as unknown as ExecutionContext, environment);
    await publisher.publish(anEvent({ customerId: customer.id }));
    const sent = recorder.bodies.map((body) => PackedEvents.parse(body).requestId);
    expect(sent).toEqual([...ids, expect.stringMatching(/^[0-9a-f-]{36}$/)]);
    expect(new Set(sent).size).toBe(3);
  });

  it('no message has a request id while the variable is off, slices included', async () => {
    const customer = await newCustomer();
    const recorder = new Recorder();
    const environment = environmentWith({ EVENTS: recorder.binding, SLICES: recorder.binding });
    const options = { token: customer.token, body: anEvent() };
    await newIsolate(environment)('POST', `/${customer.id}/webhooks/events`, options);
    const publisher = new Publisher({ waitUntil() {} } as unknown as ExecutionContext, environment);
    await publisher.publish(anEvent({ customerId: customer.id }));
    const slice = packed(customer, { requestId: 'a', subscriptions: [crypto.randomUUID()] }) as never;
    const check = async () => undefined as never;
    await createServices(environment, check).delivery.sendSlices('slices', [slice], 0);
    expect(recorder.bodies).toHaveLength(3);
    for (const body of recorder.bodies) expect(body).not.toHaveProperty('requestId');
    await createServices(
      environmentWith({ ...TRACING, SLICES: recorder.binding }),
      check,
    ).delivery.sendSlices('slices', [slice], 0);
    expect(recorder.bodies.at(-1)).toMatchObject({ requestId: 'a' });
  });
});

describe('a queue message', () => {
  it('a packed message without a request id, as the version before sends it, is delivered', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ status: 500 }] });
    const id = newId();
    const { acked } = await consumeBatch('events', [{ body: packed(customer, {}, id) }], {
      ...env,
      ...TRACING,
    });
    expect(acked).toHaveLength(1);
    expect(attemptsOf(id)).toEqual([[1, undefined]]);
    expect(await subscription.listener.calls()).toHaveLength(1);
  });

  it('an event that a producer sent straight to the queue has the id of its message', async () => {
    const customer = await newCustomer();
    await newSubscription(customer, { answers: [{ status: 500 }] });
    const [id, other] = [newId(), newId()];
    await consumeBatch('events', [
      { id: '9f3ab1c0d2e44f5a8b6c7d8e9f0a1b2c', body: anEvent({ id, customerId: customer.id }) },
      {
        id: 'no id of a request',
        body: anEvent({ id: other, customerId: customer.id, requestId: 'forged' }),
      },
    ]);
    expect(attemptsOf(id)).toEqual([[1, '9f3ab1c0d2e44f5a8b6c7d8e9f0a1b2c']]);
    expect(attemptsOf(other)).toEqual([[1, undefined]]);
  });

  it.each([
    ['empty', ''],
    ['too long', 'a'.repeat(65)],
    ['two lines', 'a\n{"level":"error"}'],
    ['a number', 4711],
    ['an object', { id: 'a' }],
    ['null', null],
  ])(
    'a packed message whose request id is %s becomes one dead letter, and delivers nothing',
    async (_, requestId) => {
      const customer = await newCustomer();
      const subscription = await newSubscription(customer);
      const { acked } = await consumeBatch('events', [{ body: packed(customer, { requestId }) }]);
      expect(acked).toHaveLength(1);
      const [line, ...others] = logged().filter(({ event }) => event === 'dead letters');
      expect(line).toMatchObject({
        count: 1,
        reason: 'message not understood: requestId must be 1 to 64 ASCII letters, digits, _, - or =',
      });
      expect(line).not.toHaveProperty('requestId');
      expect(others).toEqual([]);
      expect(await subscription.listener.calls()).toEqual([]);
    },
  );

  it('dead letters of one batch have a line for each request that published them', async () => {
    const nobody = () => ({ id: crypto.randomUUID() });
    await consumeBatch('events', [
      { body: packed(nobody(), { requestId: 'first' }) },
      { body: packed(nobody(), { requestId: 'second' }) },
      { body: packed(nobody(), { requestId: 'first' }) },
      { body: packed(nobody()) },
      { body: packed(nobody()) },
    ]);
    const lines = logged().filter(({ event }) => event === 'dead letters');
    expect(lines.map(({ requestId, count }) => [requestId, count])).toEqual([
      ['first', 2],
      ['second', 1],
      [undefined, 2],
    ]);
  });

  it('a message that is given up writes its dead letters with its request, and a replay has the request of the replay', async () => {
    const customer = await newCustomer();
    const away = {
      ...env.DB,
      prepare: () => {
        throw new Error('away');
      },
      batch: async () => {
        throw new Error('away');
      },
    };
    const requestId = crypto.randomUUID();
    const letters = new Recorder();
    const id = newId();
    const message = { body: packed(customer, { requestId }, id), attempts: 101 };
    const broken = { ...env, DB: away as unknown as D1Database, DEAD_LETTERS: letters.binding };
    expect((await consumeBatch('events', [message], broken)).acked).toHaveLength(1);
    const line = logged().find(({ event }) => event === 'dead letters');
    expect(line).toMatchObject({ requestId, count: 1, reason: 'not delivered after 100 retries' });
    expect(JSON.stringify(letters.bodies)).not.toContain(requestId);

    await consumeBatch(
      'deadLetters',
      letters.bodies.map((body) => ({ body })),
    );
    const { letters: stored } = await listDeadLetters(openDatabase(env.DB), 100, 0);
    const letter = stored.find(({ body }) => body.includes(id));
    const events = new Recorder();
    const answer = newIsolate(environmentWith({ ...TRACING, EVENTS: events.binding }));
    const path = `/operator/dead-letters/${letter?.id}/replay`;
    const { status, headers } = await answer('POST', path, { token: OPERATOR_TOKEN });
    expect(status).toBe(202);
    await newSubscription(customer, { answers: [{ status: 500 }] });
    await consumeBatch(
      'events',
      events.bodies.map((body) => ({ body })),
    );
    expect(attemptsOf(id)).toEqual([[1, headers.get('x-request-id')]]);
  });
});
