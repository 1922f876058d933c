/** Held deliveries that nobody has attempted are packed: many to a row, without signatures. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { STORE_MAX_BYTES } from '../../src/domain/limits.ts';
import { Room } from '../../src/event-store/room.ts';
import {
  MERGE_SEGMENTS,
  MERGE_WAIT_MS,
  PACK_GROUPS_MAX,
  SWEEP_MAX_PACKS,
} from '../../src/event-store/tuning.ts';
import { anUnsignedSet, aSet } from '../support/delivery-fixtures.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ALWAYS = { since: 0, until: Number.MAX_SAFE_INTEGER };

async function rows<Row extends Record<string, SqlStorageValue>>(bench: Bench, query: string) {
  return await runInDurableObject(bench.store, (_, { storage }) => storage.sql.exec<Row>(query).toArray());
}

async function alter(bench: Bench, query: string): Promise<void> {
  await runInDurableObject(bench.store, (_, { storage }) => void storage.sql.exec(query));
}

/** How many deliveries have a row, how many packs there are, and how many deliveries are in them. */
async function kept(bench: Bench) {
  const count = async (query: string) => (await rows<{ n: number }>(bench, query))[0]?.n;
  return {
    rows: await count('SELECT count(*) AS n FROM deliveries'),
    packs: await count('SELECT count(*) AS n FROM packs'),
    packed: await count('SELECT coalesce(sum(present), 0) AS n FROM packs'),
  };
}

/** A store whose endpoint is failing, and of whose failed attempts nothing is left. */
async function failing(): Promise<Bench> {
  const bench = new Bench();
  await bench.fail();
  await alter(bench, 'DELETE FROM first_retries; DELETE FROM deliveries; DELETE FROM bodies');
  await evictDurableObject(bench.store);
  return bench;
}

/** Rings once a second, and makes each attempt that is dispatched. @returns the ids in the order of their attempts */
async function drain(bench: Bench, rings: number, outcome = ok): Promise<string[]> {
  const attempted: string[] = [];
  for (let ring = 0; ring < rings; ring++) {
    const out = await bench.ring();
    await bench.attempt(out, outcome);
    attempted.push(...out);
    bench.clock.advance(1000);
  }
  return attempted;
}

async function recover(bench: Bench): Promise<void> {
  const { id } = await bench.test();
  await bench.ring();
  await bench.attempt([id], ok);
}

