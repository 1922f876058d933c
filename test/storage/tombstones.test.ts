/** The tombstones of deleted subscriptions in D1: bounded for each customer, found by an index, forgotten in bites. */
import { env } from 'cloudflare:workers';
import { drizzle } from 'drizzle-orm/d1';
import { beforeEach, describe, expect, it } from 'vitest';
import { DAY_MS, TOMBSTONES_MAX_PER_CUSTOMER } from '../../src/domain/limits.ts';
import type { Subscription } from '../../src/domain/subscription.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { deleteTombstones, findUnerased, insertSubscription } from '../../src/storage/subscriptions.ts';
import { newCustomer, type TestCustomer } from '../support/world.ts';

const db = openDatabase(env.DB);

beforeEach(async () => {
  await env.DB.prepare('DELETE FROM subscriptions').run();
});

/** Writes so many tombstones of a customer, deleted at `deletedAt` (ms). */
async function bury(customerId: string, count: number, deletedAt = Date.now(), erasedAt: number | null = 1) {
  await env.DB.prepare(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
     INSERT INTO subscriptions (id, customer_id, title, endpoint, events, enabled, version, created_at, updated_at,
       deleted_at, erased_at) SELECT ?2 || i || hex(randomblob(8)), ?2, '', '', '[]', 0, 2, 1, ?3, ?3, ?4 FROM n`,
  )
    .bind(count, customerId, deletedAt, erasedAt)
    .run();
}

async function countOf(where = '1'): Promise<number> {
  return (
    (await env.DB.prepare(`SELECT count(*) AS n FROM subscriptions WHERE ${where}`).first<number>('n')) ?? 0
  );
}

const create = (customer: TestCustomer) =>
  customer.call('POST', '/subscriptions', {
    title: `title ${crypto.randomUUID()}`,
    endpoint: 'https://listener.example/',
    events: ['entityCreated'],
  });

/** How SQLite answers the queries that `ask` makes: one line for each table it reads. */
async function plansOf(ask: (database: typeof db) => Promise<unknown>): Promise<string[]> {
  const queries: [string, unknown[]][] = [];
  const logger = { logQuery: (query: string, values: unknown[]) => void queries.push([query, values]) };
  await ask(drizzle(env.DB, { logger }));
  const plans: string[] = [];
  for (const [query, values] of queries) {
    const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${query}`)
      .bind(...values)
      .all<{ detail: string }>();
    plans.push(...results.map(({ detail }) => detail));
  }
  return plans;
}

function aSubscription(customerId: string): Subscription {
  return {
    id: crypto.randomUUID(),
    customerId,
    title: 'a title',
    endpoint: 'https://listener.example/',
    events: ['entityCreated'],
    enabled: true,
    filter: null,
    filterSteps: 0,
    storeTenths: 0,
    version: 1,
    health: 'healthy',
    healthSince: 0,
    shards: null,
    proof: null,
    createdAt: 1,
    updatedAt: 1,
  };
}

describe('the tombstones of a customer', () => {
  it('a customer with 10,000 tombstones gets a 409 that says what to do, and others do not', async () => {
    const [customer, other] = [await newCustomer(), await newCustomer()];
    await bury(customer.id, TOMBSTONES_MAX_PER_CUSTOMER - 1);
    const last = await create(customer);
    expect(last.status).toBe(201);
    expect((await customer.call('DELETE', `/subscriptions/${last.body.id}`)).status).toBe(204);
    const refused = await create(customer);
    expect(refused.status).toBe(409);
    expect(refused.body).toEqual({
      status: 409,
      title: 'Conflict',
      details: 'Too many subscriptions deleted in 30 days: at most 10000; wait, or ask the operator',
    });
    expect(await countOf('deleted_at IS NULL')).toBe(0);
    expect((await create(other)).status).toBe(201);
  });

  it('a customer can create again once maintenance has forgotten a tombstone', async () => {
    const customer = await newCustomer();
    await bury(customer.id, 1, Date.now() - 31 * DAY_MS);
    await bury(customer.id, TOMBSTONES_MAX_PER_CUSTOMER - 1);
    expect((await create(customer)).status).toBe(409);
    await deleteTombstones(db, Date.now() - 30 * DAY_MS);
    expect((await create(customer)).status).toBe(201);
  });

  it('creating a subscription reads no table of D1 as a whole', async () => {
    const { id } = await newCustomer();
    const plans = await plansOf((database) => insertSubscription(database, aSubscription(id), 1000));
    expect(plans.join('\n')).toContain('tombstones_of_a_customer');
    expect(plans.filter((line) => /^SCAN (subscriptions|customers)/.test(line))).toEqual([]);
  });
});

describe('maintenance of tombstones', () => {
  it('the search for stores to erase reads only tombstones whose store is not erased', async () => {
    const { id } = await newCustomer();
    for (const customerId of [undefined, id]) {
      const plans = await plansOf((database) => findUnerased(database, 200, customerId));
      expect(plans.join('\n')).toContain('subscriptions_to_erase');
    }
    await bury(id, 2, 1, null);
    await bury(id, 1, 1);
    expect(await findUnerased(db, 200)).toHaveLength(2);
    expect(await findUnerased(db, 200, id)).toHaveLength(2);
    expect(await findUnerased(db, 200, crypto.randomUUID())).toEqual([]);
  });

  it('one run forgets 10,000 tombstones, the oldest first, and later runs the rest', async () => {
    const { id } = await newCustomer();
    await bury(id, 10_000, 5);
    await bury(id, 3, 6);
    await bury(id, 2, 5, null);
    await bury(id, 1, 7);
    const plans = await plansOf((database) => deleteTombstones(database, 7));
    expect(plans.join('\n')).toContain('subscriptions_deleted (deleted_at<?)');
    expect(await countOf()).toBe(6);
    expect(await countOf('deleted_at = 6')).toBe(3);
    await deleteTombstones(db, 7);
    expect(await countOf()).toBe(3);
    await deleteTombstones(db, 7);
    expect(await countOf()).toBe(3);
  });
});
