/** A delivery between its first failure and the result of its first retry: one row, and nothing lost whatever dies. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/event-store/event-store.ts';
import { FIRST_RETRIES_MAX } from '../../src/event-store/tuning.ts';
import { aSet } from '../support/delivery-fixtures.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const DAY_MS = 86_400_000;
const TABLES = ['first_retries', 'deliveries', 'bodies', 'segments', 'tally'] as const;

/** The report of an attempt, with a SET that can be made again. */
function reported(bench: Bench, eventId: string, attempt: number, outcome = lost, acceptedAt?: number) {
  const result = { attempt, startedAt: bench.clock.now(), durationMs: 5, outcome };
  const facts = { ...bench.facts(eventId), ...(acceptedAt === undefined ? {} : { acceptedAt }) };
  return reportOf({ ...facts, set: aSet(eventId), result });
}

/** Stores deliveries whose first attempts failed. Other events of the endpoint succeed in between, so it stays healthy. */
async function refused(bench: Bench, count: number): Promise<string[]> {
  const ids = bench.ids(count);
  const [good = ''] = bench.ids(1);
  const reports = ids.flatMap((id, index) => [
    reported(bench, id, 1),
    ...(index % 4 === 3
      ? [reported(bench, `${good.slice(0, -5)}${String(index).padStart(5, '0')}`, 1, ok)]
      : []),
  ]);
  for (let start = 0; start < reports.length; start += 100)
    await bench.store.settle(bench.ref, reports.slice(start, start + 100));
  return ids;
}

/** How many rows each table has that a delivery can be in. */
async function rows(bench: Bench): Promise<Record<(typeof TABLES)[number], number>> {
  return await runInDurableObject(bench.store, (_, { storage }) => {
    const count = (table: string) => storage.sql.exec(`SELECT * FROM ${table}`).toArray().length;
    return Object.fromEntries(TABLES.map((table) => [table, count(table)])) as Record<
      (typeof TABLES)[number],
      number
    >;
  });
}

async function begin(bench: Bench, id: string) {
  const [begun] = await bench.store.begin(bench.ref, (await bench.tokens()).get(id) ?? '', [id]);
  return begun;
}