describe('a held event', () => {
  it('a hundred held events share a row, and are shown as any others that wait', async () => {
    const bench = await failing();
    const ids = await bench.held(100);
    expect(await kept(bench)).toEqual({ rows: 0, packs: 1, packed: 100 });
    expect(await bench.store.health()).toMatchObject({ state: 'failing', waiting: 100 });
    expect(await bench.store.total()).toBe(100);
    expect(await bench.store.summary()).toMatchObject({ retrying: 100, failed: 0 });
    const waiting = await bench.store.list({ state: 'awaiting-executing', limit: 1000 });
    expect(waiting.map(({ eventId }) => eventId)).toEqual(ids);
    expect(await bench.store.list({ limit: 1000 })).toEqual(waiting);
    expect(await bench.store.list({ state: 'failure', limit: 1000 })).toEqual([]);
    const [first = '', second = '', third = ''] = ids;
    const page = await bench.store.list({ after: first, before: third, limit: 10 });
    expect(page.map(({ eventId }) => eventId)).toEqual([second]);
    expect(await bench.store.read(first)).toMatchObject({
      acceptedAt: bench.clock.now(),
      endpoint: bench.ref.endpoint,
      set: anUnsignedSet(first),
      state: 'awaiting-executing',
      hold: 'held',
      attempts: 0,
      dueAt: bench.clock.now() + 7 * DAY_MS,
      history: [{ at: bench.clock.now(), state: 'awaiting-executing', attempts: 0 }],
    });
  });

  it('a repeat of a held event is done, also after the object slept, and changes nothing', async () => {
    const bench = await failing();
    const [id = '', other = ''] = await bench.held(2);
    for (const sleeps of [false, true]) {
      if (sleeps) await evictDurableObject(bench.store);
      expect(await bench.store.admit(bench.ref, [id, other])).toEqual([
        { answer: 'done' },
        { answer: 'done' },
      ]);
      const { settled } = await bench.store.settle(bench.ref, [reportOf(bench.facts(id))]);
      expect(settled).toMatchObject([{ eventId: id, state: 'dropped' }]);
    }
    expect(await kept(bench)).toEqual({ rows: 0, packs: 1, packed: 2 });
  });

  it('an event that is held alone writes no more rows than one with a row of its own', async () => {
    const bench = await failing();
    await bench.held(1);
    const written = await runInDurableObject(bench.store, async (store, { storage }) => {
      const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
      const exec = storage.sql.exec.bind(storage.sql);
      const counted = (query: string, ...values: SqlStorageValue[]) => {
        const cursor = exec(query, ...values);
        cursors.push(cursor);
        return cursor;
      };
      Object.defineProperty(storage.sql, 'exec', { configurable: true, value: counted });
      const [id = ''] = bench.ids(1);
      await store.settle(bench.ref, [reportOf(bench.facts(id))]);
      Reflect.deleteProperty(storage.sql, 'exec');
      return cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0);
    });
    // The pack, the index of its deadline, the count. Before there were six: a row, its SET, three indexes, the count.
    expect(written).toBe(3);
  });

  it('a late result of its first attempt takes an event out of its pack', async () => {
    const bench = await failing();
    const [good = '', bad = '', left = ''] = await bench.held(3);
    await bench.settle(good, ok);
    await bench.settle(bad, lost);
    expect(await bench.state(good)).toMatchObject({ state: 'success', attempts: 1 });
    expect(await bench.store.read(bad)).toMatchObject({ state: 'awaiting-retry', set: aSet(bad) });
    expect(await bench.state(left)).toMatchObject({ hold: 'held' });
    expect(await kept(bench)).toEqual({ rows: 1, packs: 1, packed: 1 });
    expect(await bench.store.total()).toBe(3);
    expect((await bench.store.list({ limit: 9 })).map(({ eventId }) => eventId)).toEqual([good, bad, left]);
  });

  it('an event whose SET cannot be rebuilt byte for byte has a row of its own', async () => {
    const bench = await failing();
    await bench.heldInRows(2);
    const [packed = ''] = await bench.held(1);
    expect(await kept(bench)).toEqual({ rows: 2, packs: 1, packed: 1 });
    expect(await bench.store.health()).toMatchObject({ waiting: 3 });
    await recover(bench);
    expect(await drain(bench, 3)).toContain(packed);
  });

  it('more endpoints than groups may be held for: what is beyond has a row each', async () => {
    const bench = await failing();
    for (let index = 0; index < PACK_GROUPS_MAX + 2; index++) {
      await bench.patch({ endpoint: `https://listener.example/${index}` });
      const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: lost };
      const ids = bench.ids(5);
      await bench.store.settle(
        bench.ref,
        ids.map((id) => reportOf({ ...bench.facts(id), result })),
      );
      await bench.held(1);
    }
    const groups = await rows(bench, 'SELECT number FROM pack_groups');
    expect(groups).toHaveLength(PACK_GROUPS_MAX);
    expect(await rows(bench, "SELECT event_id FROM deliveries WHERE hold = 'held'")).toHaveLength(2);
    expect(await bench.store.health()).toMatchObject({ waiting: 6 * (PACK_GROUPS_MAX + 2) });
  });
});

