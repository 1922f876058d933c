/** What an isolate remembers of the subscriptions of customers, and that no change is missed for it. */
import { evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { Audiences } from '../../src/delivery/audiences.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { findAudiences, type ReadAudience } from '../../src/storage/recipients.ts';
import { holdClock } from '../support/clock.ts';
import { countingQueries } from '../support/requests.ts';
import {
  anEvent,
  asOperator,
  consumeBatch,
  newCustomer,
  newSubscription,
  storeOf,
  type TestCustomer,
  TestListener,
} from '../support/world.ts';

/** One isolate for all tests of this file. */
const { environment, queries } = countingQueries();

/** Gives an event to the consumer as the queue brings it, accepted now or earlier. @returns how many queries it took */
async function deliver(customer: TestCustomer, event: object = {}, agoMs = 0): Promise<number> {
  const before = queries();
  const body = { ...anEvent(), customerId: customer.id, ...event };
  const message = { body, timestamp: Date.now() - agoMs };
  await consumeBatch('events', [message], environment as typeof env);
  return queries() - before;
}

const callsAt = async (listener: TestListener) => (await listener.calls()).length;

describe('a change of a subscription', () => {
  it('an event that is accepted after the answer to a create goes to the new subscription', async () => {
    holdClock();
    const customer = await newCustomer();
    const first = await newSubscription(customer);
    await deliver(customer);
    const second = await newSubscription(customer);
    await deliver(customer);
    expect([await callsAt(first.listener), await callsAt(second.listener)]).toEqual([2, 1]);
  });

  it('an event that is accepted after the answer to a PATCH of the endpoint goes to the new endpoint', async () => {
    holdClock();
    const customer = await newCustomer();
    const { id, listener } = await newSubscription(customer);
    await deliver(customer);
    const other = new TestListener();
    await customer.call('PATCH', `/subscriptions/${id}`, { endpoint: other.endpoint });
    await deliver(customer);
    expect([await callsAt(listener), await callsAt(other)]).toEqual([1, 1]);
  });

  it.each([
    ['events', { events: ['entityDeleted'] }],
    ['filter', { filter: { properties: { entityCreated: { properties: { entityType: { const: 'x' } } } } } }],
    ['enabled', { enabled: false }],
  ])('an event that is accepted after the answer to a PATCH of %s goes by it', async (_, change) => {
    holdClock();
    const customer = await newCustomer();
    const { id, listener } = await newSubscription(customer);
    await deliver(customer);
    expect((await customer.call('PATCH', `/subscriptions/${id}`, change)).status).toBe(200);
    await deliver(customer);
    expect(await callsAt(listener)).toBe(1);
  });

  it('an event goes to no subscription that was deleted, though its isolate remembers it', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const { id, listener } = await newSubscription(customer);
    await deliver(customer);
    clock.advance(2000);
    await deliver(customer);
    await customer.call('DELETE', `/subscriptions/${id}`);
    expect(await deliver(customer, {}, 1500)).toBe(0);
    await deliver(customer);
    expect(await callsAt(listener)).toBe(2);
  });

  it('an event goes to no subscription that was disabled, though its isolate remembers it', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const { id, listener } = await newSubscription(customer);
    clock.advance(2000);
    await deliver(customer);
    await customer.call('PATCH', `/subscriptions/${id}`, { enabled: false });
    expect(await deliver(customer, {}, 1500)).toBe(0);
    expect(await callsAt(listener)).toBe(1);
  });

  it('an event that is accepted after a rotation of the keys is signed with the new key', async () => {
    holdClock();
    const customer = await newCustomer();
    const { listener } = await newSubscription(customer);
    await deliver(customer);
    const { body: jwks } = await asOperator('POST', `/customers/${customer.id}/signing-keys/rotate`);
    await deliver(customer);
    const [before, after] = (await listener.calls()).map(
      ({ body }) => (JSON.parse(atob(body.split('.')[0] ?? '')) as { kid: string }).kid,
    );
    expect(after).toBe(jwks.keys[0].kid);
    expect(before).not.toBe(after);
  });

  it('an event of an erased customer goes nowhere, though its isolate remembers the customer', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const { listener } = await newSubscription(customer);
    clock.advance(2000);
    await deliver(customer);
    await asOperator('DELETE', `/customers/${customer.id}`);
    await deliver(customer, {}, 1500);
    await deliver(customer);
    expect(await callsAt(listener)).toBe(1);
  });

  it('an event of a customer that was created again goes to no endpoint of the erased one, though its isolate remembers that', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const { id, listener, ring } = await newSubscription(customer);
    // As it is since the migration that brought revisions, and until its subscriptions change.
    await env.DB.prepare("UPDATE customers SET audience = '' WHERE id = ?").bind(customer.id).run();
    await deliver(customer);
    await asOperator('DELETE', `/customers/${customer.id}`);
    // The store forgets that it was erased.
    clock.advance(2 * 3_600_000);
    await ring();
    await evictDurableObject(storeOf({ id }));
    expect((await asOperator('POST', '/customers', { id: customer.id, name: 'Acme' })).status).toBe(201);
    await deliver(customer);
    expect(await callsAt(listener)).toBe(1);
  });
});

