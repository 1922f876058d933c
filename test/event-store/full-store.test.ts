/** A store that fills up (contract 10.9): what it still takes, what it refuses, and who learns of it. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { drizzle } from 'drizzle-orm/d1';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { STORE_MAX_BYTES } from '../../src/domain/limits.ts';
import type { EventStore } from '../../src/event-store/event-store.ts';
import { Room } from '../../src/event-store/room.ts';
import { fullestStores } from '../../src/storage/customers.ts';
import { holdClock } from '../support/clock.ts';
import { runCron } from '../support/cron.ts';
import { refTo } from '../support/reports.ts';
import { Bench, ok } from '../support/store-bench.ts';
import {
  anEvent,
  asOperator,
  consumeBatch,
  newCustomer,
  newSubscription,
  type Reply,
  storeOf,
  type TestSubscription,
} from '../support/world.ts';

const DAY_MS = 86_400_000;
/** The cron runs this often, and visits another range of stores each time. */
const EVERY_MS = 300_000;

afterEach(() => {
  Room.maxBytes = STORE_MAX_BYTES;
  vi.restoreAllMocks();
});

const sizeOf = (store: DurableObjectStub<EventStore>) =>
  runInDurableObject(store, (_, { storage }) => storage.sql.databaseSize);

/** From now on the store is full to this share of its limit. Other stores are smaller, and less full. */
async function fillTo(store: DurableObjectStub<EventStore>, share: number): Promise<void> {
  Room.maxBytes = (await sizeOf(store)) / share;
}

/** Makes a store so much larger than those of other tests that a limit for it leaves them alone. */
async function enlarge(store: DurableObjectStub<EventStore>): Promise<void> {
  await runInDurableObject(store, (_, { storage }) => {
    storage.sql.exec('CREATE TABLE ballast (content BLOB); INSERT INTO ballast VALUES (zeroblob(1900000))');
    for (let times = 0; times < 9; times++)
      storage.sql.exec('INSERT INTO ballast SELECT content FROM ballast LIMIT 1');
  });
}

function newIds(count: number): string[] {
  return newEventIds(Date.now(), count, crypto.getRandomValues(new Uint8Array(16)));
}

