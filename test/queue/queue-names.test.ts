/** Names of queues: each deployment of an account has its own, and a name that nobody configured loses nothing. */
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { letterMessage, QUEUES, queueNamed } from '../../src/outbound/queues.ts';
import { environmentWith } from '../support/requests.ts';
import { anEvent, consumeBatchOf, newCustomer, newSubscription } from '../support/world.ts';

const newId = () => newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';

/** The lines that say that a queue is not known, until the test ends. */
function unknownQueues(): () => unknown[] {
  const spy = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  onTestFinished(() => spy.mockRestore());
  return () =>
    spy.mock.calls
      .map(([line]) => JSON.parse(String(line)))
      .filter(({ event }) => event === 'queue not known');
}

async function letterWith(id: string) {
  return await env.DB.prepare('SELECT queue, reason FROM dead_letters WHERE id = ?').bind(id).first();
}

function aLetter() {
  return {
    id: crypto.randomUUID(),
    queue: QUEUES.events,
    reason: 'a reason',
    body: JSON.stringify({ replay: 1, acceptedAt: Date.now(), eventId: newId(), event: anEvent() }),
    acceptedAt: Date.now(),
    createdAt: Date.now(),
    customerId: null,
    refused: false,
  };
}

describe('the name of a queue', () => {
  it('a queue is one of ours when its name is the prefix and a name that we know', () => {
    expect(queueNamed('webhook-events', '')).toBe('webhook-events');
    expect(queueNamed('prod-webhook-dead-letters', 'prod-')).toBe('webhook-dead-letters');
    expect(queueNamed('webhook-events', 'prod-')).toBeUndefined();
    expect(queueNamed('prod-webhook-events', '')).toBeUndefined();
    expect(queueNamed('staging-webhook-events', 'prod-')).toBeUndefined();
  });

  it('a deployment with a prefix serves the queues whose names begin with it', async () => {
    const unknown = unknownQueues();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const prod = environmentWith({ NAME_PREFIX: 'prod-' });
    const event = { body: { ...anEvent(), customerId: customer.id } };
    expect((await consumeBatchOf('prod-webhook-events', [event], prod as typeof env)).acked).toHaveLength(1);
    expect(await subscription.listener.calls()).toHaveLength(1);
    expect(unknown()).toEqual([]);
  });
});

describe('a batch of a queue that the Worker does not know', () => {
  it('events of a queue with an unknown name are delivered, and one line of the log names the queue', async () => {
    const unknown = unknownQueues();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const events = [1, 2].map(() => ({ body: { ...anEvent(), customerId: customer.id } }));
    const { acked, retried } = await consumeBatchOf('somebodys-events', events);
    expect([acked.length, retried.length]).toEqual([2, 0]);
    expect(await subscription.listener.calls()).toHaveLength(2);
    expect(unknown()).toEqual([
      { level: 'warn', event: 'queue not known', queue: 'somebodys-events', messages: 2 },
    ]);
  });

  it('slices, dispatches and letters of one batch are each handled as what they are', async () => {
    unknownQueues();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const letter = aLetter();
    const tuple = [newId(), 'entityCreated', null, 'app', 'client', 'user', crypto.randomUUID(), null, null];
    const messages = [
      {
        packed: 1,
        customerId: customer.id,
        acceptedAt: Date.now(),
        events: [tuple],
        subscriptions: [subscription.id],
      },
      {
        customerId: customer.id,
        subscriptionId: subscription.id,
        token: crypto.randomUUID(),
        eventIds: [newId()],
      },
      letterMessage(letter),
    ];
    const { acked } = await consumeBatchOf(
      'somebodys-queue',
      messages.map((body) => ({ body })),
    );
    expect(acked).toHaveLength(3);
    expect(await subscription.listener.calls()).toHaveLength(1);
    expect(await letterWith(letter.id)).toEqual({ queue: 'webhook-events', reason: 'a reason' });
  });

  it('a message that nobody understands, from a queue with an unknown name, becomes a dead letter', async () => {
    unknownQueues();
    const marker = crypto.randomUUID();
    const { acked } = await consumeBatchOf('somebodys-queue', [{ body: { marker } }]);
    expect(acked).toHaveLength(1);
    const query = 'SELECT count(*) AS n FROM dead_letters WHERE instr(body, ?) > 0';
    expect(await env.DB.prepare(query).bind(marker).first('n')).toBe(1);
  });
});