describe('a delivery that waits for its first retry', () => {
  it('a delivery whose first attempt failed is one row, and is shown and counted like any other', async () => {
    const bench = new Bench();
    const [id = ''] = await refused(bench, 1);
    expect(await rows(bench)).toEqual({ first_retries: 1, deliveries: 0, bodies: 0, segments: 0, tally: 0 });
    const shown = { eventId: id, state: 'awaiting-retry', attempts: 1, set: aSet(id) };
    expect(await bench.store.read(id)).toMatchObject(shown);
    expect(await bench.store.list({ limit: 9 })).toMatchObject([shown]);
    expect(await bench.store.list({ limit: 9, state: 'awaiting-retry' })).toMatchObject([shown]);
    for (const state of ['awaiting-executing', 'executing', 'success', 'failure'] as const)
      expect(await bench.store.list({ limit: 9, state })).toEqual([]);
    expect(await bench.store.list({ limit: 9, after: id })).toEqual([]);
    expect(await bench.store.list({ limit: 9, before: id })).toEqual([]);
    expect(await bench.store.total()).toBe(1);
    expect(await bench.store.health()).toMatchObject({ waiting: 1 });
    expect(await bench.store.summary()).toMatchObject({ retrying: 1, succeeded: 0, failed: 0 });
    expect(await bench.store.admit(bench.ref, [id])).toEqual([{ answer: 'done' }]);
    expect(await bench.store.redeliver(bench.ref, id)).toMatchObject({ answer: 'not failed' });
  });

  it('a delivery that its listener takes at the first retry is packed with its whole history', async () => {
    const bench = new Bench();
    const [id = ''] = await refused(bench, 1);
    const { acceptedAt } = (await bench.store.read(id)) ?? {};
    expect(await bench.ringNext()).toEqual([id]);
    expect(await begin(bench, id)).toMatchObject({ eventId: id, attempt: 2, set: aSet(id), acceptedAt });
    await bench.settle(id, ok, 2);
    expect(await rows(bench)).toEqual({ first_retries: 0, deliveries: 0, bodies: 0, segments: 1, tally: 0 });
    const delivery = await bench.store.read(id);
    expect(delivery).toMatchObject({ state: 'success', attempts: 2, acceptedAt });
    // The signature is made again by the caller.
    expect(aSet(id).startsWith(delivery?.set ?? '?')).toBe(true);
    expect(delivery?.history.map(({ state, attempts }) => [state, attempts])).toEqual([
      ['awaiting-executing', 0],
      ['executing', 1],
      ['awaiting-retry', 1],
      ['executing', 2],
      ['success', 2],
    ]);
    expect(await bench.store.total()).toBe(1);
    expect(await bench.store.summary()).toMatchObject({ retrying: 0, succeeded: 1 });
  });

  it('deliveries that succeed at the first retry share a segment with others of the same call', async () => {
    const bench = new Bench();
    const ids = await refused(bench, 3);
    await bench.ringNext();
    const results = [...ids, ...bench.ids(2)].map((id, index) => reported(bench, id, index < 3 ? 2 : 1, ok));
    await bench.store.settle(bench.ref, results);
    expect(await rows(bench)).toMatchObject({ first_retries: 0, deliveries: 0, segments: 1 });
    expect(await bench.store.total()).toBe(5);
  });

  it('a delivery whose first retry failed gets a row of its own, and fails at its sixth attempt', async () => {
    const bench = new Bench();
    const [id = ''] = await refused(bench, 1);
    const waits: number[] = [];
    for (let attempt = 2; attempt <= 6; attempt++) {
      const before = bench.clock.now();
      while (!(await bench.ringNext()).includes(id))
        expect(bench.clock.now() - before).toBeLessThan(2 * DAY_MS);
      waits.push(Math.round((bench.clock.now() - before) / 1000));
      await bench.attempt([id], lost);
      if (attempt === 2)
        expect(await rows(bench)).toMatchObject({ first_retries: 0, deliveries: 1, bodies: 1 });
    }
    expect(waits).toEqual([3, 30, 300, 3600, 86_400]);
    expect(await bench.state(id)).toMatchObject({ state: 'failure', attempts: 6 });
    expect(await bench.store.redeliver(bench.ref, id)).toMatchObject({ answer: 'accepted' });
  });

  it('a delivery goes on wherever its store is evicted between two steps', async () => {
    const bench = new Bench();
    const [id = ''] = await refused(bench, 1);
    await evictDurableObject(bench.store);
    expect(await bench.ringNext()).toEqual([id]);
    await evictDurableObject(bench.store);
    expect(await begin(bench, id)).toMatchObject({ attempt: 2, set: aSet(id) });
    await evictDurableObject(bench.store);
    await bench.settle(id, ok, 2);
    await evictDurableObject(bench.store);
    expect(await bench.state(id)).toMatchObject({ state: 'success', attempts: 2 });
    expect(await bench.store.total()).toBe(1);
  });

  it('a dispatch whose message was lost is sent again after two minutes, though the store was evicted', async () => {
    const bench = new Bench();
    const [id = ''] = await refused(bench, 1);
    await bench.ringNext();
    const token = (await bench.tokens()).get(id);
    await evictDurableObject(bench.store);
    const before = bench.clock.now();
    await bench.ringNext();
    expect(bench.clock.now() - before).toBe(120_000);
    expect((await bench.tokens()).get(id)).toBe(token);
    expect(await rows(bench)).toMatchObject({ first_retries: 1, deliveries: 0 });
    expect(await begin(bench, id)).toMatchObject({ attempt: 2 });
  });

  it('an attempt that began is begun by no second copy of its dispatch', async () => {
    const bench = new Bench();
    const [id = ''] = await refused(bench, 1);
    await bench.ringNext();
    expect(await begin(bench, id)).toMatchObject({ attempt: 2 });
    expect(await begin(bench, id)).toBeUndefined();
  });

  it('a settle that is rolled back leaves its deliveries where they were', async () => {
    const bench = new Bench();
    const [id = ''] = await refused(bench, 1);
    await bench.ringNext();
    await runInDurableObject(bench.store, async (store: EventStore, { storage }) => {
      storage.sql.exec(
        "CREATE TRIGGER broken BEFORE INSERT ON segments BEGIN SELECT RAISE(ABORT, 'broken'); END",
      );
      await expect(store.settle(bench.ref, [reported(bench, id, 2, ok)])).rejects.toThrow('broken');
      storage.sql.exec('DROP TRIGGER broken');
    });
    expect(await bench.state(id)).toMatchObject({ state: 'awaiting-retry', attempts: 1 });
    expect(await begin(bench, id)).toMatchObject({ attempt: 2 });
    await bench.settle(id, ok, 2);
    expect(await bench.state(id)).toMatchObject({ state: 'success' });
  });
});

