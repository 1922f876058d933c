/** The operator gives a hot subscription several event stores (contract 10.17), and the customer sees one subscription. */
import { runDurableObjectAlarm } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { EPOCHS_MAX, MINUTE_MS } from '../../src/domain/limits.ts';
import { type Shards, shardOf } from '../../src/domain/shards.ts';
import { storeName } from '../../src/event-store/sharding/stores.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { findUnerased, markErased } from '../../src/storage/subscriptions.ts';
import { auditEntries } from '../support/audit.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { runCron } from '../support/cron.ts';
import { eventStoreStub } from '../support/event-store.ts';
import {
  anEvent,
  asOperator,
  consumeBatch,
  newCustomer,
  newSubscription,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

let clock: HeldClock;
let customer: TestCustomer;
let subscription: TestSubscription;
beforeEach(async () => {
  clock = holdClock();
  customer = await newCustomer();
  subscription = await newSubscription(customer);
});

const path = (sid = subscription.id, cid = customer.id) => `/customers/${cid}/subscriptions/${sid}`;
const setShards = (shards: unknown, where = path()) => asOperator('PATCH', where, { shards });

async function shardsOf(id = subscription.id): Promise<Shards | null> {
  const text = await env.DB.prepare('SELECT shards FROM subscriptions WHERE id = ?')
    .bind(id)
    .first<string>('shards');
  return text === null ? null : (JSON.parse(text) as Shards);
}

async function audited(): Promise<string[]> {
  const entries = await auditEntries({ customerId: customer.id, event: 'shards-changed' });
  return entries.map(({ target }) => target as string);
}

/** Publishes events of successive tenths of a second, and lets a consumer deliver them. @returns their ids */
async function deliver(count: number, from = clock.now()): Promise<string[]> {
  const ids = Array.from(
    { length: count },
    (_, index) => newEventIds(from + 100 * index, 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '',
  );
  const body = ids.map((id) => ({ ...anEvent({ id }), customerId: customer.id }));
  const { acked } = await consumeBatch('events', [{ body }]);
  expect(acked).toHaveLength(1);
  return ids;
}

describe('the call that gives a subscription several event stores', () => {
  it('a change begins fifteen minutes later, makes the stores, and is in the audit trail', async () => {
    const { status, body } = await setShards(4);
    expect(status).toBe(200);
    const since = new Date(clock.now() + 15 * MINUTE_MS).toISOString();
    expect(body).toEqual({
      id: subscription.id,
      shards: 4,
      stores: 4,
      epochs: [{ since, shards: 4 }],
      _links: {
        self: { href: `/operator${path()}` },
        subscription: { href: `/${customer.id}/webhooks/subscriptions/${subscription.id}` },
      },
    });
    expect((await asOperator('GET', path())).body).toEqual(body);
    expect(await audited()).toEqual([subscription.id]);
  });

  it('a repeat changes nothing and writes no entry', async () => {
    const first = await setShards(4);
    clock.advance(MINUTE_MS);
    expect((await setShards(4)).body).toEqual(first.body);
    expect((await asOperator('PATCH', path(), {})).body).toEqual(first.body);
    expect(await audited()).toHaveLength(1);
  });

  it('a subscription has one store without a change, and a change to one changes nothing', async () => {
    expect((await asOperator('GET', path())).body).toMatchObject({ shards: 1, stores: 1, epochs: [] });
    expect((await setShards(1)).body).toMatchObject({ shards: 1, stores: 1, epochs: [] });
    expect(await shardsOf()).toBeNull();
    expect(await audited()).toEqual([]);
  });

  it.each([[0], [17], [2.5], ['4'], [null], [[]]])(
    '%j is no number of event stores, and changes nothing',
    async (shards) => {
      const { status, body } = await setShards(shards);
      expect(status).toBe(400);
      expect(JSON.stringify(body)).toContain('must be a whole number from 1 to 16');
      expect(await shardsOf()).toBeNull();
    },
  );

  it('a subscription that is unknown, deleted or another customer’s is a 404', async () => {
    const other = await newCustomer();
    expect((await setShards(4, path(crypto.randomUUID()))).status).toBe(404);
    expect((await setShards(4, path(subscription.id, other.id))).status).toBe(404);
    await customer.call('DELETE', `/subscriptions/${subscription.id}`);
    expect((await setShards(4)).status).toBe(404);
    expect((await asOperator('GET', path())).status).toBe(404);
  });

  it('a seventeenth epoch is a 409', async () => {
    for (let index = 0; index < EPOCHS_MAX; index++) {
      expect((await setShards(2 + (index % 2))).status).toBe(200);
      clock.advance(MINUTE_MS);
    }
    const refused = await setShards(9);
    expect(refused.status).toBe(409);
    expect((await shardsOf())?.epochs).toHaveLength(EPOCHS_MAX);
    expect(await audited()).toHaveLength(EPOCHS_MAX);
  });

  it('no change is lost among several at the same moment', async () => {
    const answers = await Promise.all([setShards(2), setShards(3), setShards(4)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    const epochs = (await shardsOf())?.epochs ?? [];
    expect(new Set(epochs.map(({ n }) => n))).toEqual(new Set([2, 3, 4]));
    expect(epochs.map(({ since }) => since)).toEqual(
      epochs.map(({ since }) => since).toSorted((a, b) => a - b),
    );
  });
});

describe('a subscription with several event stores, as its customer sees it', () => {
  it('events from before and after the change are one list, and each is in the store of its shard', async () => {
    const before = await deliver(3);
    await setShards(3);
    const waiting = await deliver(3, clock.now() + MINUTE_MS);
    clock.advance(20 * MINUTE_MS);
    const after = await deliver(30);
    const ids = [...before, ...waiting, ...after];
    const listed = await subscription.events();
    expect(listed.map(({ id, state }) => [id, state])).toEqual(ids.map((id) => [id, 'success']));
    const shards = (await shardsOf()) as Shards;
    for (const number of [0, 1, 2]) {
      const own = await eventStoreStub(storeName(subscription.id, number)).list({ limit: 100 });
      expect(own.map(({ eventId }) => eventId)).toEqual(ids.filter((id) => shardOf(id, shards) === number));
      expect(own.length).toBeGreaterThan(0);
    }
    const base = `/subscriptions/${subscription.id}`;
    const page = await customer.call('GET', `${base}/events?limit=10&after=${ids[1]}`);
    expect(page.body.total).toBe(36);
    expect(page.body._embedded.events.map(({ id }: { id: string }) => id)).toEqual(ids.slice(2, 12));
    expect(page.body._links.next.href).toContain(`after=${ids[11]}`);
    const newest = await customer.call('GET', `${base}/events?order=desc&fields=summary&limit=5`);
    expect(newest.body._embedded.events.map(({ id }: { id: string }) => id)).toEqual(ids.slice(-5).reverse());
    const summary = await customer.call('GET', `${base}/summary`);
    expect(JSON.stringify(summary.body)).toContain('36');
    const [late = ''] = after.filter((id) => shardOf(id, shards) === 2);
    const where = await customer.call('GET', `/events/${late}`);
    expect(where.body._embedded.deliveries).toHaveLength(1);
    expect((await customer.call('GET', `${base}/events/${late}/history`)).status).toBe(200);
  });

  it('an event that is published again after a further change is stored once', async () => {
    await setShards(4);
    clock.advance(20 * MINUTE_MS);
    const ids = await deliver(10);
    await setShards(7);
    clock.advance(20 * MINUTE_MS);
    const body = ids.map((id) => ({ ...anEvent({ id }), customerId: customer.id }));
    await consumeBatch('events', [{ body }]);
    expect(await subscription.events()).toHaveLength(10);
    expect(await subscription.listener.calls()).toHaveLength(10);
  });

  it('a failed attempt is made again from the store of its event', async () => {
    await setShards(3);
    clock.advance(20 * MINUTE_MS);
    await subscription.listener.script({ status: 503 });
    const shards = (await shardsOf()) as Shards;
    let from = clock.now();
    const idAt = (time: number) => newEventIds(time, 1, new Uint8Array(16))[0] ?? '';
    while (shardOf(idAt(from), shards) !== 2) from += 100;
    const [id = ''] = await deliver(1, from);
    expect((await subscription.event(id)).state).toBe('awaiting-retry');
    await subscription.listener.script({ status: 200 });
    // The retry that was sent ahead waits in the queue. The alarm sends another when its lease has lapsed.
    clock.advance(3 * MINUTE_MS);
    await runDurableObjectAlarm(eventStoreStub(storeName(subscription.id, 2)));
    await expect.poll(async () => (await subscription.event(id)).state).toBe('success');
  });

  it('test notifications count together, because all of them are in the home store', async () => {
    await setShards(8);
    clock.advance(20 * MINUTE_MS);
    const send = () => customer.call('POST', `/subscriptions/${subscription.id}/test`, {});
    const answers = [];
    for (let index = 0; index < 11; index++) answers.push(await send());
    expect(answers.map(({ status }) => status).filter((status) => status === 429)).toHaveLength(1);
    expect(await eventStoreStub(subscription.id).total()).toBe(10);
  });
});

describe('the erasure of a subscription with several event stores', () => {
  it('deleting the subscription erases every store, and takes the names of the stores from the tombstone', async () => {
    await setShards(3);
    clock.advance(20 * MINUTE_MS);
    await deliver(30);
    await customer.call('DELETE', `/subscriptions/${subscription.id}`);
    for (const number of [0, 1, 2])
      expect(await eventStoreStub(storeName(subscription.id, number)).total()).toBe(0);
    expect(await shardsOf()).toBeNull();
    const erasedAt = await env.DB.prepare('SELECT erased_at FROM subscriptions WHERE id = ?')
      .bind(subscription.id)
      .first('erased_at');
    expect(erasedAt).not.toBeNull();
  });

  it('a version that knows no shards cannot mark the tombstone, so the stores that it left are erased later', async () => {
    await setShards(3);
    clock.advance(20 * MINUTE_MS);
    await deliver(30);
    // What that version does: the tombstone, the home store, the mark.
    await env.DB.prepare(
      "UPDATE subscriptions SET deleted_at = 1, title = '', endpoint = '', events = '[]' WHERE id = ?",
    )
      .bind(subscription.id)
      .run();
    await env.DB.prepare('UPDATE subscriptions SET erased_at = 2 WHERE id = ?').bind(subscription.id).run();
    const db = openDatabase(env.DB);
    expect((await findUnerased(db, 10, customer.id)).map(({ id }) => id)).toEqual([subscription.id]);
    await runCron(env, clock.now());
    for (const number of [1, 2])
      expect(await eventStoreStub(storeName(subscription.id, number)).total()).toBe(0);
    expect(await findUnerased(db, 10, customer.id)).toEqual([]);
    await markErased(db, subscription.id, 3);
  });
});
