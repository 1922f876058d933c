import { describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { RecentIds } from '../../src/event-store/deliveries/recent-ids.ts';
import { Random } from '../support/random.ts';

const NOW = 1_800_000_000_000;

/** Ids in any order, each up to five minutes late. */
function lateIds(random: Random, count: number, now: number): string[] {
  return Array.from(
    { length: count },
    () => newEventIds(now - random.whole(0, 299_000), 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '',
  );
}

describe('the ids that a store remembers', () => {
  it('an id that was added is always known, also when half a million came after it', () => {
    const random = new Random(1);
    const recent = new RecentIds('');
    const all: string[] = [];
    for (let minute = 0; minute < 50; minute++) {
      const ids = lateIds(random, 10_000, NOW + minute * 60_000);
      recent.add(ids);
      all.push(...ids);
    }
    expect(all.filter((id) => !recent.mayHave(id))).toEqual([]);
  });

  it('fewer than a hundred of a hundred thousand new ids are taken for known ones', () => {
    const random = new Random(2);
    const recent = new RecentIds('');
    recent.add(lateIds(random, 100_000, NOW));
    const fresh = [
      ...lateIds(random, 50_000, NOW),
      ...newEventIds(NOW, 50_000, crypto.getRandomValues(new Uint8Array(16))),
    ];
    expect(fresh.filter((id) => recent.mayHave(id)).length).toBeLessThan(100);
  });

  it('ids up to the greatest that was stored at waking may all be known', () => {
    const [before = '', greatest = '', after = ''] = newEventIds(NOW, 3, new Uint8Array(16));
    const recent = new RecentIds(greatest);
    expect([before, greatest, after].map((id) => recent.mayHave(id))).toEqual([true, true, false]);
  });
});
