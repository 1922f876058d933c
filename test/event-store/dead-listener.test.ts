/**
 * A listener that takes nothing: how many requests it gets. The events are offered as a consumer offers them, in portions of a
 * hundred and five requests at a time; what the store keeps is attempted whenever it is dispatched.
 */
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { reportOf } from '../support/reports.ts';
import { Bench } from '../support/store-bench.ts';

const HOUR_MS = 3_600_000;
const EVENTS = 1000;

const answer = (statusCode: number): Outcome => ({
  kind: 'http_error',
  response: { statusCode, headers: {} },
});

/** Offers events straight from the queue. @returns how many requests the listener got */
async function offer(bench: Bench, count: number, outcome: Outcome): Promise<number> {
  const ids = bench.ids(count);
  let requests = 0;
  for (let start = 0; start < count; start += 100) {
    const portion = ids.slice(start, start + 100);
    const isNew = (await bench.store.admit(bench.ref, portion)).every((one) => one.answer === 'new');
    for (let at = 0; at < portion.length; at += 5) {
      const five = portion.slice(at, at + 5);
      const attempts = isNew && (await bench.store.mayStart());
      const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 20, outcome };
      await bench.store.settle(
        bench.ref,
        five.map((id) => reportOf({ ...bench.facts(id), ...(attempts ? { result } : {}) })),
      );
      if (attempts) requests += five.length;
    }
  }
  return requests;
}

/** Rings every alarm of this time and attempts what it dispatches. @returns how many requests the listener got */
async function live(bench: Bench, ms: number, outcome: Outcome): Promise<number> {
  const end = bench.clock.now() + ms;
  let requests = 0;
  for (let at = await bench.alarm(); at !== null && at <= end; at = await bench.alarm()) {
    const dispatched = await bench.ringNext();
    requests += dispatched.length;
    await bench.attempt(dispatched, outcome);
  }
  return requests;
}

describe('a listener that takes nothing', () => {
  it.each([
    // Each probe is followed by its five retries, at the times of the schedule.
    ['answers 404 to everything', answer(404), 74, 236],
    // A redirect is final: the requests are the first ones and the probes.
    ['redirects everything', answer(302), 17, 60],
  ])(
    'a listener that %s gets five of a thousand events at once, then probes',
    async (_, outcome, inAnHour, inFiveMore) => {
      const bench = new Bench();
      expect(await offer(bench, EVENTS, outcome)).toBe(5);
      expect((await bench.store.health()).state).toBe('failing');
      expect(await live(bench, HOUR_MS, outcome)).toBe(inAnHour);
      expect(await live(bench, 5 * HOUR_MS, outcome)).toBe(inFiveMore);
    },
  );
});
