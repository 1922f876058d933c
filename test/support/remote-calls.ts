/**
 * Counts the remote calls that an answer waits for, one after another. A caller far from the database waits for each of them: calls that
 * are made together count as one step.
 *
 * Remote are a round trip to D1 (a batch is one), a call of an event store, and a send to a queue. Not counted are the limiters of the
 * platform, which answer where the Worker runs, and name servers, which the tests do not ask.
 */
import { createExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import type { Env } from '../../src/env.ts';
import { createApp } from '../../src/http/app.ts';
import { createAddressCheck } from '../../src/outbound/address-check.ts';
import { environmentWith } from './requests.ts';
import { BASE_URL, newAddress } from './world.ts';

interface Call {
  readonly name: string;
  readonly step: number;
  ended: boolean;
}

/** The calls of one request. */
class Trace {
  readonly #calls: Call[] = [];
  /** The step of the last call that has ended. */
  #reached = 0;

  async watch<Answer>(name: string, work: () => Promise<Answer>): Promise<Answer> {
    const call = { name, step: this.#reached + 1, ended: false };
    this.#calls.push(call);
    try {
      return await work();
    } finally {
      call.ended = true;
      this.#reached = Math.max(this.#reached, call.step);
    }
  }

  /** What has ended, step by step: `d1`, `list + total`. Calls under way are those that the answer does not wait for. */
  steps(): string[] {
    const ended = this.#calls.filter((call) => call.ended);
    return [...Map.groupBy(ended, ({ step }) => step)]
      .toSorted(([a], [b]) => a - b)
      .map(([, calls]) =>
        calls
          .map(({ name }) => name)
          .sort()
          .join(' + '),
      );
  }
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly token: string;
  readonly body?: unknown;
}

interface Waited {
  readonly status: number;
  readonly steps: readonly string[];
}

/** A new isolate whose remote calls are counted. It knows no token, no customer and no key set yet. */
export function countedIsolate(): (asked: Asked) => Promise<Waited> {
  const app = createApp(createAddressCheck());
  return async ({ method, path, token, body }) => {
    const trace = new Trace();
    const request = new Request(`${BASE_URL}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        'cf-connecting-ip': newAddress(),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const response = await app.fetch(request, countedEnvironment(trace), createExecutionContext());
    // What a change leaves for later is under way now. The list of events and the file of an export are still being read.
    const answered = trace.steps();
    await response.bytes();
    return { status: response.status, steps: method === 'GET' ? trace.steps() : answered };
  };
}

function countedEnvironment(trace: Trace): Env {
  const limiter = { limit: async () => ({ success: true }) } as RateLimit;
  return environmentWith({
    DB: countedDatabase(trace),
    EVENT_STORE: countedStores(trace),
    EVENTS: countedQueue(trace),
    MANAGEMENT_CALLS: limiter,
    COSTLY_WORK: limiter,
    TESTS: limiter,
  });
}

function countedDatabase(trace: Trace): D1Database {
  const originals = new WeakMap<object, D1PreparedStatement>();
  const counted = (statement: D1PreparedStatement): D1PreparedStatement => {
    const proxy = new Proxy(statement, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== 'function') return member;
        return (...values: unknown[]) => {
          if (name === 'bind') return counted(target.bind(...values));
          return trace.watch('d1', () => member.apply(target, values) as Promise<unknown>);
        };
      },
    });
    originals.set(proxy, statement);
    return proxy;
  };
  return new Proxy(env.DB, {
    get(target, name) {
      if (name === 'prepare') return (query: string) => counted(target.prepare(query));
      if (name === 'batch') {
        return (statements: D1PreparedStatement[]) =>
          trace.watch('d1', () => target.batch(statements.map((one) => originals.get(one) ?? one)));
      }
      const member = Reflect.get(target, name) as unknown;
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

function countedStores(trace: Trace): typeof env.EVENT_STORE {
  const namespace = env.EVENT_STORE;
  type Method = (...values: unknown[]) => Promise<unknown>;
  const get = (id: DurableObjectId) =>
    new Proxy(namespace.get(id), {
      get(stub, name) {
        return (...values: unknown[]) =>
          // Called on the stub itself: a method taken off a stub would be another stub.
          trace.watch(String(name), async () =>
            (stub as unknown as Record<string, Method>)[String(name)]?.(...values),
          );
      },
    });
  return { idFromName: (name: string) => namespace.idFromName(name), get } as unknown as typeof namespace;
}

function countedQueue(trace: Trace): Queue<unknown> {
  return {
    sendBatch: () => trace.watch('queue', async () => scheduler.wait(0)),
  } as unknown as Queue<unknown>;
}
