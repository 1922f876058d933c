/**
 * Deliveries that succeed at once share rows. Callers of the store must not notice this, so these tests compare the
 * answers of the store with a list that they keep themselves.
 */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { eventIdFloor, newEventIds } from '../../src/domain/ids.ts';
import type { AttemptReport } from '../../src/event-store/rpc.ts';
import {
  MERGE_SEGMENTS,
  MERGE_WAIT_MS,
  SEGMENT_MAX_EVENTS,
  SORT_SEGMENTS,
} from '../../src/event-store/tuning.ts';
import { aSet } from '../support/delivery-fixtures.ts';
import { Random } from '../support/random.ts';
import { type FlatReport, reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function idsAt(time: number, count: number): string[] {
  return newEventIds(time, count, crypto.getRandomValues(new Uint8Array(16)));
}

function succeeded(bench: Bench, eventId: string, facts: Partial<FlatReport> = {}): AttemptReport {
  const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
  return reportOf({ ...bench.facts(eventId), set: aSet(eventId), result, ...facts });
}

async function deliver(bench: Bench, ids: readonly string[], facts: Partial<FlatReport> = {}): Promise<void> {
  await bench.store.settle(
    bench.ref,
    ids.map((id) => succeeded(bench, id, facts)),
  );
}

/** How many rows the two tables have. */
async function rows(bench: Bench): Promise<{ deliveries: number; segments: number }> {
  return await runInDurableObject(bench.store, (_, { storage }) => {
    const count = (table: string) =>
      storage.sql.exec<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).one().n;
    return { deliveries: count('deliveries'), segments: count('segments') };
  });
}

async function listed(bench: Bench, query: { after?: string; before?: string; limit?: number } = {}) {
  const all = await bench.store.list({ limit: 100_000, ...query });
  return all.map(({ eventId }) => eventId);
}

describe('deliveries of one settle', () => {
  it('deliveries that succeed at once share one row', async () => {
    const bench = new Bench();
    await deliver(bench, bench.ids(100));
    expect(await rows(bench)).toEqual({ deliveries: 0, segments: 1 });
    expect(await bench.store.total()).toBe(100);
  });

  it('a packed delivery reads as if it had its own row, except for the signature', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await deliver(bench, [id]);
    const now = bench.clock.now();
    const response = { statusCode: 200, headers: {} };
    expect(await bench.store.read(id)).toEqual({
      eventId: id,
      acceptedAt: now,
      endpoint: 'https://listener.example/',
      set: aSet(id).replace(/[^.]*$/, ''),
      state: 'success',
      attempts: 1,
      runBase: 0,
      updatedAt: now,
      dueAt: null,
      leaseToken: null,
      hold: 'possible',
      redeliveryId: null,
      proof: null,
      history: [
        { at: now, state: 'awaiting-executing', attempts: 0 },
        { at: now, state: 'executing', attempts: 1 },
        { at: now, state: 'success', attempts: 1, response, durationMs: 5 },
      ],
    });
  });

  it('deliveries that wait for a further retry, or succeeded at one, have a row each', async () => {
    const bench = new Bench();
    const [waiting = '', retried = '', good = ''] = bench.ids(3);
    for (const attempt of [1, 2]) for (const id of [waiting, retried]) await bench.settle(id, lost, attempt);
    await bench.settle(retried, ok, 3);
    await deliver(bench, [good]);
    expect(await rows(bench)).toEqual({ deliveries: 2, segments: 1 });
    expect(await listed(bench)).toEqual([waiting, retried, good]);
  });

  it('deliveries whose id is more than five minutes from their acceptance have a row each', async () => {
    const bench = new Bench();
    const now = bench.clock.now();
    await deliver(bench, [...idsAt(now - 301_000, 1), ...idsAt(now + 301_000, 1)]);
    await deliver(bench, [...idsAt(now - 299_000, 1), ...idsAt(now + 299_000, 1)]);
    expect(await rows(bench)).toEqual({ deliveries: 2, segments: 2 });
    expect(await bench.store.total()).toBe(4);
  });

  it('deliveries whose token cannot be rebuilt byte for byte have a row each', async () => {
    const bench = new Bench();
    const sets = ['set', 'a.b', 'e30.e31.sig', 'e30.e30.', 'e30.e30.sig.more', '_w.e30.sig', 'e30=.e30.sig'];
    const ids = bench.ids(sets.length);
    await bench.store.settle(
      bench.ref,
      ids.map((id, index) => succeeded(bench, id, { set: sets[index] ?? '' })),
    );
    expect(await rows(bench)).toEqual({ deliveries: sets.length, segments: 0 });
    expect((await bench.store.list({ limit: 100 })).map(({ set }) => set)).toEqual(sets);
  });

  it('deliveries are split over several rows when one row would be too large', async () => {
    const bench = new Bench();
    const ids = bench.ids(40);
    // This text cannot be compressed: each character is one of twenty thousand, in three bytes of UTF-8.
    const random = Array.from(crypto.getRandomValues(new Uint16Array(30_000)), (n) =>
      String.fromCharCode(0x4e00 + (n % 20_000)),
    ).join('');
    const bytes = new TextEncoder().encode(random);
    const payload = bytes.toBase64({ alphabet: 'base64url', omitPadding: true });
    const sets = ids.map((_, index) => `e30.${payload}.${btoa(String(index))}`);
    await bench.store.settle(
      bench.ref,
      ids.map((id, index) => succeeded(bench, id, { set: sets[index] ?? '' })),
    );
    const { deliveries, segments } = await rows(bench);
    expect(deliveries).toBe(0);
    expect(segments).toBe(4);
    expect(await listed(bench)).toEqual(ids);
    expect((await bench.store.read(ids[17] ?? ''))?.set).toBe(`e30.${payload}.`);
  });

  it('the deliveries of one segment never span more than a quarter of an hour', async () => {
    const bench = new Bench();
    const now = bench.clock.now();
    const ids = [...idsAt(now - HOUR_MS, 2), ...idsAt(now - HOUR_MS + 900_000, 1), ...idsAt(now, 2)];
    await bench.store.settle(
      bench.ref,
      ids.map((id, index) => succeeded(bench, id, { acceptedAt: index < 3 ? now - HOUR_MS + 290_000 : now })),
    );
    expect((await rows(bench)).segments).toBe(2);
    expect(await listed(bench)).toEqual(ids);
  });
});

