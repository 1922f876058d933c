/**
 * Waiting deliveries make progress: while other events keep arriving, after the endpoint has changed, and when one duty
 * of the alarm fails.
 */
import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok, timedOut } from '../support/store-bench.ts';

const DAY_MS = 86_400_000;
const ALWAYS = { since: 0, until: Number.MAX_SAFE_INTEGER };

function answered(statusCode: number): Outcome {
  return { kind: 'http_error', response: { statusCode, headers: {} } };
}

async function alter(bench: Bench, query: string): Promise<void> {
  await runInDurableObject(bench.store, (_, { storage }) => {
    storage.sql.exec(query);
  });
}

/**
 * Plays some seconds in the life of a store, in steps of half a second. Each second calls `everySecond` and rings the
 * alarm. A dispatched event is attempted at once, and its result is settled after `attemptMs`.
 */
async function live(
  bench: Bench,
  seconds: number,
  attemptMs: number,
  everySecond: (second: number) => Promise<void>,
  outcomeOf: (eventId: string) => Outcome,
): Promise<void> {
  const running = new Map<string, { attempt: number; until: number }>();
  for (let second = 0; second < seconds; second++) {
    await everySecond(second);
    const out = await bench.ring();
    const tokens = await bench.tokens();
    for (const id of out) {
      const [begun] = await bench.store.begin(bench.ref, tokens.get(id) ?? '', [id], { signs: true });
      if (begun) running.set(id, { attempt: begun.attempt, until: bench.clock.now() + attemptMs });
    }
    for (let half = 0; half < 2; half++) {
      bench.clock.advance(500);
      for (const [id, { attempt, until }] of running) {
        if (until > bench.clock.now()) continue;
        running.delete(id);
        await bench.settle(id, outcomeOf(id), attempt, attemptMs);
      }
    }
  }
}

describe('a delivery that waits in a store', () => {
  it.each(['held events', 'a bulk redelivery'])(
    'a steady stream of other attempts does not starve %s',
    async (what) => {
      const bench = new Bench();
      const isHeld = what === 'held events';
      const failed = isHeld ? await bench.fail() : [];
      const waiting = isHeld ? await bench.held(20) : bench.ids(20);
      const succeed = () => bench.settle(bench.ids(1)[0] ?? '', ok);
      if (!isHeld) for (const id of waiting) await bench.settle(id, answered(302)).then(succeed);
      // A new event gets a 400 each second and is attempted again, so one or two attempts are always under way. Others
      // succeed, so the endpoint stays healthy.
      const everySecond = async (second: number) => {
        await bench.settle(bench.ids(1)[0] ?? '', answered(400), 1, 1500);
        if (!isHeld || second > 10) await succeed();
        if (second !== 10) return;
        if (isHeld) await bench.settle(failed[0] ?? '', ok, 2);
        else await bench.store.startRedelivery(bench.ref, ALWAYS);
      };
      await live(bench, 40, 1500, everySecond, (id) => (waiting.includes(id) ? ok : answered(400)));
      const states = await Promise.all(waiting.map(async (id) => (await bench.state(id))?.state));
      expect(states.filter((state) => state === 'success')).toHaveLength(20);
    },
  );

  it('held events are all delivered while a slow endpoint keeps getting new ones', async () => {
    const bench = new Bench();
    await bench.fail();
    const waiting = await bench.held(10);
    await bench.endRetries();
    for (const id of bench.ids(3)) await bench.settle(id, ok, 1, 3000);
    expect((await bench.store.health()).state).toBe('slow');
    await live(
      bench,
      60,
      3000,
      async () => void (await bench.held(1)),
      () => ok,
    );
    const states = await Promise.all(waiting.map(async (id) => (await bench.state(id))?.state));
    expect(states.filter((state) => state === 'success')).toHaveLength(10);
  });

  it('an event that is older than the retention when it is stored is held all the same', async () => {
    const bench = new Bench();
    await bench.fail();
    const [id = ''] = bench.ids(1);
    const replayed = { ...bench.facts(id), acceptedAt: bench.clock.now() - 8 * DAY_MS };
    await bench.store.settle(bench.ref, [reportOf(replayed)]);
    await bench.ring();
    expect(await bench.state(id)).toEqual({ state: 'awaiting-executing', attempts: 0, hold: 'held' });
  });

  it('a probe goes to the present endpoint, not to the one that older events were held for', async () => {
    const bench = new Bench();
    await bench.fail();
    await bench.held(5);
    await bench.endRetries();
    const endpoint = 'https://other.example/';
    const ref = { ...bench.ref, version: 2, endpoint };
    await bench.store.adopt(ref);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: lost };
    for (const id of bench.ids(5))
      await bench.store.settle(ref, [reportOf({ ...bench.facts(id), endpoint, result })]);
    const [fresh = ''] = bench.ids(1);
    await bench.store.settle(ref, [reportOf({ ...bench.facts(fresh), endpoint })]);
    await bench.endRetries();
    let out: string[] = [];
    for (let ring = 0; ring < 5 && out.length === 0; ring++) out = await bench.ringNext();
    expect(out).toEqual([fresh]);
  });

  it('a bulk redelivery leaves out expired events that the sweep has not deleted yet', async () => {
    const bench = new Bench();
    for (const id of bench.ids(2)) await bench.settle(id, answered(302));
    bench.clock.advance(7 * DAY_MS - 1000);
    for (const id of bench.ids(1)) await bench.settle(id, answered(302));
    bench.clock.advance(1000);
    const started = await bench.store.startRedelivery(bench.ref, ALWAYS);
    expect(started).toMatchObject({ answer: 'started', job: { total: 1 } });
  });
});

