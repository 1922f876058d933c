/** What a backlog has delivered long after merging passed its place is merged all the same. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { expect, it } from 'vitest';
import { MERGE_AGE_MS, MERGE_SEGMENTS, MERGE_WAIT_MS } from '../../src/event-store/tuning.ts';
import { aSet } from '../support/delivery-fixtures.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, ok } from '../support/store-bench.ts';

async function segments(bench: Bench): Promise<{ rows: number; events: number }> {
  return await runInDurableObject(bench.store, (_, { storage }) =>
    storage.sql
      .exec<{ rows: number; events: number }>('SELECT count(*) AS rows, sum(events) AS events FROM segments')
      .one(),
  );
}

/** Settles a few deliveries at a time until so many segments are full. @returns how many deliveries */
async function fill(bench: Bench, rows: number): Promise<number> {
  for (let settles = 1; ; settles++) {
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
    const reports = bench.ids(8).map((id) => reportOf({ ...bench.facts(id), set: aSet(id), result }));
    await bench.store.settle(bench.ref, reports);
    if ((await segments(bench)).rows === rows) return 8 * settles;
  }
}

it('events that were held and are delivered later share few segments, though merging has passed their place', async () => {
  const bench = new Bench();
  await bench.fail();
  const held = await bench.held(2 * MERGE_SEGMENTS);
  await runInDurableObject(
    bench.store,
    (_, { storage }) => void storage.sql.exec('DELETE FROM deliveries; DELETE FROM first_retries'),
  );
  await evictDurableObject(bench.store);
  bench.clock.advance(MERGE_WAIT_MS);
  const filled = await fill(bench, MERGE_SEGMENTS);
  bench.clock.advance(MERGE_WAIT_MS + MERGE_AGE_MS);
  await bench.store.ensureAlarm(bench.ref);
  await runInDurableObject(bench.store, (store) => store.alarm());
  const merged = await segments(bench);
  expect(merged.events).toBe(filled);
  expect(merged.rows).toBeLessThan(5);
  // Each is settled alone: a row each, all of them before those that were merged.
  for (const id of held) {
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
    await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(id), result })]);
  }
  expect(await segments(bench)).toEqual({ rows: merged.rows + held.length, events: filled + held.length });
  const before = await bench.store.list({ limit: 1000 });
  await runInDurableObject(bench.store, (store) => store.alarm());
  expect(await segments(bench)).toEqual({ rows: merged.rows + 1, events: filled + held.length });
  expect(await bench.store.list({ limit: 1000 })).toEqual(before);
});
