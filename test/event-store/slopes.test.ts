/**
 * No call and no alarm does more work because more deliveries wait: each is measured, by the rows that it reads, in a store in
 * which few wait and in one in which ten times as many do.
 */
import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/event-store/event-store.ts';
import { DISPATCHED_LOOK_MAX, FIRST_RETRIES_MAX } from '../../src/event-store/tuning.ts';
import { reportOf } from '../support/reports.ts';
import { rowsRead } from '../support/rows-read.ts';
import { Bench, lost, ok, timedOut } from '../support/store-bench.ts';

const FEW = 200;
const MANY = 10 * FEW;
/** How much more a call may read in the larger store. */
const SLOPE_MAX = 1.2;
/** Rows that a call reads whatever is stored. */
const ALWAYS = 5;

async function store(bench: Bench, count: number, result?: Parameters<typeof reportOf>[0]['result']) {
  const ids = bench.ids(count);
  for (let start = 0; start < count; start += 100) {
    await bench.store.settle(
      bench.ref,
      ids
        .slice(start, start + 100)
        .map((id) => reportOf({ ...bench.facts(id), ...(result === undefined ? {} : { result }) })),
    );
  }
  return ids;
}

/**
 * Holds deliveries that are packed. A page reads the outlines of all packs of a quarter of an hour, so these have one each. The counts have a
 * row for each hour, so each hour has a failure, however many deliveries are held.
 */
async function hold(bench: Bench, count: number): Promise<void> {
  for (let quarter = 0; quarter < MANY / 100; quarter++) {
    await bench.settle(bench.ids(1)[0] ?? '', { kind: 'blocked', message: 'no' });
    if (quarter * 100 < count) await bench.held(100);
    bench.clock.advance(16 * 60_000);
  }
}

/** Holds deliveries whose SETs cannot be packed: each has a row. */
async function holdInRows(bench: Bench, count: number): Promise<void> {
  for (let held = 0; held < count; held += 100) await bench.heldInRows(100);
}

/** A store in which deliveries wait in one way. */
const BACKLOGS = {
  'held for a failing endpoint': async (count: number) => {
    const bench = new Bench();
    await bench.fail();
    await hold(bench, count);
    return bench;
  },
  'held for a failing endpoint, with a row each': async (count: number) => {
    const bench = new Bench();
    await bench.fail();
    await holdInRows(bench, count);
    return bench;
  },
  'held for an endpoint that failed before it was changed': async (count: number) => {
    const bench = new Bench();
    await bench.fail();
    await hold(bench, count);
    await bench.patch({ endpoint: 'https://other.example/' });
    await bench.fail();
    return bench;
  },
  'held with a row each for an endpoint that failed before it was changed': async (count: number) => {
    const bench = new Bench();
    await bench.fail();
    await holdInRows(bench, count);
    await bench.patch({ endpoint: 'https://other.example/' });
    await bench.fail();
    return bench;
  },
  'packed, and failed when the subscription was disabled': async (count: number) => {
    const bench = new Bench();
    await bench.fail();
    await hold(bench, count);
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true });
    await bench.fail();
    return bench;
  },
  'due, while the endpoint is slow': async (count: number) => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    await store(bench, count);
    return bench;
  },
  'waiting for a retry in a minute': async (count: number) => {
    const bench = new Bench();
    const refused = { kind: 'http_error', response: { statusCode: 503, headers: {} } } as const;
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: refused };
    // The first of them have rows of another table.
    await store(bench, FIRST_RETRIES_MAX + count, result);
    return bench;
  },
  failed: async (count: number) => {
    const bench = new Bench();
    const blocked = { kind: 'blocked', message: 'no' } as const;
    await store(bench, count, { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: blocked });
    await bench.fail();
    return bench;
  },
};