describe('the release of packed events', () => {
  it('packed events are sent oldest first once the endpoint is back, and leave nothing but segments behind', async () => {
    const bench = await failing();
    const ids = await bench.held(40);
    await recover(bench);
    expect(await drain(bench, 8)).toEqual(ids);
    expect(await kept(bench)).toMatchObject({ packs: 0, packed: 0 });
    expect(await rows(bench, 'SELECT * FROM pack_groups')).toEqual([]);
    // The test has a row.
    expect(await rows(bench, 'SELECT event_id FROM deliveries')).toHaveLength(1);
    expect(await rows(bench, 'SELECT number FROM bodies')).toHaveLength(1);
    for (const id of ids) expect(await bench.state(id)).toMatchObject({ state: 'success', attempts: 1 });
    expect(await bench.store.health()).toMatchObject({ state: 'healthy', waiting: 0 });
    expect(await bench.store.total()).toBe(41);
    expect(await bench.store.summary()).toMatchObject({ succeeded: 41, retrying: 0, failed: 0 });
  });

  it('a consumer gets a released event without its signature, and signs it', async () => {
    const bench = await failing();
    const [id = ''] = await bench.held(1);
    await bench.ringNext();
    const token = (await bench.tokens()).get(id) ?? '';
    expect(await bench.store.begin(bench.ref, token, [id])).toEqual([]);
    const begun = await bench.store.begin(bench.ref, token, [id], { signs: true });
    expect(begun).toMatchObject([{ eventId: id, attempt: 1, set: anUnsignedSet(id) }]);
  });

  it('a released event whose attempts fail keeps its SET, signed, and its schedule', async () => {
    const bench = await failing();
    const [id = ''] = await bench.held(1);
    await bench.attempt(await bench.ringNext(), lost);
    expect(await bench.store.read(id)).toMatchObject({ state: 'awaiting-retry', attempts: 1, set: aSet(id) });
    await bench.attempt(await bench.ringNext(), lost);
    expect(await bench.store.read(id)).toMatchObject({ state: 'awaiting-retry', attempts: 2, set: aSet(id) });
  });

  it('a drain step that dies half way released nothing, and the next one releases each event once', async () => {
    const bench = await failing();
    const ids = await bench.held(5);
    await recover(bench);
    bench.clock.advance(1000);
    const silent = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    await alter(
      bench,
      `CREATE TRIGGER broken BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`,
    );
    await bench.ring();
    silent.mockRestore();
    await alter(bench, 'DROP TRIGGER broken');
    expect(await kept(bench)).toMatchObject({ packs: 1, packed: 5 });
    expect(await bench.store.health()).toMatchObject({ waiting: 5 });
    bench.clock.advance(1000);
    expect(await drain(bench, 6)).toEqual(ids);
  });

  it('an object that is evicted after a release dispatches what it released, and nothing twice', async () => {
    const bench = await failing();
    const ids = await bench.held(20);
    await recover(bench);
    const out: string[] = [];
    for (let ring = 0; ring < 12; ring++) {
      const some = await bench.ring();
      await evictDurableObject(bench.store);
      await bench.attempt(some, ok);
      out.push(...some);
      bench.clock.advance(1000);
      await bench.store.ensureAlarm(bench.ref);
    }
    for (let ring = 0; ring < 20 && out.length < 20; ring++) out.push(...(await drain(bench, 1)));
    expect(out.toSorted()).toEqual(ids.toSorted());
  });

  it('the rest of a pack is held again when the endpoint fails again', async () => {
    const bench = await failing();
    const ids = await bench.held(40);
    await recover(bench);
    await drain(bench, 3);
    await bench.fail();
    bench.clock.advance(1000);
    await bench.ring();
    expect(await bench.state(ids[39] ?? '')).toMatchObject({ hold: 'held', attempts: 0 });
    expect((await kept(bench)).packed).toBeGreaterThan(30);
  });

  it('events of one pack whose ids are minutes apart are released together', async () => {
    const bench = await failing();
    const now = bench.clock.now();
    const random = () => crypto.getRandomValues(new Uint8Array(16));
    // The widest gap is between the first two, so the others share a pack.
    const ids = [-290, -100, -15, 65].flatMap((seconds) => newEventIds(now + 1000 * seconds, 1, random()));
    await bench.store.settle(
      bench.ref,
      ids.map((id) => reportOf(bench.facts(id))),
    );
    await recover(bench);
    expect(await drain(bench, 6)).toEqual(ids);
    expect(await kept(bench)).toMatchObject({ packs: 0 });
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
  });

  it('events that were held for an earlier endpoint go out to it', async () => {
    const bench = await failing();
    const [id = ''] = await bench.held(1);
    const { endpoint } = bench.ref;
    await bench.patch({ endpoint: 'https://other.example/' });
    await runDurableObjectAlarm(bench.store);
    expect(await bench.store.read(id)).toMatchObject({ endpoint, hold: 'possible' });
  });
});

