import { describe, expect, it } from 'vitest';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Plays the store for `forMs`: an event comes every `everyMs`, and every attempt fails. @returns the event ids */
async function live(bench: Bench, forMs: number, everyMs: number): Promise<string[]> {
  const ids: string[] = [];
  const end = bench.clock.now() + forMs;
  let nextEvent = bench.clock.now();
  for (;;) {
    const alarm = (await bench.alarm()) ?? Number.POSITIVE_INFINITY;
    const next = Math.max(Math.min(nextEvent, alarm), bench.clock.now());
    if (next >= end) {
      bench.clock.advance(end - bench.clock.now());
      return ids;
    }
    bench.clock.advance(next - bench.clock.now());
    if (next >= nextEvent) {
      ids.push(await arrive(bench));
      nextEvent += everyMs;
    } else await bench.attempt(await bench.ring(), lost);
  }
}

/** Sends one event by the fast lane, or through the store while the fast lane is closed. */
async function arrive(bench: Bench): Promise<string> {
  const [id = ''] = bench.ids(1);
  const [admission] = await bench.store.admit(bench.ref, [id]);
  if (admission?.answer === 'new') await bench.settle(id, lost);
  else await bench.store.settle(bench.ref, [reportOf(bench.facts(id))]);
  return id;
}

/** Plays the recovery: every attempt succeeds. @returns how many events each step dispatched */
async function recover(bench: Bench): Promise<number[]> {
  const steps: number[] = [];
  const end = bench.clock.now() + 2 * DAY_MS;
  while ((await bench.store.health()).waiting > 0) {
    const alarm = Math.min((await bench.alarm()) ?? end, end);
    bench.clock.advance(Math.max(1000, alarm - bench.clock.now()));
    const sent = await bench.ring();
    await bench.attempt(sent, ok);
    if (sent.length > 0) steps.push(sent.length);
    if (bench.clock.now() >= end) throw new Error('something still waits after two days');
  }
  return steps;
}

describe('an endpoint that was down for two days', () => {
  it('every event of a two-day outage is delivered or fails with a reason, and no burst follows', async () => {
    const bench = new Bench();
    const ids = await live(bench, 2 * HOUR_MS, MINUTE_MS);
    // Events come faster than probes. Each probe takes one event, and the others stay untouched.
    const early = await Promise.all(ids.map((id) => bench.state(id)));
    const attempted = early.filter((one) => (one?.attempts ?? 0) > 0).length;
    expect(attempted).toBeLessThanOrEqual((2 * HOUR_MS) / (5 * MINUTE_MS) + 15);
    expect(early.filter((one) => one?.hold === 'held')).toHaveLength(ids.length - attempted);

    ids.push(...(await live(bench, 2 * DAY_MS - 2 * HOUR_MS, HOUR_MS)));
    ids.push(...(await live(bench, 10 * MINUTE_MS, 3000)));
    const { waiting } = await bench.store.health();
    expect(waiting).toBeGreaterThan(200);
    const steps = await recover(bench);

    const ends = new Map<string, number>();
    for (const id of ids) {
      const delivery = await bench.store.read(id);
      const state = delivery?.state ?? 'lost';
      ends.set(state, (ends.get(state) ?? 0) + 1);
      const reason = delivery?.history.at(-1)?.reason;
      expect(reason).toBe(state === 'failure' ? 'unreachable: connection lost' : undefined);
    }
    // The first events had all their six attempts within the two days.
    expect([...ends.keys()].sort()).toEqual(['failure', 'success']);
    expect(ends.get('success')).toBe(waiting);
    // Each step is at most twice the largest step before it, except for retries that happen to be due.
    steps.forEach((sent, step) => {
      expect(sent).toBeLessThanOrEqual(2 * Math.max(1, ...steps.slice(0, step)) + 3);
    });
  });
});