describe('a packed delivery', () => {
  it('admit answers done for a packed delivery, and its repeats change nothing', async () => {
    const bench = new Bench();
    const ids = bench.ids(50);
    await deliver(bench, ids);
    const [fresh = ''] = bench.ids(1);
    const admissions = await bench.store.admit(bench.ref, [...ids, fresh]);
    expect(admissions.map(({ answer }) => answer)).toEqual([...ids.map(() => 'done'), 'new']);
    await deliver(bench, ids.slice(10, 20));
    await bench.settle(ids[3] ?? '', lost);
    expect(await rows(bench)).toEqual({ deliveries: 0, segments: 1 });
    expect(await bench.store.total()).toBe(50);
  });

  it('a settle that is half a repeat stores only its new deliveries', async () => {
    const bench = new Bench();
    const ids = bench.ids(30);
    await deliver(bench, ids.slice(0, 20));
    const answer = await bench.store.settle(
      bench.ref,
      ids.slice(10).map((id) => succeeded(bench, id)),
    );
    expect(answer.settled.map(({ state }) => state)).toEqual([
      ...ids.slice(10, 20).map(() => 'dropped'),
      ...ids.slice(20).map(() => 'success'),
    ]);
    expect(await listed(bench)).toEqual(ids);
  });

  it('the first of two results for one event in one settle is stored', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    const both = [succeeded(bench, id), succeeded(bench, id)];
    const { settled } = await bench.store.settle(bench.ref, both);
    expect(settled.map(({ state }) => state)).toEqual(['success', 'dropped']);
    expect(await bench.store.total()).toBe(1);
  });

  it('a packed delivery is not counted when its settle fails half-way', async () => {
    const bench = new Bench();
    await deliver(bench, bench.ids(3));
    expect(await bench.store.total()).toBe(3);
    const [good = '', ...bad] = bench.ids(3);
    const outcome = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: lost };
    await runInDurableObject(bench.store, async (instance, { storage }) => {
      const exec = storage.sql.exec.bind(storage.sql);
      const broken = (query: string, ...values: SqlStorageValue[]) => {
        if (query.includes('INTO health')) throw new Error('storage');
        return exec(query, ...values);
      };
      Object.defineProperty(storage.sql, 'exec', { configurable: true, value: broken });
      const failed = bad.map((id) => reportOf({ ...bench.facts(id), result: outcome }));
      await expect(instance.settle(bench.ref, [succeeded(bench, good), ...failed])).rejects.toThrow(
        'storage',
      );
      Reflect.deleteProperty(storage.sql, 'exec');
    });
    expect(await bench.store.total()).toBe(3);
    expect(await listed(bench)).toHaveLength(3);
  });

  it('a packed delivery cannot be redelivered, and is not exported', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await deliver(bench, [id]);
    expect(await bench.store.redeliver(bench.ref, id)).toEqual({ answer: 'not failed' });
    await bench.store.startExport(bench.ref);
    await runDurableObjectAlarm(bench.store);
    expect((await bench.store.exports())[0]).toMatchObject({ state: 'completed', parts: 0 });
  });

  it('the summary counts each packed delivery by its own time of acceptance, from the beginning of an hour', async () => {
    const bench = new Bench();
    bench.clock.advance(HOUR_MS - (bench.clock.now() % HOUR_MS) - 30_000);
    const old = bench.ids(3);
    await deliver(bench, old);
    bench.clock.advance(60_000);
    await deliver(bench, [...bench.ids(2), ...idsAt(bench.clock.now() - 60_000, 1)]);
    // The second segment holds one event accepted a minute before the two others.
    await bench.store.settle(bench.ref, [
      succeeded(bench, idsAt(bench.clock.now(), 1)[0] ?? '', { acceptedAt: bench.clock.now() }),
      succeeded(bench, idsAt(bench.clock.now(), 1)[0] ?? '', { acceptedAt: bench.clock.now() - 60_000 }),
    ]);
    expect((await bench.store.summary()).succeeded).toBe(8);
    bench.clock.advance(7 * DAY_MS - 30_001);
    expect((await bench.store.summary()).succeeded).toBe(8);
    bench.clock.advance(1);
    expect((await bench.store.summary()).succeeded).toBe(4);
  });

  it('packed deliveries expire after seven days, and one row is deleted for all of them', async () => {
    const bench = new Bench();
    const ids = bench.ids(10);
    await deliver(bench, ids);
    bench.clock.advance(7 * DAY_MS - 1);
    expect(await bench.store.read(ids[0] ?? '')).toBeDefined();
    bench.clock.advance(1);
    expect(await bench.store.read(ids[0] ?? '')).toBeUndefined();
    await runDurableObjectAlarm(bench.store);
    expect(await rows(bench)).toEqual({ deliveries: 0, segments: 0 });
    expect(await bench.store.total()).toBe(0);
  });

  it('many expired segments are deleted bite by bite, within an hour', async () => {
    const bench = new Bench();
    for (let round = 0; round < 230; round++) {
      await deliver(bench, bench.ids(1));
      bench.clock.advance(1);
    }
    bench.clock.advance(7 * DAY_MS + HOUR_MS);
    const started = bench.clock.now();
    for (let bite = 0; bite < 10 && (await bench.alarm()) !== null; bite++) await bench.ringNext();
    expect(bench.clock.now() - started).toBeLessThan(HOUR_MS);
    expect(await rows(bench)).toEqual({ deliveries: 0, segments: 0 });
  });
});

