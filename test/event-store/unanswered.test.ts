/** What the event store makes of a request that has had no answer for longer than usual (contract 10.4). */
import { describe, expect, it } from 'vitest';
import { Bench, lost, ok, timedOut } from '../support/store-bench.ts';

/** Reports that attempt 1 of an event has had no answer for 250 ms. */
async function waiting(bench: Bench, eventId: string, isUnusual = true, attempt = 1) {
  const startedAt = bench.clock.now() - 250;
  const report = { ...bench.facts(eventId), kind: 'waiting' as const, attempt, startedAt, isUnusual };
  return (await bench.store.settle(bench.ref, [report])).settled[0];
}

describe('an attempt that is reported as waiting', () => {
  it('an attempt that is reported as waiting is executing, and its result ends it', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await bench.store.admit(bench.ref, [id]);
    expect(await waiting(bench, id)).toMatchObject({ state: 'executing', attempts: 1 });
    expect((await bench.store.read(id))?.history.map(({ state }) => state)).toEqual([
      'awaiting-executing',
      'executing',
    ]);
    expect(await bench.store.admit(bench.ref, [id])).toEqual([{ answer: 'done' }]);
    bench.clock.advance(1000);
    await bench.settle(id, ok);
    expect(await bench.state(id)).toMatchObject({ state: 'success', attempts: 1 });
  });

  it('an attempt whose consumer died is made again under its number when its lease lapses', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await waiting(bench, id);
    expect(await bench.ring()).toEqual([]);
    expect(await bench.ringNext()).toEqual([id]);
    const token = (await bench.tokens()).get(id) ?? '';
    expect(await bench.store.begin(bench.ref, token, [id])).toMatchObject([{ eventId: id, attempt: 1 }]);
    await bench.settle(id, ok, 1);
    expect(await bench.state(id)).toMatchObject({ state: 'success', attempts: 1 });
  });

  it('a report that comes after the result changes nothing, and stops nobody', async () => {
    const bench = new Bench();
    const [first = '', second = ''] = bench.ids(2);
    await bench.settle(first, ok);
    await bench.settle(second, lost);
    expect(await waiting(bench, first)).toMatchObject({ state: 'dropped' });
    expect(await waiting(bench, second)).toMatchObject({ state: 'dropped' });
    expect((await bench.state(second))?.state).toBe('awaiting-retry');
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });

  it('a success counts and a failure is final when the subscription was disabled meanwhile', async () => {
    const bench = new Bench();
    const [first = '', second = ''] = bench.ids(2);
    await waiting(bench, first);
    await waiting(bench, second);
    const disabled = { ...bench.ref, version: 2, enabled: false };
    await bench.store.adopt(disabled);
    const result = (outcome: typeof ok) => ({
      attempt: 1,
      startedAt: bench.clock.now(),
      durationMs: 5,
      outcome,
    });
    await bench.store.settle(disabled, [
      { ...bench.facts(first), kind: 'attempted', result: result(ok) },
      { ...bench.facts(second), kind: 'attempted', result: result(timedOut) },
    ]);
    expect((await bench.state(first))?.state).toBe('success');
    expect((await bench.state(second))?.state).toBe('failure');
  });
});

describe('new events while a request has no answer', () => {
  it('new events wait until two seconds have passed, and are not stored for that', async () => {
    const bench = new Bench();
    const [hanging = '', next = ''] = bench.ids(2);
    await waiting(bench, hanging);
    expect(await bench.store.admit(bench.ref, [next])).toEqual([{ answer: 'busy', retryAfterMs: 1750 }]);
    expect(await bench.store.total()).toBe(1);
    expect(await bench.store.mayStart()).toBe(true);
  });

  it('new events are held once it has had no answer for two seconds, and go out again after the answer', async () => {
    const bench = new Bench();
    const [hanging = '', next = '', last = ''] = bench.ids(3);
    await waiting(bench, hanging);
    bench.clock.advance(1750);
    expect(await bench.store.mayStart()).toBe(false);
    expect(await bench.store.admit(bench.ref, [next])).toEqual([{ answer: 'held' }]);
    await bench.settle(hanging, ok);
    expect(await bench.store.mayStart()).toBe(true);
    expect(await bench.store.admit(bench.ref, [last])).toEqual([{ answer: 'new' }]);
  });

  it('new events of a listener that is slow as usual do not wait, until two seconds have passed', async () => {
    const bench = new Bench();
    const [hanging = '', next = '', last = ''] = bench.ids(3);
    await waiting(bench, hanging, false);
    expect(await bench.store.admit(bench.ref, [next])).toEqual([{ answer: 'new' }]);
    bench.clock.advance(1750);
    expect(await bench.store.admit(bench.ref, [last])).toEqual([{ answer: 'held' }]);
  });

  it('an endpoint that has not answered for two seconds has at most 40 deliveries on their way, like a slow one', async () => {
    const bench = new Bench();
    const [hanging = ''] = bench.ids(1);
    await waiting(bench, hanging);
    bench.clock.advance(1750);
    await bench.held(60);
    // The request without an answer is one of the forty.
    expect(await bench.ring()).toHaveLength(39);
  });

  it('a request of a dead consumer stops nobody when its lease has lapsed', async () => {
    const bench = new Bench();
    await waiting(bench, bench.ids(1)[0] ?? '');
    bench.clock.advance(90_001);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });

  it('a request to an earlier endpoint stops no event for the present one', async () => {
    const bench = new Bench();
    await waiting(bench, bench.ids(1)[0] ?? '');
    const moved = { ...bench.ref, version: 2, endpoint: 'https://other.example/' };
    expect(await bench.store.admit(moved, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });
});

describe('admitted events that a consumer gives up', () => {
  it('a released event is admitted again at once', async () => {
    const bench = new Bench();
    const ids = bench.ids(2);
    await bench.store.admit(bench.ref, ids);
    await bench.store.release(ids.slice(0, 1));
    expect(await bench.store.admit(bench.ref, ids)).toEqual([
      { answer: 'new' },
      { answer: 'busy', retryAfterMs: expect.any(Number) },
    ]);
  });
});