describe('what D1 is asked for', () => {
  it('events of a backlog take no query for 5 s after their customer was read', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    await newSubscription(customer);
    clock.advance(10_000);
    expect(await deliver(customer)).toBeGreaterThan(0);
    expect(await deliver(customer, {}, 1001)).toBe(0);
    // Its clock may be behind: the change that it must follow may come after the read.
    expect(await deliver(customer, {}, 1000)).toBe(1);
    clock.advance(4999);
    expect(await deliver(customer, {}, 9000)).toBe(0);
    clock.advance(1);
    expect(await deliver(customer, {}, 9000)).toBe(1);
  });

  it('a customer whose subscriptions are known and unchanged takes no row of them', async () => {
    const customer = await newCustomer();
    for (let index = 0; index < 30; index++) await newSubscription(customer);
    let rowsRead = 0;
    const counted = new Proxy(env.DB, {
      get(target, name) {
        if (name !== 'prepare') return Reflect.get(target, name);
        return (query: string) => countRows(target.prepare(query));
      },
    });
    function countRows(statement: D1PreparedStatement): D1PreparedStatement {
      return new Proxy(statement, {
        get(target, name) {
          if (name === 'bind') return (...values: unknown[]) => countRows(target.bind(...values));
          if (name !== 'raw') return Reflect.get(target, name);
          return async () => {
            const { meta } = await target.all();
            rowsRead += meta.rows_read;
            return await target.raw();
          };
        },
      });
    }
    const db = openDatabase(counted);
    const first = (await findAudiences(db, [customer.id], new Map(), Date.now())).get(
      customer.id,
    ) as ReadAudience;
    const whole = rowsRead;
    rowsRead = 0;
    const again = await findAudiences(
      db,
      [customer.id],
      new Map([[customer.id, first.revision]]),
      Date.now(),
    );
    expect(first.subscriptions).toHaveLength(30);
    expect(again.get(customer.id)).toMatchObject({ isUnchanged: true, key: first.key });
    expect(whole).toBeGreaterThan(30);
    expect(rowsRead).toBeLessThan(10);
  });

  it.each([
    "endpoint = endpoint || '/other'",
    "events = '[]'",
    'enabled = 0',
    'filter_steps = 7',
    "health = 'failing'",
    'proof = 1',
    'proven = 1',
    'store_tenths = 3',
    'version = version + 1',
    'deleted_at = 1, title = id',
  ])('the revision of a customer is another one after the statement that sets %s', async (change) => {
    const { revision, again } = await revisionsAround(
      async (id) =>
        void (await env.DB.prepare(`UPDATE subscriptions SET ${change} WHERE id = ?`).bind(id).run()),
    );
    expect(again).not.toBe(revision);
  });

  it('the revision of a customer is another one after a row of it was inserted or deleted', async () => {
    const copied = await revisionsAround(
      async (id) =>
        void (await env.DB.prepare(
          `INSERT INTO subscriptions (id, customer_id, title, endpoint, events, enabled, version, created_at, updated_at)
           SELECT ?, customer_id, 'a copy', endpoint, events, enabled, version, created_at, updated_at
           FROM subscriptions WHERE id = ?`,
        )
          .bind(crypto.randomUUID(), id)
          .run()),
    );
    const removed = await revisionsAround(
      async (id) => void (await env.DB.prepare('DELETE FROM subscriptions WHERE id = ?').bind(id).run()),
    );
    expect(copied.again).not.toBe(copied.revision);
    expect(removed.again).not.toBe(removed.revision);
  });

  it('the revision of a customer stays when a subscription is written as it is, or when only its title changes', async () => {
    const { revision, again } = await revisionsAround(async (id) => {
      const set = 'health = health, store_tenths = store_tenths, title = id, updated_at = updated_at + 1';
      await env.DB.prepare(`UPDATE subscriptions SET ${set} WHERE id = ?`).bind(id).run();
    });
    expect(again).toBe(revision);
  });
});

