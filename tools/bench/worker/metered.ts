/**
 * The Worker with a meter: the same code, but wrapped bindings count each billable unit, and a few routes fill a store with
 * events or measure its answers without the network. Only the benchmark builds this file.
 *
 *     GET  /bench/units                       the units counted since the last such request
 *     POST /bench/fill?customer&subscription&kid&count&days    stores delivered events, accepted over the last days
 *     GET  /bench/store?subscription          bytes and rows of its database, and ms of `admit` for a hundred ids, new and known
 */
import { eventIdFloor, newEventIds } from '../../../src/domain/ids.ts';
import { type SetContent, setHeader, setPayload } from '../../../src/domain/security-event-token.ts';
import type { SubscriptionRef } from '../../../src/domain/subscription.ts';
import type { Env } from '../../../src/env.ts';
import { EventStore as Store } from '../../../src/event-store/event-store.ts';
import worker from '../../../src/index.ts';
import { noUnits, type Units } from '../units.ts';

export { Publisher } from '../../../src/publisher.ts';

const OPERATION_BYTES = 64_000;
const FILLED_AT_ONCE = 800;
const DAY_MS = 86_400_000;
const ADMITS = 30;
const BASE_URL = 'http://127.0.0.1';

let units = noUnits();
/** Cursors whose rows are not counted yet: a cursor knows its rows when it was read to its end. */
let cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
let objectMs = 0;

function countCursors(): void {
  for (const { rowsRead, rowsWritten } of cursors) {
    units.objectRowsRead += rowsRead;
    units.objectRowsWritten += rowsWritten;
  }
  cursors = [];
}

for (const level of ['log', 'info', 'warn', 'error'] as const) {
  const write = console[level].bind(console);
  console[level] = (...values: unknown[]) => {
    units.logLines++;
    write(...values);
  };
}

/** An event store whose rows are counted. */
export { HostLimit } from '../../../src/host-limit/host-limit.ts';

export class EventStore extends Store {
  constructor(state: DurableObjectState, env: Env) {
    super(metered(state), env);
  }

  override async alarm(): Promise<void> {
    units.alarms++;
    units.objectRequests++;
    await super.alarm();
  }

  /** Stores delivered events, accepted evenly over the last days, as if signed with the key `kid`. */
  async fill(
    customerId: string,
    subscriptionId: string,
    kid: string,
    count: number,
    days: number,
  ): Promise<void> {
    const endpoint = 'http://127.0.0.1/';
    const ref = { customerId, subscriptionId, version: 0, enabled: true, endpoint };
    const since = Date.now() - days * DAY_MS;
    const between = (days * DAY_MS) / count;
    for (let done = 0; done < count; done += FILLED_AT_ONCE) {
      const share = Math.min(FILLED_AT_ONCE, count - done);
      const reports = Array.from({ length: share }, (_, index) => {
        const acceptedAt = Math.floor(since + (done + index) * between);
        const [eventId = ''] = newEventIds(acceptedAt, 1, crypto.getRandomValues(new Uint8Array(16)));
        const set = filledSet(kid, {
          customerId,
          subscriptionId,
          eventId,
          endpoint,
          acceptedAt,
          occurredAt: acceptedAt,
        });
        const response = { statusCode: 204, headers: { Date: new Date(acceptedAt).toUTCString() } };
        const outcome = { kind: 'success', response } as const;
        return {
          kind: 'attempted' as const,
          eventId,
          acceptedAt,
          endpoint,
          set,
          result: { attempt: 1, startedAt: acceptedAt, durationMs: 5, outcome },
        };
      });
      await this.settle(ref, reports);
    }
  }

  /** Bytes of the database, and rows that will be deleted one day. */
  stored(): { bytes: number; rows: number } {
    const { sql } = this.ctx.storage;
    const rows = ['deliveries', 'segments'].map(
      (table) => sql.exec<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).one().n,
    );
    return { bytes: sql.databaseSize, rows: rows.reduce((sum, n) => sum + n) };
  }
}

/** A token like ours, with a short signature: signatures are not stored. */
function filledSet(kid: string, content: Omit<SetContent, 'events'>): string {
  const part = (text: string) =>
    new TextEncoder().encode(text).toBase64({ alphabet: 'base64url', omitPadding: true });
  const { customerId, eventId } = content;
  const event = {
    captureApplicationId: 'application',
    captureClientId: 'client',
    entityType: 'user',
    globalSub: `capture-v1://us.janraincapture.com/application/user/${eventId}`,
    id: eventId,
    sub: eventId,
  };
  const payload = setPayload(BASE_URL, { ...content, events: { entityCreated: event } });
  return `${part(JSON.stringify(setHeader(BASE_URL, customerId, { algorithm: 'RS256', kid })))}.${part(payload)}.c2lnbmF0dXJl`;
}

/** @returns milliseconds that one `admit` takes, on average */
async function admitting(
  store: DurableObjectStub<EventStore>,
  ref: SubscriptionRef,
  ids: () => Promise<string[]>,
): Promise<number> {
  const all = await Promise.all(Array.from({ length: ADMITS }, ids));
  const startedAt = Date.now();
  for (const some of all) await store.admit(ref, some);
  return (Date.now() - startedAt) / ADMITS;
}

