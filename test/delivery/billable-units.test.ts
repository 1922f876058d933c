/**
 * What a delivery costs, counted: the platform bills rows, calls, operations and log lines, and each of these figures is a
 * promise (design: budgets). A change that makes the event path dearer turns this red, and has to say why it is worth it.
 */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { publish } from '../../src/delivery/publish.ts';
import type { EventStore } from '../../src/event-store/event-store.ts';
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

/** Publishes events in one call and consumes what was queued, with everything billable counted. */
async function deliver(subscription: TestSubscription, count: number): Promise<Units> {
  const units: Units = {
    queueOperations: 0,
    d1Queries: 0,
    storeCalls: {},
    storeRowsWritten: 0,
    alarmsSet: 0,
    logLines: 0,
  };
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

  const before = await storeOf(subscription).rowCounts();
  const alarms = await watchAlarms(subscription, units);
  const logged = () => lines.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
  const loggedBefore = logged();
  const { acked } = await consumeBatch(
    'events',
    bodies.map((body) => ({ body })),
    { ...env, DB: countQueries(units), EVENT_STORE: countCalls(units) },
  );
  expect(acked).toHaveLength(bodies.length);
  units.logLines = logged() - loggedBefore;
  const after = await storeOf(subscription).rowCounts();
  units.storeRowsWritten = after.rowsWritten - before.rowsWritten;
  await alarms.end();
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

function countCalls(units: Units): DurableObjectNamespace<EventStore> {
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

/** Setting an alarm is a row written too, and does not show among the rows of the tables. */
async function watchAlarms(subscription: TestSubscription, units: Units) {
  const store = storeOf(subscription);
  await runInDurableObject(store, (_, state) => {
    const set = state.storage.setAlarm.bind(state.storage);
    Object.defineProperty(state.storage, 'setAlarm', {
      configurable: true,
      value: (...parameters: Parameters<typeof set>) => {
        units.alarmsSet++;
        return set(...parameters);
      },
    });
  });
  return {
    end: () =>
      runInDurableObject(store, (_, state) => {
        Reflect.deleteProperty(state.storage, 'setAlarm');
      }),
  };
}

/** A subscription whose store has had its first event: what it writes once in its life is not counted. */
async function inUse(): Promise<TestSubscription> {
  const subscription = await newSubscription(await newCustomer());
  await deliver(subscription, 1);
  return subscription;
}

describe('healthy deliveries cost', () => {
  it('a hundred published together: one row each, two calls of the store, one query, three operations', async () => {
    holdClock();
    expect(await deliver(await inUse(), 100)).toEqual({
      queueOperations: 3,
      d1Queries: 1,
      storeCalls: { admit: 1, settle: 1 },
      storeRowsWritten: 100,
      alarmsSet: 0,
      logLines: 1,
    });
  });

  it('one by itself: one row, two calls, one query, three operations', async () => {
    holdClock();
    expect(await deliver(await inUse(), 1)).toEqual({
      queueOperations: 3,
      d1Queries: 1,
      storeCalls: { admit: 1, settle: 1 },
      storeRowsWritten: 1,
      alarmsSet: 0,
      logLines: 1,
    });
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
    const { customer } = subscription;
    const [event] = (await subscription.events()) as { id: string }[];
    const before = await storeOf(subscription).rowCounts();
    await consumeBatch('events', [{ body: { ...anEvent({ id: event?.id }), customerId: customer.id } }]);
    expect((await storeOf(subscription).rowCounts()).rowsWritten).toBe(before.rowsWritten);
  });
});
