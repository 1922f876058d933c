/** The client of packages/client against the service: each operation of a customer, with the types of the document. */
import { runDurableObjectAlarm } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { WebhooksClient, WebhooksError } from '../../packages/client/src/index.ts';
import { OPERATIONS } from '../../packages/client/src/operations.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { reportOf } from '../support/reports.ts';
import { BASE_URL, newAddress, newCustomer, storeOf, type TestCustomer } from '../support/world.ts';

const ENDPOINT = 'https://listener.example/hooks';
const HOUR_MS = 3_600_000;

/** The client of a customer, and the names of the operations that it called. */
function clientOf({ id, clientId, clientSecret }: TestCustomer) {
  const used = new Set<string>();
  const operations = Object.entries(OPERATIONS).map(([name, [method, path]]) => ({
    name,
    method,
    path: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+').replaceAll('.', '\\.')}$`),
  }));
  const client = new WebhooksClient({
    baseUrl: BASE_URL,
    customerId: id,
    clientId,
    clientSecret,
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      const found = operations.find((one) => one.method === request.method && one.path.test(pathname));
      used.add(found?.name ?? `${request.method} ${pathname}`);
      request.headers.set('cf-connecting-ip', newAddress());
      return await exports.default.fetch(request);
    },
  });
  return { client, used };
}

/** Stores events of a subscription whose only attempt was redirected, so that they failed for good. */
async function fail(clock: HeldClock, customer: TestCustomer, subscriptionId: string, count: number) {
  const ids = newEventIds(clock.now(), count, crypto.getRandomValues(new Uint8Array(16)));
  const outcome = { kind: 'http_error', response: { statusCode: 302, headers: {} } } as const;
  const ref = { customerId: customer.id, subscriptionId, version: 2, enabled: true, endpoint: ENDPOINT };
  const result = { attempt: 1, startedAt: clock.now(), durationMs: 1, outcome };
  const facts = { acceptedAt: clock.now(), endpoint: ENDPOINT, set: 'a.b.c', result };
  await storeOf({ id: subscriptionId }).settle(
    ref,
    ids.map((eventId) => reportOf({ eventId, ...facts })),
  );
  return ids;
}

