/**
 * What a far caller waits for: the remote calls of each management call that are made one after another. A call that is added makes its
 * row red, and so does a route without a row.
 */
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { aSet, ok, unavailable } from '../support/delivery-fixtures.ts';
import { countedIsolate } from '../support/remote-calls.ts';
import { refTo, reportOf } from '../support/reports.ts';
import { allRoutes, fill } from '../support/routes.ts';
import {
  anEvent,
  call,
  newCustomer,
  newSubscription,
  storeOf,
  type TestSubscription,
} from '../support/world.ts';

/** How often a call may be made; a D1 batch is one call. Far from the database, each step is one wait. */
interface Row {
  /** What an isolate waits for that does not remember the token, step by step; `a + b` are made at once. */
  readonly cold: readonly string[];
  /** The same for an isolate that remembers the token; absent: as many. */
  readonly known?: readonly string[];
  readonly status: number;
  readonly body?: (subscription: TestSubscription) => unknown;
  /** The job that the path names, which is completed before unless it `isRunning`. */
  readonly job?: 'exports' | 'redeliveries';
  readonly isRunning?: true;
}

const FILTER = { properties: { entityCreated: { properties: { entityType: { const: 'user' } } } } };
const uniqueTitle = () => `a title ${crypto.randomUUID()}`;
const SUBSCRIPTIONS = '/{cid}/webhooks/subscriptions';
const ONE = `${SUBSCRIPTIONS}/{sid}`;

const ROWS: Readonly<Record<string, Row>> = {
  // The size of the list is known before it is paid for, and it is paid for before it is read.
  [`GET ${SUBSCRIPTIONS}`]: { status: 200, cold: ['d1', 'd1', 'd1'], known: ['d1', 'd1'] },
  // Credential; faults; insert. Its store is made behind the answer.
  [`POST ${SUBSCRIPTIONS}`]: {
    status: 201,
    cold: ['d1', 'd1', 'd1'],
    known: ['d1', 'd1'],
    body: ({ listener }) => ({
      title: uniqueTitle(),
      endpoint: listener.endpoint,
      events: ['entityCreated'],
      filter: FILTER,
    }),
  },
  [`GET ${ONE}`]: { status: 200, cold: ['d1', 'health'] },
  // Credential and subscription; faults; update; the store's answer has the health.
  [`PATCH ${ONE}`]: {
    status: 200,
    cold: ['d1', 'd1', 'd1', 'adopt'],
    body: ({ listener }) => ({
      title: uniqueTitle(),
      endpoint: `${listener.endpoint}/other`,
      events: ['entityDeleted'],
      enabled: false,
      filter: FILTER,
    }),
  },
  // Credential; deletion; the store; the mark that the store is erased.
  [`DELETE ${ONE}`]: { status: 204, cold: ['d1', 'd1', 'erase', 'd1'], known: ['d1', 'erase', 'd1'] },
  [`GET ${ONE}/summary`]: { status: 200, cold: ['d1', 'summary'] },
  [`GET ${ONE}/stats`]: { status: 200, cold: ['d1', 'figures'] },
  'GET /{cid}/webhooks/stats': { status: 200, cold: ['d1', 'd1', 'figures'], known: ['d1', 'figures'] },
  // Credential and subscription; the key; the store, twice.
  [`POST ${ONE}/test`]: { status: 202, cold: ['d1', 'd1', 'settle', 'read'] },
  // The key for signatures comes with the subscription.
  [`GET ${ONE}/events`]: { status: 200, cold: ['d1', 'list + total'] },
  [`GET ${ONE}/events/{eid}`]: { status: 200, cold: ['d1', 'read'] },
  [`GET ${ONE}/events/{eid}/history`]: { status: 200, cold: ['d1', 'read'] },
  [`POST ${ONE}/events/{eid}/redeliver`]: { status: 202, cold: ['d1', 'redeliver'] },
  'GET /{cid}/webhooks/events/{eid}': { status: 200, cold: ['d1', 'd1', 'glance'], known: ['d1', 'glance'] },
  [`POST ${ONE}/exports`]: { status: 202, cold: ['d1', 'startExport'] },
  [`GET ${ONE}/exports`]: { status: 200, cold: ['d1', 'exports'] },
  [`GET ${ONE}/exports/{exportId}`]: { status: 200, job: 'exports', cold: ['d1', 'exports'] },
  [`DELETE ${ONE}/exports/{exportId}`]: {
    status: 204,
    job: 'exports',
    isRunning: true,
    cold: ['d1', 'cancelExport'],
  },
  // A part for each call: a file may have a gigabyte.
  [`GET ${ONE}/exports/{exportId}/download`]: {
    status: 200,
    job: 'exports',
    cold: ['d1', 'exports', 'exportPart'],
  },
  [`POST ${ONE}/redeliveries`]: { status: 202, cold: ['d1', 'startRedelivery'] },
  [`GET ${ONE}/redeliveries`]: { status: 200, cold: ['d1', 'redeliveries'] },
  [`GET ${ONE}/redeliveries/{redeliveryId}`]: {
    status: 200,
    job: 'redeliveries',
    cold: ['d1', 'redeliveries'],
  },
  [`DELETE ${ONE}/redeliveries/{redeliveryId}`]: {
    status: 204,
    job: 'redeliveries',
    cold: ['d1', 'cancelRedelivery'],
  },
  'POST /{cid}/webhooks/filter-tests': {
    status: 200,
    cold: ['d1'],
    known: [],
    body: () => ({ filter: FILTER, event: anEvent() }),
  },
  'POST /{cid}/webhooks/events': {
    status: 202,
    cold: ['d1', 'queue'],
    known: ['queue'],
    body: () => anEvent(),
  },
};