describe('packed events whose subscription is disabled', () => {
  it('all of them have failed at once, and nothing is rewritten', async () => {
    const bench = await failing();
    const ids = await bench.held(100);
    const before = await rows(bench, 'SELECT * FROM packs');
    bench.clock.advance(5000);
    await bench.patch({ enabled: false });
    const at = bench.clock.now();
    await bench.ring();
    expect(await rows(bench, 'SELECT * FROM packs')).toEqual(before);
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
    expect(await bench.store.summary()).toMatchObject({ retrying: 0, failed: 100, exportable: 100 });
    expect(await bench.store.list({ state: 'awaiting-executing', limit: 1000 })).toEqual([]);
    const failed = await bench.store.list({ state: 'failure', limit: 1000 });
    expect(failed.map(({ eventId }) => eventId)).toEqual(ids);
    expect(failed[0]).toMatchObject({ state: 'failure', attempts: 0, updatedAt: at });
    expect((await bench.store.read(ids[7] ?? ''))?.history.at(-1)).toEqual({
      at,
      state: 'failure',
      attempts: 0,
      reason: 'subscription disabled',
    });
  });

  it('they stay failed when the subscription is enabled, and later ones are held in a group of their own', async () => {
    const bench = await failing();
    const [old = ''] = await bench.held(3);
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true });
    const [fresh = ''] = await bench.held(1);
    expect(await bench.state(fresh)).toMatchObject({ hold: 'held' });
    expect(await bench.store.health()).toMatchObject({ waiting: 1 });
    await recover(bench);
    expect(await drain(bench, 3)).toEqual([fresh]);
    expect(await bench.state(old)).toMatchObject({ state: 'failure', attempts: 0 });
  });

  it('one of them is redelivered from its pack', async () => {
    const bench = await failing();
    const [id = ''] = await bench.held(3);
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true });
    expect(await bench.store.redeliver(bench.ref, id)).toMatchObject({ answer: 'accepted' });
    expect(await kept(bench)).toEqual({ rows: 1, packs: 1, packed: 2 });
    await bench.attempt(await bench.ring(), ok);
    expect(await bench.state(id)).toMatchObject({ state: 'success', attempts: 1 });
    expect(await bench.store.summary()).toMatchObject({ succeeded: 1, failed: 2 });
  });

  it('a bulk redelivery takes all of them, and those that have rows', async () => {
    const bench = await failing();
    const ids = [...(await bench.held(30)), ...(await bench.heldInRows(5))];
    await bench.patch({ enabled: false });
    await bench.ring();
    await bench.patch({ enabled: true, endpoint: 'https://other.example/' });
    const started = await bench.store.startRedelivery(bench.ref, ALWAYS);
    expect(started).toMatchObject({ answer: 'started', job: { total: 35 } });
    expect((await drain(bench, 9)).toSorted()).toEqual(ids.toSorted());
    expect((await bench.store.redeliveries())[0]).toMatchObject({
      state: 'completed',
      redelivered: 35,
      succeeded: 35,
    });
    expect((await kept(bench)).packs).toBe(0);
  });

  it('a bulk redelivery of them waits while the store is full, because each needs a row', async () => {
    const bench = await failing();
    const ids = await bench.held(3);
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true, endpoint: 'https://other.example/' });
    await bench.store.startRedelivery(bench.ref, ALWAYS);
    onTestFinished(() => {
      Room.maxBytes = STORE_MAX_BYTES;
    });
    Room.maxBytes = 1;
    expect(await drain(bench, 3)).toEqual([]);
    expect((await bench.store.redeliveries())[0]).toMatchObject({ state: 'processing', redelivered: 0 });
    Room.maxBytes = STORE_MAX_BYTES;
    await bench.store.ensureAlarm(bench.ref);
    expect((await drain(bench, 3)).toSorted()).toEqual(ids);
  });

  it('an export has each of them once, in the order of their ids, beside those that have rows', async () => {
    const bench = await failing();
    const ids = await bench.held(60);
    bench.clock.advance(10);
    ids.push(...(await bench.heldInRows(60)));
    bench.clock.advance(10);
    ids.push(...(await bench.held(60)));
    await bench.patch({ enabled: false });
    while ((await rows(bench, 'SELECT 1 FROM deliveries WHERE due_at IS NOT NULL')).length > 0)
      await bench.ring();
    await bench.store.startExport(bench.ref);
    for (let ring = 0; ring < 3; ring++) await bench.ring();
    const [job] = await bench.store.exports();
    expect(job).toMatchObject({ state: 'completed' });
    const parts: string[] = [];
    for (let part = 0; part < (job?.parts ?? 0); part++)
      parts.push((await bench.store.exportPart(job?.id ?? '', part)) ?? '');
    const lines = parts.join('').trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(ids);
    expect(await bench.store.summary()).toMatchObject({ failed: 180, exportable: 0 });
    // One of them fails again after a redelivery: it was exported, and counts once.
    await bench.patch({ enabled: true });
    await bench.store.redeliver(bench.ref, ids[0] ?? '');
    expect(await bench.store.summary()).toMatchObject({ failed: 179, exportable: 0 });
    bench.clock.advance(DAY_MS);
    await bench.store.startExport(bench.ref);
    await bench.ring();
    expect((await bench.store.exports())[1]).toMatchObject({ state: 'completed', parts: 0 });
  });

  it('a canceled export leaves packed events to the next one', async () => {
    const bench = await failing();
    await bench.held(60);
    await bench.patch({ enabled: false });
    const started = await bench.store.startExport(bench.ref);
    if (started.answer !== 'started') throw new Error(started.answer);
    await bench.store.cancelExport(started.job.id);
    await bench.store.startExport(bench.ref);
    await bench.ring();
    const jobs = await bench.store.exports();
    expect(jobs.map(({ state, parts }) => `${state} ${parts}`).toSorted()).toEqual([
      'canceled 0',
      'completed 2',
    ]);
  });

  it('they are not shown any more a week after they failed, and the sweep deletes them as packs', async () => {
    const bench = await failing();
    const [id = ''] = await bench.held(40);
    bench.clock.advance(2 * DAY_MS);
    await bench.patch({ enabled: false });
    await bench.store.startExport(bench.ref);
    await bench.ring();
    bench.clock.advance(7 * DAY_MS - 1);
    expect(await bench.state(id)).toMatchObject({ state: 'failure' });
    expect(await bench.store.total()).toBe(40);
    bench.clock.advance(1);
    expect(await bench.state(id)).toBeUndefined();
    expect(await bench.store.total()).toBe(0);
    expect(await bench.store.list({ limit: 10 })).toEqual([]);
    await bench.ring();
    expect(await kept(bench)).toEqual({ rows: 0, packs: 0, packed: 0 });
    for (const table of ['pack_groups', 'exported', 'tally'])
      expect(await rows(bench, `SELECT * FROM ${table}`)).toEqual([]);
  });
});

