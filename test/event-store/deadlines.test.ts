/** However often a delivery is held, released or redelivered, it ends: no deadline begins again. */
import { describe, expect, it } from 'vitest';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const DAY_MS = 86_400_000;

/** The endpoint answers for a moment: the backlog releases a held event, and the endpoint fails before its request is made. */
async function flap(bench: Bench, id: string): Promise<void> {
  await bench.settle(bench.ids(1)[0] ?? '', ok);
  bench.clock.advance(1000);
  await bench.ring();
  const token = (await bench.tokens()).get(id) ?? '';
  await bench.fail();
  expect(await bench.store.begin(bench.ref, token, [id])).toEqual([]);
}

describe('the deadline of a held delivery', () => {
  it('a delivery that is held again and again does not fail before seven days', async () => {
    const bench = new Bench();
    await bench.fail();
    const [id = ''] = await bench.held(1);
    for (let day = 0; day < 6; day++) {
      bench.clock.advance(DAY_MS);
      await flap(bench, id);
      expect(await bench.state(id)).toMatchObject({ state: 'awaiting-executing', attempts: 0, hold: 'held' });
    }
    bench.clock.advance(DAY_MS - 7000);
    await bench.ring();
    // The ring made it a probe, or left it held; it was not failed before its time.
    expect(await bench.state(id)).toMatchObject({ state: 'awaiting-executing' });
  });

  it('a delivery that is held again fails seven days after it was held for the first time', async () => {
    const bench = new Bench();
    await bench.fail();
    const [id = ''] = await bench.held(1);
    bench.clock.advance(7 * DAY_MS - 3000);
    await flap(bench, id);
    // The next probe is due a second later.
    bench.clock.advance(2000);
    await bench.ring();
    expect((await bench.store.read(id))?.history.at(-1)).toMatchObject({
      state: 'failure',
      attempts: 0,
      reason: 'endpoint failing',
    });
  });
});

/** A delivery that is dispatched a minute before it is 28 days old. @returns its id, and when it is, ms */
async function dispatchedLate(bench: Bench): Promise<{ id: string; end: number }> {
  const [id = ''] = bench.ids(1);
  const end = bench.clock.now() + 60_000;
  await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(id), acceptedAt: end - 28 * DAY_MS })]);
  await bench.ring();
  expect((await bench.tokens()).has(id)).toBe(true);
  return { id, end };
}

describe('the last day of a delivery', () => {
  it('a dispatch that nobody begins ends with its delivery, not with its lease', async () => {
    const bench = new Bench();
    const { end } = await dispatchedLate(bench);
    expect(await bench.alarm()).toBe(end);
    await bench.ringNext();
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
  });

  it('an attempt without a result ends with its delivery, not with its lease', async () => {
    const bench = new Bench();
    const { id, end } = await dispatchedLate(bench);
    await bench.store.begin(bench.ref, (await bench.tokens()).get(id) ?? '', [id]);
    expect(await bench.alarm()).toBe(end);
    await bench.ringNext();
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
  });

  it('a delivery that is redelivered just before it is 28 days old fails at that age, and is deleted', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    const accepted = bench.clock.now();
    await bench.store.settle(bench.ref, []);
    const facts = { ...bench.facts(id), acceptedAt: accepted };
    const report = (attempt: number, outcome: typeof lost) => ({
      kind: 'attempted' as const,
      ...facts,
      result: { attempt, startedAt: bench.clock.now(), durationMs: 5, outcome },
    });
    await bench.store.settle(bench.ref, [report(1, { kind: 'blocked', message: 'no' })]);
    for (let attempt = 2; attempt < 6; attempt++) {
      bench.clock.advance(6 * DAY_MS);
      await bench.store.redeliver(bench.ref, id);
      await bench.store.settle(bench.ref, [report(attempt, { kind: 'blocked', message: 'no' })]);
    }
    bench.clock.advance(4 * DAY_MS - 1000);
    expect(await bench.store.redeliver(bench.ref, id)).toMatchObject({ answer: 'accepted' });
    await bench.store.settle(bench.ref, [report(6, lost)]);
    expect(await bench.store.read(id)).toMatchObject({
      state: 'awaiting-retry',
      dueAt: accepted + 28 * DAY_MS,
    });
    bench.clock.advance(1000);
    await bench.ring();
    await bench.ring();
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
    expect(await bench.store.read(id)).toBeUndefined();
  });
});
