/** The operator's list of dead letters in D1: nobody's letters push out those of others, and no statement has an open end. */
import { env } from 'cloudflare:workers';
import { drizzle } from 'drizzle-orm/d1';
import { beforeEach, describe, expect, it } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { type DeadLetter, insertDeadLetters, trimDeadLetters } from '../../src/storage/dead-letters.ts';
import { newCustomer } from '../support/world.ts';

const db = openDatabase(env.DB);

beforeEach(async () => {
  await env.DB.prepare('DELETE FROM dead_letters').run();
});

const letter = (values: Partial<DeadLetter> = {}): DeadLetter => ({
  id: crypto.randomUUID(),
  queue: 'webhook-events',
  reason: 'reason',
  body: '{}',
  acceptedAt: 1,
  createdAt: 1,
  customerId: null,
  refused: false,
  ...values,
});

/** Writes so many letters of one customer, created at `createdAt` and in the milliseconds after it. */
async function write(
  name: string,
  count: number,
  customerId: string | null,
  refused: boolean,
  createdAt = 0,
) {
  await env.DB.prepare(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
     INSERT INTO dead_letters (id, queue, reason, body, accepted_at, created_at, customer_id, refused)
     SELECT ?2 || i, 'webhook-events', ?2, '{}', 1, ?5 + i, ?3, ?4 FROM n`,
  )
    .bind(count, name, customerId, refused ? 1 : 0, createdAt)
    .run();
}

/** Writes so many letters for each of so many customers. */
async function writeForMany(customers: number, each: number, refused: boolean) {
  await env.DB.prepare(
    `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 * ?2 - 1)
     INSERT INTO dead_letters (id, queue, reason, body, accepted_at, created_at, customer_id, refused)
     SELECT 'many' || i, 'webhook-events', 'many', '{}', 1, i, 'customer ' || (i % ?1), ?3 FROM n`,
  )
    .bind(customers, each, refused ? 1 : 0)
    .run();
}

async function countsOfCustomers() {
  const row = await env.DB.prepare(
    `SELECT sum(n) AS total, min(n) AS least, max(n) AS most, min(oldest) AS oldest
     FROM (SELECT count(*) AS n, min(created_at) AS oldest FROM dead_letters GROUP BY customer_id)`,
  ).first();
  return row;
}

async function countsByReason() {
  const { results } = await env.DB.prepare(
    'SELECT reason, count(*) AS n FROM dead_letters GROUP BY reason ORDER BY reason',
  ).all<{ reason: string; n: number }>();
  return Object.fromEntries(results.map(({ reason, n }) => [reason, n]));
}

/** How SQLite answers what `ask` asks, and how often it asks. */
async function queriesOf(ask: (database: typeof db) => Promise<unknown>): Promise<[string, unknown[]][]> {
  const queries: [string, unknown[]][] = [];
  await ask(drizzle(env.DB, { logger: { logQuery: (query, values) => void queries.push([query, values]) } }));
  return queries;
}

describe('a letter that is stored', () => {
  it('a letter keeps a customer that exists; any other belongs to nobody, and its event counts as refused', async () => {
    const customer = await newCustomer();
    const letters = [
      letter({ customerId: customer.id }),
      letter({ customerId: customer.id, refused: true }),
      letter({ customerId: crypto.randomUUID() }),
      letter({ customerId: null }),
    ];
    await insertDeadLetters(db, letters);
    const { results } = await env.DB.prepare('SELECT id, customer_id, refused FROM dead_letters').all();
    const stored = new Map(results.map((row) => [row['id'], [row['customer_id'], row['refused']]]));
    expect(letters.map(({ id }) => stored.get(id))).toEqual([
      [customer.id, 0],
      [customer.id, 1],
      [null, 1],
      [null, 1],
    ]);
  });

  it('ten thousand small letters take two statements, and forty large ones no statement of 2 MB', async () => {
    const small = Array.from({ length: 10_000 }, () => letter());
    expect((await queriesOf((database) => insertDeadLetters(database, small))).length).toBeLessThanOrEqual(2);
    const large = Array.from({ length: 40 }, () => letter({ body: JSON.stringify('é'.repeat(55_000)) }));
    const queries = await queriesOf((database) => insertDeadLetters(database, large));
    const bytes = queries.map(([, values]) => new TextEncoder().encode(String(values[0])).byteLength);
    expect(Math.max(...bytes)).toBeLessThan(2_000_000);
    expect(await countsByReason()).toEqual({ reason: 10_040 });
  });
});

describe('a list that is too long', () => {
  it('letters of accepted events that one customer has too many of drop none of another', async () => {
    const [noisy, quiet] = [await newCustomer(), await newCustomer()];
    await write('quiet', 50, quiet.id, false, 0);
    await write('noisy', 100_010, noisy.id, false, 1000);
    expect(await trimDeadLetters(db, 0)).toEqual({ ofOneCustomer: 0, beyondAll: 60 });
    expect(await countsByReason()).toEqual({ noisy: 99_950, quiet: 50 });
    const oldest = await env.DB.prepare(
      "SELECT min(created_at) FROM dead_letters WHERE reason = 'noisy'",
    ).first('min(created_at)');
    expect(oldest).toBe(1061);
  });

  it('three customers share the list, and the one with few letters keeps all', async () => {
    const [one, two, three] = [await newCustomer(), await newCustomer(), await newCustomer()];
    await write('one', 60_000, one.id, false);
    await write('three', 10_000, three.id, false);
    await write('two', 70_000, two.id, false);
    await trimDeadLetters(db, 0);
    expect(await countsByReason()).toEqual({ one: 45_000, three: 10_000, two: 45_000 });
  });

  it.each([
    ['refused', true],
    ['accepted', false],
  ] as const)(
    'one run cuts the list of three thousand customers with %s events to its size',
    async (_, refused) => {
      await writeForMany(3000, 40, refused);
      const queries = await queriesOf(async (database) => {
        expect(await trimDeadLetters(database, 0)).toEqual({ ofOneCustomer: 0, beyondAll: 20_000 });
      });
      expect(queries.length).toBeLessThanOrEqual(40);
      // Two thousand customers keep 33, and a thousand keep 34. Each loses its oldest ones.
      const counts = await countsOfCustomers();
      expect(counts).toMatchObject({ total: 100_000, least: 33, most: 34 });
      expect(counts?.['oldest']).toBeGreaterThanOrEqual(18_000);
    },
  );

  it('sixty thousand customers with two letters each keep a hundred thousand of them', async () => {
    await writeForMany(60_000, 2, true);
    await trimDeadLetters(db, 0);
    expect(await countsOfCustomers()).toMatchObject({ total: 100_000, least: 1, most: 2 });
  });

  it('two runs at once delete no more than one', async () => {
    const [one, two] = [await newCustomer(), await newCustomer()];
    await write('one', 70_000, one.id, false);
    await write('two', 40_000, two.id, false);
    await write('refused', 11_000, null, true);
    await Promise.all([trimDeadLetters(db, 0), trimDeadLetters(db, 0)]);
    expect(await countsByReason()).toEqual({ one: 60_000, two: 40_000 });
    await env.DB.prepare('DELETE FROM dead_letters').run();
    await write('refused', 11_000, null, true);
    await Promise.all([trimDeadLetters(db, 0), trimDeadLetters(db, 0)]);
    expect(await countsByReason()).toEqual({ refused: 10_000 });
  });

  it('a run deletes at most 5,000 letters in a statement, asks D1 at most 110 times, and the next run goes on', async () => {
    await write('old', 520_000, null, true, 0);
    const queries = await queriesOf((database) => trimDeadLetters(database, 1_000_000));
    expect(queries.length).toBeGreaterThan(99);
    expect(queries.length).toBeLessThanOrEqual(110);
    expect(await countsByReason()).toEqual({ old: 20_000 });
    await trimDeadLetters(db, 1_000_000);
    expect(await countsByReason()).toEqual({});
  });

  it('trimming reads indexes alone, never bodies', async () => {
    await write('nobody', 10_050, null, true, 0);
    await writeForMany(2000, 50, true);
    const queries = await queriesOf((database) => trimDeadLetters(database, 5));
    expect(queries.some(([query]) => query.includes('PARTITION BY'))).toBe(true);
    const plans: string[] = [];
    for (const [query, values] of queries) {
      const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${query}`)
        .bind(...values)
        .all<{ detail: string }>();
      plans.push(
        ...results.map(({ detail }) => detail).filter((detail) => /^(SCAN|SEARCH) dead_letters/.test(detail)),
      );
    }
    expect(plans.some((plan) => plan.includes('dead_letters_by_age'))).toBe(true);
    expect(plans.some((plan) => plan.includes('SEARCH dead_letters USING COVERING INDEX'))).toBe(true);
    // The letter that is deleted is found by its key; everything else comes from an index that covers it.
    const others = plans.filter(
      (plan) => !/USING COVERING INDEX|USING INDEX sqlite_autoindex_dead_letters/.test(plan),
    );
    expect(others).toEqual([]);
  });
});

describe('the migration of letters that named a customer who does not exist', () => {
  it('such letters belong to nobody afterwards, and count as refused', async () => {
    const customer = await newCustomer();
    await write('mine', 1, customer.id, false);
    await write('unknown', 1, crypto.randomUUID(), false);
    const { queries = [] } = env.TEST_MIGRATIONS.find(({ name }) => name.startsWith('0016')) ?? {};
    expect(queries).toHaveLength(1);
    await env.DB.prepare(queries[0] ?? '').run();
    const { results } = await env.DB.prepare(
      'SELECT customer_id, refused FROM dead_letters ORDER BY reason',
    ).all();
    expect(results).toEqual([
      { customer_id: customer.id, refused: 0 },
      { customer_id: null, refused: 1 },
    ]);
  });
});