describe('a store in which many deliveries wait for their first retry', () => {
  it('no more of them than 200 have such a row, and all are delivered, the longest waiting first', async () => {
    const bench = new Bench();
    const early = await refused(bench, FIRST_RETRIES_MAX + 20);
    bench.clock.advance(100);
    const late = await refused(bench, 1);
    expect(await rows(bench)).toMatchObject({ first_retries: FIRST_RETRIES_MAX, deliveries: 21, bodies: 21 });
    expect(await bench.store.health()).toMatchObject({ waiting: FIRST_RETRIES_MAX + 21 });
    expect(
      (await bench.store.list({ limit: 1000, state: 'awaiting-retry' })).map((each) => each.eventId),
    ).toEqual([...early, ...late]);
    expect(new Set(await bench.ringNext())).toEqual(new Set(early));
    await bench.attempt(early, ok);
    expect(await bench.ringNext()).toEqual(late);
    await bench.attempt(late, ok);
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
  });

  it('pages show them between the rows and the segments, in order of their ids', async () => {
    const bench = new Bench();
    await refused(bench, FIRST_RETRIES_MAX + 20);
    const all = (await bench.store.list({ limit: 1000 })).map(({ eventId }) => eventId);
    const paged: string[] = [];
    for (let after = ''; ; after = paged.at(-1) ?? '') {
      const page = await bench.store.list({ limit: 7, ...(after === '' ? {} : { after }) });
      if (page.length === 0) break;
      paged.push(...page.map(({ eventId }) => eventId));
    }
    expect(paged).toEqual(all);
    expect(all).toEqual([...all].sort());
    expect(all).toHaveLength(FIRST_RETRIES_MAX + 20 + 55);
  });
});

describe('a subscription that changes while deliveries wait for their first retry', () => {
  it('they fail at once when it is disabled, except one whose attempt is under way', async () => {
    const bench = new Bench();
    const [waiting = '', attempted = ''] = await refused(bench, 2);
    await bench.ringNext();
    await begin(bench, attempted);
    await bench.patch({ enabled: false });
    expect(await bench.state(waiting)).toMatchObject({ state: 'failure', attempts: 1 });
    expect(await bench.state(attempted)).toMatchObject({ state: 'executing', attempts: 2 });
    expect(await bench.store.summary()).toMatchObject({ retrying: 1, failed: 1, exportable: 1 });
    await bench.settle(attempted, ok, 2);
    expect(await bench.state(attempted)).toMatchObject({ state: 'success', attempts: 2 });
    expect(await rows(bench)).toMatchObject({ first_retries: 0 });
    await bench.patch({ enabled: true });
    expect(await bench.store.redeliver(bench.ref, waiting)).toMatchObject({ answer: 'accepted' });
  });

  it('a delivery goes to the endpoint for which it was stored', async () => {
    const bench = new Bench();
    const [id = ''] = await refused(bench, 1);
    const { endpoint } = bench.ref;
    await bench.patch({ endpoint: 'https://other.example/' });
    await bench.grantPlaces();
    bench.ref = { ...bench.ref, endpoint };
    await bench.ringNext();
    bench.ref = { ...bench.ref, endpoint: 'https://other.example/' };
    expect(await begin(bench, id)).toMatchObject({ endpoint });
  });

  it('an event that a version without this table stored once more is listed once', async () => {
    const bench = new Bench();
    const [id = ''] = await refused(bench, 1);
    const row = await runInDurableObject(bench.store, (_, { storage }) => {
      const found = storage.sql.exec('SELECT * FROM first_retries').one();
      storage.sql.exec('DELETE FROM first_retries');
      return found;
    });
    await evictDurableObject(bench.store);
    await bench.store.settle(bench.ref, [reported(bench, id, 1, ok)]);
    await runInDurableObject(bench.store, (_, { storage }) => {
      const columns = Object.keys(row);
      storage.sql.exec(
        `INSERT INTO first_retries (${columns}) VALUES (${columns.map(() => '?')})`,
        ...Object.values(row),
      );
    });
    await evictDurableObject(bench.store);
    await bench.store.adopt(bench.ref);
    await bench.attempt(await bench.ringNext(), ok);
    expect(await rows(bench)).toMatchObject({ first_retries: 0, segments: 1 });
    expect((await bench.store.list({ limit: 9 })).map(({ eventId }) => eventId)).toEqual([id]);
    expect(await bench.store.total()).toBe(1);
  });
});
