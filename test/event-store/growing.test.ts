/** A small segment grows by what a settle brings, so that deliveries that come singly share rows. Nothing else may change. */

import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { pack } from '../../src/event-store/deliveries/packing.ts';
import type { EventStore } from '../../src/event-store/event-store.ts';
import { aSet } from '../support/delivery-fixtures.ts';
import { Random } from '../support/random.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, ok } from '../support/store-bench.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

type Outline = { events: number; first_id: string; last_id: string; bytes: number };

const idAt = (time: number) => newEventIds(time, 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';

/** A SET with so much text that compresses badly. */
function large(bytes: number): string {
  const text = new Uint8Array(bytes).map((_, index) => 0x20 + ((index * 7919) % 90));
  return `e30.${text.toBase64({ alphabet: 'base64url', omitPadding: true })}.sig`;
}

/** A text as a segment has it. */
function contentOf(text: string): Uint8Array {
  const [segment] = pack([{ eventId: idAt(0), acceptedAt: 0, text, bytes: text.length }]);
  return segment?.content ?? new Uint8Array();
}

async function settle(bench: Bench, ids: readonly string[], set = aSet, store: Settles = bench.store) {
  const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
  await store.settle(
    bench.ref,
    ids.map((id) => reportOf({ ...bench.facts(id), set: set(id), result })),
  );
}
type Settles = Pick<EventStore, 'settle'> | Bench['store'];

async function outlines(bench: Bench): Promise<Outline[]> {
  return await runInDurableObject(bench.store, (_, { storage }) =>
    storage.sql
      .exec<Outline>('SELECT events, first_id, last_id, bytes FROM segments ORDER BY last_id')
      .toArray(),
  );
}

const events = async (bench: Bench) => (await outlines(bench)).map((outline) => outline.events);

async function listed(bench: Bench): Promise<string[]> {
  return (await bench.store.list({ limit: 100_000 })).map(({ eventId }) => eventId);
}

describe('a segment that grows', () => {
  it('deliveries that come singly share a row, also when the object is evicted in between', async () => {
    const bench = new Bench();
    const ids: string[] = [];
    for (let times = 0; times < 5; times++) {
      ids.push(...bench.ids(1));
      await settle(bench, ids.slice(-1));
      bench.clock.advance(MINUTE_MS);
      await evictDurableObject(bench.store);
    }
    expect(await events(bench)).toEqual([5]);
    expect(await listed(bench)).toEqual(ids);
    expect(await bench.store.total()).toBe(5);
  });

  it('a late id joins the segment of its time, below its first id too; one that is far from it has its own', async () => {
    const bench = new Bench();
    const now = bench.clock.now();
    for (const late of [10_000, 0, 5000, 44_000, 46_000]) await settle(bench, [idAt(now - late)]);
    // The last one lies within 45 s of the fourth, but not of the second.
    expect(await events(bench)).toEqual([1, 4]);
  });

  it('ids of a producer that is ahead do not keep the others from sharing rows', async () => {
    const bench = new Bench();
    for (let times = 0; times < 4; times++) {
      await settle(bench, [idAt(bench.clock.now() + 200_000)]);
      await settle(bench, bench.ids(1));
      bench.clock.advance(1000);
    }
    expect(await events(bench)).toEqual([4, 4]);
  });

  it('no settle rewrites more than 16 KB for a single delivery, and four times what an array brings', async () => {
    const bench = new Bench();
    for (let times = 0; times < 8; times++) await settle(bench, bench.ids(1), () => large(3000));
    expect((await outlines(bench)).length).toBeGreaterThan(1);
    for (const { bytes } of await outlines(bench)) expect(bytes).toBeLessThan(16_000 + 4000);
    for (let times = 0; times < 4; times++) await settle(bench, bench.ids(1), () => large(60_000));
    // None of the large ones is rewritten for a small one.
    const before = (await outlines(bench)).filter(({ bytes }) => bytes > 50_000);
    await settle(bench, bench.ids(1));
    expect((await outlines(bench)).filter(({ bytes }) => bytes > 50_000)).toEqual(before);
    for (const { bytes } of before) expect(bytes).toBeLessThanOrEqual(400_000);
  });

  it('a segment that merging has passed, or that is in the figures, does not grow', async () => {
    for (const cursor of [
      'INSERT OR REPLACE INTO merged (one, up_to) VALUES (1, ?)',
      'INSERT OR REPLACE INTO figures_counted (one, up_to) VALUES (1, ?)',
    ]) {
      const bench = new Bench();
      const [first = '', second = ''] = bench.ids(2);
      await settle(bench, [first]);
      await runInDurableObject(bench.store, (_, { storage }) => void storage.sql.exec(cursor, first));
      await evictDurableObject(bench.store);
      await settle(bench, [second]);
      expect(await events(bench)).toEqual([1, 1]);
    }
  });

  it('a segment that cannot be read does not grow, and its settle is stored', async () => {
    const bench = new Bench();
    await settle(bench, bench.ids(1));
    await runInDurableObject(
      bench.store,
      (_, { storage }) => void storage.sql.exec("UPDATE segments SET content = x'00ff'"),
    );
    await settle(bench, bench.ids(1));
    expect(await events(bench)).toEqual([1, 1]);
    expect(await bench.store.total()).toBe(2);
  });

  it.each([
    ['ends in the middle of a line', 'no line feed'],
    ['has no time of acceptance', '[null]\nheader\npayload\n'],
    ['has no delivery in it', ''],
  ])('a segment whose text %s does not grow, and its settle is stored', async (_, text) => {
    const bench = new Bench();
    await settle(bench, bench.ids(1));
    await runInDurableObject(
      bench.store,
      (__, { storage }) => void storage.sql.exec('UPDATE segments SET content = ?', contentOf(text)),
    );
    await settle(bench, bench.ids(1));
    expect(await events(bench)).toEqual([1, 1]);
    expect(await bench.store.total()).toBe(2);
  });

  it('a segment whose ids are not those of its row does not grow, and its settle is stored', async () => {
    const bench = new Bench();
    await settle(bench, bench.ids(2));
    await runInDurableObject(
      bench.store,
      (_, { storage }) => void storage.sql.exec('UPDATE segments SET ids = zeroblob(32)'),
    );
    bench.clock.advance(1);
    await settle(bench, bench.ids(1));
    expect(await events(bench)).toEqual([2, 1]);
  });

  it('the figures know what came into a segment that they have looked at', async () => {
    const bench = new Bench();
    const now = bench.clock.now();
    const delivered = async () =>
      (await bench.store.figures(now - HOUR_MS)).hours.reduce((sum, hour) => sum + hour.delivered, 0);
    for (const [index, late] of [0, 2000, 1000].entries()) {
      await settle(bench, [idAt(now - late)]);
      expect(await delivered()).toBe(index + 1);
    }
    expect(await events(bench)).toEqual([3]);
  });
});

describe('a store whose segments grow', () => {
  it.each([1, 2, 3, 4, 5, 6])('lists, totals and figures equal a plain model (seed %i)', async (seed) => {
    const random = new Random(seed);
    const bench = new Bench();
    await bench.store.adopt(bench.ref);
    const model = new Set<string>();
    const from = bench.clock.now() - 2 * HOUR_MS;
    for (let step = 0; step < 80; step++) {
      const what = random.weighted({
        one: 10,
        late: 4,
        ahead: 1,
        array: 2,
        big: 1,
        evict: 1,
        broken: 1,
        wait: 6,
      });
      const now = bench.clock.now();
      if (what === 'wait') {
        bench.clock.advance(random.pick([200, 1000, 1000, 30_000, 70_000, 16 * MINUTE_MS]));
        await bench.ring();
      } else if (what === 'evict') {
        await bench.store.total();
        await evictDurableObject(bench.store);
      } else {
        const ids =
          what === 'array'
            ? bench.ids(random.pick([5, 30, 100]))
            : what === 'late'
              ? Array.from({ length: random.whole(1, 3) }, () =>
                  idAt(now - random.pick([500, 20_000, 200_000])),
                )
              : [idAt(now + (what === 'ahead' ? 200_000 : 0))];
        const set = what === 'big' ? () => large(20_000) : aSet;
        if (what === 'broken') await rolledBack(bench, ids);
        else {
          await settle(bench, ids, set);
          for (const id of ids) model.add(id);
        }
      }
      if (step % 5 > 0) continue;
      const all = [...model].sort();
      expect(await listed(bench), `step ${step}`).toEqual(all);
      expect(await bench.store.total()).toBe(all.length);
      const { hours, isExact } = await bench.store.figures(from);
      expect(isExact).toBe(true);
      expect(hours.reduce((sum, hour) => sum + hour.delivered, 0)).toBe(all.length);
      const known = await bench.store.admit(bench.ref, all.slice(-50));
      expect(known.every(({ answer }) => answer === 'done')).toBe(true);
      const middle = random.pick(all);
      if (middle === undefined) continue;
      const query = { before: middle, limit: 20, order: 'desc', isSummary: true } as const;
      const { found } = await bench.store.search(query);
      expect(found.map(({ delivery }) => delivery.eventId)).toEqual(
        all
          .filter((id) => id < middle)
          .slice(-20)
          .reverse(),
      );
    }
    expect((await outlines(bench)).length).toBeLessThan(model.size);
  });
});

/** A settle that fails after its segment was written. */
async function rolledBack(bench: Bench, ids: readonly string[]): Promise<void> {
  await runInDurableObject(bench.store, async (store, { storage }) => {
    for (const [name, write] of Object.entries({ grown: 'UPDATE', added: 'INSERT' }))
      storage.sql.exec(
        `CREATE TRIGGER broken_${name} AFTER ${write} ON segments BEGIN SELECT RAISE(ABORT, 'broken'); END`,
      );
    await expect(settle(bench, ids, aSet, store)).rejects.toThrow('broken');
    storage.sql.exec('DROP TRIGGER broken_grown; DROP TRIGGER broken_added');
  });
}