describe('the sweep of packs', () => {
  it('more packs than one bite are swept one bite after the other, with what exports know of them', async () => {
    const bench = await failing();
    for (let pack = 0; pack < SWEEP_MAX_PACKS + 3; pack++) {
      await bench.held(1);
      bench.clock.advance(1000);
    }
    await bench.patch({ enabled: false });
    await bench.store.startExport(bench.ref);
    await bench.ring();
    bench.clock.advance(8 * DAY_MS);
    await bench.ring();
    expect(await kept(bench)).toEqual({ rows: 0, packs: 3, packed: 3 });
    expect(await rows(bench, 'SELECT event_id FROM exported')).toHaveLength(3);
    expect(await bench.alarm()).toBeLessThanOrEqual(bench.clock.now());
    await bench.ring();
    expect(await kept(bench)).toEqual({ rows: 0, packs: 0, packed: 0 });
    expect(await rows(bench, 'SELECT event_id FROM exported')).toEqual([]);
  });
});

describe('packed events that have waited too long', () => {
  it('events that were held for the whole retention fail, with the time at which it ended', async () => {
    const bench = await failing();
    const [id = ''] = await bench.held(10);
    const until = bench.clock.now() + 7 * DAY_MS;
    await alter(bench, `UPDATE health SET figures = json_set(figures, '$.probeAt', 9e15)`);
    await evictDurableObject(bench.store);
    expect(await bench.store.health()).toMatchObject({ waiting: 10 });
    bench.clock.advance(7 * DAY_MS + 5000);
    await bench.ring();
    expect((await bench.store.read(id))?.history.at(-1)).toEqual({
      at: until,
      state: 'failure',
      attempts: 0,
      reason: 'endpoint failing',
    });
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
    expect(await bench.store.total()).toBe(10);
    bench.clock.advance(7 * DAY_MS);
    expect(await bench.store.total()).toBe(0);
    await bench.ring();
    expect(await kept(bench)).toEqual({ rows: 0, packs: 0, packed: 0 });
  });

  it('events that the backlog is releasing go on waiting, until they are 28 days old', async () => {
    const bench = await failing();
    const ids = await bench.held(10);
    bench.clock.advance(7 * DAY_MS + 1);
    await bench.patch({ endpoint: 'https://other.example/' });
    expect(await bench.ring()).toEqual([ids[0]]);
    expect(await bench.state(ids[9] ?? '')).toMatchObject({ hold: 'held' });
    // Nothing is released while nobody attempts the first.
    bench.clock.advance(21 * DAY_MS);
    await runInDurableObject(bench.store, (store) => store.alarm());
    expect(await bench.state(ids[9] ?? '')).toBeUndefined();
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
  });
});

