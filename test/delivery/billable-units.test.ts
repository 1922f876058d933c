/**
 * What a delivery costs, counted: the platform bills rows, calls, operations and log lines, and each of these figures is a
 * promise (design: budgets). A change that makes the event path dearer turns this red, and has to say why it is worth it.
 */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { publish } from '../../src/delivery/publish.ts';
import { holdClock } from '../support/clock.ts';
import {
  anEvent,
  consumeBatch,
  newCustomer,
  newSubscription,
  storeOf,
  type TestSubscription,
} from '../support/world.ts';

/** Bytes that the queues count as one operation. */
const OPERATION_BYTES = 64_000;
const DAY_MS = 86_400_000;

interface Units {
  /** Writing, reading and deleting each, per 64 KB begun. */
  queueOperations: number;
  d1Queries: number;
  storeCalls: Record<string, number>;
  storeRowsWritten: number;
  alarmsSet: number;
  logLines: number;
}

let lines: MockInstance[];
beforeEach(() => {
  lines = (['log', 'info', 'warn', 'error'] as const).map((level) =>
    vi.spyOn(console, level).mockImplementation(() => undefined),
  );
});
afterEach(() => vi.restoreAllMocks());

function emptyUnits(): Units {
  return { queueOperations: 0, d1Queries: 0, storeCalls: {}, storeRowsWritten: 0, alarmsSet: 0, logLines: 0 };
}

/** Publishes events in one call and consumes what was queued, with everything billable counted. */
async function deliver(subscription: TestSubscription, count: number): Promise<Units> {
  const units = emptyUnits();
  const bodies: unknown[] = [];
  const queue = {
    sendBatch: async (messages: Iterable<MessageSendRequest<unknown>>) => {
      for (const { body } of messages) {
        bodies.push(body);
        units.queueOperations += 3 * Math.ceil(JSON.stringify(body).length / OPERATION_BYTES);
      }
    },
  };
  const events = Array.from({ length: count }, () => anEvent());
  const published = await publish(queue, events, Date.now(), subscription.customer.id);
  expect(published.ok).toBe(true);

  const endWatch = await watchStore(subscription, units);
  const logged = () => lines.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
  const loggedBefore = logged();
  const { acked } = await consumeBatch(
    'events',
    bodies.map((body) => ({ body })),
    { ...env, DB: countQueries(units), EVENT_STORE: countCalls(units) },
  );
  expect(acked).toHaveLength(bodies.length);
  units.logLines = logged() - loggedBefore;
  await endWatch();
  return units;
}

function countQueries(units: Units): D1Database {
  return new Proxy(env.DB, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== 'function') return value;
      if (name === 'prepare') units.d1Queries++;
      return value.bind(target);
    },
  });
}

function countCalls(units: Units): typeof env.EVENT_STORE {
  const namespace = env.EVENT_STORE;
  const get = (id: DurableObjectId) =>
    new Proxy(namespace.get(id), {
      get(stub, name) {
        return (...parameters: unknown[]) => {
          units.storeCalls[String(name)] = (units.storeCalls[String(name)] ?? 0) + 1;
          // Called on the stub: a method of it taken by itself would be another stub.
          return (stub as unknown as Record<string, (...all: unknown[]) => unknown>)[String(name)]?.(
            ...parameters,
          );
        };
      },
    });
  return { idFromName: (name: string) => namespace.idFromName(name), get } as unknown as typeof namespace;
}

/**
 * Counts what a store writes: rows, by whichever of its parts, and alarms, each of which is a row too.
 * @returns ends the counting, and adds what was counted
 */
async function watchStore(subscription: TestSubscription, units: Units): Promise<() => Promise<void>> {
  const store = storeOf(subscription);
  const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
  await runInDurableObject(store, (_, { storage }) => {
    const exec = storage.sql.exec.bind(storage.sql);
    const setAlarm = storage.setAlarm.bind(storage);
    const counted = (query: string, ...parameters: SqlStorageValue[]) => {
      const cursor = exec(query, ...parameters);
      cursors.push(cursor);
      return cursor;
    };
    Object.defineProperty(storage.sql, 'exec', { configurable: true, value: counted });
    Object.defineProperty(storage, 'setAlarm', {
      configurable: true,
      value: (...parameters: Parameters<typeof setAlarm>) => {
        units.alarmsSet++;
        return setAlarm(...parameters);
      },
    });
  });
  return () =>
    runInDurableObject(store, (_, { storage }) => {
      Reflect.deleteProperty(storage.sql, 'exec');
      Reflect.deleteProperty(storage, 'setAlarm');
      units.storeRowsWritten = cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0);
    });
}

/** A subscription whose store has had its first event: what it writes once in its life is not counted. */
async function inUse(): Promise<TestSubscription> {
  const subscription = await newSubscription(await newCustomer());
  await deliver(subscription, 1);
  return subscription;
}

describe('healthy deliveries cost', () => {
  it.each([100, 1])(
    '%i published together: one row, two calls of the store, one query, three operations',
    async (count) => {
      holdClock();
      expect(await deliver(await inUse(), count)).toEqual({
        queueOperations: 3,
        d1Queries: 1,
        storeCalls: { admit: 1, settle: 1 },
        storeRowsWritten: 1,
        alarmsSet: 0,
        logLines: 1,
      });
    },
  );

  it('a row deleted for each row written, when their time is over', async () => {
    const clock = holdClock();
    const subscription = await inUse();
    clock.advance(60_000);
    await deliver(subscription, 100);
    const units = emptyUnits();
    clock.advance(8 * DAY_MS);
    const endWatch = await watchStore(subscription, units);
    await subscription.ring();
    await endWatch();
    // The event that the subscription began with, and the hundred: a row each. The rest asks, and finds nothing.
    expect(units.storeRowsWritten).toBe(2);
    expect((await subscription.events()).length).toBe(0);
  });

  it('less than two hundred bytes each', async () => {
    holdClock();
    const subscription = await inUse();
    const bytes = () =>
      runInDurableObject(storeOf(subscription), (_, { storage }) => storage.sql.databaseSize);
    const before = await bytes();
    for (let round = 0; round < 10; round++) await deliver(subscription, 100);
    expect(((await bytes()) - before) / 1000).toBeLessThan(200);
  });

  it('as much in a store that is full as in one that is empty', async () => {
    holdClock();
    const subscription = await inUse();
    const first = await deliver(subscription, 100);
    for (let round = 0; round < 5; round++) await deliver(subscription, 200);
    expect(await deliver(subscription, 100)).toEqual(first);
  });
});

describe('a repeat costs', () => {
  it('one call of the store, and writes nothing', async () => {
    holdClock();
    const subscription = await inUse();
    const [event] = (await subscription.events()) as { id: string }[];
    const body = { ...anEvent({ id: event?.id }), customerId: subscription.customer.id };
    const units = emptyUnits();
    const endWatch = await watchStore(subscription, units);
    await consumeBatch('events', [{ body }], { ...env, EVENT_STORE: countCalls(units) });
    await endWatch();
    expect(units).toMatchObject({ storeCalls: { admit: 1 }, storeRowsWritten: 0, alarmsSet: 0 });
  });
});

describe('a failed attempt costs', () => {
  it('one row for the delivery, one in the index of what is due, one for the health of the endpoint, and an alarm', async () => {
    holdClock();
    const subscription = await inUse();
    await subscription.listener.script({ status: 503 });
    expect(await deliver(subscription, 1)).toMatchObject({
      storeCalls: { admit: 1, settle: 1 },
      storeRowsWritten: 3,
      alarmsSet: 1,
      logLines: 1,
    });
  });
});
