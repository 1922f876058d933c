/**
 * Disabling a subscription fails what waits, however much that is: the call only marks it, the answers show it at once, and the alarm
 * rewrites the rows in bites.
 */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { DISABLING_BITE, DUTY_PAUSE_FIRST_MS } from '../../src/event-store/tuning.ts';
import type { Dispatch } from '../../src/outbound/queues.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const COUNT = DISABLING_BITE + 20;

/** Held deliveries that have a row each. Those that are packed fail with their group (packs.test.ts). */
async function heldMany(bench: Bench): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < COUNT) ids.push(...(await bench.heldInRows(Math.min(100, COUNT - ids.length))));
  return ids;
}

/** What a customer sees of the store. */
async function shown(bench: Bench) {
  const { store } = bench;
  const { waiting } = await store.health();
  const { succeeded, retrying, failed, exportable } = await store.summary();
  const states: Record<string, number> = {};
  for (const state of ['awaiting-executing', 'executing', 'awaiting-retry', 'success', 'failure'] as const)
    states[state] = (await store.list({ state, limit: 10_000 })).length;
  return { waiting, succeeded, retrying, failed, exportable, states, total: await store.total() };
}

/** Deliveries that are not final, as their rows say it. */
async function openRows(bench: Bench): Promise<number> {
  return await runInDurableObject(
    bench.store,
    (_, { storage }) =>
      storage.sql.exec<{ n: number }>('SELECT count(*) AS n FROM deliveries WHERE due_at IS NOT NULL').one()
        .n,
  );
}

/** Rings the alarm until no row is open. @returns how often */
async function ringUntilFailed(bench: Bench): Promise<number> {
  for (let rings = 0; ; rings++) {
    if ((await openRows(bench)) === 0) return rings;
    await bench.ring();
  }
}

/** A queue that delivers nothing. @returns the ids of the deliveries in it */
function stuckQueue(): string[] {
  const sent: string[] = [];
  vi.spyOn(env.DELIVERIES, 'sendBatch').mockImplementation(async (batch) => {
    for (const { body } of batch) sent.push(...(body as Dispatch).eventIds);
    return undefined as unknown as QueueSendBatchResponse;
  });
  onTestFinished(() => void vi.restoreAllMocks());
  return sent;
}

/** A subscription with more than one bite of dispatches that nobody begins, which was disabled and enabled again. */
async function dispatchedMany(): Promise<{ bench: Bench; sent: string[] }> {
  const bench = new Bench();
  const sent = stuckQueue();
  await heldMany(bench);
  await bench.ring();
  expect(sent.length).toBe(COUNT);
  sent.length = 0;
  await bench.patch({ enabled: false });
  await bench.patch({ enabled: true });
  bench.clock.advance(180_000);
  return { bench, sent };
}