describe('an endpoint in trouble', () => {
  it('a ring with enough on its way reads as many rows when four times as many deliveries are due', async () => {
    async function rowsRead(due: number): Promise<number> {
      const bench = new Bench();
      for (let stored = 0; stored < due; stored += 1000) await bench.held(1000);
      const [id = ''] = bench.ids(1);
      await bench.settle(id, timedOut);
      bench.clock.advance(1);
      let dispatched: string[] = [];
      // A store that does not know yet what is dispatched looks at its rows first, a thousand in a ring.
      for (let ring = 0; ring < 5 && dispatched.length === 0; ring++) dispatched = await bench.ring();
      expect(dispatched).toHaveLength(40);
      return await runInDurableObject(bench.store, async (instance, { storage }) => {
        const original = storage.sql.exec.bind(storage.sql);
        let rows = 0;
        const exec = (query: string, ...values: SqlStorageValue[]) => {
          const cursor = original(query, ...values);
          const all = cursor.toArray();
          rows += cursor.rowsRead;
          return { toArray: () => all };
        };
        Object.defineProperty(storage.sql, 'exec', { configurable: true, value: exec });
        bench.clock.advance(1000);
        await instance.alarm();
        Reflect.deleteProperty(storage.sql, 'exec');
        return rows;
      });
    }
    expect(await rowsRead(4000)).toBeLessThan(1.2 * (await rowsRead(1000)));
  });

  it('an endpoint in trouble has at most eighty dispatched deliveries, tests and redeliveries included', async () => {
    const bench = new Bench();
    await bench.held(150);
    await alter(bench, `UPDATE deliveries SET hold = 'never'`);
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    let out = 0;
    for (let second = 0; second < 5; second++) {
      out += (await bench.ring()).length;
      bench.clock.advance(1000);
    }
    expect(out).toBe(80);
  });

  it('a failing endpoint that answers with redirects is probed at growing waits', async () => {
    const bench = new Bench();
    await bench.fail();
    await bench.endRetries();
    const held = await bench.held(5);
    const start = bench.clock.now();
    const seconds: number[] = [];
    while (seconds.length < 5) {
      const out = await bench.ringNext();
      if (out.length > 0) seconds.push((bench.clock.now() - start) / 1000);
      await bench.attempt(out, answered(302));
    }
    expect(held.length).toBe(5);
    expect(seconds).toEqual([3, 9, 21, 45, 93]);
  });
});

describe('an alarm with a failing duty', () => {
  it('a duty that fails is called again after a second, while the other duties keep their times', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    const waiting = await bench.held(3);
    await bench.settle(failed[0] ?? '', ok, 2);
    await alter(
      bench,
      `CREATE TRIGGER full BEFORE UPDATE ON packs BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`,
    );
    const start = bench.clock.now();
    await bench.ring();
    expect(await bench.alarm()).toBe(start + 1000);
    for (const seconds of [3, 7]) {
      // Retries are due after three seconds.
      const out = await bench.ringNext();
      expect(out.toSorted()).toEqual(seconds === 7 ? failed.slice(1).toSorted() : []);
      expect(await bench.alarm()).toBe(start + 1000 * seconds);
    }
    await alter(bench, 'DROP TRIGGER full');
    const [held = ''] = waiting;
    expect(await bench.ringNext()).toEqual([held]);
  });

  it('a dispatch that cannot be written is tried again after a second, not at once', async () => {
    const bench = new Bench();
    await bench.fail();
    await alter(
      bench,
      `CREATE TRIGGER full BEFORE UPDATE ON first_retries WHEN NEW.lease_token IS NOT NULL
       BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`,
    );
    bench.clock.advance(3000);
    await bench.ring();
    expect(await bench.alarm()).toBe(bench.clock.now() + 1000);
    await alter(bench, 'DROP TRIGGER full');
    expect(await bench.ringNext()).toHaveLength(5);
  });
});
