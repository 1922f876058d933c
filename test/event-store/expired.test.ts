/** Events past their time that the sweep has not deleted yet: nothing shows them (contract 5). */
import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { MERGE_SEGMENTS, MERGE_WAIT_MS } from '../../src/event-store/tuning.ts';
import { aSet } from '../support/delivery-fixtures.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const DAY_MS = 86_400_000;
const redirect: Outcome = { kind: 'http_error', response: { statusCode: 302, headers: {} } };

/** Stores a first attempt, so that its event shares a segment when it succeeds. @returns the event id */
async function store(bench: Bench, outcome: Outcome): Promise<string> {
  // In another millisecond than the last one, so that the ids are in order.
  bench.clock.advance(1);
  const [id = ''] = bench.ids(1);
  const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome };
  await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(id), set: aSet(id), result })]);
  return id;
}

async function segments(bench: Bench): Promise<number> {
  return await runInDurableObject(
    bench.store,
    (_, { storage }) => storage.sql.exec<{ n: number }>('SELECT count(*) AS n FROM segments').one().n,
  );
}

async function listed(bench: Bench, query: object = {}): Promise<string[]> {
  return (await bench.store.list({ limit: 1000, ...query })).map(({ eventId }) => eventId);
}

/** Every event is either readable, listed and counted, or none of the three. */
async function expectOnly(bench: Bench, ids: readonly string[], kept: readonly string[]): Promise<void> {
  const readable = await Promise.all(ids.map(async (id) => ((await bench.store.read(id)) ? [id] : [])));
  expect(readable.flat()).toEqual(kept);
  expect(await listed(bench)).toEqual(kept);
  expect(await bench.store.total()).toBe(kept.length);
}

describe('events past their time', () => {
  it('a list and a total leave out what reading by id answers 404 for, before the sweep deletes it', async () => {
    const bench = new Bench();
    const packed = await store(bench, ok);
    const retried = await store(bench, lost);
    await bench.settle(retried, ok, 2);
    const failed = await store(bench, redirect);
    const open = await store(bench, lost);
    bench.clock.advance(DAY_MS);
    const recent = await store(bench, redirect);
    bench.clock.advance(6 * DAY_MS - 6);
    const ids = [packed, retried, failed, open, recent];
    await expectOnly(bench, ids, ids);
    bench.clock.advance(5);
    await expectOnly(bench, ids, [open, recent]);
    expect(await listed(bench, { state: 'failure' })).toEqual([recent]);
    expect(await listed(bench, { state: 'success' })).toEqual([]);
  });

  it('a page is full though most events before it are past their time', async () => {
    const bench = new Bench();
    for (let round = 0; round < 20; round++) {
      await store(bench, ok);
      await store(bench, redirect);
      bench.clock.advance(1);
    }
    bench.clock.advance(2 * 3_600_000);
    const kept: string[] = [];
    for (let round = 0; round < 4; round++) {
      kept.push(await store(bench, round % 2 === 0 ? ok : redirect));
      bench.clock.advance(1);
    }
    bench.clock.advance(7 * DAY_MS - 2 * 3_600_000);
    expect(await listed(bench, { limit: 3 })).toEqual(kept.slice(0, 3));
    expect(await listed(bench, { limit: 3, after: kept[1] })).toEqual(kept.slice(2));
    expect(await bench.store.total()).toBe(4);
  });

  it('a segment whose first events are past their time shows the others', async () => {
    const bench = new Bench();
    const ids: string[] = [];
    for (let round = 0; round < MERGE_SEGMENTS; round++) {
      ids.push(await store(bench, ok));
      bench.clock.advance(10_000);
    }
    bench.clock.advance(MERGE_WAIT_MS);
    await bench.ring();
    expect(await segments(bench)).toBe(1);
    const acceptedAt = (await bench.store.read(ids[9] ?? ''))?.acceptedAt ?? 0;
    bench.clock.advance(acceptedAt + 7 * DAY_MS - bench.clock.now());
    await expectOnly(bench, ids, ids.slice(10));
    expect(await listed(bench, { limit: 5 })).toEqual(ids.slice(10, 15));
    expect(await listed(bench, { limit: 5, before: ids[12] })).toEqual(ids.slice(10, 12));
  });
});