describe('a subscription that is disabled while much waits', () => {
  it('all that waits is shown as failed at once, and looks the same when the alarm has rewritten it', async () => {
    const bench = new Bench();
    const retried = await bench.fail();
    const held = await heldMany(bench);
    await bench.patch({ enabled: false });
    const at = bench.clock.now();
    // What waited for its first retry failed in the call.
    expect(await openRows(bench)).toBe(COUNT);
    const failed = COUNT + 5;
    const expected = {
      waiting: 0,
      succeeded: 0,
      retrying: 0,
      failed,
      exportable: failed,
      states: { 'awaiting-executing': 0, executing: 0, 'awaiting-retry': 0, success: 0, failure: failed },
      total: failed,
    };
    expect(await shown(bench)).toEqual(expected);
    const list = await bench.store.list({ limit: 10_000 });
    expect(list.map(({ eventId }) => eventId)).toEqual([...retried, ...held].sort());
    expect(await bench.store.list({ state: 'failure', limit: 10_000 })).toEqual(list);
    const one = list.find(({ eventId }) => eventId === held[0]);
    expect(one?.history.at(-1)).toEqual({
      at,
      state: 'failure',
      attempts: 0,
      reason: 'subscription disabled',
    });
    const pages: unknown[] = [];
    for (let after = ''; ; ) {
      const page = await bench.store.list({ state: 'failure', after, limit: 70 });
      pages.push(...page);
      if (page.length < 70) break;
      after = page.at(-1)?.eventId ?? '';
    }
    expect(pages).toEqual(list);

    bench.clock.advance(1000);
    expect(await ringUntilFailed(bench)).toBeGreaterThan(1);
    expect(await shown(bench)).toEqual(expected);
    expect(await bench.store.list({ limit: 10_000 })).toEqual(list);
  });

  it('what failed keeps its time when the subscription is disabled again before the alarm has rewritten it', async () => {
    const bench = new Bench();
    await bench.fail();
    const [first = ''] = await bench.heldInRows(1);
    const times: number[] = [];
    const disable = async () => {
      await bench.patch({ enabled: false });
      times.push(bench.clock.now());
      await bench.patch({ enabled: true });
      bench.clock.advance(3_600_000);
    };
    await disable();
    const [second = ''] = await bench.heldInRows(1);
    await disable();
    const failedAt = async (id: string) => (await bench.store.read(id))?.history.at(-1)?.at;
    const shownTimes = async () => [await failedAt(first), await failedAt(second)];
    expect(await shownTimes()).toEqual(times);
    await evictDurableObject(bench.store);
    expect(await shownTimes()).toEqual(times);
    expect(await ringUntilFailed(bench)).toBeGreaterThan(0);
    expect(await shownTimes()).toEqual(times);
    await disable();
    expect(await shownTimes()).toEqual(times.slice(0, 2));
  });

  it('an attempt under way may succeed, and fails for good otherwise', async () => {
    const bench = new Bench();
    const [good = '', bad = '', dead = ''] = await bench.fail();
    const dispatched = await bench.ringNext();
    expect(dispatched.length).toBe(5);
    const tokens = await bench.tokens();
    for (const id of [good, bad, dead]) await bench.store.begin(bench.ref, tokens.get(id) ?? '', [id]);
    await bench.patch({ enabled: false });
    expect(await bench.store.health()).toMatchObject({ waiting: 3 });
    expect((await bench.store.list({ state: 'executing', limit: 9 })).length).toBe(3);
    await bench.settle(good, ok, 2);
    await bench.settle(bad, lost, 2);
    expect(await bench.state(good)).toMatchObject({ state: 'success' });
    expect(await bench.state(bad)).toMatchObject({ state: 'failure', attempts: 2 });
    await bench.ring();
    expect(await bench.state(dead)).toMatchObject({ state: 'executing' });
    expect(await bench.store.health()).toMatchObject({ waiting: 1 });
    while ((await openRows(bench)) > 0) await bench.ringNext();
    const { history } = (await bench.store.read(dead)) ?? {};
    expect(history?.at(-1)?.reason).toBe('result of the attempt unknown; subscription disabled');
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
  });

  it('what had failed stays failed when the subscription is enabled before the alarm rewrote it, and new events go out', async () => {
    const bench = new Bench();
    await bench.fail();
    await heldMany(bench);
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true, endpoint: 'https://other.example/' });
    const [fresh = ''] = await bench.held(1);
    expect(await shown(bench)).toMatchObject({ waiting: 1, failed: COUNT + 5, retrying: 1 });
    expect(await bench.state(fresh)).toMatchObject({ state: 'awaiting-executing' });
    const dispatched: string[] = [];
    for (let rings = 0; rings < 4; rings++) {
      dispatched.push(...(await bench.ring()));
      bench.clock.advance(1000);
    }
    expect(dispatched).toEqual([fresh]);
    expect(await openRows(bench)).toBe(1);
    expect(await shown(bench)).toMatchObject({ waiting: 1, failed: COUNT + 5, retrying: 1 });
  });

  it('what was dispatched before it failed so is not sent again, though the alarm has yet to rewrite it', async () => {
    const { bench, sent } = await dispatchedMany();
    await bench.ring();
    expect(await openRows(bench)).toBeGreaterThan(0);
    await ringUntilFailed(bench);
    expect(sent).toEqual([]);
  });

  it('what is not sent again rings no alarm while the rewriting pauses', async () => {
    const { bench } = await dispatchedMany();
    const silent = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    onTestFinished(() => silent.mockRestore());
    await runInDurableObject(bench.store, (_, { storage }) => {
      storage.sql.exec(
        `CREATE TRIGGER refused BEFORE UPDATE ON deliveries BEGIN SELECT RAISE(ABORT, 'no'); END`,
      );
    });
    await bench.ring();
    expect(await bench.alarm()).toBe(bench.clock.now() + DUTY_PAUSE_FIRST_MS);
  });

  it('an event that failed so can be redelivered before the alarm rewrote it', async () => {
    const bench = new Bench();
    await bench.fail();
    const [id = ''] = await bench.held(1);
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true });
    expect(await bench.store.redeliver(bench.ref, id)).toMatchObject({ answer: 'accepted' });
    expect(await shown(bench)).toMatchObject({ waiting: 1, failed: 5 });
    await bench.attempt(await bench.ring(), ok);
    expect(await bench.state(id)).toMatchObject({ state: 'success' });
    expect(await shown(bench)).toMatchObject({ waiting: 0, failed: 5, succeeded: 1 });
  });

  it('a bulk redelivery takes all that failed so, also what the alarm had not rewritten when it was asked for', async () => {
    const bench = new Bench();
    const retried = await bench.fail();
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true, endpoint: 'https://other.example/' });
    await bench.store.startRedelivery(bench.ref, { since: 0, until: bench.clock.now() });
    for (let rings = 0; rings < 6; rings++) {
      await bench.attempt(await bench.ring(), ok);
      bench.clock.advance(1000);
    }
    for (const id of retried) expect(await bench.state(id)).toMatchObject({ state: 'success' });
    expect((await bench.store.redeliveries())[0]).toMatchObject({
      state: 'completed',
      total: 5,
      succeeded: 5,
    });
  });

  it('an export takes all that failed so, also what the alarm had not rewritten when it was asked for', async () => {
    const bench = new Bench();
    await bench.fail();
    await heldMany(bench);
    await bench.patch({ enabled: false });
    await bench.store.startExport(bench.ref);
    await ringUntilFailed(bench);
    await bench.ring();
    expect((await bench.store.exports())[0]).toMatchObject({ state: 'completed' });
    expect(await shown(bench)).toMatchObject({ failed: COUNT + 5, exportable: 0 });
  });

  it('the alarm goes on where it was when the object is evicted between two bites', async () => {
    const bench = new Bench();
    await bench.fail();
    await heldMany(bench);
    await bench.patch({ enabled: false });
    await bench.ring();
    const left = await openRows(bench);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(COUNT);
    await evictDurableObject(bench.store);
    expect(await shown(bench)).toMatchObject({ waiting: 0, failed: COUNT + 5 });
    await ringUntilFailed(bench);
    expect(await shown(bench)).toMatchObject({ waiting: 0, failed: COUNT + 5 });
  });

  it('a second disabling fails what came in between, before the alarm has done the first', async () => {
    const bench = new Bench();
    await bench.fail();
    await heldMany(bench);
    await bench.patch({ enabled: false });
    await bench.ring();
    await bench.patch({ enabled: true });
    const [fresh = ''] = await bench.held(1);
    bench.clock.advance(1000);
    await bench.patch({ enabled: false });
    expect(await shown(bench)).toMatchObject({ waiting: 0, failed: COUNT + 6 });
    expect(await bench.state(fresh)).toMatchObject({ state: 'failure' });
    await ringUntilFailed(bench);
    expect(await shown(bench)).toMatchObject({ waiting: 0, failed: COUNT + 6 });
  });

  it('an event that arrives in a disabled subscription fails while the alarm is still at work', async () => {
    const bench = new Bench();
    await bench.fail();
    await heldMany(bench);
    await bench.patch({ enabled: false });
    const [id = ''] = bench.ids(1);
    await bench.store.settle(bench.ref, [reportOf(bench.facts(id))]);
    expect(await bench.state(id)).toMatchObject({ state: 'failure' });
    expect(await shown(bench)).toMatchObject({ waiting: 0, failed: COUNT + 6 });
  });
});
