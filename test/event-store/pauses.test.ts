/** A duty of the alarm that fails is called again after a pause that grows, and costs next to nothing meanwhile. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { reportOf } from '../support/reports.ts';
import { Bench } from '../support/store-bench.ts';

/** From the first failure to the ninth: seconds. */
const PAUSES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900];

async function alter(bench: Bench, query: string): Promise<void> {
  await runInDurableObject(bench.store, (_, { storage }) => {
    storage.sql.exec(query);
  });
}

/** No dispatch can be written until `heal`. */
async function breakDispatch(bench: Bench): Promise<void> {
  await alter(
    bench,
    `CREATE TRIGGER full BEFORE UPDATE ON deliveries WHEN NEW.lease_token IS NOT NULL
     BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`,
  );
}

async function heal(bench: Bench): Promise<void> {
  await alter(bench, 'DROP TRIGGER full');
}

/** Rings the alarm at its times. @returns the pauses until the next one, seconds */
async function pausesOf(bench: Bench, rings: number, between = async () => {}): Promise<number[]> {
  const pauses: number[] = [];
  for (let ring = 0; ring < rings; ring++) {
    await bench.ringNext();
    await between();
    pauses.push((((await bench.alarm()) ?? 0) - bench.clock.now()) / 1000);
  }
  return pauses;
}

/** The queue of dispatches refuses everything until the test ends. @returns how often it was asked */
function refuseDispatches(): () => number {
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const refused = vi.spyOn(env.DELIVERIES, 'sendBatch').mockRejectedValue(new Error('away'));
  onTestFinished(() => void vi.restoreAllMocks());
  return () => refused.mock.calls.length;
}

describe('a duty that fails', () => {
  it('a duty that goes on failing is called again after pauses that double from 1 s to 15 minutes', async () => {
    const bench = new Bench();
    await bench.held(1);
    await breakDispatch(bench);
    expect(await pausesOf(bench, PAUSES.length)).toEqual(PAUSES);
  });

  it('the pause of a duty goes on growing over evictions of its store', async () => {
    const bench = new Bench();
    await bench.held(1);
    await breakDispatch(bench);
    const evict = () => evictDurableObject(bench.store);
    expect(await pausesOf(bench, PAUSES.length, evict)).toEqual(PAUSES);
  });

  it('a call of a store whose duty pauses does not set the alarm earlier', async () => {
    const bench = new Bench();
    await bench.held(1);
    await breakDispatch(bench);
    await pausesOf(bench, 6);
    const at = await bench.alarm();
    await evictDurableObject(bench.store);
    await bench.held(1);
    expect(await bench.alarm()).toBe(at);
  });

  it('a duty that succeeds has its first pause at its next failure', async () => {
    const bench = new Bench();
    const [id = ''] = await bench.held(1);
    await breakDispatch(bench);
    await pausesOf(bench, 6);
    await heal(bench);
    expect(await bench.ringNext()).toEqual([id]);
    await evictDurableObject(bench.store);
    await bench.held(1);
    await breakDispatch(bench);
    expect(await pausesOf(bench, 2)).toEqual([1, 2]);
  });

  it('a pause that cannot be written down is kept in memory', async () => {
    const bench = new Bench();
    await bench.held(1);
    await breakDispatch(bench);
    await alter(
      bench,
      `CREATE TRIGGER fuller BEFORE INSERT ON pauses BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`,
    );
    expect(await pausesOf(bench, 4)).toEqual([1, 2, 4, 8]);
  });
});

describe('a queue that refuses dispatches', () => {
  it('a queue that refuses dispatches is asked after growing pauses, however much is due', async () => {
    const bench = new Bench({ endpoint: 'https://host0.example/' });
    // An alarm dispatches for five hosts. What is due for twenty others must not ring it at once.
    for (let host = 0; host < 25; host++) {
      await bench.patch({ endpoint: `https://host${host}.example/` });
      await bench.held(1);
    }
    const asked = refuseDispatches();
    const start = bench.clock.now();
    while (bench.clock.now() < start + 60_000) await bench.ringNext();
    // After 0, 1, 3, 7, 15, 31 and 63 seconds.
    expect(asked()).toBeLessThanOrEqual(7);
  });

  it('a test notification is dispatched at once when the queue is back, however long the pause', async () => {
    const bench = new Bench();
    await bench.held(1);
    const asked = refuseDispatches();
    while (asked() < 8) await bench.ringNext();
    vi.restoreAllMocks();
    const { id } = await bench.test();
    expect(await bench.alarm()).toBeLessThanOrEqual(bench.clock.now());
    expect(await bench.ring()).toContain(id);
  });

  it('a redelivery that finds the queue away makes the pause longer, not shorter', async () => {
    const bench = new Bench();
    await bench.held(1);
    const asked = refuseDispatches();
    while (asked() < 8) await bench.ringNext();
    await bench.store.settle(bench.ref, [
      reportOf({ ...bench.facts(bench.ids(1)[0] ?? ''), neverHeld: true }),
    ]);
    await bench.ringNext();
    expect(asked()).toBe(9);
    expect(((await bench.alarm()) ?? 0) - bench.clock.now()).toBe(256_000);
  });
});