/** What the store says when it is asked to take a new event; `undefined` when it takes it. */
async function refusal(bench: Bench): Promise<string | undefined> {
  try {
    await bench.store.admit(bench.ref, bench.ids(1));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function largeBench(): Promise<Bench> {
  const bench = new Bench();
  await bench.store.adopt(bench.ref);
  await enlarge(bench.store);
  return bench;
}

async function largeSubscription(): Promise<TestSubscription> {
  const subscription = await newSubscription(await newCustomer());
  await storeOf(subscription).adopt(refTo(subscription));
  await enlarge(storeOf(subscription));
  return subscription;
}

/** Warnings of a store that fills up, as they were logged since the test began. */
function watchWarnings(): () => Record<string, unknown>[] {
  const spy = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  return () =>
    spy.mock.calls
      .map(([line]) => JSON.parse(String(line)) as Record<string, unknown>)
      .filter(({ event }) => event === 'event store fills up');
}

describe('a store from half full on', () => {
  it('a store that is half full logs a warning once a day, also after it was evicted', async () => {
    const bench = await largeBench();
    const warnings = watchWarnings();
    await fillTo(bench.store, 0.49);
    await bench.store.admit(bench.ref, bench.ids(1));
    expect(warnings()).toEqual([]);
    await fillTo(bench.store, 0.51);
    for (let times = 0; times < 3; times++) await bench.store.admit(bench.ref, bench.ids(1));
    const { customerId, subscriptionId } = bench.ref;
    expect(warnings()).toEqual([
      expect.objectContaining({ customerId, subscriptionId, percent: 51, bytes: await sizeOf(bench.store) }),
    ]);
    await evictDurableObject(bench.store);
    bench.clock.advance(DAY_MS - 1);
    await bench.store.admit(bench.ref, bench.ids(1));
    expect(warnings()).toHaveLength(1);
    bench.clock.advance(1);
    await bench.store.admit(bench.ref, bench.ids(1));
    expect(warnings()).toHaveLength(2);
  });
});

describe('what the operator sees of a store', () => {
  const shown = async ({ id }: { readonly id: string }) =>
    (await asOperator('GET', `/customers/${id}`)).body.fullestStorePercent as number;

  it('the operator sees how full the fullest store of a customer is, as its deliveries and the daily visit report it', async () => {
    holdClock();
    const subscription = await largeSubscription();
    const { customer } = subscription;
    await newSubscription(customer);
    const send = () => consumeBatch('events', [{ body: { ...anEvent(), customerId: customer.id } }]);
    await send();
    expect(await shown(customer)).toBe(0);
    await fillTo(storeOf(subscription), 0.35);
    await send();
    expect(await shown(customer)).toBe(30);
    await fillTo(storeOf(subscription), 0.75);
    await runCron(env, Number.parseInt(subscription.id.slice(0, 2), 16) * EVERY_MS);
    expect(await shown(customer)).toBe(70);
    Room.maxBytes = STORE_MAX_BYTES;
    await send();
    expect(await shown(customer)).toBe(0);
  });

  it('the list of customers shows it, and leaves out subscriptions that were deleted', async () => {
    const [customer, other] = [await newCustomer(), await newCustomer()];
    const subscriptions = [await newSubscription(customer), await newSubscription(customer)];
    for (const [index, { id }] of subscriptions.entries())
      await env.DB.prepare('UPDATE subscriptions SET store_tenths = ? WHERE id = ?')
        .bind(4 + index, id)
        .run();
    const listed = async () => {
      const found = new Map<string, number>();
      for (let path: string | undefined = '/customers'; path !== undefined; ) {
        const { body }: Reply = await asOperator('GET', path);
        for (const { id, fullestStorePercent } of body._embedded.customers)
          found.set(id, fullestStorePercent);
        path = body._links.next?.href.replace('/operator', '');
      }
      return [found.get(customer.id), found.get(other.id)];
    };
    expect(await listed()).toEqual([50, 0]);
    await customer.call('DELETE', `/subscriptions/${subscriptions[1]?.id}`);
    expect(await listed()).toEqual([40, 0]);
  });

  it('the list of customers reads only stores that are a tenth full', async () => {
    const queries: [string, unknown[]][] = [];
    const logger = { logQuery: (query: string, values: unknown[]) => void queries.push([query, values]) };
    await fullestStores(drizzle(env.DB, { logger }), [crypto.randomUUID()]);
    for (const [query, values] of queries) {
      const plan = await env.DB.prepare(`EXPLAIN QUERY PLAN ${query}`)
        .bind(...values)
        .all<{ detail: string }>();
      expect(plan.results.map(({ detail }) => detail).join(' ')).toContain('stores_that_fill_up');
    }
    expect(queries).toHaveLength(1);
  });

  it('a store writes its size to the database only when it crosses a step of ten per cent', async () => {
    holdClock();
    const subscription = await largeSubscription();
    await fillTo(storeOf(subscription), 0.35);
    let writes = 0;
    const DB = new Proxy(env.DB, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown;
        if (typeof value !== 'function') return value;
        if (name !== 'prepare') return value.bind(target);
        return (query: string) => {
          if (/^update "subscriptions" set "store_tenths"/.test(query)) writes++;
          return target.prepare(query);
        };
      },
    });
    const send = (count: number) => {
      const body = Array.from({ length: count }, () => ({
        ...anEvent(),
        customerId: subscription.customer.id,
      }));
      return consumeBatch('events', [{ body }], { ...env, DB });
    };
    await send(250);
    expect(writes).toBe(1);
    for (let times = 0; times < 3; times++) await send(1);
    expect(writes).toBe(1);
  });
});

