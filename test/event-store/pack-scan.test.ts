/** What work that goes on from event to event reads of packs that lie within a quarter of an hour (pack-scan.ts). */
import { describe, expect, it } from 'vitest';
import { rowsRead } from '../support/rows-read.ts';
import { Bench, ok } from '../support/store-bench.ts';

const PACKS = 120;
const EVENTS_EACH = 5;

/** A disabled subscription whose failures are packed, a hundred packs and more within a minute. */
async function failedPacks(): Promise<{ bench: Bench; ids: string[] }> {
  const bench = new Bench();
  await bench.fail();
  const ids: string[] = [];
  for (let pack = 0; pack < PACKS; pack++) {
    ids.push(...(await bench.held(EVENTS_EACH)));
    bench.clock.advance(100);
  }
  await bench.patch({ enabled: false });
  await bench.patch({ enabled: true });
  return { bench, ids };
}

describe('packs of a quarter of an hour', () => {
  it('an export reads the outlines of packs once, not once for each bite of events', async () => {
    const { bench, ids } = await failedPacks();
    const started = await bench.store.startExport(bench.ref);
    expect(started.answer).toBe('started');
    const rows = await rowsRead(bench.store, async (store) => {
      for (let ring = 0; ring < 3; ring++) await store.alarm();
    });
    const job = (await bench.store.exports())[0];
    expect(job).toMatchObject({ state: 'completed' });
    // The outlines, the ids and the content of each pack, and a few rows for each event.
    expect(rows).toBeLessThan(3 * PACKS + 3 * ids.length);
  });

  it('a bulk redelivery reads them once in each ring, and sends every event', async () => {
    const { bench, ids } = await failedPacks();
    const span = { since: 0, until: bench.clock.now() + 1 };
    expect((await bench.store.startRedelivery(bench.ref, span)).answer).toBe('started');
    const attempted: string[] = [];
    let rows = 0;
    for (let ring = 0; ring < 40 && attempted.length < ids.length; ring++) {
      bench.clock.advance(1000);
      await bench.grantPlaces();
      rows += await rowsRead(bench.store, (store) => store.alarm());
      const out = [...(await bench.tokens()).keys()];
      await bench.attempt(out, ok);
      attempted.push(...out);
    }
    expect(new Set(attempted)).toEqual(new Set([...attempted, ...ids]));
    expect(rows).toBeLessThan(23 * ids.length);
  });
});