async function revisionsAround(change: (id: string) => Promise<void>) {
  const customer = await newCustomer();
  const { id } = await newSubscription(customer);
  const read = async () => {
    const found = await findAudiences(openDatabase(env.DB), [customer.id], new Map(), Date.now());
    return found.get(customer.id)?.revision;
  };
  const revision = await read();
  await change(id);
  return { revision, again: await read() };
}

describe('the memory of an isolate', () => {
  const audienceOf = (customerId: string, revision = 'r', endpoint = 'x'): ReadAudience => ({
    customerId,
    key: { algorithm: 'RS256' as const, kid: 'kid' },
    revision,
    subscriptions: [
      {
        id: customerId,
        customerId,
        endpoint,
        events: [],
        enabled: true,
        filterSteps: 0,
        health: 'healthy',
        healthSince: 0,
        shards: null,
        proof: null,
        storeTenths: 0,
        version: 1,
      },
    ],
  });

  it('audiences in memory have at most so many bytes, and those that were not used for longest go first', async () => {
    const audiences = new Audiences(10_000);
    for (let nth = 0; nth < 200; nth++) {
      const one = audienceOf(`customer ${nth}`, 'r', 'https://listener.example.com/'.repeat(nth % 5));
      await audiences.find([one.customerId], nth, nth, async () => new Map([[one.customerId, one]]));
      expect(audiences.bytes).toBeLessThanOrEqual(10_000);
    }
    const known: (string | undefined)[] = [];
    for (const id of ['customer 0', 'customer 199']) {
      await audiences.find([id], 0, 10_000, async (_, revisions) => {
        known.push(revisions.get(id));
        return new Map([[id, audienceOf(id)]]);
      });
    }
    expect(known).toEqual([undefined, 'r']);
  });

  it('an unchanged audience has the key that signs now', async () => {
    const audiences = new Audiences();
    await audiences.find(['a'], 0, 0, async () => new Map([['a', audienceOf('a')]]));
    const key = { algorithm: 'EdDSA' as const, kid: 'another' };
    const unchanged = { customerId: 'a', key, revision: 'r', isUnchanged: true as const };
    const found = await audiences.find(['a'], 1, 1, async () => new Map([['a', unchanged]]));
    expect(found.get('a')).toEqual({ ...audienceOf('a'), key });
  });

  it('a customer that does not exist is forgotten, and is asked for again', async () => {
    const audiences = new Audiences();
    await audiences.find(['a'], 0, 0, async () => new Map([['a', audienceOf('a')]]));
    expect(await audiences.find(['a'], 0, 0, async () => new Map())).toEqual(new Map());
    const asked: string[][] = [];
    await audiences.find(['a'], 0, 0, async (ids, known) => {
      asked.push([...ids], [...known.keys()]);
      return new Map();
    });
    expect(asked).toEqual([['a'], []]);
  });
});