/** What is called, once, in a store whose alarm has rung. */
const CALLS: Record<string, (bench: Bench) => Promise<(instance: EventStore) => unknown>> = {
  admit: async (bench) => {
    const ids = bench.ids(20);
    return (instance) => instance.admit(bench.ref, ids);
  },
  'settle of a failure': async (bench) => {
    const [id = ''] = bench.ids(1);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: lost };
    const reports = [reportOf({ ...bench.facts(id), result })];
    return (instance) => instance.settle(bench.ref, reports);
  },
  begin: async (bench) => {
    const [[id = '', token = ''] = []] = [...(await bench.tokens())];
    return (instance) => instance.begin(bench.ref, token, [id]);
  },
  'an alarm': async (bench) => {
    bench.clock.advance(1000);
    await bench.grantPlaces();
    return (instance) => instance.alarm();
  },
  'an alarm a minute later': async (bench) => {
    bench.clock.advance(60_000);
    await bench.grantPlaces();
    return (instance) => instance.alarm();
  },
  'the daily visit': async (bench) => (instance) => instance.ensureAlarm(bench.ref),
  health: async () => (instance) => instance.health(),
  summary: async () => (instance) => instance.summary(),
  total: async () => (instance) => instance.total(),
  'a page of ten': async () => (instance) => instance.list({ limit: 10 }),
  'a page of those that wait': async () => (instance) =>
    instance.list({ state: 'awaiting-executing', limit: 10 }),
  'a page of those under attempt': async () => (instance) => instance.list({ state: 'executing', limit: 10 }),
  'a page of those that wait for a retry': async () => (instance) =>
    instance.list({ state: 'awaiting-retry', limit: 10 }),
  'a page of successes': async () => (instance) => instance.list({ state: 'success', limit: 10 }),
  'a page of failures': async () => (instance) => instance.list({ state: 'failure', limit: 10 }),
  'settle of a success': async (bench) => {
    const [id = ''] = bench.ids(1);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
    const reports = [reportOf({ ...bench.facts(id), result })];
    return (instance) => instance.settle(bench.ref, reports);
  },
  'a call that disables': async (bench) => {
    bench.ref = { ...bench.ref, version: bench.ref.version + 1, enabled: false };
    return (instance) => instance.adopt(bench.ref);
  },
  'the summary, once disabled': async () => (instance) => instance.summary(),
  'the health, once disabled': async () => (instance) => instance.health(),
  'a page of failures, once disabled': async () => (instance) =>
    instance.list({ state: 'failure', limit: 10 }),
  'a page of those that wait, once disabled': async () => (instance) =>
    instance.list({ state: 'awaiting-executing', limit: 10 }),
  'a page of those that wait for a retry, once disabled': async () => (instance) =>
    instance.list({ state: 'awaiting-retry', limit: 10 }),
  'a page of those under attempt, once disabled': async () => (instance) =>
    instance.list({ state: 'executing', limit: 10 }),
  'a call that enables': async (bench) => {
    bench.ref = { ...bench.ref, version: bench.ref.version + 1, enabled: true };
    return (instance) => instance.adopt(bench.ref);
  },
};

describe.each(Object.entries(BACKLOGS))('the work of a store whose deliveries are %s', (_, fill) => {
  it('each call and each alarm reads as many rows when ten times as many wait', async () => {
    const read: Record<string, number[]> = {};
    for (const count of [FEW, MANY]) {
      const bench = await fill(count);
      await bench.ring();
      for (const [name, prepare] of Object.entries(CALLS)) {
        const call = await prepare(bench);
        read[name] = [...(read[name] ?? []), await rowsRead(bench.store, call)];
      }
    }
    const steep = Object.entries(read).filter(([, [few = 0, many = 0]]) => many > SLOPE_MAX * few + ALWAYS);
    expect(steep).toEqual([]);
  });
});

describe('the wake of a store', () => {
  /** More than an alarm of a store that wakes looks at. */
  const SOME = 2.5 * DISPATCHED_LOOK_MAX;
  const WAITING = {
    'waiting for a retry': BACKLOGS['waiting for a retry in a minute'],
    'due, and dispatched in part': async (count: number) => {
      const bench = new Bench();
      await store(bench, count);
      await bench.ring();
      return bench;
    },
  };

  it.each(Object.entries(WAITING))(
    'the first call of a store that was evicted reads as many rows when twice as many deliveries are %s',
    async (_, fill) => {
      const read: Record<string, number[]> = {};
      for (const count of [SOME, 2 * SOME]) {
        const bench = await fill(count);
        for (const name of [
          'admit',
          'settle of a failure',
          'begin',
          'an alarm',
          'the daily visit',
          'health',
        ]) {
          const call = await CALLS[name]?.(bench);
          await evictDurableObject(bench.store);
          read[name] = [...(read[name] ?? []), await rowsRead(bench.store, call ?? (() => undefined))];
        }
      }
      const steep = Object.entries(read).filter(([, [few = 0, many = 0]]) => many > SLOPE_MAX * few + ALWAYS);
      expect(steep).toEqual([]);
    },
  );
});
