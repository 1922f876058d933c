/**
 * What a delivery costs. The platform bills rows, calls, queue operations and log lines, and each figure here is a
 * promise. A change that makes the event path more expensive fails these tests, and must say why it is worth the price.
 */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { publish } from '../../src/delivery/publish.ts';
import { holdClock, holdTimers } from '../support/clock.ts';
import { watchedDatabase } from '../support/requests.ts';
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
  /** A message costs one to write, one to read and one to delete, for each 64 KB begun. */
  queueOperations: number;
  d1Queries: number;
  storeCalls: Record<string, number>;
  hostVisits: number;
  storeRowsWritten: number;
  /** Queries of the table of proofs (contract 10.8). */
  proofQueries: number;
  alarmsSet: number;
  logLines: number;
}

const hexDigits = (count: number) =>
  [...crypto.getRandomValues(new Uint8Array(count))].map((byte) => (byte % 16).toString(16)).join('');
const base64Of = (bytes: number) =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(bytes))));

/** What listeners send behind proxies that many people use, with the parts that differ in each answer. */
const PROXIES = {
  'a plain server': () => ({}),
  'nginx and an application': () => ({
    server: 'nginx/1.26.2',
    'content-type': 'application/json; charset=utf-8',
    etag: `W/"2-${base64Of(20)}"`,
    'x-request-id': crypto.randomUUID(),
    vary: 'Accept-Encoding',
  }),
  Cloudflare: () => ({
    server: 'cloudflare',
    'content-type': 'text/plain;charset=UTF-8',
    'cf-ray': `${hexDigits(16)}-FRA`,
    'cf-cache-status': 'DYNAMIC',
    'report-to': `{"endpoints":[{"url":"https://reports.example/v4?s=${encodeURIComponent(base64Of(90))}"}],"group":"cf-nel","max_age":604800}`,
    nel: '{"success_fraction":0,"report_to":"cf-nel","max_age":604800}',
    'alt-svc': 'h3=":443"; ma=86400',
  }),
  'a load balancer of AWS': () => ({
    server: 'awselb/2.0',
    'content-type': 'application/json',
    'x-amzn-trace-id': `Root=1-${hexDigits(8)}-${hexDigits(24)}`,
    'x-amzn-requestid': crypto.randomUUID(),
    'set-cookie': `AWSALB=${base64Of(96)}; Expires=Mon, 07 Dec 2026 00:00:00 GMT; Path=/`,
    'x-amz-apigw-id': base64Of(11),
  }),
} satisfies Record<string, () => Record<string, string>>;

let lines: MockInstance[];
beforeEach(() => {
  lines = (['log', 'info', 'warn', 'error'] as const).map((level) =>
    vi.spyOn(console, level).mockImplementation(() => undefined),
  );
});
afterEach(() => vi.restoreAllMocks());

function emptyUnits(): Units {
  const nothing = {
    queueOperations: 0,
    d1Queries: 0,
    hostVisits: 0,
    storeRowsWritten: 0,
    proofQueries: 0,
    alarmsSet: 0,
    logLines: 0,
  };
  return { ...nothing, storeCalls: {} };
}

/** Publishes events in one call, consumes the queued messages, and counts everything that is billed. */
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
  // Queues of other tests may still be at work in this runtime: their lines name other subscriptions, or dead letters.
  const isOurs = (line: unknown) => {
    const {
      event,
      customerId = subscription.customer.id,
      subscriptionId = subscription.id,
    } = JSON.parse(String(line)) as { event?: string; customerId?: string; subscriptionId?: string };
    if (event === 'dead letters' || customerId !== subscription.customer.id) return false;
    return subscriptionId === subscription.id;
  };
  const logged = () => lines.flatMap((spy) => spy.mock.calls).filter(([line]) => isOurs(line)).length;
  const loggedBefore = logged();
  const { acked } = await consumeBatch(
    'events',
    bodies.map((body) => ({ body })),
    { ...env, DB: countQueries(units), EVENT_STORE: countCalls(units), HOST_LIMIT: countVisits(units) },
  );
  expect(acked).toHaveLength(bodies.length);
  units.logLines = logged() - loggedBefore;
  await endWatch();
  return units;
}

function countQueries(units: Units): D1Database {
  return watchedDatabase(() => {
    units.d1Queries++;
  });
}

function countCalls(units: Units): typeof env.EVENT_STORE {
  const namespace = env.EVENT_STORE;
  const get = (id: DurableObjectId) =>
    new Proxy(namespace.get(id), {
      get(stub, name) {
        return (...parameters: unknown[]) => {
          units.storeCalls[String(name)] = (units.storeCalls[String(name)] ?? 0) + 1;
          // Called on the stub itself: a method taken off a stub would be another stub.
          return (stub as unknown as Record<string, (...all: unknown[]) => unknown>)[String(name)]?.(
            ...parameters,
          );
        };
      },
    });
  return { idFromName: (name: string) => namespace.idFromName(name), get } as unknown as typeof namespace;
}

