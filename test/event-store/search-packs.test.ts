/** Searches among deliveries that are packed because their endpoint is failing (docs/decisions/0034-held-deliveries-are-packed.md). */
import { describe, expect, it } from 'vitest';
import type { FoundPage, SearchQuery } from '../../src/event-store/rpc.ts';
import { Bench } from '../support/store-bench.ts';

const MINUTE_MS = 60_000;
const PER_SETTLE = 7;

/** Several packs, and the five deliveries that made the endpoint fail. */
async function aFailingEndpoint(): Promise<{ bench: Bench; packed: string[]; rows: string[] }> {
  const bench = new Bench();
  const rows = await bench.fail();
  const packed: string[] = [];
  for (let settle = 0; settle < 5; settle++) {
    packed.push(...(await bench.held(PER_SETTLE)));
    bench.clock.advance(MINUTE_MS);
  }
  return { bench, packed: packed.sort(), rows };
}

/** All that a search finds, by pages of three. */
async function walk(bench: Bench, query: Partial<SearchQuery> & Pick<SearchQuery, 'order'>) {
  const ids: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const from = cursor === undefined ? {} : query.order === 'asc' ? { after: cursor } : { before: cursor };
    const page: FoundPage = await bench.store.search({ isSummary: true, limit: 3, ...query, ...from });
    const { found, upTo } = page;
    ids.push(...found.map(({ delivery }) => delivery.eventId));
    if (upTo === undefined) return ids;
    cursor = upTo;
  }
}

describe('a search of a store with packs', () => {
  it('what is packed is found once in either order, beside what has a row', async () => {
    const { bench, packed, rows } = await aFailingEndpoint();
    const all = [...packed, ...rows].sort();
    expect(await walk(bench, { order: 'asc' })).toEqual(all);
    expect(await walk(bench, { order: 'desc' })).toEqual(all.toReversed());
    expect(await walk(bench, { order: 'desc', state: 'awaiting-executing' })).toEqual(packed.toReversed());
    expect(await walk(bench, { order: 'desc', state: 'failure' })).toEqual([]);
  });

  it('times cut packs, and an id inside a pack bounds a page', async () => {
    const { bench, packed } = await aFailingEndpoint();
    const all = await bench.store.list({ limit: 1000 });
    const [since = 0, until = 0] = [all[12]?.acceptedAt, all[25]?.acceptedAt];
    const within = all.filter(({ acceptedAt }) => acceptedAt >= since && acceptedAt <= until);
    expect(within.length).toBeGreaterThan(PER_SETTLE);
    const expected = within.map(({ eventId }) => eventId).reverse();
    expect(await walk(bench, { order: 'desc', since, until })).toEqual(expected);
    const inside = packed[10] ?? '';
    const state = 'awaiting-executing';
    expect(await walk(bench, { order: 'desc', state, before: inside })).toEqual(
      packed.slice(0, 10).reverse(),
    );
  });

  it('they are found as failures once the subscription is disabled, and no more a week later', async () => {
    const { bench, packed, rows } = await aFailingEndpoint();
    await bench.patch({ enabled: false });
    const all = [...packed, ...rows].sort();
    expect(await walk(bench, { order: 'desc', state: 'failure' })).toEqual(all.toReversed());
    expect(await walk(bench, { order: 'asc', state: 'awaiting-executing' })).toEqual([]);
    bench.clock.advance(7 * 24 * 60 * MINUTE_MS);
    expect(await walk(bench, { order: 'desc' })).toEqual([]);
  });
});
