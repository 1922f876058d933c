/** A bulk redelivery looks at a bounded number of failures in each call and each alarm, however many there are. */
import { describe, expect, it } from 'vitest';
import { REDELIVERY_LOOK_MAX } from '../../src/event-store/tuning.ts';
import { reportOf } from '../support/reports.ts';
import { rowsRead } from '../support/rows-read.ts';
import { Bench, ok } from '../support/store-bench.ts';

async function failMany(bench: Bench, count: number): Promise<string[]> {
  const outcome = { kind: 'blocked', message: 'no' } as const;
  const ids = bench.ids(count).sort();
  const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome };
  for (let start = 0; start < count; start += 500) {
    await bench.store.settle(
      bench.ref,
      ids.slice(start, start + 500).map((id) => reportOf({ ...bench.facts(id), result })),
    );
  }
  return ids;
}

describe('a bulk redelivery among many failures', () => {
  it('each call and each alarm of a bulk redelivery reads a bounded number of failures, and the job finds all of its span', async () => {
    const bench = new Bench();
    await failMany(bench, 2 * REDELIVERY_LOOK_MAX + 10);
    bench.clock.advance(60_000);
    const since = bench.clock.now();
    const wanted = await failMany(bench, 7);
    bench.clock.advance(60_000);
    const most = 1.5 * REDELIVERY_LOOK_MAX;
    const span = { since, until: bench.clock.now() };
    expect(await rowsRead(bench.store, (store) => store.startRedelivery(bench.ref, span))).toBeLessThan(most);
    const dispatched: string[] = [];
    for (
      let rings = 0;
      rings < 20 && (await bench.store.redeliveries())[0]?.state === 'processing';
      rings++
    ) {
      await bench.grantPlaces();
      const before = await bench.tokens();
      expect(await rowsRead(bench.store, (store) => store.alarm())).toBeLessThan(most);
      const ids = [...(await bench.tokens()).keys()].filter((id) => !before.has(id));
      dispatched.push(...ids);
      await bench.attempt(ids, ok);
      bench.clock.advance(1000);
    }
    expect(dispatched.sort()).toEqual(wanted);
    expect((await bench.store.redeliveries())[0]).toMatchObject({
      state: 'completed',
      total: 7,
      redelivered: 7,
      succeeded: 7,
    });
  });

  it('a bulk redelivery of a span without failures completes when it has counted', async () => {
    const bench = new Bench();
    await failMany(bench, REDELIVERY_LOOK_MAX + 10);
    const span = { since: 0, until: bench.clock.now() - 1 };
    await bench.store.startRedelivery(bench.ref, span);
    expect((await bench.store.redeliveries())[0]).toMatchObject({ state: 'processing', total: 0 });
    await bench.ring();
    expect((await bench.store.redeliveries())[0]).toMatchObject({ state: 'completed', total: 0 });
  });
});