describe('the client of the package', () => {
  it('a customer does with it all that the management API offers', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const { client, used } = clientOf(customer);
    const ring = async (id: string) => {
      clock.advance(1000);
      await runDurableObjectAlarm(storeOf({ id }));
    };

    const { id: sid } = await client.call('createSubscription', {
      body: {
        title: 'Profile sync',
        endpoint: ENDPOINT,
        events: ['entityCreated', 'entityUpdated'],
        filter: {
          properties: { entityUpdated: { properties: { attributes: { contains: { const: 'email' } } } } },
        },
      },
    });
    const updated = await client.call('updateSubscription', { sid, body: { title: 'Sync', filter: null } });
    expect(updated).toMatchObject({ id: sid, title: 'Sync' });
    expect(await client.call('getSubscription', { sid })).toMatchObject({ title: 'Sync' });
    const titles: string[] = [];
    for await (const { title } of client.items('listSubscriptions')) titles.push(title);
    expect(titles).toEqual(['Sync']);
    await client.call('sendTest', { sid });
    await client.call('sendTest', { sid, body: { type: 'entityUpdated' } });

    const failed = await fail(clock, customer, sid, 5);
    const seen: string[] = [];
    for await (const event of client.items('listEvents', { sid, query: { state: 'failure', limit: 2 } }))
      seen.push(event.id);
    expect(seen.sort()).toEqual([...failed].sort());
    const newest: string[] = [];
    for await (const { id, request } of client.events(sid, { state: 'failure', order: 'desc', limit: 2 })) {
      expect(request.payload).toBe('a.b.c');
      newest.push(id);
    }
    expect(newest).toEqual([...failed].sort().reverse());
    const tests: (string | undefined)[] = [];
    for await (const { type, ...event } of client.eventSummaries(sid, { type: 'test', limit: 1 })) {
      expect(event).not.toHaveProperty('request');
      tests.push(type);
    }
    expect(tests).toEqual(['test', 'test']);
    const eid = failed[0] ?? '';
    expect(await client.call('getEvent', { sid, eid })).toMatchObject({ id: eid, state: 'failure' });
    const deliveries: unknown[] = [];
    for await (const { state, subscription } of client.deliveries(eid))
      deliveries.push([state, subscription]);
    expect(deliveries).toEqual([['failure', { id: sid, title: 'Sync' }]]);
    const history = await client.call('getEventHistory', { sid, eid });
    expect(history._embedded.history.map(({ state }) => state)).toContain('failure');
    await client.call('redeliverEvent', { sid, eid });
    expect((await client.call('getSummary', { sid })).total).toBeGreaterThanOrEqual(5);
    const figures = await client.call('getSubscriptionStats', { sid, query: { hours: 24 } });
    expect(figures.hours).toHaveLength(24);
    const all = await client.call('listStats', { query: { hours: 24 } });
    expect(all._embedded.subscriptions.map(({ id }) => id)).toEqual([sid]);
    expect(all.totals).toEqual(figures.totals);

    const first = await client.call('startExport', { sid });
    await client.call('cancelExport', { sid, exportId: first.id });
    const exported = await client.call('startExport', { sid });
    await ring(sid);
    expect(await client.call('getExport', { sid, exportId: exported.id })).toMatchObject({
      state: 'completed',
    });
    const file = await new Response(await client.download(sid, exported.id)).text();
    expect(file).toContain(failed[1]);
    const exportIds: string[] = [];
    for await (const { id } of client.items('listExports', { sid })) exportIds.push(id);
    expect(exportIds.sort()).toEqual([first.id, exported.id].sort());

    const since = new Date(clock.now() - HOUR_MS).toISOString();
    expect(await client.previewRedelivery(sid, { since })).toMatchObject({ total: 4, exact: true });
    const job = await client.call('startRedelivery', { sid, body: { since } });
    expect(await client.call('getRedelivery', { sid, redeliveryId: job.id })).toMatchObject({ id: job.id });
    const jobs: string[] = [];
    for await (const { id } of client.items('listRedeliveries', { sid })) jobs.push(id);
    expect(jobs).toEqual([job.id]);
    await client.call('cancelRedelivery', { sid, redeliveryId: job.id });

    const event = {
      type: 'entityCreated',
      captureApplicationId: 'app',
      captureClientId: 'client',
      entityType: 'user',
      sub: crypto.randomUUID(),
    } as const;
    const body = { filter: { properties: { entityCreated: false } }, event };
    expect(await client.call('testFilter', { body })).toEqual({ matches: false, typeNamed: true });
    expect(await client.publish([event])).toHaveLength(1);
    await client.call('deleteSubscription', { sid });
    const gone = await client.call('getSubscription', { sid }).catch((error: unknown) => error);
    expect((gone as WebhooksError).trouble).toEqual({ kind: 'not-found' });

    const ofCustomers = Object.entries(OPERATIONS).filter(([, [, path]]) =>
      path.startsWith('/{cid}/webhooks/'),
    );
    expect([...used].sort()).toEqual([...ofCustomers.map(([name]) => name), 'createToken'].sort());
  });

  it('faults come with their names, and a wrong secret as an error of credentials', async () => {
    const customer = await newCustomer();
    const { client } = clientOf(customer);
    const body = { title: '', endpoint: 'nonsense', events: [] };
    const refused: unknown = await client
      .call('createSubscription', { body })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(WebhooksError);
    const { trouble } = refused as WebhooksError;
    const names = trouble.kind === 'invalid' ? trouble.faults.map(({ name }) => name).sort() : [];
    expect(names).toEqual(['endpoint', 'title']);
    const { client: wrong } = clientOf({ ...customer, clientSecret: 'wrong' });
    await expect(wrong.call('listSubscriptions')).rejects.toMatchObject({ trouble: { kind: 'credentials' } });
  });
});
