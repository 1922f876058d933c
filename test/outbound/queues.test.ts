import { exports } from 'cloudflare:workers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { publish } from '../../src/delivery/publish.ts';
import { EVENT_TYPES, type IdentityEvent } from '../../src/domain/event.ts';
import { eventIdFloor, newEventIds } from '../../src/domain/ids.ts';
import {
  Dispatch,
  PackedEvents,
  packDispatch,
  packEvents,
  type Sender,
  sendAll,
  sendDispatches,
} from '../../src/outbound/queues.ts';
import { unpackEvents } from '../support/packed.ts';
import { anEvent, BASE_URL, newCustomer } from '../support/world.ts';

const ACCEPTED = 1_769_860_800_000;
const MINIMAL = {
  type: 'entityCreated',
  captureApplicationId: 'a',
  captureClientId: 'c',
  entityType: 'u',
  sub: '726087ec-35df-4041-aec8-c11ecc208efa',
};

const CUSTOMERS = [1, 2, 3].map(() => crypto.randomUUID());

const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value)).length;

/** A queue that records what it is sent, call by call. */
class RecordingQueue implements Sender {
  readonly calls: MessageSendRequest<unknown>[][] = [];
  async sendBatch(messages: Iterable<MessageSendRequest<unknown>>): Promise<void> {
    this.calls.push([...messages]);
  }
}

const name = fc.string({ minLength: 1, maxLength: 64, unit: 'grapheme' });

const anIdentityEvent: fc.Arbitrary<IdentityEvent> = fc.record(
  {
    customerId: fc.constantFrom(...CUSTOMERS),
    id: fc.uuid(),
    type: fc.constantFrom(...EVENT_TYPES),
    acceptedAt: fc.constant(ACCEPTED),
    occurredAt: fc.oneof(fc.constant(ACCEPTED), fc.integer()),
    captureApplicationId: name,
    captureClientId: name,
    entityType: name,
    sub: fc.uuid(),
    globalSub: name,
    attributes: fc.array(fc.string({ maxLength: 200 }), { maxLength: 500 }),
  },
  {
    requiredKeys: [
      'customerId',
      'id',
      'type',
      'acceptedAt',
      'occurredAt',
      'captureApplicationId',
      'captureClientId',
      'entityType',
      'sub',
    ],
  },
);

