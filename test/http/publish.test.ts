import { env, exports } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Fault } from '../../src/domain/errors.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import type { Env } from '../../src/env.ts';
import { PackedEvents } from '../../src/outbound/queues.ts';
import { Publisher } from '../../src/publisher.ts';
import { holdClock } from '../support/clock.ts';
import { unpackEvents } from '../support/packed.ts';
import { callIn, environmentWith, withNewToken } from '../support/requests.ts';
import { anEvent, call, getToken, newCustomer, type Reply, type TestCustomer } from '../support/world.ts';

const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let customer: TestCustomer;
beforeAll(async () => {
  customer = await newCustomer();
});

/** A queue that records what is sent to it. */
class RecordingQueue {
  readonly sends: MessageSendRequest<unknown>[][] = [];
  readonly binding = {
    sendBatch: async (messages: Iterable<MessageSendRequest<unknown>>) => {
      this.sends.push([...messages]);
    },
  } as unknown as Queue<unknown>;

  events() {
    return this.sends.flat().flatMap(({ body }) => unpackEvents(PackedEvents.parse(body)));
  }
}

const publishTo = (queue: RecordingQueue, body: unknown, token = customer.token) =>
  callIn(environmentWith({ EVENTS: queue.binding }), 'POST', `/${customer.id}/webhooks/events`, {
    token,
    body,
  });

