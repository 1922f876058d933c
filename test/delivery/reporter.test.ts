import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Deadlines } from '../../src/delivery/deadlines.ts';
import { Reporter } from '../../src/delivery/reporter.ts';
import type { Outcome } from '../../src/domain/attempt.ts';
import { SETTLE_INTERVAL_MS } from '../../src/domain/leases.ts';
import type { HealthNote, SentReport, SettleReply } from '../../src/event-store/rpc.ts';
import { holdTimers } from '../support/clock.ts';

beforeEach(() => holdTimers());

const REF = {
  customerId: 'c',
  subscriptionId: 's',
  version: 1,
  enabled: true,
  endpoint: 'https://e.example/',
};
const OK: Outcome = { kind: 'success', response: { statusCode: 204, headers: {} } };
const REFUSED: Outcome = { kind: 'http_error', response: { statusCode: 503, headers: {} } };

function attempted(eventId: string, outcome: Outcome): SentReport {
  const result = { attempt: 1, startedAt: 0, durationMs: 1, outcome };
  return { kind: 'attempted', eventId, acceptedAt: 0, endpoint: REF.endpoint, set: 'a.b.c', result };
}

/** A reporter whose store answers when the test says so. */
function reporting(expected: number, isFailing = false) {
  let now = 0;
  const calls: { ids: string[]; answer(state?: HealthNote['state']): Promise<void> }[] = [];
  const store = {
    settle: (_: unknown, reports: readonly SentReport[]) => {
      const { promise, resolve } = Promise.withResolvers<SettleReply>();
      const settled = reports.map(({ eventId }) => ({ eventId, state: 'success' as const, attempts: 1 }));
      const answer = async (state: HealthNote['state'] = 'healthy') => {
        resolve({ settled, health: { state, since: 0 } });
        await vi.advanceTimersByTimeAsync(0);
      };
      calls.push({ ids: reports.map(({ eventId }) => eventId), answer });
      return promise;
    },
  };
  const reporter = new Reporter(REF, expected, {
    store,
    onStored: () => undefined,
    deadlines: new Deadlines(() => now),
    waitMs: SETTLE_INTERVAL_MS,
    isFailing,
    answerOf: (call) => call,
    now: () => now,
  });
  const pass = async (ms: number) => {
    now += ms;
    await vi.advanceTimersByTimeAsync(ms);
  };
  const report = (eventId: string, outcome: Outcome = OK) =>
    void reporter.report(attempted(eventId, outcome));
  return { reporter, report, pass, calls, ids: () => calls.map(({ ids }) => ids.join()) };
}

describe('when results are settled', () => {
  it('successes wait for others for five seconds at most, counted from the first', async () => {
    const { report, pass, ids } = reporting(100);
    report('a');
    await pass(SETTLE_INTERVAL_MS - 1);
    report('b');
    expect(ids()).toEqual([]);
    await pass(1);
    expect(ids()).toEqual(['a,b']);
    report('c');
    await pass(SETTLE_INTERVAL_MS - 1);
    expect(ids()).toEqual(['a,b']);
    await pass(1);
    expect(ids()).toEqual(['a,b', 'c']);
  });

  it('a hundred results are settled together at once, so a consumer that dies repeats fewer than that', () => {
    const { report, calls } = reporting(250);
    for (let index = 0; index < 99; index++) report(`${index}`);
    expect(calls).toHaveLength(0);
    report('the hundredth');
    expect(calls.map(({ ids }) => ids.length)).toEqual([100]);
  });

  it('the last expected result takes with it what waits', () => {
    const { reporter, report, ids } = reporting(3);
    report('a');
    report('b');
    expect(ids()).toEqual([]);
    reporter.expectOneLess();
    expect(ids()).toEqual(['a,b']);
  });

  it('a failure is settled at once, with the successes that wait', () => {
    const { report, ids } = reporting(100);
    report('a');
    report('b', REFUSED);
    expect(ids()).toEqual(['a,b']);
  });

  it('further failures wait while the store thinks about one, and then go together', async () => {
    const { report, calls, ids } = reporting(100);
    report('a', REFUSED);
    report('b', REFUSED);
    report('c', REFUSED);
    expect(ids()).toEqual(['a']);
    await calls[0]?.answer();
    expect(ids()).toEqual(['a', 'b,c']);
  });

  it('a time-out, and the fifth failure in a row, wait for no other call', () => {
    const { report, ids } = reporting(100);
    report('a', REFUSED);
    report('b', { kind: 'timed_out', message: '' });
    expect(ids()).toEqual(['a', 'b']);
    report('c', REFUSED);
    report('d', REFUSED);
    report('e', REFUSED);
    expect(ids()).toEqual(['a', 'b', 'c,d,e']);
  });

  it('a success between failures begins the row again', () => {
    const { report, ids } = reporting(100);
    for (const name of ['a', 'b', 'c', 'd']) report(name, REFUSED);
    report('well');
    report('e', REFUSED);
    expect(ids()).toEqual(['a']);
  });

  it('a success at an endpoint that was failing is settled at once, because it ends the holding', async () => {
    const { report, calls, ids } = reporting(100, true);
    report('a');
    expect(ids()).toEqual(['a']);
    await calls[0]?.answer();
    report('b');
    expect(ids()).toEqual(['a']);
  });

  it('a success after the store has said that the endpoint is failing is settled at once', async () => {
    const { report, calls, ids } = reporting(100);
    report('a', REFUSED);
    await calls[0]?.answer('failing');
    report('b');
    expect(ids()).toEqual(['a', 'b']);
  });
});
