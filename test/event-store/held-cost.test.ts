/** What a held event costs in rows written, from its arrival to its deletion: each figure is a promise. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { Bench, ok } from '../support/store-bench.ts';

const DAY_MS = 86_400_000;

/** Counts the rows that a store writes from now on. @returns a function that says how many there were since it was last asked */
async function countRows(bench: Bench): Promise<() => Promise<number>> {
  const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
  await runInDurableObject(bench.store, (_, { storage }) => {
    const exec = storage.sql.exec.bind(storage.sql);
    const value = (query: string, ...values: SqlStorageValue[]) => {
      const cursor = exec(query, ...values);
      cursors.push(cursor);
      return cursor;
    };
    Object.defineProperty(storage.sql, 'exec', { configurable: true, value });
  });
  return () =>
    runInDurableObject(bench.store, () =>
      cursors.splice(0).reduce((sum, { rowsWritten }) => sum + rowsWritten, 0),
    );
}

async function failing(): Promise<Bench> {
  const bench = new Bench();
  await bench.fail();
  await runInDurableObject(
    bench.store,
    (_, { storage }) => void storage.sql.exec('DELETE FROM deliveries; DELETE FROM first_retries'),
  );
  await evictDurableObject(bench.store);
  return bench;
}

/** Holds events in calls of so many, delivers all of them, and deletes them. @returns the rows written for each event */
async function life(calls: number, eventsOfACall: number) {
  const bench = await failing();
  const written = await countRows(bench);
  const ids: string[] = [];
  for (let call = 0; call < calls; call++) {
    ids.push(...(await bench.held(eventsOfACall)));
    bench.clock.advance(1000);
  }
  const each = async () => Math.round((100 * (await written())) / ids.length) / 100;
  const held = await each();
  // A test, and perhaps a probe beside it, show that the endpoint is back.
  await bench.test();
  await bench.attempt(await bench.ring(), ok);
  await written();
  for (let left = ids.length, rings = 0; left > 0 && rings < 60; rings++) {
    const out = await bench.ring();
    const tokens = await bench.tokens();
    for (const released of out)
      await bench.store.begin(bench.ref, tokens.get(released) ?? '', [released], { signs: true });
    await bench.settleAll(out, ok);
    left -= out.length;
    bench.clock.advance(1000);
  }
  const drained = await each();
  bench.clock.advance(8 * DAY_MS);
  for (let rings = 0; rings < 9 && (await bench.store.total()) + rings < 9; rings++) await bench.ring();
  await runDurableObjectAlarm(bench.store);
  const left = await runInDurableObject(bench.store, (_, { storage }) =>
    storage.sql.exec<{ n: number }>('SELECT count(*) AS n FROM segments').one(),
  );
  expect(left.n).toBe(0);
  return { held, drained, swept: await each() };
}

/** Rows written for each event, at most. Before held events were packed, an event cost 17 in all, alone or not. */
describe('the cost of a held event', () => {
  it('an event that is held with others costs seven rows in all, nearly all of them for its attempt', async () => {
    const { held, drained, swept } = await life(4, 100);
    expect(held).toBeLessThanOrEqual(0.05);
    expect(drained).toBeLessThanOrEqual(7.2);
    expect(swept).toBeLessThanOrEqual(0.1);
  });

  it('an event that is held alone costs thirteen rows in all', async () => {
    const { held, drained, swept } = await life(40, 1);
    expect(held).toBeLessThanOrEqual(3.1);
    expect(drained).toBeLessThanOrEqual(9);
    expect(swept).toBeLessThanOrEqual(0.5);
  });
});
