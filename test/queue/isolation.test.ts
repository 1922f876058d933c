/** One message that cannot be handled never holds up another one of its batch. */
import { describe, expect, it } from 'vitest';
import { Outage } from '../../src/domain/errors.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import type { Subscription } from '../../src/domain/subscription.ts';
import { consumeDeadLetters } from '../../src/queue/dead-letters.ts';
import { consumeEvents, type EventsPorts } from '../../src/queue/events.ts';
import { A_KEY, aSet, aSubscription, signing } from '../support/delivery-fixtures.ts';
import { unlimited } from '../support/host-limit.ts';
import { anEvent } from '../support/world.ts';

/** A queue message that notes what became of it. */
function messageOf(body: unknown) {
  const message = {
    id: crypto.randomUUID(),
    timestamp: new Date(),
    attempts: 1,
    body,
    fate: 'none',
    ack: () => {
      message.fate = 'acknowledged';
    },
    retry: () => {
      message.fate = 'returned';
    },
  };
  return message as typeof message & Message<unknown>;
}

const newId = () => newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';

/** A consumer's service for some subscriptions, each of a customer of its own. Every listener answers at once. */
function portsFor(subscriptions: readonly Subscription[], posted: string[]): EventsPorts {
  return {
    store: () => ({
      admit: async (_, ids) => ids.map(() => ({ answer: 'new' as const })),
      settle: async (_, reports) => ({
        settled: reports.map(({ eventId }) => ({ eventId, state: 'success' as const, attempts: 1 })),
        health: { state: 'healthy', since: 0 },
      }),
      mayStart: async () => true,
      release: async () => undefined,
      begin: async () => [],
    }),
    host: () => unlimited,
    ...signing,
    findAudiences: async () =>
      new Map(
        subscriptions.map((one) => [
          one.customerId,
          { customerId: one.customerId, key: A_KEY, subscriptions: [one] },
        ]),
      ),
    findAudiencesOf: async () => new Map(),
    findFilters: async () => new Map(),
    openKeys: async () => undefined,
    captureDomain: 'capture.example',
    sign: async ({ id }) => aSet(id),
    post: async (endpoint) => {
      posted.push(endpoint);
      return { kind: 'success', response: { statusCode: 200, headers: {} } };
    },
    longestAttemptMs: 10_000,
    noteHealth: async () => undefined,
    noteStoreTenths: async () => undefined,
    sendSlices: async () => undefined,
    sendDispatches: async () => undefined,
    waitUntil: () => undefined,
    deadLetters: { store: async () => undefined, send: async () => undefined },
    now: Date.now,
    debug: false,
  };
}

const withFilter = (endpoint: string): Subscription => ({
  ...aSubscription(Date.now()),
  endpoint,
  filterSteps: 1,
});

describe('a batch of events', () => {
  const batchOf = (...subscriptions: Subscription[]) =>
    subscriptions.map(({ customerId }) => messageOf({ ...anEvent(), customerId }));

  it('a customer whose filters cannot be read holds up no other customer', async () => {
    const [one, two] = [withFilter('https://one.example/'), withFilter('https://two.example/')];
    const posted: string[] = [];
    const messages = batchOf(one, two);
    await consumeEvents(messages, {
      ...portsFor([one, two], posted),
      findFilters: async (ids) => {
        if (ids.includes(one.id)) throw new Error('a filter that breaks the reader');
        return new Map();
      },
    });
    expect(messages.map(({ fate }) => fate)).toEqual(['returned', 'acknowledged']);
    expect(posted).toEqual(['https://two.example/']);
  });

  it('the filters of a batch are asked for once while the database is away', async () => {
    const [one, two] = [withFilter('https://one.example/'), withFilter('https://two.example/')];
    let asked = 0;
    const messages = batchOf(one, two);
    await consumeEvents(messages, {
      ...portsFor([one, two], []),
      findFilters: () => {
        asked++;
        return Promise.reject(new Outage('database', new Error('gone')));
      },
    });
    expect(messages.map(({ fate }) => fate)).toEqual(['returned', 'returned']);
    expect(asked).toBe(1);
  });

  it('an event that cannot be signed holds up no other event', async () => {
    const [one, two] = [
      { ...aSubscription(Date.now()), endpoint: 'https://one.example/' },
      { ...aSubscription(Date.now()), endpoint: 'https://two.example/' },
    ];
    const posted: string[] = [];
    const messages = batchOf(one, two);
    await consumeEvents(messages, {
      ...portsFor([one, two], posted),
      sign: async ({ id, customerId }) => {
        if (customerId === one.customerId) throw new Error('no key');
        return aSet(id);
      },
    });
    expect(messages.map(({ fate }) => fate)).toEqual(['returned', 'acknowledged']);
    expect(posted).toEqual(['https://two.example/']);
  });

  it('a dead letter that cannot be stored returns its own message alone', async () => {
    const subscription = aSubscription(Date.now());
    const messages = [messageOf('nonsense'), ...batchOf(subscription)];
    await consumeEvents(messages, {
      ...portsFor([subscription], []),
      deadLetters: { store: () => Promise.reject(new Error('refused')), send: async () => undefined },
    });
    expect(messages.map(({ fate }) => fate)).toEqual(['returned', 'acknowledged']);
  });
});

describe('a batch of dead letters', () => {
  const letters = () => ['one', 'two', 'three'].map((reason) => messageOf(letterOf(reason)));

  const letterOf = (reason: string) => ({
    deadLetter: 1,
    id: crypto.randomUUID(),
    queue: 'webhook-events',
    reason,
    body: JSON.stringify({ replay: 1, acceptedAt: Date.now(), eventId: newId(), event: anEvent() }),
    acceptedAt: Date.now(),
    createdAt: Date.now(),
  });

  it('a letter that the database refuses does not keep the others from the list', async () => {
    const messages = letters();
    const stored: string[] = [];
    await consumeDeadLetters(messages, {
      store: async (some) => {
        if (some.some(({ reason }) => reason === 'two')) throw new Error('SQLITE_CONSTRAINT');
        stored.push(...some.map(({ reason }) => reason));
      },
      send: async () => undefined,
      now: Date.now,
    });
    expect(messages.map(({ fate }) => fate)).toEqual(['acknowledged', 'returned', 'acknowledged']);
    expect(stored).toEqual(['one', 'three']);
  });

  it('a batch of letters is one call while the database is away, and returns to the queue', async () => {
    const messages = letters();
    let calls = 0;
    await consumeDeadLetters(messages, {
      store: () => {
        calls++;
        return Promise.reject(new Outage('database', new Error('gone')));
      },
      send: async () => undefined,
      now: Date.now,
    });
    expect(messages.map(({ fate }) => fate)).toEqual(['returned', 'returned', 'returned']);
    expect(calls).toBe(1);
  });
});