/** Steps at most, for the calls that programs make most. */
const AT_MOST: Readonly<Record<string, number>> = {
  [`GET ${ONE}`]: 2,
  [`GET ${ONE}/events`]: 2,
  [`PATCH ${ONE}`]: 4,
};

/** A subscription with an event that failed and one that succeeded, and what a path names of it. */
async function prepare(name: string, { job, isRunning }: Row) {
  const customer = await newCustomer();
  const subscription = await newSubscription(customer);
  const { body: jwks } = await call('GET', `/${customer.id}/login/jwk`);
  const now = Date.now();
  const [failed = '', succeeded = ''] = newEventIds(now, 2, crypto.getRandomValues(new Uint8Array(16)));
  const settle = async (eventId: string, attempt: number, outcome: Outcome) => {
    const facts = { eventId, acceptedAt: now, endpoint: subscription.listener.endpoint };
    const result = { attempt, startedAt: now, durationMs: 1, outcome };
    const report = reportOf({ ...facts, set: aSet(eventId, jwks.keys[0].kid), result });
    await storeOf(subscription).settle(refTo(subscription), [report]);
  };
  for (const attempt of [1, 2, 3, 4, 5, 6]) await settle(failed, attempt, unavailable);
  // A success is stored without its signature.
  await settle(succeeded, 1, ok);
  let id = '';
  if (job !== undefined) {
    id = (await customer.call('POST', `/subscriptions/${subscription.id}/${job}`)).body.id;
    if (isRunning !== true) await subscription.ring();
  }
  const eid = name.startsWith('GET') ? succeeded : failed;
  const values = { cid: customer.id, sid: subscription.id, eid, exportId: id, redeliveryId: id };
  return { subscription, values };
}

async function stepsOf(name: string, row: Row, memory: 'cold' | 'known') {
  const [method = '', path = ''] = name.split(' ');
  const { subscription, values } = await prepare(name, row);
  const { token } = subscription.customer;
  const isolate = countedIsolate();
  if (memory === 'known') await isolate({ method: 'GET', path: fill(`${SUBSCRIPTIONS}`, values), token });
  const body = row.body?.(subscription);
  return await isolate({
    method,
    path: fill(path, values),
    token,
    ...(body === undefined ? {} : { body }),
  });
}

describe('the remote calls that a management call waits for', () => {
  it('every management call of the OpenAPI document has its remote calls in the table', async () => {
    const routes = (await allRoutes()).filter(({ access }) => access === 'token');
    expect(routes.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(Object.keys(ROWS).sort());
  });

  it.each(Object.entries(ROWS))(
    '%s waits for the remote calls of its row, and for no others',
    async (name, row) => {
      const { status, cold } = row;
      expect(await stepsOf(name, row, 'cold')).toEqual({ status, steps: cold });
      expect(await stepsOf(name, row, 'known')).toEqual({ status, steps: row.known ?? cold });
    },
  );

  it.each(Object.entries(AT_MOST))('%s waits for at most %i remote calls', (name, most) => {
    expect(ROWS[name]?.cold.length).toBeLessThanOrEqual(most);
  });

  it('a publish with a known token waits for the queue alone', () => {
    expect(ROWS['POST /{cid}/webhooks/events']?.known).toEqual(['queue']);
  });
});