const publish = (body: unknown) => customer.call('POST', '/events', body);
const eventIdAt = (ms: number) => newEventIds(ms, 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';

/** Publishes a body that must be refused, checks that nothing was queued, and returns the names of the faults. */
async function faultNames(body: unknown): Promise<string[]> {
  const queue = new RecordingQueue();
  const reply = await publishTo(queue, body);
  expect(reply.status).toBe(400);
  expect(reply.body).toEqual({
    type: '/validation-error',
    status: 400,
    title: 'Bad Request',
    'invalid-body-params': expect.any(Array),
  });
  expect(queue.sends).toEqual([]);
  const faults = reply.body['invalid-body-params'] as { name: string; reason: string }[];
  for (const { reason } of faults) expect(reason).toMatch(/./);
  return [...new Set(faults.map(({ name }) => name))];
}

describe('publishing over HTTPS', () => {
  it('publishing one event answers 202 with its id and type', async () => {
    const reply = await publish(anEvent());
    expect(reply.status).toBe(202);
    expect(reply.body).toEqual({
      _embedded: { events: [{ id: expect.stringMatching(UUID7), type: 'entityCreated' }] },
    });
  });

  it('publishing an array answers the ids and types in the order given', async () => {
    const [first, second] = [eventIdAt(Date.now()), eventIdAt(Date.now())];
    const reply = await publish([
      anEvent({ type: 'entityDeleted', id: second }),
      anEvent(),
      anEvent({ type: 'entityUpdated', id: first, attributes: ['givenName'] }),
    ]);
    expect(reply.status).toBe(202);
    expect(reply.body._embedded.events).toEqual([
      { id: second, type: 'entityDeleted' },
      { id: expect.stringMatching(UUID7), type: 'entityCreated' },
      { id: first, type: 'entityUpdated' },
    ]);
  });

  it('events without an id get ids of their own, in ascending order', async () => {
    const reply = await publish(Array.from({ length: 20 }, () => anEvent()));
    const ids = reply.body._embedded.events.map(({ id }: { id: string }) => id) as string[];
    expect(new Set(ids).size).toBe(20);
    expect(ids).toEqual([...ids].sort());
  });

  it('published events are queued in one send, with their time of acceptance', async () => {
    const clock = holdClock();
    const { token } = await withNewToken(customer);
    const queue = new RecordingQueue();
    const event = anEvent({
      type: 'entityUpdated',
      id: eventIdAt(clock.now()),
      occurredAt: '2026-01-31T12:00:00.5+01:00',
      globalSub: 'capture-v1://somewhere',
      attributes: ['givenName', 'primaryAddress.city'],
    });
    expect((await publishTo(queue, [event, anEvent()], token)).status).toBe(202);
    expect(queue.sends).toHaveLength(1);
    const [full, plain] = queue.events();
    expect(full).toEqual({
      ...event,
      customerId: customer.id,
      acceptedAt: clock.now(),
      occurredAt: Date.parse('2026-01-31T11:00:00.5Z'),
    });
    expect(plain).toMatchObject({ acceptedAt: clock.now(), occurredAt: clock.now() });
    expect(plain).not.toHaveProperty('attributes');
  });

  it('a given event id is echoed in lower case, and other UUIDs are lower-cased too', async () => {
    const queue = new RecordingQueue();
    const id = eventIdAt(Date.now());
    const sub = '726087EC-35DF-4041-AEC8-C11ECC208EFA';
    const reply = await publishTo(queue, anEvent({ id: id.toUpperCase(), sub }));
    expect(reply.body._embedded.events[0].id).toBe(id);
    expect(queue.events()[0]).toMatchObject({ id, sub: sub.toLowerCase() });
  });

  it.each(['00000000-0000-4000-8000-000000000000', 'nonsense', 7, null])(
    'publishing ignores the customerId %j in the body',
    async (customerId) => {
      const queue = new RecordingQueue();
      expect((await publishTo(queue, anEvent({ customerId }))).status).toBe(202);
      expect(queue.events()[0]?.customerId).toBe(customer.id);
    },
  );

  it('publishing ignores unknown keys', async () => {
    const queue = new RecordingQueue();
    expect((await publishTo(queue, anEvent({ nonsense: { deep: [1] } }))).status).toBe(202);
    expect(queue.events()[0]).not.toHaveProperty('nonsense');
  });

  it('publishing the same id again gets the same 202', async () => {
    const event = anEvent({ id: eventIdAt(Date.now()) });
    const first = await publish(event);
    const second = await publish(event);
    expect(second.status).toBe(202);
    expect(second.body).toEqual(first.body);
  });
});

describe('faults of published events', () => {
  const asText = (value: unknown) =>
    JSON.stringify(value, (_, member) => (member === undefined ? 'absent' : member)).slice(0, 60);

  const refused: [string, Record<string, unknown>][] = [
    ['type', { type: 'entityLost' }],
    ['type', { type: undefined }],
    ['type', { type: 'test' }],
    ['id', { id: 'nonsense' }],
    ['id', { id: '5b1c8e1e-8b1a-4c59-9d0a-3c1f6d0e7a11' }],
    ['id', { id: null }],
    ['occurredAt', { occurredAt: 'yesterday' }],
    ['occurredAt', { occurredAt: '2026-01-31' }],
    ['occurredAt', { occurredAt: '2026-01-31T12:00:00' }],
    ['occurredAt', { occurredAt: '2026-01-31T12:00Z' }],
    ['occurredAt', { occurredAt: '2026-02-30T12:00:00Z' }],
    ['occurredAt', { occurredAt: '2016-12-31T23:59:60Z' }],
    ['occurredAt', { occurredAt: 1_700_000_000 }],
    ['captureApplicationId', { captureApplicationId: undefined }],
    ['captureApplicationId', { captureApplicationId: '' }],
    ['captureApplicationId', { captureApplicationId: 'x'.repeat(65) }],
    ['captureClientId', { captureClientId: undefined }],
    ['captureClientId', { captureClientId: 'x'.repeat(65) }],
    ['captureClientId', { captureClientId: 7 }],
    ['entityType', { entityType: undefined }],
    ['entityType', { entityType: '' }],
    ['entityType', { entityType: 'x'.repeat(65) }],
    ['sub', { sub: undefined }],
    ['sub', { sub: 'nonsense' }],
    ['globalSub', { globalSub: 'x'.repeat(501) }],
    ['globalSub', { globalSub: 7 }],
    ['attributes', { attributes: ['givenName'] }],
    ['attributes', { attributes: [] }],
    ['attributes', { type: 'entityDeleted', attributes: ['givenName'] }],
    ['attributes', { type: 'entityUpdated' }],
    ['attributes', { type: 'entityUpdated', attributes: [] }],
    ['attributes', { type: 'entityUpdated', attributes: 'givenName' }],
    ['attributes', { type: 'entityUpdated', attributes: Array.from({ length: 501 }, () => 'a') }],
    ['attributes[1]', { type: 'entityUpdated', attributes: ['givenName', ''] }],
    ['attributes[0]', { type: 'entityUpdated', attributes: ['x'.repeat(201)] }],
    ['attributes[0]', { type: 'entityUpdated', attributes: [null] }],
  ];

  it.each(refused.map(([name, changes]) => [name, asText(changes), changes] as const))(
    'a bad event gets a 400 that names %s: %s',
    async (name, _, changes) => {
      expect(await faultNames(anEvent(changes))).toEqual([name]);
      expect(await faultNames([anEvent(), anEvent(changes)])).toEqual([`[1].${name}`]);
    },
  );

  it.each<[string, Record<string, unknown>]>([
    ['names of 64 characters', { captureApplicationId: 'x'.repeat(64), entityType: '🦊'.repeat(64) }],
    ['a globalSub of 500 characters', { globalSub: 'x'.repeat(500) }],
    ['one attribute of 200 characters', { type: 'entityUpdated', attributes: ['x'.repeat(200)] }],
    ['500 attributes', { type: 'entityUpdated', attributes: Array.from({ length: 500 }, (_, n) => `a${n}`) }],
    ['a time with an offset', { occurredAt: '2026-01-31T12:00:00+05:30' }],
    ['a time with microseconds', { occurredAt: '2026-01-31T12:00:00.123456Z' }],
  ])('a published event may have %s', async (_, changes) => {
    expect((await publish(anEvent(changes))).status).toBe(202);
  });

  it('all faults of an array are reported at once with their positions, and nothing is queued', async () => {
    const names = await faultNames([
      anEvent(),
      anEvent({ sub: 'x', entityType: '' }),
      'no event',
      anEvent({ type: 'entityUpdated' }),
    ]);
    expect(names.sort()).toEqual(['[1].entityType', '[1].sub', '[2]', '[3].attributes']);
  });

  const faultyAttributes = (count: number) =>
    anEvent({ type: 'entityUpdated', attributes: Array.from({ length: count }, () => '') });
  const namesOfAttributes = (count: number) =>
    Array.from({ length: count }, (_, index) => `[0].attributes[${index}]`);

  it('an answer names the first 100 of more faults, and says how many others there are at least', async () => {
    const whole = (await publish([faultyAttributes(100)])).body['invalid-body-params'] as Fault[];
    expect(whole.map(({ name }) => name)).toEqual(namesOfAttributes(100));
    const cut = (await publish([faultyAttributes(300)])).body['invalid-body-params'] as Fault[];
    expect(cut.map(({ name }) => name)).toEqual([...namesOfAttributes(100), 'body']);
    expect(cut[100]?.reason).toBe('has at least 200 more faults');
  });

  it('events after the first 100 faults are not judged, over HTTPS and by RPC', async () => {
    const many = Array.from({ length: 400 }, () => ({ ...faultyAttributes(80), customerId: customer.id }));
    const expected = { name: 'body', reason: 'has at least 60 more faults' };
    const { body } = await publish(many);
    expect(body['invalid-body-params']).toHaveLength(101);
    expect(body['invalid-body-params'][100]).toEqual(expected);
    const error: unknown = await exports.Publisher.publish(many).catch((reason: unknown) => reason);
    const faults = JSON.parse((error as Error).message) as Fault[];
    expect(faults).toHaveLength(101);
    expect(faults[100]).toEqual(expected);
  });

  it('all faults of one event are reported at once', async () => {
    const names = await faultNames(
      anEvent({ sub: 'x', entityType: '', captureClientId: 1, attributes: ['a'] }),
    );
    expect(names.sort()).toEqual(['attributes', 'captureClientId', 'entityType', 'sub']);
  });

  it('a wrong type does not hide the other faults of an event', async () => {
    const names = await faultNames(anEvent({ type: 'entityLost', sub: 'x' }));
    expect(names.sort()).toEqual(['sub', 'type']);
  });

  it('an event id whose time is out of range is reported together with the other faults', async () => {
    const late = eventIdAt(Date.now() - 2 * 86_400_000);
    const names = await faultNames([anEvent({ id: late, sub: 'x' })]);
    expect(names.sort()).toEqual(['[0].id', '[0].sub']);
  });

  it.each([['"text"'], ['7'], ['null'], ['true']])(
    'the body %s is not an event and gets a 400',
    async (text) => {
      expect(await faultNames(text)).toHaveLength(1);
    },
  );

  it('an event of more than 60,000 bytes is refused by its position', async () => {
    const padded = (bytes: number) => {
      const bare = JSON.stringify(anEvent({ padding: '' })).length;
      return anEvent({ padding: 'x'.repeat(bytes - bare) });
    };
    expect(JSON.stringify(padded(60_000))).toHaveLength(60_000);
    expect((await publish(padded(60_000))).status).toBe(202);
    expect(await faultNames([anEvent(), padded(60_001)])).toEqual(['[1]']);
  });
});

describe('the size of a publish', () => {
  it('a publish may have 500 events', async () => {
    const queue = new RecordingQueue();
    const reply = await publishTo(
      queue,
      Array.from({ length: 500 }, () => anEvent()),
    );
    expect(reply.status).toBe(202);
    expect(reply.body._embedded.events).toHaveLength(500);
    expect(queue.sends).toHaveLength(1);
    expect(queue.events().map(({ id }) => id)).toEqual(
      reply.body._embedded.events.map(({ id }: { id: string }) => id),
    );
  });

  it('a publish with 501 events, or with no event, is refused', async () => {
    expect(await faultNames(Array.from({ length: 501 }, () => anEvent({ sub: 's' })))).toHaveLength(1);
    expect(await faultNames([])).toHaveLength(1);
  });

  it('a publish of 240,000 bytes is accepted and is a single send to the queue', async () => {
    const queue = new RecordingQueue();
    const events = Array.from({ length: 500 }, () => anEvent());
    const bare = JSON.stringify(events).length;
    expect((await publishTo(queue, JSON.stringify(events) + ' '.repeat(240_000 - bare))).status).toBe(202);
    expect(queue.sends).toHaveLength(1);
  });

  it('240,000 bytes of attributes fit into one send within the limits of the platform', async () => {
    const queue = new RecordingQueue();
    const wide = (length: number) =>
      anEvent({ type: 'entityUpdated', attributes: Array.from({ length }, () => '\u0001'.repeat(30)) });
    const events = [wide(300), wide(300), wide(300), wide(300)];
    expect(JSON.stringify(events).length).toBeGreaterThan(215_000);
    expect((await publishTo(queue, events)).status).toBe(202);
    expect(queue.sends).toHaveLength(1);
    const sizes = queue.sends.flat().map(({ body }) => JSON.stringify(body).length);
    expect(Math.max(...sizes)).toBeLessThan(128_000);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(256_000);
  });

  it('a publish of more than 240,000 bytes gets a 413 that says to split it', async () => {
    const queue = new RecordingQueue();
    const reply = await publishTo(queue, `${JSON.stringify([anEvent()])}${' '.repeat(240_000)}`);
    expect(reply.status).toBe(413);
    expect(reply.body).toEqual({
      type: '/payload-too-large',
      status: 413,
      title: 'Payload Too Large',
      details: expect.stringMatching(/240000.*split/),
    });
    expect(queue.sends).toEqual([]);
  });
});

describe('the time in an event id', () => {
  const at = async (offsetMs: number) => {
    const clock = holdClock();
    const fresh = await withNewToken(customer);
    return await fresh.call('POST', '/events', anEvent({ id: eventIdAt(clock.now() + offsetMs) }));
  };

  it('the time in an event id may be 24 h before or 5 min after acceptance', async () => {
    expect((await at(-86_400_000)).status).toBe(202);
    expect((await at(300_000)).status).toBe(202);
  });

  it('an event id more than 24 h before or 5 min after acceptance is refused', async () => {
    for (const offset of [-86_400_001, 300_001]) {
      const reply = await at(offset);
      expect(reply.status).toBe(400);
      expect(reply.body['invalid-body-params']).toEqual([{ name: 'id', reason: expect.any(String) }]);
    }
  });
});

describe('the scope of a token for publishing', () => {
  it('a token with scope POST:webhooks/events allows publishing and nothing else', async () => {
    const reply = await getToken(
      customer.id,
      customer.clientId,
      customer.clientSecret,
      'POST:webhooks/events',
    );
    const token = reply.body.access_token as string;
    const status = async (method: string, path: string, body?: unknown) =>
      (
        await call(method, `/${customer.id}/webhooks${path}`, {
          token,
          ...(body === undefined ? {} : { body }),
        })
      ).status;
    expect(await status('POST', '/events', anEvent())).toBe(202);
    expect(await status('GET', '/events')).toBe(403);
    expect(await status('GET', '/subscriptions')).toBe(403);
    expect(await status('POST', '/subscriptions', {})).toBe(403);
    expect(await status('POST', '/events/more', anEvent())).toBe(403);
  });

  it('publishing without its scope gets a 403 and queues nothing', async () => {
    const queue = new RecordingQueue();
    const environment = environmentWith({ EVENTS: queue.binding });
    const path = `/${customer.id}/webhooks/events`;
    const scope = 'GET:webhooks/** *:webhooks/subscriptions/**';
    const reply = await getToken(customer.id, customer.clientId, customer.clientSecret, scope);
    for (const options of [{}, { token: reply.body.access_token as string }]) {
      const refused = await callIn(environment, 'POST', path, { ...options, body: anEvent() });
      expect(refused.status).toBe(403);
      expect(refused.body).toEqual({ errors: 'Forbidden' });
    }
    expect(queue.sends).toEqual([]);
  });
});

describe('publishing while the queue fails', () => {
  const away = (): Env =>
    environmentWith({
      EVENTS: {
        sendBatch: async () => {
          throw new Error('Queue sendBatch failed: inner detail 4711');
        },
      } as unknown as Queue<unknown>,
    });
  const attempt = async (body: unknown): Promise<Reply> => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {});
    try {
      return await callIn(away(), 'POST', `/${customer.id}/webhooks/events`, { token: customer.token, body });
    } finally {
      log.mockRestore();
    }
  };

  it('publishing gets a 503 with Retry-After and no inner detail while the queue fails', async () => {
    const reply = await attempt(anEvent());
    expect(reply.status).toBe(503);
    expect(reply.body).toEqual({
      type: '/service-unavailable',
      status: 503,
      title: 'Service Unavailable',
      details: expect.any(String),
    });
    expect(reply.body.details).not.toContain('4711');
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('a bad event gets a 400 even while the queue fails', async () => {
    expect((await attempt(anEvent({ sub: 'x' }))).status).toBe(400);
  });
});

describe('the entrypoint Publisher', () => {
  const publisher = exports.Publisher;
  const ownEvent = (changes: Record<string, unknown> = {}) =>
    anEvent({ customerId: customer.id, ...changes });

  it('Publisher.publish resolves to the ids in the order given', async () => {
    const id = eventIdAt(Date.now());
    const ids = await publisher.publish([ownEvent(), ownEvent({ id: id.toUpperCase() })]);
    expect(ids).toEqual([expect.stringMatching(UUID7), id]);
  });

  it('Publisher.publish accepts a single event', async () => {
    expect(await publisher.publish(ownEvent())).toHaveLength(1);
  });

  it('Publisher.publish rejects with the list of faults, each with its position', async () => {
    const error = await publisher
      .publish([ownEvent(), anEvent(), ownEvent({ sub: 'x', customerId: 'x' })])
      .then(() => undefined)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    const faults = JSON.parse((error as Error).message) as { name: string; reason: string }[];
    expect(faults.map(({ name }) => name).sort()).toEqual(['[1].customerId', '[2].customerId', '[2].sub']);
  });

  it('Publisher.publish names a hole in an array as a fault', async () => {
    const events = [ownEvent(), ownEvent(), ownEvent()];
    delete events[1];
    const error: unknown = await publisher.publish(events).catch((reason: unknown) => reason);
    expect(JSON.parse((error as Error).message)).toEqual([
      { name: '[1]', reason: expect.stringContaining('must be an event object') },
    ]);
  });

  it('Publisher.publish refuses a value whose JSON would never end, and does not begin it', async () => {
    // Each object names the one before it twice, so forty of them are 2^40 members as JSON.
    let twice: unknown = 'x';
    for (let depth = 0; depth < 40; depth++) twice = [twice, twice];
    for (const events of [ownEvent({ more: twice }), [ownEvent(), ownEvent({ more: twice })], [twice]]) {
      const error: unknown = await publisher.publish(events).catch((reason: unknown) => reason);
      expect(JSON.parse((error as Error).message)).toEqual([
        { name: 'body', reason: expect.stringContaining('split it') },
      ]);
    }
  });

  it('Publisher.publish queues all events or none', async () => {
    const queue = new RecordingQueue();
    const own = new Publisher(
      { waitUntil() {}, passThroughOnException() {} } as unknown as ExecutionContext,
      { ...env, EVENTS: queue.binding },
    );
    await expect(own.publish([ownEvent(), anEvent()])).rejects.toThrow(/customerId/);
    expect(queue.sends).toEqual([]);
    const ids = await own.publish([ownEvent(), ownEvent()]);
    expect(queue.events().map(({ id }) => id)).toEqual(ids);
  });
});
