/** How many deliveries ended in failure because they were held or attempted to their end (contract 10.16): the store counts them once. */
import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const DAY_MS = 86_400_000;

async function ended(bench: Bench): Promise<number | undefined> {
  return (await bench.store.ensureAlarm(bench.ref)).ended;
}

/** Brings the results of all attempts of a delivery: six failures. */
async function exhaust(bench: Bench, id: string): Promise<void> {
  for (let attempt = 1; attempt <= 6; attempt++) {
    const result = { attempt, startedAt: bench.clock.now(), durationMs: 5, outcome: lost };
    await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(id), result })]);
  }
}

describe('the count of deliveries that ended in failure', () => {
  it('a store in which nothing has failed says nothing', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', ok);
    await bench.settle(bench.ids(1)[0] ?? '', lost);
    expect(await ended(bench)).toBeUndefined();
  });

  it('a delivery whose last attempt failed is counted once, however often that is reported', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await exhaust(bench, id);
    expect(await ended(bench)).toBe(1);
    await exhaust(bench, id);
    expect(await ended(bench)).toBe(1);
  });

  it('the count outlives the object, and a recovery of the endpoint', async () => {
    const bench = new Bench();
    await exhaust(bench, bench.ids(1)[0] ?? '');
    await bench.settle(bench.ids(1)[0] ?? '', ok);
    await evictDurableObject(bench.store);
    expect(await ended(bench)).toBe(1);
    await exhaust(bench, bench.ids(1)[0] ?? '');
    expect(await ended(bench)).toBe(2);
  });

  it.each([
    ['packs', (bench: Bench) => bench.held(30)],
    ['rows of their own', (bench: Bench) => bench.heldInRows(30)],
  ])('deliveries in %s that were held to their end are counted', async (_, hold) => {
    const bench = new Bench();
    await bench.fail();
    await hold(bench);
    const before = (await ended(bench)) ?? 0;
    bench.clock.advance(7 * DAY_MS + 1000);
    for (let ring = 0; ring < 5; ring++) {
      await bench.ring();
      bench.clock.advance(1000);
    }
    // One of them may be out as a probe.
    expect(((await ended(bench)) ?? 0) - before).toBeGreaterThanOrEqual(29);
    expect(((await ended(bench)) ?? 0) - before).toBeLessThanOrEqual(30);
  });

  it('deliveries that failed because the subscription was disabled are not counted', async () => {
    const bench = new Bench();
    await bench.fail();
    const before = await ended(bench);
    await bench.held(3);
    await bench.heldInRows(3);
    bench.ref = { ...bench.ref, version: 2, enabled: false };
    await bench.store.adopt(bench.ref);
    for (let ring = 0; ring < 3; ring++) await bench.ring();
    await bench.held(2);
    expect(await ended(bench)).toBe(before);
  });

  it('a redelivery that fails to its end counts once more', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await exhaust(bench, id);
    bench.clock.advance(DAY_MS);
    await bench.store.redeliver(bench.ref, id);
    for (let attempt = 7; attempt <= 12; attempt++) {
      const result = { attempt, startedAt: bench.clock.now(), durationMs: 5, outcome: lost };
      await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(id), result })]);
    }
    expect(await ended(bench)).toBe(2);
  });
});
