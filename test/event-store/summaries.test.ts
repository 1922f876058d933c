import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/event-store/event-store.ts';
import { SUMMARY_FRESH_UP_TO_ROWS } from '../../src/event-store/tuning.ts';
import { holdClock } from '../support/clock.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { Bench } from '../support/store-bench.ts';
import { until } from '../support/until.ts';

const DAY_MS = 86_400_000;

async function newStore(): Promise<DurableObjectStub<EventStore>> {
  const subscriptionId = crypto.randomUUID();
  const store = eventStoreStub(subscriptionId);
  await store.adopt({
    customerId: crypto.randomUUID(),
    subscriptionId,
    version: 1,
    enabled: true,
    endpoint: 'https://listener.example/',
  });
  return store;
}

/** Writes delivered events with this time of acceptance straight into the table. */
async function fill(store: DurableObjectStub<EventStore>, count: number, acceptedAt: number): Promise<void> {
  await runInDurableObject(store, (_, state) => {
    state.storage.sql.exec(
      `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
       INSERT INTO deliveries (event_id, state, attempts, run_base, accepted_at, updated_at, endpoint, history, set_token)
       SELECT lower(hex(randomblob(16))), 'success', 1, 0, ?, ?, 'https://listener.example/', '[]', 'the.signed.set'
       FROM numbers`,
      count,
      acceptedAt,
      acceptedAt,
    );
  });
  await evictDurableObject(store);
}

describe('the summary of a large store', () => {
  it('the summary of a large store is the last count, and is counted again after the answer', async () => {
    const clock = holdClock();
    const store = await newStore();
    await fill(store, SUMMARY_FRESH_UP_TO_ROWS + 1, clock.now());
    const counted = { at: clock.now(), succeeded: SUMMARY_FRESH_UP_TO_ROWS + 1 };
    expect(await store.summary()).toMatchObject(counted);
    await fill(store, 5, clock.now());
    clock.advance(30_000);
    expect(await store.summary()).toMatchObject(counted);
    clock.advance(3_600_000);
    expect(await store.summary()).toMatchObject(counted);
    await until(async () => (await store.summary()).succeeded === counted.succeeded + 5, 'the new count');
    expect((await store.summary()).at).toBe(clock.now());
  });

  it('the summary of a large store is never older than a day', async () => {
    const clock = holdClock();
    const store = await newStore();
    await fill(store, SUMMARY_FRESH_UP_TO_ROWS + 1, clock.now());
    await store.summary();
    await fill(store, 5, clock.now());
    clock.advance(DAY_MS);
    expect(await store.summary()).toMatchObject({
      at: clock.now(),
      succeeded: SUMMARY_FRESH_UP_TO_ROWS + 6,
    });
  });

  it('the summary is counted at every call again once a large store has become small', async () => {
    const clock = holdClock();
    const store = await newStore();
    await fill(store, SUMMARY_FRESH_UP_TO_ROWS + 1, clock.now());
    await store.summary();
    await runInDurableObject(store, (_, state) => {
      state.storage.sql.exec('DELETE FROM deliveries');
    });
    await fill(store, 3, clock.now());
    clock.advance(120_000);
    await until(async () => (await store.summary()).succeeded === 3, 'the new count');
    await fill(store, 2, clock.now());
    expect((await store.summary()).succeeded).toBe(5);
  });
});

describe('the summary and exports', () => {
  it('an export takes exactly what the summary calls exportable, from the beginning of the same hour', async () => {
    const bench = new Bench();
    bench.clock.advance(3_600_000 - (bench.clock.now() % 3_600_000) + 60_000);
    for (const id of bench.ids(3)) await bench.settle(id, { kind: 'blocked', message: 'no' });
    bench.clock.advance(6 * DAY_MS);
    const [id = ''] = (await bench.store.list({ limit: 1 })).map(({ eventId }) => eventId);
    // It fails once more, so it is kept beyond its seventh day.
    await bench.store.redeliver(bench.ref, id);
    await bench.settle(id, { kind: 'blocked', message: 'no' }, 2);
    bench.clock.advance(DAY_MS + 1_800_000);
    expect(await bench.store.summary()).toMatchObject({ failed: 3, exportable: 3 });
    await bench.store.startExport(bench.ref);
    await runInDurableObject(bench.store, (store) => store.alarm());
    expect((await bench.store.exports())[0]).toMatchObject({ state: 'completed' });
    expect(await bench.store.summary()).toMatchObject({ exportable: 0 });
  });
});
