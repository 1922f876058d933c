/** Failed packs whose ids lie between each other's: they are read once, not once for each event. */
import { describe, expect, it } from 'vitest';
import { reportOf } from '../support/reports.ts';
import { rowsRead } from '../support/rows-read.ts';
import { Bench } from '../support/store-bench.ts';

const ALWAYS = { since: 0, until: Number.MAX_SAFE_INTEGER };

describe('packs that overlap', () => {
  it('a dry run reads each of two overlapping packs once, however many of their events lie between each other', async () => {
    const bench = new Bench();
    await bench.fail();
    await bench.endRetries();
    const ids = bench.ids(200);
    for (const parity of [0, 1]) {
      const some = ids.filter((_, index) => index % 2 === parity);
      await bench.store.settle(
        bench.ref,
        some.map((id) => reportOf(bench.facts(id))),
      );
    }
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true });
    await bench.ring();
    let answer: unknown;
    const read = await rowsRead(bench.store, async (store) => {
      answer = await store.previewRedelivery(bench.ref, ALWAYS);
    });
    expect(answer).toMatchObject({ preview: { total: 200 } });
    expect(read).toBeLessThan(50);
  });
});
