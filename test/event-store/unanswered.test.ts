/** What the event store makes of a request that has had no answer for longer than usual (contract 10.4). */
import { describe, expect, it } from 'vitest';
import { Bench, lost, ok, timedOut } from '../support/store-bench.ts';

/** Reports that attempt 1 of an event has had no answer for 250 ms. */
async function waiting(bench: Bench, eventId: string, isUnusual = true, isAlone = true) {
  const startedAt = bench.clock.now() - 250;
  const report = {
    ...bench.facts(eventId),
    kind: 'waiting' as const,
    attempt: 1,
    startedAt,
    isUnusual,
    isAlone,
  };
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

/** Two requests without an answer: one alone may be a slow answer among quick ones. */
async function twoWaiting(bench: Bench, isUnusual = true): Promise<string[]> {
  const ids = bench.ids(2);
  for (const id of ids) await waiting(bench, id, isUnusual);
  return ids;
}

describe('new events while requests have no answer', () => {
  it('one request without an answer stops no other event', async () => {
    const bench = new Bench();
    await waiting(bench, bench.ids(1)[0] ?? '');
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
    bench.clock.advance(5000);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });

  it('one request without an answer counts as two when other listeners do not answer either', async () => {
    const bench = new Bench();
    await waiting(bench, bench.ids(1)[0] ?? '', true, false);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([
      { answer: 'busy', retryAfterMs: 1750 },
    ]);
    bench.clock.advance(1750);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'held' }]);
  });

  it('new events wait until two requests are two seconds old, and are not stored for that', async () => {
    const bench = new Bench();
    await twoWaiting(bench);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([
      { answer: 'busy', retryAfterMs: 1750 },
    ]);
    expect(await bench.store.total()).toBe(2);
    expect(await bench.store.mayStart()).toBe(true);
  });

  it('an event that has waited once is admitted, while others wait', async () => {
    const bench = new Bench();
    await twoWaiting(bench);
    const [waited = '', other = ''] = bench.ids(2);
    expect(await bench.store.admit(bench.ref, [waited, other], [waited])).toEqual([
      { answer: 'new' },
      { answer: 'busy', retryAfterMs: 1750 },
    ]);
  });

  it('new events are held once two requests are two seconds old, and go out again after an answer', async () => {
    const bench = new Bench();
    const [first = ''] = await twoWaiting(bench);
    bench.clock.advance(1750);
    expect(await bench.store.mayStart()).toBe(false);
    const [held = ''] = bench.ids(1);
    expect(await bench.store.admit(bench.ref, [held], [held])).toEqual([{ answer: 'held' }]);
    await bench.settle(first, ok);
    expect(await bench.store.mayStart()).toBe(true);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });

  it('new events of a listener that is slow as usual do not wait, until two seconds have passed', async () => {
    const bench = new Bench();
    await twoWaiting(bench, false);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
    bench.clock.advance(1750);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'held' }]);
  });

  it('an endpoint that has not answered for two seconds has at most 40 deliveries on their way, like a slow one', async () => {
    const bench = new Bench();
    await twoWaiting(bench);
    bench.clock.advance(1750);
    await bench.held(60);
    // The requests without an answer are two of the forty.
    expect(await bench.ring()).toHaveLength(38);
  });

  it('the requests of a dead consumer stop nobody when their lease has lapsed', async () => {
    const bench = new Bench();
    await twoWaiting(bench);
    bench.clock.advance(90_001);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });

  it('requests to an earlier endpoint stop no event for the present one, whenever they are reported', async () => {
    const bench = new Bench();
    await twoWaiting(bench);
    const moved = { ...bench.ref, version: 2, endpoint: 'https://other.example/' };
    expect(await bench.store.admit(moved, bench.ids(1))).toEqual([{ answer: 'new' }]);
    await twoWaiting(bench);
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