function countVisits(units: Units): typeof env.HOST_LIMIT {
  const namespace = env.HOST_LIMIT;
  const get = (id: DurableObjectId) => {
    units.hostVisits++;
    return namespace.get(id);
  };
  return { idFromName: (name: string) => namespace.idFromName(name), get } as unknown as typeof namespace;
}

/**
 * Counts the rows that a store writes, in any of its parts, and the alarms it sets. Each alarm is a row too.
 * @returns a function that ends the counting and adds the figures to `units`
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
      if (/\bproofs\b/.test(query)) units.proofQueries++;
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

/** A subscription whose store already had its first event, so that rows written once in its life are not counted. */
async function inUse(): Promise<TestSubscription> {
  const subscription = await newSubscription(await newCustomer());
  await deliver(subscription, 1);
  return subscription;
}

// A consumer also reports once a second. On a slow machine that would be more calls.
beforeEach(() => holdTimers());

describe('the cost of healthy deliveries', () => {
  it.each([100, 1])(
    'a publish of %i costs one row, two store calls, one query and three queue operations',
    async (count) => {
      holdClock();
      expect(await deliver(await inUse(), count)).toEqual({
        queueOperations: 3,
        d1Queries: 1,
        storeCalls: { admit: 1, settle: 1 },
        hostVisits: 0,
        storeRowsWritten: 1,
        proofQueries: 0,
        alarmsSet: 0,
        // The first delivery of its customer has just had the line of this minute.
        logLines: 0,
      });
    },
  );

  it('the successes of a customer have one line of the log in a minute, however many invocations deliver them', async () => {
    const clock = holdClock();
    const subscription = await inUse();
    const lines = [];
    for (const ms of [1, 59_998, 1, 1]) {
      clock.advance(ms);
      lines.push((await deliver(subscription, 3)).logLines);
    }
    expect(lines).toEqual([0, 0, 1, 0]);
  });

  it('a delivery to an endpoint that had to be verified once costs no more than any other', async () => {
    holdClock();
    const subscription = await inUse();
    await env.DB.prepare('UPDATE subscriptions SET proof = 1, proven = 1 WHERE id = ?')
      .bind(subscription.id)
      .run();
    await deliver(subscription, 1);
    expect(await deliver(subscription, 100)).toMatchObject({
      d1Queries: 1,
      storeCalls: { admit: 1, settle: 1 },
      storeRowsWritten: 1,
      proofQueries: 0,
    });
  });

  it('expired deliveries cost one deleted row for each row written', async () => {
    const clock = holdClock();
    const subscription = await inUse();
    clock.advance(16 * 60_000);
    await deliver(subscription, 100);
    const units = emptyUnits();
    clock.advance(8 * DAY_MS);
    const endWatch = await watchStore(subscription, units);
    await subscription.ring();
    await endWatch();
    // The first event of the subscription has one row, and the hundred share another. Nothing else is written.
    expect(units.storeRowsWritten).toBe(2);
    expect((await subscription.events()).length).toBe(0);
  });

  it('a healthy delivery costs less than two hundred bytes', async () => {
    holdClock();
    const subscription = await inUse();
    const bytes = () =>
      runInDurableObject(storeOf(subscription), (_, { storage }) => storage.sql.databaseSize);
    const before = await bytes();
    for (let round = 0; round < 10; round++) await deliver(subscription, 100);
    expect(((await bytes()) - before) / 1000).toBeLessThan(200);
  });

  it.each(Object.entries(PROXIES))(
    'a delivery to a listener behind %s takes at most 160 bytes of a segment',
    async (_, headers) => {
      holdClock();
      const subscription = await inUse();
      const answers = Array.from({ length: 100 }, () => ({ status: 200, headers: headers() }));
      await subscription.listener.script(...answers);
      await deliver(subscription, 100);
      const bytes = await runInDurableObject(storeOf(subscription), (_, { storage }) =>
        storage.sql
          .exec<{ bytes: number; events: number }>(
            'SELECT length(ids) + length(content) AS bytes, events FROM segments',
          )
          .one(),
      );
      // The first event of the subscription is in the same segment.
      expect(bytes.events).toBe(101);
      expect(bytes.bytes / 101).toBeLessThanOrEqual(160);
    },
  );

  it('a delivery costs as much in a full store as in an empty one', async () => {
    holdClock();
    const subscription = await inUse();
    const first = await deliver(subscription, 100);
    for (let round = 0; round < 5; round++) await deliver(subscription, 200);
    expect(await deliver(subscription, 100)).toEqual(first);
  });
});