describe('a store that is four fifths full', () => {
  it('an event for an endpoint in trouble fails at once, and takes a few hundred bytes', async () => {
    const bench = await largeBench();
    await bench.fail();
    const [kept = ''] = await bench.held(1);
    await fillTo(bench.store, 0.81);
    const [dropped = ''] = await bench.held(1);
    expect(await bench.store.read(dropped)).toMatchObject({
      state: 'failure',
      attempts: 0,
      set: '',
      history: [{ state: 'awaiting-executing' }, { state: 'failure', reason: 'event store full' }],
    });
    expect(await bench.state(kept)).toMatchObject({ state: 'awaiting-executing', hold: 'held' });
    expect((await bench.store.admit(bench.ref, [dropped]))[0]).toEqual({ answer: 'done' });
    const before = await sizeOf(bench.store);
    for (let round = 0; round < 10; round++) await bench.held(100);
    expect(((await sizeOf(bench.store)) - before) / 1000).toBeLessThan(500);
  });

  it('an event of a disabled subscription is not kept either, and its reason says both', async () => {
    const bench = await largeBench();
    await bench.patch({ enabled: false });
    await fillTo(bench.store, 0.81);
    const [id = ''] = await bench.held(1);
    const delivery = await bench.store.read(id);
    expect(delivery?.history.at(-1)?.reason).toBe('subscription disabled; event store full');
    expect(delivery?.set).toBe('');
  });

  it('healthy deliveries, deferred events of a healthy endpoint and tests are stored as always', async () => {
    const bench = await largeBench();
    await fillTo(bench.store, 0.81);
    const [delivered = ''] = bench.ids(1);
    expect(await bench.store.admit(bench.ref, [delivered])).toEqual([{ answer: 'new' }]);
    await bench.settle(delivered, ok);
    expect((await bench.state(delivered))?.state).toBe('success');
    const [deferred = ''] = await bench.held(1);
    expect((await bench.state(deferred))?.state).toBe('awaiting-executing');
    await bench.fail();
    const { id } = await bench.test();
    expect((await bench.state(id))?.state).toBe('awaiting-executing');
  });

  it('the customer sees the event without its token, and cannot have it redelivered', async () => {
    holdClock();
    const subscription = await largeSubscription();
    await subscription.listener.script(...Array.from({ length: 5 }, () => ({ status: 503 })));
    const send = (id: string) =>
      consumeBatch('events', [{ body: { ...anEvent({ id }), customerId: subscription.customer.id } }]);
    const ids = newIds(7);
    for (const id of ids.slice(0, 6)) await send(id);
    await fillTo(storeOf(subscription), 0.81);
    const id = ids[6] ?? '';
    expect((await send(id)).acked).toHaveLength(1);
    const event = await subscription.event(id);
    expect(event).toMatchObject({ state: 'failure', attempts: 0, request: { payload: '' } });
    expect((await subscription.history(id)).at(-1)).toMatchObject({ reason: 'event store full' });
    const path = `/subscriptions/${subscription.id}`;
    const refused = await subscription.customer.call('POST', `${path}/events/${id}/redeliver`);
    expect(refused).toMatchObject({
      status: 409,
      body: { details: 'Event was not kept: its event store was full' },
    });
    const job = await subscription.customer.call('POST', `${path}/redeliveries`, {});
    expect(job.body).toMatchObject({ total: 0, state: 'completed' });
  });
});

