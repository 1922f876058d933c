/** Requests that `call` of world.ts cannot make: with raw bodies, other bindings or another resolver. */
import { createExecutionContext } from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import type { Env } from '../../src/env.ts';
import { createFetch } from '../../src/http/app.ts';
import { type AddressCheck, createAddressCheck } from '../../src/outbound/address-check.ts';
import type { Resolver } from '../../src/outbound/dns-over-https.ts';
import {
  BASE_URL,
  type CallOptions,
  call,
  getToken,
  newAddress,
  type Reply,
  type TestCustomer,
} from './world.ts';

/** Makes one request to the Worker, exactly as given. */
export async function send(path: string, init: RequestInit): Promise<Reply> {
  const request = new Request(`${BASE_URL}${path}`, { redirect: 'manual', ...init });
  request.headers.set('cf-connecting-ip', newAddress());
  return await replyOf(await exports.default.fetch(request));
}

/** The environment of the tests with some bindings changed. */
export function environmentWith(changes: Partial<Env>): Env {
  return { ...env, ...changes };
}

/** The environment of the tests without some variables. */
export function environmentWithout(...names: (keyof Env)[]): Env {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !(names as string[]).includes(name)),
  ) as unknown as Env;
}

interface IsolateOptions extends CallOptions {
  readonly checkAddress?: AddressCheck;
}

type CallInIsolate = (method: string, path: string, options?: CallOptions) => Promise<Reply>;

/** Makes one request to a new app with this environment. An object as `body` is sent as JSON. */
export async function callIn(
  environment: Env,
  method: string,
  path: string,
  { checkAddress, ...options }: IsolateOptions = {},
): Promise<Reply> {
  return await newIsolate(environment, checkAddress)(method, path, options);
}

/** A new app with this environment, which remembers what an isolate remembers. @returns a function that makes requests to it */
export function newIsolate(
  environment: Env,
  checkAddress: AddressCheck = createAddressCheck(silentResolver),
): CallInIsolate {
  const answer = createFetch(checkAddress);
  return async (method, path, { token, body, headers = {} } = {}) => {
    const request = new Request(`${BASE_URL}${path}`, {
      method,
      headers: {
        'cf-connecting-ip': newAddress(),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return await replyOf(await answer(request, environment, createExecutionContext()));
  };
}

/** The D1 of the tests. It says each query before it is asked, however often a prepared one is. */
export function watchedDatabase(onQuery: (query: string) => void): D1Database {
  const originals = new WeakMap<
    object,
    { readonly query: string; readonly statement: D1PreparedStatement }
  >();
  const watched = (query: string, statement: D1PreparedStatement): D1PreparedStatement => {
    const proxy = new Proxy(statement, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== 'function') return member;
        if (name === 'bind') return (...values: unknown[]) => watched(query, target.bind(...values));
        return (...values: unknown[]) => {
          onQuery(query);
          return member.apply(target, values) as unknown;
        };
      },
    });
    originals.set(proxy, { query, statement });
    return proxy;
  };
  return new Proxy(env.DB, {
    get(target, name) {
      if (name === 'prepare') return (query: string) => watched(query, target.prepare(query));
      if (name === 'batch') {
        return (statements: D1PreparedStatement[]) => {
          const asked = statements.map((one) => originals.get(one) ?? { query: '', statement: one });
          for (const { query } of asked) onQuery(query);
          return target.batch(asked.map(({ statement }) => statement));
        };
      }
      const member = Reflect.get(target, name) as unknown;
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

/** The environment of the tests with a D1 that counts its queries, those of the audit trail excepted. */
export function countingQueries(changes: Partial<Env> = {}): { environment: Env; queries(): number } {
  let queries = 0;
  const DB = watchedDatabase((query) => {
    if (!/"audit"/.test(query)) queries++;
  });
  return { environment: environmentWith({ ...changes, DB }), queries: () => queries };
}

/** A limiter as the platform has it, without its periods: it counts a key and answers whether the count is within the limit. */
export function limiter(limit: number): RateLimit {
  const counts = new Map<string, number>();
  return {
    limit: async ({ key }: { key: string }) => {
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      return { success: count <= limit };
    },
  } as RateLimit;
}

/** A name server that knows only these host names. */
export function resolverOf(names: Readonly<Record<string, { a?: string[]; aaaa?: string[] }>>): Resolver {
  return async (hostname, type) => {
    const { a = [], aaaa = [] } = names[hostname] ?? {};
    return { kind: 'addresses', addresses: type === 'A' ? a : aaaa };
  };
}

const silentResolver = resolverOf({});

async function replyOf(response: Response): Promise<Reply> {
  const text = await response.text();
  let body: unknown = text;
  try {
    body = JSON.parse(text);
  } catch {}
  return { status: response.status, headers: response.headers, body };
}

/** The same customer with a token issued now, for tests that hold the clock. */
export async function withNewToken(customer: TestCustomer): Promise<TestCustomer> {
  const { id, clientId, clientSecret } = customer;
  const token = (await getToken(id, clientId, clientSecret)).body.access_token as string;
  return {
    ...customer,
    token,
    call: (method, path, body, headers) =>
      call(method, `/${id}/webhooks${path}`, {
        token,
        ...(body === undefined ? {} : { body }),
        ...(headers === undefined ? {} : { headers }),
      }),
  };
}

/** A body sent in chunks, without a Content-Length. */
export function streamOf(totalBytes: number, chunkBytes = 65_536): ReadableStream<Uint8Array> {
  let left = totalBytes;
  return new ReadableStream({
    pull(controller) {
      const size = Math.min(left, chunkBytes);
      left -= size;
      if (size > 0) controller.enqueue(new Uint8Array(size).fill(0x20));
      if (left === 0) controller.close();
    },
  });
}