describe('the cost of a shared host', () => {
  it.each([
    [2, 1, 2],
    [20, 1, 4],
    [20, 20, 9],
  ])(
    '%i subscriptions at one host, and %i events for each, take %i visits of its limit',
    async (count, events, visits) => {
      holdClock();
      const customer = await newCustomer();
      for (let index = 0; index < count; index++) await newSubscription(customer);
      const units = emptyUnits();
      const body = Array.from({ length: events }, () => ({ ...anEvent(), customerId: customer.id }));
      const environment = { ...env, EVENT_STORE: countCalls(units), HOST_LIMIT: countVisits(units) };
      await consumeBatch('events', [{ body }], environment);
      expect(units.storeCalls).toEqual({ admit: count, settle: count });
      expect(units.hostVisits).toBe(visits);
    },
  );

  it('events for endpoints in trouble take no visits of the limit of their host', async () => {
    holdClock();
    const customer = await newCustomer();
    for (let index = 0; index < 2; index++) {
      const subscription = await newSubscription(customer, { answers: [{ status: 503 }] });
      await deliver(subscription, 5);
    }
    const units = emptyUnits();
    const body = { ...anEvent(), customerId: customer.id };
    const environment = { ...env, EVENT_STORE: countCalls(units), HOST_LIMIT: countVisits(units) };
    await consumeBatch('events', [{ body }], environment);
    expect(units.storeCalls).toEqual({ admit: 2, settle: 2 });
    expect(units.hostVisits).toBe(0);
  });
});

describe('the cost of a repeat', () => {
  it('a repeated event costs one call of the store and writes nothing', async () => {
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

describe('the cost of a failed attempt', () => {
  /** Keeps what goes to the queue of deliveries. */
  function keepDispatches() {
    const dispatches: { body: unknown; delaySeconds: number | undefined }[] = [];
    vi.spyOn(env.DELIVERIES, 'sendBatch').mockImplementation(async (batch) => {
      for (const { body, delaySeconds } of batch) dispatches.push({ body, delaySeconds });
      return undefined as unknown as QueueSendBatchResponse;
    });
    return dispatches;
  }

  it('a delivery that is refused once and then taken costs four rows, alarms included, and no alarm rings for it', async () => {
    const clock = holdClock();
    const subscription = await inUse();
    await subscription.listener.script({ status: 503 }, { status: 200 });
    const dispatches = keepDispatches();
    const failed = await deliver(subscription, 1);
    expect(dispatches).toMatchObject([{ delaySeconds: 3 }]);
    const units = emptyUnits();
    const endWatch = await watchStore(subscription, units);
    clock.advance(4000);
    const { acked } = await consumeBatch('deliveries', dispatches, {
      ...env,
      EVENT_STORE: countCalls(units),
      HOST_LIMIT: countVisits(units),
    });
    await endWatch();
    expect(acked).toHaveLength(1);
    expect((await subscription.events()).map(({ state }) => state)).toEqual(['success', 'success']);
    expect(units).toMatchObject({ storeCalls: { begin: 1, settle: 1 }, hostVisits: 0 });
    // The delivery with its SET and its lease; and the alarm for the end of the lease.
    expect([failed.storeRowsWritten, failed.alarmsSet]).toEqual([1, 1]);
    // The result: the row goes, and a segment comes. The attempt that begins writes nothing.
    expect([units.storeRowsWritten, units.alarmsSet]).toEqual([2, 0]);
  });

  it('deliveries that are refused once, one every ten seconds, share an alarm in two minutes', async () => {
    const clock = holdClock();
    const subscription = await inUse();
    const dispatches = keepDispatches();
    const units = emptyUnits();
    let rings = 0;
    for (let nth = 0; nth < 36; nth++) {
      await subscription.listener.script({ status: 503 }, { status: 200 });
      const { alarmsSet } = await deliver(subscription, 1);
      const endWatch = await watchStore(subscription, units);
      clock.advance(4000);
      await consumeBatch('deliveries', dispatches.splice(0), env);
      const alarm = await runInDurableObject(storeOf(subscription), (_, { storage }) => storage.getAlarm());
      if (alarm !== null && alarm <= clock.now() + 6000) {
        clock.advance(Math.max(0, alarm - clock.now()));
        await subscription.ring();
        rings++;
      }
      await endWatch();
      units.alarmsSet += alarmsSet;
      clock.advance(6000);
    }
    // In six minutes. After each ring the alarm is set for the sweep, and with the next failure for the end of its lease.
    expect([rings, units.alarmsSet]).toEqual([2, 5]);
  });

  it('a failed first attempt costs one row and an alarm', async () => {
    holdClock();
    const subscription = await inUse();
    await subscription.listener.script({ status: 503 });
    expect(await deliver(subscription, 1)).toMatchObject({
      storeCalls: { admit: 1, settle: 1 },
      storeRowsWritten: 1,
      alarmsSet: 1,
      logLines: 1,
    });
  });
});
