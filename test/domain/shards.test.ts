import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventIdFloor, eventIdTime, newEventIds } from '../../src/domain/ids.ts';
import { DAY_MS, EPOCHS_MAX, HOUR_MS, MINUTE_MS, SHARDS_MAX } from '../../src/domain/limits.ts';
import {
  chosenShards,
  EPOCH_LEAD_MS,
  homeTime,
  type Shards,
  shardOf,
  storesAt,
  storesOf,
  withShards,
} from '../../src/domain/shards.ts';

const NOW = Date.UTC(2026, 10, 29, 12);
const MOST: Shards = { epochs: [{ since: 0, n: 16 }], most: 16 };

/** Shards as the operator's changes make them; each change comes some time after the one before it. */
const histories = fc
  .array(fc.tuple(fc.integer({ min: 1, max: SHARDS_MAX }), fc.integer({ min: 0, max: 3 * DAY_MS })), {
    minLength: 1,
    maxLength: EPOCHS_MAX,
  })
  .map((changes) => {
    let now = NOW;
    let shards: Shards | null = null;
    const all: { at: number; shards: Shards | null }[] = [];
    for (const [n, waitMs] of changes) {
      now += waitMs;
      const changed: Shards | null | 'too many' = withShards(shards, n, now);
      if (changed !== 'too many') shards = changed;
      all.push({ at: now, shards });
    }
    return all;
  });