/** Wraps a store's storage, so that rows and alarms are counted. */
function metered(state: DurableObjectState): DurableObjectState {
  const { storage } = state;
  const exec = storage.sql.exec.bind(storage.sql);
  const setAlarm = storage.setAlarm.bind(storage);
  const counted = (query: string, ...values: SqlStorageValue[]) => {
    const cursor = exec(query, ...values);
    cursors.push(cursor);
    if (cursors.length > 1000) countCursors();
    return cursor;
  };
  Object.defineProperty(storage.sql, 'exec', { configurable: true, value: counted });
  Object.defineProperty(storage, 'setAlarm', {
    configurable: true,
    value: (...values: Parameters<typeof setAlarm>) => {
      units.objectRowsWritten++;
      return setAlarm(...values);
    },
  });
  return state;
}

function meteredStores(namespace: Env['EVENT_STORE']): Env['EVENT_STORE'] {
  const get = (id: DurableObjectId) =>
    new Proxy(namespace.get(id), {
      get:
        (stub, name) =>
        async (...values: unknown[]) => {
          units.objectRequests++;
          const startedAt = Date.now();
          try {
            // Call it on the stub: a method taken from a stub is itself a stub.
            return await (stub as unknown as Record<string, (...all: unknown[]) => unknown>)[String(name)]?.(
              ...values,
            );
          } finally {
            objectMs += Date.now() - startedAt;
          }
        },
    });
  return { idFromName: (name: string) => namespace.idFromName(name), get } as unknown as typeof namespace;
}

/** Wraps D1, so that rows are counted. Drizzle's reads as arrays (`raw`) bring no counts: those queries run twice. */
function meteredDatabase(database: D1Database): D1Database {
  const count = ({ meta }: D1Result) => {
    units.d1RowsRead += meta.rows_read;
    units.d1RowsWritten += meta.rows_written;
  };
  const statement = (query: string, inner: D1PreparedStatement): D1PreparedStatement =>
    new Proxy(inner, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown;
        if (typeof value !== 'function') return value;
        return (...values: unknown[]) => {
          if (name === 'bind') return statement(query, target.bind(...values));
          const result = value.apply(target, values) as Promise<D1Result>;
          if (name === 'run' || name === 'all') result.then(count, () => undefined);
          if (name === 'raw' && /^\s*select/i.test(query)) target.all().then(count, () => undefined);
          return result;
        };
      },
    });
  return new Proxy(database, {
    get(target, name) {
      if (name === 'prepare') return (query: string) => statement(query, target.prepare(query));
      const value = Reflect.get(target, name) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function meteredQueue(queue: Queue<unknown>): Queue<unknown> {
  return new Proxy(queue, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown;
      if (name !== 'sendBatch') return typeof value === 'function' ? value.bind(target) : value;
      return (messages: Iterable<MessageSendRequest<unknown>>) => {
        const all = [...messages];
        for (const { body } of all) units.queueOperations += operations(body);
        return target.sendBatch(all);
      };
    },
  });
}

function operations(body: unknown): number {
  return Math.ceil(new TextEncoder().encode(JSON.stringify(body)).length / OPERATION_BYTES);
}

const environments = new WeakMap<D1Database, Env>();

function meter(env: Env): Env {
  let known = environments.get(env.DB);
  if (known === undefined) {
    known = {
      ...env,
      DB: meteredDatabase(env.DB),
      EVENTS: meteredQueue(env.EVENTS),
      SLICES: meteredQueue(env.SLICES),
      DELIVERIES: meteredQueue(env.DELIVERIES),
      UNHEALTHY: meteredQueue(env.UNHEALTHY),
      EVENT_STORE: meteredStores(env.EVENT_STORE),
      HOST_LIMIT: meteredStores(env.HOST_LIMIT),
    };
    environments.set(env.DB, known);
  }
  return known;
}

async function answer(request: Request, env: Env): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const subscriptionId = searchParams.get('subscription') ?? '';
  const customerId = searchParams.get('customer') ?? '';
  const store = env.EVENT_STORE.get(
    env.EVENT_STORE.idFromName(subscriptionId),
  ) as unknown as DurableObjectStub<EventStore>;
  switch (pathname) {
    case '/bench/units': {
      countCursors();
      const counted: Units & { objectMs: number } = { ...units, objectMs };
      units = noUnits();
      objectMs = 0;
      return Response.json(counted);
    }
    case '/bench/fill':
      await store.fill(
        customerId,
        subscriptionId,
        searchParams.get('kid') ?? '',
        Number(searchParams.get('count')),
        Number(searchParams.get('days')),
      );
      return Response.json({});
    case '/bench/store': {
      const ref = { customerId, subscriptionId, version: 0, enabled: true, endpoint: 'http://127.0.0.1/' };
      const random = () => crypto.getRandomValues(new Uint8Array(16));
      const fresh = async () => newEventIds(Date.now(), 100, random());
      // A hundred that are stored, from anywhere in the store.
      const known = async () => {
        const after = eventIdFloor(Date.now() - Math.random() * 5 * DAY_MS);
        return ((await store.list({ after, limit: 100 })) as { eventId: string }[]).map(
          ({ eventId }) => eventId,
        );
      };
      return Response.json({
        ...(await store.stored()),
        admitNewMs: await admitting(store, ref, fresh),
        admitKnownMs: await admitting(store, ref, known),
      });
    }
    default:
      return new Response(null, { status: 404 });
  }
}

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname.startsWith('/bench/')) return answer(request, env);
    units.requests++;
    return worker.fetch(request, meter(env), ctx);
  },
  async queue(batch, env, ctx) {
    units.requests++;
    for (const { body } of batch.messages) units.queueOperations += 2 * operations(body);
    await worker.queue(batch, meter(env), ctx);
  },
  scheduled: (controller, env) => worker.scheduled(controller, meter(env)),
} satisfies ExportedHandler<Env>;