describe('small packs', () => {
  it('small packs are merged within their hour, and what was taken out stays out', async () => {
    const bench = await failing();
    const ids: string[] = [];
    for (let index = 0; index < MERGE_SEGMENTS + 8; index++) {
      ids.push(...(await bench.held(1)));
      bench.clock.advance(2000);
    }
    await bench.settle(ids[3] ?? '', { kind: 'blocked', message: 'no' });
    const before = await bench.store.list({ limit: 100 });
    await alter(bench, `UPDATE health SET figures = json_set(figures, '$.probeAt', 9e15)`);
    await evictDurableObject(bench.store);
    bench.clock.advance(MERGE_WAIT_MS);
    await bench.store.ensureAlarm(bench.ref);
    await bench.ring();
    const { packs = 0, packed } = await kept(bench);
    expect(packs).toBeLessThanOrEqual(2);
    expect(packed).toBe(MERGE_SEGMENTS + 7);
    expect(await bench.store.list({ limit: 100 })).toEqual(before);
    expect(await bench.store.health()).toMatchObject({ waiting: MERGE_SEGMENTS + 7 });
    await recover(bench);
    expect(await drain(bench, 8)).toEqual(ids.filter((_, index) => index !== 3));
  });
});

describe('a version of the code that does not know packs', () => {
  it('an event that it stored once more, in a row of its own, is not released a second time', async () => {
    const bench = await failing();
    const [id = '', other = ''] = await bench.held(2);
    // That version looks for the event in rows and segments, finds none, and stores it.
    await alter(
      bench,
      `INSERT INTO deliveries (event_id, state, attempts, run_base, accepted_at, updated_at, due_at, endpoint, history, set_token, entries)
       SELECT '${id}', 'failure', 1, 0, accepted_from, accepted_from, NULL, '${bench.ref.endpoint}', '{}', 'a set', '[]' FROM packs`,
    );
    await evictDurableObject(bench.store);
    expect((await bench.store.list({ limit: 9 })).map(({ eventId, state }) => [eventId, state])).toEqual([
      [id, 'failure'],
      [other, 'awaiting-executing'],
    ]);
    await recover(bench);
    expect(await drain(bench, 4)).toEqual([other]);
    expect(await bench.state(id)).toMatchObject({ state: 'failure', attempts: 1 });
    expect(await bench.store.total()).toBe(3);
  });

  it('what was packed has failed when that version disabled the subscription', async () => {
    const bench = await failing();
    const [id = ''] = await bench.held(5);
    const at = bench.clock.now() + 1000;
    await alter(
      bench,
      `INSERT INTO disabled_mark (one, generation, at, state, cursor, done) VALUES (1, 1, ${at}, 'executing', '', 1)`,
    );
    await evictDurableObject(bench.store);
    bench.clock.advance(5000);
    await bench.store.ensureAlarm(bench.ref);
    await bench.ring();
    expect(await bench.store.read(id)).toMatchObject({ state: 'failure', updatedAt: at });
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
  });
});