describe('packed events', () => {
  it('packed events unpack unchanged, grouped by customer, in messages of 64,000 bytes at most', () => {
    fc.assert(
      fc.property(fc.array(anIdentityEvent, { maxLength: 60 }), (events) => {
        const messages = packEvents(events, ACCEPTED);
        const wire = messages.map((message) => PackedEvents.parse(JSON.parse(JSON.stringify(message))));
        const grouped = [...Map.groupBy(events, (event) => event.customerId).values()].flat();
        expect(wire.flatMap(unpackEvents)).toEqual(grouped);
        for (const message of messages) {
          expect(bytesOf(message)).toBeLessThanOrEqual(64_000);
          expect(message.events.length).toBeGreaterThan(0);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('events of one customer share a message as long as they fit', () => {
    const events = Array.from({ length: 200 }, (_, index) => ({
      ...(MINIMAL as typeof MINIMAL & { type: 'entityCreated' }),
      customerId: index % 2 === 0 ? 'even' : 'odd',
      id: eventIdFloor(ACCEPTED + index),
      acceptedAt: ACCEPTED,
      occurredAt: ACCEPTED,
    }));
    const messages = packEvents(events, ACCEPTED);
    expect(messages.map((message) => message.customerId)).toEqual(['even', 'odd']);
  });

  it('packing no events makes no message', () => {
    expect(packEvents([], ACCEPTED)).toEqual([]);
  });
});

describe('a publish of 240,000 bytes', () => {
  /** Events whose JSON array has `bytes` bytes, or as near below as whole fills allow. */
  function padded(count: number, bytes: number, fill: string): Record<string, unknown>[] {
    const bare = { ...MINIMAL, type: 'entityUpdated', attributes: [] as string[] };
    const room = Math.floor((bytes - 1) / count) - 1 - bytesOf(bare);
    const size = bytesOf(fill) - 2;
    const attributes: string[] = [];
    for (let left = room; left > size + 3; ) {
      const length = Math.min(Math.floor((left - 3) / size), Math.floor(200 / fill.length));
      attributes.push(fill.repeat(length));
      left -= length * size + 3;
    }
    return Array.from({ length: count }, () => ({ ...bare, attributes }));
  }

  it.each<[string, () => unknown[]]>([
    ['500 minimal events', () => Array.from({ length: 500 }, () => MINIMAL)],
    ['500 events with optional members', () => padded(500, 240_000, 'x')],
    ['4 events of 60,000 bytes', () => padded(4, 239_990, 'x')],
    ['4 events of 60,000 bytes of two-byte text', () => padded(4, 239_990, 'é')],
    ['4 events of 60,000 bytes of three-byte text', () => padded(4, 239_990, '語')],
    ['4 events of 60,000 bytes of four-byte text', () => padded(4, 239_990, '😀')],
    ['4 events of 60,000 bytes of escapes', () => padded(4, 239_990, '\u0001')],
    ['7 events, each just over half a message', () => padded(7, 239_990, 'x')],
    [
      'large and small events in turn',
      () => [0, 1, 2].flatMap(() => [...padded(1, 59_990, 'x'), ...padded(1, 19_990, 'x')]),
    ],
  ])('a publish of %s is one send to the queue', async (_, make) => {
    const body = make();
    const queue = new RecordingQueue();
    expect(bytesOf(body)).toBeLessThanOrEqual(240_000);
    const customerId = crypto.randomUUID();
    const published = await publish(queue, JSON.parse(JSON.stringify(body)), ACCEPTED, customerId);
    expect(published).toMatchObject({ ok: true });
    expect(queue.calls).toHaveLength(1);
    const messages = (queue.calls[0] ?? []).map((message) => message.body);
    expect(messages.length).toBeLessThanOrEqual(100);
    expect(messages.reduce<number>((sum, message) => sum + bytesOf(message), 0)).toBeLessThanOrEqual(256_000);
    for (const message of messages) expect(bytesOf(message)).toBeLessThanOrEqual(64_000);
    expect(messages.flatMap((message) => unpackEvents(PackedEvents.parse(message)))).toHaveLength(
      body.length,
    );
  });

  it('a publish that is not UTF-8 is refused: as text it would be three times as large', async () => {
    const customer = await newCustomer();
    const attributes = Array.from({ length: 8 }, () => '#'.repeat(200));
    const events = Array.from({ length: 120 }, () => anEvent({ type: 'entityUpdated', attributes }));
    const body = new TextEncoder()
      .encode(JSON.stringify(events))
      .map((byte) => (byte === 0x23 ? 0xff : byte));
    expect(body.length).toBeLessThanOrEqual(240_000);
    const response = await exports.default.fetch(`${BASE_URL}/${customer.id}/webhooks/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${customer.token}`, 'content-type': 'application/json' },
      body,
    });
    expect([400, 413]).toContain(response.status);
  });
});

describe('the sending of messages', () => {
  it('messages are sent in calls of at most 100, in order', async () => {
    const queue = new RecordingQueue();
    const bodies = Array.from({ length: 250 }, (_, index) => ({ index }));
    await sendAll(queue, bodies);
    expect(queue.calls.map((messages) => messages.length)).toEqual([100, 100, 50]);
    expect(queue.calls.flat()).toEqual(bodies.map((body) => ({ body, contentType: 'json' })));
  });

  it('messages are sent in calls of at most 256,000 bytes', async () => {
    const queue = new RecordingQueue();
    await sendAll(
      queue,
      Array.from({ length: 10 }, () => 'é'.repeat(31_000)),
    );
    for (const messages of queue.calls) {
      const sum = messages.reduce((bytes, message) => bytes + bytesOf(message.body), 0);
      expect(sum).toBeLessThanOrEqual(256_000);
    }
    expect(queue.calls.map((messages) => messages.length)).toEqual([4, 4, 2]);
  });

  it('sending no messages makes no call to the queue', async () => {
    const queue = new RecordingQueue();
    await sendAll(queue, []);
    expect(queue.calls).toEqual([]);
  });

  it('a failure of the queue is reported to the caller', async () => {
    const away: Sender = { sendBatch: () => Promise.reject(new Error('the queue is away')) };
    await expect(sendAll(away, [1])).rejects.toThrow('the queue is away');
  });
});

describe('due deliveries', () => {
  it('deliveries for an endpoint that is not healthy go to a queue of their own', async () => {
    const [DELIVERIES, UNHEALTHY] = [new RecordingQueue(), new RecordingQueue()];
    const dispatch = { customerId: 'c', subscriptionId: 's', token: 't' };
    const healthy = { ...dispatch, eventIds: ['a'] };
    const unhealthy = { ...dispatch, eventIds: ['b'], unhealthy: true as const };
    await sendDispatches({ DELIVERIES, UNHEALTHY }, [unhealthy, healthy]);
    expect(DELIVERIES.calls.flat().map(({ body }) => body)).toEqual([healthy]);
    expect(UNHEALTHY.calls.flat().map(({ body }) => body)).toEqual([unhealthy]);
  });

  it('due deliveries go in messages of at most 20, with ids and a token and nothing else', () => {
    const dispatch = {
      customerId: crypto.randomUUID(),
      subscriptionId: crypto.randomUUID(),
      token: crypto.randomUUID(),
      eventIds: newEventIds(ACCEPTED, 45, crypto.getRandomValues(new Uint8Array(16))),
    };
    const messages = packDispatch(dispatch);
    expect(messages.map((message) => message.eventIds.length)).toEqual([20, 20, 5]);
    expect(messages.flatMap((message) => message.eventIds)).toEqual(dispatch.eventIds);
    for (const message of messages) {
      expect({ ...Dispatch.parse(message), eventIds: [] }).toEqual({ ...dispatch, eventIds: [] });
    }
  });
});