/** Settles a few deliveries a second until so many small segments are full. @returns their ids */
async function fill(bench: Bench, segments: number): Promise<string[]> {
  const ids: string[] = [];
  do {
    ids.push(...bench.ids(8));
    await deliver(bench, ids.slice(-8));
    bench.clock.advance(1000);
  } while ((await rows(bench)).segments < segments);
  return ids;
}

describe('small segments', () => {
  it('small segments are merged once they are many and old enough, and nothing else changes', async () => {
    const bench = new Bench();
    const ids = await fill(bench, MERGE_SEGMENTS);
    const before = await bench.store.list({ limit: 1000 });
    await runDurableObjectAlarm(bench.store);
    expect((await rows(bench)).segments).toBe(MERGE_SEGMENTS);
    expect(await bench.alarm()).toBeLessThanOrEqual(bench.clock.now() + MERGE_WAIT_MS);
    bench.clock.advance(MERGE_WAIT_MS);
    await runDurableObjectAlarm(bench.store);
    expect((await rows(bench)).segments).toBeLessThanOrEqual(2);
    expect(await bench.store.list({ limit: 1000 })).toEqual(before);
    expect(await bench.store.total()).toBe(ids.length);
    await evictDurableObject(bench.store);
    expect(await bench.store.total()).toBe(ids.length);
    const admissions = await bench.store.admit(bench.ref, ids);
    expect(new Set(admissions.map(({ answer }) => answer))).toEqual(new Set(['done']));
  });

  it.each([1, 20])(
    'small segments of %i deliveries are merged while a steady stream goes on',
    async (count) => {
      const bench = new Bench();
      const ids: string[] = [];
      for (let second = 0; second < 40 * 60; second += 10) {
        ids.push(...bench.ids(count));
        await deliver(bench, ids.slice(-count));
        bench.clock.advance(10_000);
        if (((await bench.alarm()) ?? Number.POSITIVE_INFINITY) <= bench.clock.now())
          await runDurableObjectAlarm(bench.store);
      }
      // What is younger than 25 minutes, and a large segment for each quarter of an hour or each thousand deliveries before.
      expect((await rows(bench)).segments).toBeLessThanOrEqual(25 * 6 + 4);
      expect(await listed(bench)).toEqual(ids);
    },
  );

  it('small segments are merged one bite in each alarm, a second apart, until no merge is left', async () => {
    const bench = new Bench();
    const ids = bench.ids(4 * SEGMENT_MAX_EVENTS);
    for (let start = 0; start < ids.length; start += 20) await deliver(bench, ids.slice(start, start + 20));
    bench.clock.advance(MERGE_WAIT_MS + 1);
    await runDurableObjectAlarm(bench.store);
    const counts: number[] = [];
    let isOver = false;
    for (let ring = 0; ring < 5 && !isOver; ring++) {
      counts.push((await rows(bench)).segments);
      const at = (await bench.alarm()) ?? 0;
      isOver = at > bench.clock.now() + HOUR_MS;
      if (!isOver) expect(at).toBe(bench.clock.now() + 1000);
      if (!isOver) await bench.ringNext();
    }
    expect(isOver).toBe(true);
    expect(counts.at(-1)).toBeLessThan(MERGE_SEGMENTS);
    expect(await listed(bench)).toEqual(ids);
  });

  it('small segments too far apart to merge do not set the alarm again', async () => {
    const bench = new Bench();
    for (let round = 0; round < MERGE_SEGMENTS; round++) {
      await deliver(bench, bench.ids(1));
      bench.clock.advance(16 * 60_000);
    }
    await runDurableObjectAlarm(bench.store);
    expect((await rows(bench)).segments).toBe(MERGE_SEGMENTS);
    expect(await bench.alarm()).toBeGreaterThan(bench.clock.now() + HOUR_MS);
  });

  it('segments are merged by the size of their text, however well it was compressed', async () => {
    const bench = new Bench();
    const payload = btoa('a'.repeat(60_000)).replaceAll('=', '');
    for (let round = 0; round < MERGE_SEGMENTS + 8; round++) {
      const reports = bench.ids(5).map((id) => succeeded(bench, id, { set: `e30.${payload}.sig` }));
      await bench.store.settle(bench.ref, reports);
      bench.clock.advance(1);
    }
    bench.clock.advance(MERGE_WAIT_MS);
    for (let bite = 0; bite < 20; bite++) {
      if (((await bench.alarm()) ?? 0) > bench.clock.now() + HOUR_MS) break;
      await bench.ringNext();
    }
    const sizes = await runInDurableObject(bench.store, (_, { storage }) =>
      storage.sql.exec<{ bytes: number; events: number }>('SELECT bytes, events FROM segments').toArray(),
    );
    expect(sizes.reduce((sum, { events }) => sum + events, 0)).toBe(5 * (MERGE_SEGMENTS + 8));
    // Each segment holds a third of a megabyte of text, so three become one, and never four.
    const largest = Math.max(...sizes.map(({ bytes }) => bytes));
    expect(largest).toBeGreaterThan(800_000);
    expect(largest).toBeLessThanOrEqual(1_000_000);
  });

  it('a failed merge leaves the segments as they are and is tried again after a pause', async () => {
    const bench = new Bench();
    const ids = await fill(bench, MERGE_SEGMENTS);
    const spoiled = await runInDurableObject(bench.store, (_, { storage }) => {
      const { last_id, first_id } = storage.sql
        .exec<{ last_id: string; first_id: string }>(
          'SELECT last_id, first_id FROM segments ORDER BY last_id DESC LIMIT 1',
        )
        .one();
      storage.sql.exec("UPDATE segments SET content = x'00ff' WHERE last_id = ?", last_id);
      return first_id;
    });
    bench.clock.advance(MERGE_WAIT_MS + 1);
    await runDurableObjectAlarm(bench.store);
    expect((await rows(bench)).segments).toBe(MERGE_SEGMENTS);
    expect(await bench.alarm()).toBe(bench.clock.now() + 1000);
    expect(await bench.store.total()).toBe(ids.length);
    expect(await listed(bench, { before: spoiled })).toEqual(ids.filter((id) => id < spoiled));
  });
});