describe('a store that is nearly full', () => {
  it('no new event is sent: its message returns to the queue, and becomes a dead letter in the end', async () => {
    const subscription = await largeSubscription();
    const { customer, listener } = subscription;
    const other = await newSubscription(customer);
    await fillTo(storeOf(subscription), 0.96);
    const [id = ''] = newIds(1);
    const body = { ...anEvent({ id }), customerId: customer.id };
    for (const [attempts, delaySeconds] of [
      [1, 2],
      [2, 4],
      [100, 900],
    ])
      expect(await consumeBatch('events', [{ body, attempts: attempts as number }])).toMatchObject({
        acked: [],
        retried: [{ delaySeconds }],
      });
    expect(await listener.calls()).toHaveLength(0);
    expect(await storeOf(subscription).total()).toBe(0);
    // Another subscription of the customer got the event once.
    expect(await other.listener.calls()).toHaveLength(1);
    const letters: unknown[] = [];
    const DEAD_LETTERS = {
      sendBatch: async (messages: Iterable<{ body: unknown }>) => {
        for (const message of messages) letters.push(message.body);
      },
    } as unknown as typeof env.DEAD_LETTERS;
    const last = await consumeBatch('events', [{ body, attempts: 101 }], { ...env, DEAD_LETTERS });
    expect(last.acked).toHaveLength(1);
    expect(JSON.stringify(letters)).toContain(id);
    // With room again, the letter that is replayed reaches the listener.
    Room.maxBytes = STORE_MAX_BYTES;
    expect((await consumeBatch('events', [{ body }])).acked).toHaveLength(1);
    expect(await listener.calls()).toHaveLength(1);
    expect(await other.listener.calls()).toHaveLength(1);
  });

  it('an event that is stored is done, and its retries and results are stored', async () => {
    const bench = await largeBench();
    const [retried = '', delivered = '', late = ''] = bench.ids(3);
    await bench.settle(retried, { kind: 'http_error', response: { statusCode: 503, headers: {} } });
    await bench.settle(delivered, ok);
    await fillTo(bench.store, 0.96);
    expect(await bench.store.admit(bench.ref, [retried, delivered])).toEqual([
      { answer: 'done' },
      { answer: 'done' },
    ]);
    // The listener got it before the store was full.
    await bench.settle(late, ok);
    await bench.attempt(await bench.ringNext(), ok);
    for (const id of [retried, late]) expect((await bench.state(id))?.state).toBe('success');
  });

  it('a full store learns that its subscription was disabled, though it refuses the event', async () => {
    const bench = await largeBench();
    const [waiting = ''] = await bench.held(1);
    await fillTo(bench.store, 0.96);
    bench.ref = { ...bench.ref, version: 2, enabled: false };
    expect(await refusal(bench)).toBe('event store full');
    expect((await bench.state(waiting))?.state).toBe('failure');
  });

  it('an export fails in a full store, and leaves no part of its file', async () => {
    const bench = await largeBench();
    await bench.patch({ enabled: false });
    const ids = await bench.held(3);
    await fillTo(bench.store, 0.96);
    await bench.store.startExport(bench.ref);
    await runDurableObjectAlarm(bench.store);
    const [failed] = await bench.store.exports();
    expect(failed).toMatchObject({ state: 'failed', parts: 0 });
    expect(await bench.store.exportPart(failed?.id ?? '', 0)).toBeUndefined();
    // With room again another export has the events.
    Room.maxBytes = STORE_MAX_BYTES;
    await bench.store.startExport(bench.ref);
    bench.clock.advance(60_000);
    await runDurableObjectAlarm(bench.store);
    const other = (await bench.store.exports()).find(({ id }) => id !== failed?.id);
    const file = await bench.store.exportPart(other?.id ?? '', 0);
    for (const id of ids) expect(file).toContain(id);
  });

  it('the sweep makes room in a full store, and new events are taken again', async () => {
    const bench = await largeBench();
    Room.maxBytes = 1.02 * (await sizeOf(bench.store)) + 2_000_000;
    const share = async () => (await sizeOf(bench.store)) / Room.maxBytes;
    const noise = () =>
      [...crypto.getRandomValues(new Uint8Array(3000))]
        .map((byte) => String.fromCharCode(33 + (byte % 90)))
        .join('');
    while ((await share()) < 0.96) {
      const ids = bench.ids(20);
      const outcome = () =>
        ({ kind: 'success', response: { statusCode: 200, headers: { Server: noise() } } }) as const;
      await bench.store.settle(
        bench.ref,
        ids.map((id) => ({
          ...bench.facts(id),
          kind: 'attempted',
          result: { attempt: 1, startedAt: bench.clock.now(), durationMs: 1, outcome: outcome() },
        })),
      );
      bench.clock.advance(1000);
    }
    expect(await refusal(bench)).toBe('event store full');
    bench.clock.advance(8 * DAY_MS);
    await bench.ring();
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });
});
