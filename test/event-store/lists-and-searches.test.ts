/** A list and a search show the same of a delivery, wherever the store keeps it. */
import { describe, expect, it } from 'vitest';
import { Bench, ok } from '../support/store-bench.ts';

/** What a list shows, and what a search shows. */
async function shown(bench: Bench) {
  const listed = await bench.store.list({ limit: 100 });
  const { found } = await bench.store.search({ order: 'asc', limit: 100, isSummary: false });
  return { listed, found: found.map(({ delivery }) => delivery) };
}

describe('what a list and a search show of a delivery', () => {
  it('both show the same of a success in a segment, a first retry, a packed event and a held one with a row', async () => {
    const bench = new Bench();
    await bench.settleAll(bench.ids(1), ok);
    await bench.fail();
    const [packed = ''] = await bench.held(1);
    await bench.heldInRows(1);
    for (const enabled of [true, false]) {
      await bench.patch({ enabled });
      const { listed, found } = await shown(bench);
      expect(listed).toHaveLength(8);
      expect(found).toEqual(listed);
    }
    // As of a delivery with a row: the last entry alone, because there was no answer.
    const { listed } = await shown(bench);
    expect(listed.find(({ eventId }) => eventId === packed)?.history).toHaveLength(1);
  });
});