describe('a store that packs and merges', () => {
  it.each([1, 2, 3, 4])('a store that packs and merges answers like a plain list (seed %i)', async (seed) => {
    const random = new Random(seed);
    const bench = new Bench();
    /** What the store must hold: event id → when the event was accepted, and whether it failed. */
    const model = new Map<string, { acceptedAt: number; failed: boolean }>();
    for (let step = 0; step < 120; step++) {
      const now = bench.clock.now();
      await random.pick([publish, publish, publish, repeat, wait, ring, evict])();
      if (step % 40 === 20) await publishLate();
      if (step % 4 === 0) await compare();

      async function publish() {
        const reports = Array.from({ length: random.whole(1, 6) }, () => {
          const acceptedAt = now - random.pick([0, 0, 0, 1000, 60_000, 2 * HOUR_MS]);
          const [id = ''] = idsAt(acceptedAt + random.pick([0, 0, 1, -200_000, 250_000, -400_000]), 1);
          const failed = random.chance(0.1);
          model.set(id, { acceptedAt, failed });
          const outcome = failed ? ({ kind: 'blocked', message: 'no' } as const) : ok;
          return succeeded(bench, id, {
            acceptedAt,
            result: { attempt: 1, startedAt: now, durationMs: 5, outcome },
          });
        });
        await bench.store.settle(bench.ref, reports);
      }
      /** Events whose ids are late each by a time of its own, in as many calls as sorting waits for. */
      async function publishLate() {
        const acceptedAt = bench.clock.now();
        for (let times = 0; times < SORT_SEGMENTS; times++) {
          const ids = Array.from(
            { length: 8 },
            () => idsAt(acceptedAt - random.whole(0, 299_000), 1)[0] ?? '',
          );
          for (const id of ids) model.set(id, { acceptedAt, failed: false });
          await deliver(bench, ids);
        }
        await runDurableObjectAlarm(bench.store);
      }
      async function repeat() {
        const again = [...model.keys()].filter(() => random.chance(0.1)).slice(0, 20);
        await bench.store.settle(
          bench.ref,
          again
            .filter((id) => model.get(id)?.failed === false)
            .map((id) => succeeded(bench, id, { acceptedAt: model.get(id)?.acceptedAt ?? 0 })),
        );
      }
      async function wait() {
        bench.clock.advance(random.pick([10, 1000, 60_000, 10 * 60_000, HOUR_MS, DAY_MS]));
      }
      async function ring() {
        if ((await bench.alarm()) !== null) await bench.ringNext();
      }
      async function evict() {
        await bench.store.total(); // an object that does not run cannot be evicted
        await evictDurableObject(bench.store);
      }
    }

    async function compare(): Promise<void> {
      const all = await listed(bench);
      // A failure expires later than its acceptance says, so it may be listed still.
      const live = [...model].filter(([, { acceptedAt }]) => acceptedAt + 7 * DAY_MS > bench.clock.now());
      const present = new Set(all);
      for (const [id] of live) expect(present.has(id)).toBe(true);
      for (const id of all) expect(model.has(id)).toBe(true);
      expect(all).toEqual(all.toSorted());
      expect(await bench.store.total()).toBe(all.length);
      const [a = eventIdFloor(0), b = eventIdFloor(bench.clock.now())] = [random.pick(all), random.pick(all)];
      const [after, before] = a < b ? [a, b] : [b, a];
      const limit = random.whole(1, 30);
      const between = all.filter((id) => id > after && id < before);
      expect(await listed(bench, { after, before, limit })).toEqual(between.slice(0, limit));
      const failures = await bench.store.list({ state: 'failure', limit: 100_000 });
      const failed = live.filter(([, event]) => event.failed).map(([id]) => id);
      expect(failures.map(({ eventId }) => eventId)).toEqual(expect.arrayContaining(failed));
      const sample = all.filter(() => random.chance(0.1));
      const answers = await bench.store.admit(bench.ref, sample);
      expect(answers.every(({ answer }) => answer === 'done')).toBe(true);
      for (const id of sample.slice(0, 3)) expect((await bench.store.read(id))?.eventId).toBe(id);
      const over = [...model].filter(([id]) => !present.has(id)).map(([id]) => id);
      for (const id of over.slice(-3)) expect(await bench.store.read(id)).toBeUndefined();
    }
    expect((await rows(bench)).segments).toBeGreaterThan(0);
  });
});
