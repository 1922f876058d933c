/** Attempts that failed for a reason of ours, in the store: what they cost, and how they end (contract 6.4). */
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ourFault: Outcome = { kind: 'our_fault', message: 'the name service gave no answer' };

/** Plays the store while every attempt fails for a reason of ours. @returns when each attempt was made, in s */
async function live(bench: Bench, forMs: number): Promise<number[]> {
  const start = bench.clock.now();
  const times: number[] = [];
  for (;;) {
    const alarm = await bench.alarm();
    if (alarm === null || alarm > start + forMs) break;
    const sent = await bench.ringNext();
    await bench.attempt(sent, ourFault);
    times.push(...sent.map(() => Math.round((bench.clock.now() - start) / SECOND_MS)));
  }
  bench.clock.advance(Math.max(0, start + forMs - bench.clock.now()));
  return times;
}

describe('an event whose attempts fail for reasons of ours', () => {
  it('a first attempt that fails for a reason of ours leaves a healthy endpoint and an event without attempts', async () => {
    const bench = new Bench();
    const ids = bench.ids(9);
    for (const id of ids) await bench.settle(id, ourFault);
    expect(await bench.state(ids[0] ?? '')).toEqual({
      state: 'awaiting-executing',
      attempts: 0,
      hold: 'possible',
    });
    expect((await bench.store.health()).state).toBe('healthy');
    expect((await bench.alarm()) ?? 0).toBe(bench.clock.now() + 5 * SECOND_MS);
  });

  it('the report of a fault of ours is answered with the time of the next attempt', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ourFault };
    const { settled } = await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(id), result })]);
    const nextAttemptAt = bench.clock.now() + 5 * SECOND_MS;
    expect(settled).toEqual([{ eventId: id, state: 'awaiting-executing', attempts: 0, nextAttemptAt }]);
  });

  it('an event is attempted every five minutes during an outage of ours, and its next attempt is its first', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await bench.settle(id, ourFault);
    const times = await live(bench, HOUR_MS);
    expect(times.slice(0, 10)).toEqual([5, 10, 15, 25, 45, 85, 165, 325, 625, 925]);
    expect(times.length).toBeLessThan(20);
    const before = await bench.store.read(id);
    expect(before?.history.map(({ state, attempts }) => `${state} ${attempts}`)).toEqual([
      'awaiting-executing 0',
      'executing 1',
    ]);
    await bench.attempt(await bench.ringNext(), ok);
    expect(await bench.state(id)).toMatchObject({ state: 'success', attempts: 1 });
  });

  it('an event whose attempt is not possible for seven days is a failure with the reason', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await bench.settle(id, ourFault);
    await bench.attempt(await bench.ringNext(), ourFault);
    bench.clock.advance(7 * DAY_MS - SECOND_MS);
    await bench.attempt(await bench.ring(), ourFault);
    expect(await bench.state(id)).toMatchObject({ state: 'executing', attempts: 1 });
    await live(bench, HOUR_MS);
    const delivery = await bench.store.read(id);
    expect(delivery).toMatchObject({ state: 'failure', attempts: 1 });
    expect(delivery?.history.at(-1)?.reason).toBe('our fault: the name service gave no answer');
  });
});

describe('a fault of ours at a failing endpoint', () => {
  it('a first attempt that fails for a reason of ours is held like any event of a failing endpoint', async () => {
    const bench = new Bench();
    await bench.fail();
    const [id = ''] = bench.ids(1);
    await bench.settle(id, ourFault);
    expect(await bench.state(id)).toMatchObject({ attempts: 0, hold: 'held' });
  });

  it('a probe that fails for a reason of ours neither proves nor disproves, and no second probe comes beside it', async () => {
    const bench = new Bench();
    await bench.fail();
    const held = await bench.held(20);
    const before = await bench.store.health();
    await live(bench, 2 * HOUR_MS);
    const states = await Promise.all(held.map((id) => bench.state(id)));
    expect(states.filter((one) => one?.hold === 'held')).toHaveLength(held.length - 1);
    expect(await bench.store.health()).toEqual(before);
    await bench.attempt(await bench.ringNext(), ok);
    expect((await bench.store.health()).state).toBe('healthy');
  });
});

describe('reports of the version before', () => {
  it('a name service that an old consumer reports as away costs neither an attempt nor health', async () => {
    const bench = new Bench();
    const old = { ...lost, resolverAway: true };
    const ids = bench.ids(5);
    for (const id of ids) await bench.settle(id, old);
    expect(await bench.state(ids[0] ?? '')).toMatchObject({ state: 'awaiting-executing', attempts: 0 });
    expect((await bench.store.health()).state).toBe('healthy');
  });
});
