/** An attempt that began, between `begin` and the report of its result: what the store knows without a row for it. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { StartedAttempt } from '../../src/event-store/rpc.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

/** A retry that was dispatched and began. */
async function begun(
  bench: Bench,
): Promise<{ id: string; token: string; attempt: StartedAttempt | undefined }> {
  const [id = ''] = bench.ids(1);
  await bench.settle(id, lost);
  await bench.ringNext();
  const token = (await bench.tokens()).get(id) ?? '';
  const [attempt] = await bench.store.begin(bench.ref, token, [id]);
  return { id, token, attempt };
}

describe('an attempt that began', () => {
  it('an attempt that began is shown as executing, and its history says when it began', async () => {
    const bench = new Bench();
    const { id } = await begun(bench);
    const at = bench.clock.now();
    bench.clock.advance(200);
    expect(await bench.store.read(id)).toMatchObject({ state: 'executing', attempts: 2 });
    await bench.settle(id, ok, 2);
    const { history = [] } = (await bench.store.read(id)) ?? {};
    expect(history.slice(-2)).toMatchObject([
      { state: 'executing', attempts: 2, at },
      { state: 'success', attempts: 2, at: at + 200 },
    ]);
  });

  it('an attempt that began is begun by no second copy of its dispatch before it lapses', async () => {
    const bench = new Bench();
    const { id, token } = await begun(bench);
    bench.clock.advance(89_999);
    expect(await bench.store.begin(bench.ref, token, [id])).toEqual([]);
    bench.clock.advance(1);
    expect(await bench.store.begin(bench.ref, token, [id])).toMatchObject([{ attempt: 2 }]);
  });

  it('an attempt that began late is not dispatched again before it lapses', async () => {
    const bench = new Bench();
    const [id = ''] = await bench.held(1);
    await bench.ring();
    const token = (await bench.tokens()).get(id) ?? '';
    bench.clock.advance(100_000);
    await bench.store.begin(bench.ref, token, [id]);
    bench.clock.advance(20_000);
    await bench.ring();
    // 60 s for the attempt and 30 s of margin.
    expect(await bench.alarm()).toBe(bench.clock.now() + 70_000);
  });

  it('an attempt whose store was evicted has its result stored under its number', async () => {
    const bench = new Bench();
    const { id, attempt } = await begun(bench);
    await evictDurableObject(bench.store);
    await bench.settle(id, ok, attempt?.attempt);
    expect(await bench.state(id)).toMatchObject({ state: 'success', attempts: 2 });
  });

  it('an attempt whose consumer and store died is made again under its number after two minutes', async () => {
    const bench = new Bench();
    const { id, token } = await begun(bench);
    await evictDurableObject(bench.store);
    expect(await bench.alarm()).toBe(bench.clock.now() + 120_000);
    bench.clock.advance(120_000);
    await bench.ring();
    expect((await bench.tokens()).get(id)).toBe(token);
    expect(await bench.store.begin(bench.ref, token, [id])).toMatchObject([{ attempt: 2 }]);
  });

  it('an attempt that is under way while its subscription is disabled ends with its result', async () => {
    const bench = new Bench();
    const { id } = await begun(bench);
    await bench.patch({ enabled: false });
    expect(await bench.state(id)).toMatchObject({ state: 'executing', attempts: 2 });
    await bench.settle(id, lost, 2);
    const { history = [] } = (await bench.store.read(id)) ?? {};
    expect(history.at(-1)).toMatchObject({
      state: 'failure',
      attempts: 2,
      reason: 'unreachable: connection lost; subscription disabled',
    });
  });
});

describe('the health of an endpoint', () => {
  const written = async (bench: Bench) =>
    await runInDurableObject(bench.store, (_, { storage }) => {
      const [row] = storage.sql.exec<{ figures: string }>('SELECT figures FROM health').toArray();
      return row === undefined ? undefined : (JSON.parse(row.figures) as { failed: number }).failed;
    });

  it('a single failure among successes writes no health', async () => {
    const bench = new Bench();
    for (const outcome of [ok, lost, ok, lost, ok]) await bench.settle(bench.ids(1)[0] ?? '', outcome);
    expect(await written(bench)).toBeUndefined();
    // The first failures did not count: four more are not five in a row.
    for (const id of bench.ids(4)) await bench.settle(id, lost);
    expect((await bench.store.health()).state).toBe('healthy');
  });

  it('an endpoint turns failing at its fifth failure, though its store is evicted after each but the first', async () => {
    const bench = new Bench();
    const states: string[] = [];
    for (const [index, id] of bench.ids(5).entries()) {
      await bench.settle(id, lost);
      if (index > 0) await evictDurableObject(bench.store);
      states.push((await bench.store.health()).state);
    }
    expect(states).toEqual(['healthy', 'healthy', 'healthy', 'healthy', 'failing']);
  });

  it('a success after two failures is written, so that they do not count after an eviction', async () => {
    const bench = new Bench();
    for (const outcome of [lost, lost, ok]) await bench.settle(bench.ids(1)[0] ?? '', outcome);
    await evictDurableObject(bench.store);
    for (const id of bench.ids(4)) await bench.settle(id, lost);
    expect((await bench.store.health()).state).toBe('healthy');
    expect(await written(bench)).toBe(4);
  });
});