const ids = fc
  .tuple(fc.integer({ min: -2 * DAY_MS, max: 60 * DAY_MS }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(([ms, random]) => newEventIds(NOW + ms, 1, random)[0] ?? '');

const oneOf = (shards: Shards | null, id: string) => (shards === null ? 0 : shardOf(id, shards));

describe('the shard of an event', () => {
  it('every id has one shard, below the number of stores that are asked, visited and erased', () => {
    fc.assert(
      fc.property(histories, ids, (history, id) => {
        for (const { shards } of history) {
          const shard = oneOf(shards, id);
          expect(Number.isInteger(shard) && shard >= 0).toBe(true);
          expect(shard).toBeLessThan(shards === null ? 1 : storesOf(shards));
          expect(storesOf(shards ?? { epochs: [] })).toBeLessThanOrEqual(shards?.most ?? 1);
        }
      }),
    );
  });

  it('an id that can be seen at the time of a change keeps its shard after this change and all later ones', () => {
    fc.assert(
      fc.property(histories, fc.integer({ min: 0, max: DAY_MS + 10 * MINUTE_MS }), (history, beforeMs) => {
        for (const [index, { at, shards }] of history.entries()) {
          // Up to ten minutes ahead of the clock of a consumer, and a day behind it.
          const id = eventIdFloor(at + 10 * MINUTE_MS - beforeMs);
          const before = index === 0 ? null : (history[index - 1]?.shards ?? null);
          const shard = oneOf(before, id);
          expect(oneOf(shards, id)).toBe(shard);
          for (const { shards: later } of history.slice(index)) expect(oneOf(later, id)).toBe(shard);
        }
      }),
    );
  });

  it('an id that comes a day late has the shard of the epoch of its time', () => {
    const shards = withShards(withShards(null, 4, NOW) as Shards, 9, NOW + DAY_MS) as Shards;
    const [first, second] = shards.epochs;
    expect([first?.n, second?.n]).toEqual([4, 9]);
    const of = (time: number) => shardOf(eventIdFloor(time), shards);
    const times = Array.from({ length: 2000 }, (_, index) => index * 100);
    const before = times.map((ms) => of((second?.since ?? 0) - 1 - ms));
    const after = times.map((ms) => of((second?.since ?? 0) + ms));
    expect(new Set(before)).toEqual(new Set([0, 1, 2, 3]));
    expect(new Set(after).size).toBe(9);
    expect(of((first?.since ?? 0) - 1)).toBe(0);
  });

  it('these ids have these shards for ever: stored events would be looked for in the wrong store', () => {
    const of = (ms: number, n: number) => shardOf(eventIdFloor(NOW + ms), { epochs: [{ since: 0, n }] });
    expect([0, 99, 100, 200, 300, 12_345_600].map((ms) => of(ms, 16))).toEqual([0, 0, 1, 2, 3, 8]);
    expect([0, 99, 100, 200, 300, 12_345_600].map((ms) => of(ms, 3))).toEqual([1, 1, 2, 0, 0, 2]);
  });

  it('events of one tenth of a second share a shard, and tenths of a second are spread evenly', () => {
    for (const n of [2, 3, 5, 10, 16]) {
      const counts = new Array<number>(n).fill(0);
      for (let slot = 0; slot < 16_000; slot++) {
        const time = NOW + slot * 100;
        const shards = { epochs: [{ since: 0, n }] };
        const shard = shardOf(eventIdFloor(time), shards);
        expect(shardOf(eventIdFloor(time + 99), shards)).toBe(shard);
        counts[shard] = (counts[shard] ?? 0) + 1;
      }
      for (const each of counts) {
        expect(each).toBeGreaterThan((16_000 / n) * 0.98);
        expect(each).toBeLessThan((16_000 / n) * 1.02);
      }
    }
  });

  it('each of n successive tenths of a second has another shard, whatever n is', () => {
    for (let n = 2; n <= 16; n++) {
      const start = Math.ceil(NOW / (100 * n)) * 100 * n;
      const shards = { epochs: [{ since: 0, n }] };
      for (let round = 0; round < 50; round++) {
        const times = Array.from({ length: n }, (_, index) => start + (round * n + index) * 100);
        expect(new Set(times.map((time) => shardOf(eventIdFloor(time), shards))).size).toBe(n);
      }
    }
  });

  it('a producer that sends at each full second still uses every store', () => {
    const used = new Set(
      Array.from({ length: 500 }, (_, second) => shardOf(eventIdFloor(NOW + second * 1000), MOST)),
    );
    expect(used.size).toBe(16);
  });
});

describe('a change of the number of shards', () => {
  it('an epoch begins fifteen minutes after the change', () => {
    expect(EPOCH_LEAD_MS).toBe(15 * MINUTE_MS);
    expect(withShards(null, 4, NOW)).toEqual({ epochs: [{ since: NOW + EPOCH_LEAD_MS, n: 4 }], most: 4 });
  });

  it('a repeat changes nothing, and one shard is what a subscription has without a change', () => {
    const shards = withShards(null, 4, NOW) as Shards;
    expect(withShards(shards, 4, NOW + HOUR_MS)).toBe(shards);
    expect(withShards(null, 1, NOW)).toBeNull();
    expect(chosenShards(shards)).toBe(4);
    expect(chosenShards(null)).toBe(1);
  });

  it('a seventeenth epoch is refused, until no event of the oldest can be left', () => {
    let shards: Shards | null = null;
    for (let index = 0; index < EPOCHS_MAX; index++)
      shards = withShards(shards, 2 + (index % 2), NOW + index * HOUR_MS) as Shards;
    expect(withShards(shards, 16, NOW + DAY_MS)).toBe('too many');
    const end = shards?.epochs[1]?.since ?? 0;
    expect(withShards(shards, 16, end + 62 * DAY_MS - 1)).toBe('too many');
    const later = withShards(shards, 16, end + 62 * DAY_MS) as Shards;
    expect(later.epochs).toHaveLength(EPOCHS_MAX);
    expect(later.epochs[0]).toEqual(shards?.epochs[1]);
  });

  it('the stores of epochs that were forgotten are still erased', () => {
    let shards = withShards(null, 16, NOW) as Shards;
    for (let index = 1; index < 40; index++)
      shards = withShards(shards, 1 + (index % 2), NOW + index * 63 * DAY_MS) as Shards;
    expect(storesOf(shards)).toBe(2);
    expect(shards.most).toBe(16);
  });

  it('changes whose clocks disagree keep their order', () => {
    const first = withShards(null, 4, NOW) as Shards;
    const { epochs } = withShards(first, 2, NOW - HOUR_MS) as Shards;
    expect(epochs[1]?.since).toBe((epochs[0]?.since ?? 0) + 1);
  });

  it('the stores of an epoch that begins later had no events at the time of a job', () => {
    const shards = withShards(withShards(null, 2, NOW) as Shards, 8, NOW + DAY_MS) as Shards;
    expect(storesAt(shards, NOW)).toBe(1);
    expect(storesAt(shards, NOW + HOUR_MS)).toBe(2);
    expect(storesAt(shards, NOW + 2 * DAY_MS)).toBe(8);
  });
});

describe('the time of a test notification', () => {
  it('a test has an id of the home shard, a few seconds before now at most', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: DAY_MS }), fc.integer({ min: 1, max: 16 }), (ms, n) => {
        const shards = { epochs: [{ since: NOW, n }] };
        const time = homeTime(shards, NOW + ms);
        expect(shardOf(eventIdFloor(time), shards)).toBe(0);
        expect(time).toBeLessThanOrEqual(NOW + ms);
        expect(NOW + ms - time).toBeLessThanOrEqual(3100);
        expect(eventIdTime(eventIdFloor(time))).toBe(time);
      }),
    );
  });
});
