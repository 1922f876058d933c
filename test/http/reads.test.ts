/** What a call reads, it reads once: rows of D1, whose queries the platform bills, and bodies. */
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { environmentWith, newIsolate, send } from '../support/requests.ts';
import {
  anEvent,
  asOperator,
  consumeBatch,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

let customer: TestCustomer;
let subscription: TestSubscription;
let failedEvent: string;
beforeAll(async () => {
  customer = await newCustomer();
  subscription = await newSubscription(customer, { answers: [{ status: 302 }] });
  await consumeBatch('events', [{ body: anEvent({ customerId: customer.id }) }]);
  failedEvent = (await subscription.events())[0]?.id;
});

interface Counted {
  readonly status: number;
  readonly queries: number;
}

/** One call, with the queries it makes; a batch counts each of its statements. */
async function countQueries(method: string, path: string, token: string, body?: unknown): Promise<Counted> {
  let queries = 0;
  const DB = new Proxy(env.DB, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (name === 'prepare') queries++;
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  const options = { token, ...(body === undefined ? {} : { body }) };
  const callIt = newIsolate(environmentWith({ DB }));
  // From its first call on, the isolate remembers the credential of the token.
  await callIt('GET', `/${path.split('/')[1]}/webhooks/subscriptions`, { token });
  queries = 0;
  const { status } = await callIt(method, path, options);
  return { status, queries };
}

describe('a management call', () => {
  const counted = (method: string, path: string, body?: unknown) =>
    countQueries(
      method,
      `/${customer.id}/webhooks/subscriptions/${subscription.id}${path}`,
      customer.token,
      body,
    );

  it.each([
    ['reads a subscription', 'GET', ''],
    ['reads the summary of a subscription', 'GET', '/summary'],
    ['lists events', 'GET', '/events'],
    ['lists exports', 'GET', '/exports'],
    ['lists bulk redeliveries', 'GET', '/redeliveries'],
  ])('a call that %s makes one query: for the subscription', async (_, method, path) => {
    expect(await counted(method, path)).toEqual({ status: 200, queries: 1 });
  });

  it('a call for an event, its history or its redelivery makes one query: for the subscription', async () => {
    const path = `/events/${failedEvent}`;
    expect(await counted('GET', path)).toEqual({ status: 200, queries: 1 });
    expect(await counted('GET', `${path}/history`)).toEqual({ status: 200, queries: 1 });
    expect(await counted('POST', `${path}/redeliver`)).toEqual({ status: 202, queries: 1 });
  });

  it('a call that starts a bulk redelivery makes one query: for the subscription', async () => {
    expect(await counted('POST', '/redeliveries', {})).toEqual({ status: 202, queries: 1 });
  });

  it('a PATCH that changes nothing makes one query: for the subscription', async () => {
    expect(await counted('PATCH', '', {})).toEqual({ status: 200, queries: 1 });
  });

  it('a PATCH makes two queries: it reads the subscription and changes it', async () => {
    expect(await counted('PATCH', '', { enabled: true })).toEqual({ status: 200, queries: 2 });
  });

  it('a PATCH of title and filter makes one more query for each, to check the new value, and one to note the steps', async () => {
    const change = { title: 'renamed', filter: {} };
    expect(await counted('PATCH', '', change)).toEqual({ status: 200, queries: 5 });
  });

  it('a call refused for its body or its query parameters made one query: for the subscription', async () => {
    expect(await counted('PATCH', '', { enabled: 'yes' })).toEqual({ status: 400, queries: 1 });
    expect(await counted('GET', '/events?limit=none')).toEqual({ status: 400, queries: 1 });
  });
});

describe('a call of the operator', () => {
  const counted = (method: string, path: string, body?: unknown) =>
    countQueries(method, `/operator/customers/${customer.id}${path}`, OPERATOR_TOKEN, body);

  it('a call that reads a customer makes two queries: for the customer, and for how full its stores are', async () => {
    expect(await counted('GET', '')).toEqual({ status: 200, queries: 2 });
  });

  it('a call that creates a client makes four queries: it reads the customer, and writes the client, its secret and the audit entry', async () => {
    expect(await counted('POST', '/clients', { name: 'counted' })).toEqual({ status: 201, queries: 4 });
  });

  it('a call that rotates a secret makes six queries: it reads customer and client, and writes secrets and the audit entry', async () => {
    const { clientId } = (await asOperator('POST', `/customers/${customer.id}/clients`, { name: 'main' }))
      .body;
    const reply = await counted('POST', `/clients/${clientId}/rotate-secret`);
    expect(reply).toEqual({ status: 200, queries: 6 });
  });

  it('a call refused for its body read only the rows of its path', async () => {
    expect(await counted('POST', '/clients', {})).toEqual({ status: 400, queries: 1 });
  });
});

/** A body whose length nobody knows before its end. */
function inChunks(text: string): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const character of text) controller.enqueue(new TextEncoder().encode(character));
      controller.close();
    },
  });
}

describe('a body', () => {
  const change = () =>
    JSON.stringify({ title: crypto.randomUUID(), enabled: true, filter: { type: 'object' } });

  it.each(['application/json', 'application/merge-patch+json', 'application/json ; charset="utf-8"'])(
    'a body sent as %s is parsed once',
    async (type) => {
      const text = change();
      const parse = vi.spyOn(JSON, 'parse');
      onTestFinished(() => parse.mockRestore());
      const path = `/subscriptions/${subscription.id}`;
      expect((await customer.call('PATCH', path, text, { 'content-type': type })).status).toBe(200);
      expect(parse.mock.calls.filter(([parsed]) => parsed === text)).toHaveLength(1);
    },
  );

  it.each([
    ['PATCH', '', change, 200],
    ['POST', '/redeliveries', () => '{}', 202],
  ])('sent in chunks, without its length, is read once: %s %s', async (method, path, text, status) => {
    const body = inChunks(text());
    const headers = { authorization: `Bearer ${customer.token}`, 'content-type': 'application/json' };
    const subscriptionPath = `/${customer.id}/webhooks/subscriptions/${subscription.id}`;
    expect((await send(`${subscriptionPath}${path}`, { method, headers, body })).status).toBe(status);
  });
});
