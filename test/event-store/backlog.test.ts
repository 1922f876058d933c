import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { Bench, lost, ok, timedOut } from '../support/store-bench.ts';

const DAY_MS = 86_400_000;

describe('while an endpoint is not healthy', () => {
  it('admits new events as held, so that they leave the fast lane', async () => {
    const bench = new Bench();
    const [slow = '', next = ''] = bench.ids(2);
    await bench.settle(slow, timedOut);
    expect(await bench.store.admit(bench.ref, [next])).toEqual([{ answer: 'held' }]);
    expect(await bench.store.health()).toEqual({ state: 'slow', since: bench.clock.now(), waiting: 1 });
  });

  it('sends the new events of a slow one from the store, at once', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    const ids = await bench.held(3);
    expect(await bench.ring()).toEqual(ids);
  });

  it('has only forty deliveries on their way, and more as those come to an end', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    const ids = await bench.held(60);
    expect(await bench.ring()).toEqual(ids.slice(0, 40));
    expect(await bench.ring()).toEqual([]);
    await bench.attempt(ids.slice(0, 3), ok);
    bench.clock.advance(1000);
    expect(await bench.ring()).toContain(ids[40]);
  });

  it('does not ring again and again while enough is on its way', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    await bench.held(60);
    await bench.ring();
    expect(await bench.alarm()).toBe(bench.clock.now() + 1000);
  });

  it('remembers its health when the object is evicted', async () => {
    const bench = new Bench();
    await bench.fail();
    await evictDurableObject(bench.store);
    expect((await bench.store.health()).state).toBe('failing');
  });

  it('counts a result that came twice once', async () => {
    const bench = new Bench();
    const ids = bench.ids(4);
    for (const id of [...ids, ...ids]) await bench.settle(id, lost);
    expect((await bench.store.health()).state).toBe('healthy');
  });
});

describe('while an endpoint is failing', () => {
  it('holds events without an attempt, and sends one at a time as a probe, at waits that grow', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    // The five are out of the way: their schedule is at its end.
    await runInDurableObject(bench.store, (_, state) => {
      state.storage.sql.exec("UPDATE deliveries SET state = 'failure', due_at = NULL");
    });
    const ids = await bench.held(3);
    expect(await bench.state(ids[0] ?? '')).toEqual({
      state: 'awaiting-executing',
      attempts: 0,
      hold: 'held',
    });
    const start = bench.clock.now();
    expect(await bench.ringNext()).toEqual([ids[0]]);
    expect(bench.clock.now() - start).toBe(3000);
    await bench.attempt([ids[0] ?? ''], lost);
    expect(await bench.state(ids[0] ?? '')).toMatchObject({ state: 'awaiting-retry', attempts: 1 });
    // Its retry, three seconds later, is the next probe; the held ones wait for longer than that.
    expect(await bench.ringNext()).toEqual([ids[0]]);
    expect(await bench.state(ids[1] ?? '')).toMatchObject({ hold: 'held' });
    expect(failed).toHaveLength(5);
  });

  it('keeps the times of what waits for a retry', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    const ids = await bench.held(1);
    const start = bench.clock.now();
    const dispatched = await bench.ringNext();
    expect(bench.clock.now() - start).toBe(3000);
    expect(dispatched).toEqual(expect.arrayContaining(failed));
    expect(ids).toHaveLength(1);
  });

  it('sends tests at once, however much else is on its way', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    await bench.held(60);
    await bench.ring();
    await bench.fail();
    const [test = ''] = bench.ids(1);
    await bench.store.settle(bench.ref, [{ ...bench.facts(test), neverHeld: true }]);
    bench.clock.advance(1000);
    expect(await bench.ring()).toContain(test);
  });

  it('does not hold tests and redeliveries', async () => {
    const bench = new Bench();
    const [redelivered = '', test = ''] = bench.ids(2);
    await bench.settle(redelivered, {
      kind: 'http_error',
      response: { statusCode: 301, headers: {} },
    });
    await bench.fail();
    await bench.store.settle(bench.ref, [{ ...bench.facts(test), neverHeld: true }]);
    await bench.store.redeliver(bench.ref, redelivered);
    expect((await bench.ring()).sort()).toEqual([redelivered, test].sort());
    const tokens = await bench.tokens();
    expect(await bench.store.begin(bench.ref, tokens.get(test) ?? '', [test])).toHaveLength(1);
    expect(await bench.store.begin(bench.ref, tokens.get(redelivered) ?? '', [redelivered])).toHaveLength(1);
  });

  it('holds what was dispatched before, when its attempt would begin', async () => {
    const bench = new Bench();
    const [id = ''] = await bench.held(1);
    await bench.ring();
    const token = (await bench.tokens()).get(id) ?? '';
    await bench.fail();
    expect(await bench.store.begin(bench.ref, token, [id])).toEqual([]);
    expect(await bench.state(id)).toMatchObject({ state: 'awaiting-executing', hold: 'held' });
  });

  it('gives up an event that was held for as long as events are kept', async () => {
    const bench = new Bench();
    await bench.fail();
    const [id = ''] = await bench.held(1);
    await runInDurableObject(bench.store, (_, state) => {
      // Probing is out of the way: this one shall be held to the end.
      const far = JSON.stringify({ ...JSON.parse('{}'), state: 'failing', since: 1, probeAt: 9e15 });
      state.storage.sql.exec('UPDATE health SET figures = ?', far);
      state.storage.sql.exec("DELETE FROM deliveries WHERE state = 'awaiting-retry'");
    });
    await evictDurableObject(bench.store);
    bench.clock.advance(7 * DAY_MS);
    await bench.ring();
    const delivery = await bench.store.read(id);
    expect(delivery).toMatchObject({ state: 'failure', attempts: 0 });
    expect(delivery?.history.map(({ state, reason }) => [state, reason])).toEqual([
      ['awaiting-executing', undefined],
      ['failure', 'endpoint failing'],
    ]);
  });

  it('fails what it holds when the subscription is disabled', async () => {
    const bench = new Bench();
    await bench.fail();
    const [id = ''] = await bench.held(1);
    await bench.store.adopt({
      ...bench.ref,
      version: 2,
      enabled: false,
      endpoint: 'https://listener.example/',
    });
    expect(await bench.state(id)).toMatchObject({ state: 'failure', attempts: 0 });
  });

  it('rings for the next probe however often the object is evicted', async () => {
    const bench = new Bench();
    await bench.fail();
    await runInDurableObject(bench.store, (_, state) => {
      state.storage.sql.exec("UPDATE deliveries SET state = 'failure', due_at = NULL");
    });
    const ids = await bench.held(1);
    await runInDurableObject(bench.store, (_, state) => state.storage.deleteAlarm());
    await evictDurableObject(bench.store);
    await bench.store.ensureAlarm(bench.ref);
    expect(await bench.ringNext()).toEqual(ids);
  });
});

describe('when a failing endpoint is replaced by another', () => {
  const replaced = async (bench: Bench) => {
    const ref = { ...bench.ref, version: 2, endpoint: 'https://other.example/' };
    await bench.store.adopt(ref);
    return ref;
  };

  it('nothing is held against the new one', async () => {
    const bench = new Bench();
    await bench.fail();
    const ref = await replaced(bench);
    expect(await bench.store.health()).toMatchObject({ state: 'healthy', since: bench.clock.now() });
    expect(await bench.store.admit(ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });

  it('what fails at the old one says nothing of the new one', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    const ref = await replaced(bench);
    bench.clock.advance(3000);
    await bench.ring();
    const tokens = await bench.tokens();
    for (const id of failed) {
      await bench.store.begin(ref, tokens.get(id) ?? '', [id]);
      // Reported by a consumer that has not heard of the change.
      await bench.settle(id, lost, 2);
    }
    expect((await bench.store.read(failed[4] ?? ''))?.attempts).toBe(2);
    expect((await bench.store.health()).state).toBe('healthy');
  });

  it('what was held for the old one goes out, to the old one', async () => {
    const bench = new Bench();
    await bench.fail();
    const [held = ''] = await bench.held(1);
    await replaced(bench);
    expect(await bench.ring()).toContain(held);
    expect((await bench.store.read(held))?.endpoint).toBe(bench.ref.endpoint);
  });
});

describe('once an endpoint has recovered', () => {
  it('drains what was held oldest first, in steps that double', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    const ids = await bench.held(40);
    await bench.settle(failed[0] ?? '', ok, 1);
    const steps: string[][] = [];
    for (let step = 0; step < 6; step++) {
      const dispatched = await bench.ringNext();
      await bench.attempt(dispatched, ok);
      steps.push(dispatched.filter((id) => ids.includes(id)));
      bench.clock.advance(1000);
    }
    expect(steps.map((step) => step.length)).toEqual([1, 2, 4, 8, 16, 9]);
    expect(steps.flat()).toEqual(ids);
    expect((await bench.store.health()).state).toBe('healthy');
  });

  it('lets no more go while the last step is still on its way', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    await bench.held(40);
    await bench.settle(failed[0] ?? '', ok, 1);
    await bench.ring();
    bench.clock.advance(1000);
    const second = await bench.ring();
    bench.clock.advance(1000);
    const third = await bench.ring();
    // One of the first step and one of the second are on their way: the pace is two.
    expect(second.length + third.length).toBeLessThanOrEqual(6);
  });

  it('does not wait for dispatches that were lost with an earlier life of the object', async () => {
    const bench = new Bench();
    const ids = await bench.held(5);
    await bench.ring();
    const failed = await bench.fail();
    const more = await bench.held(2);
    await bench.settle(failed[0] ?? '', ok, 1);
    bench.clock.advance(1000);
    await evictDurableObject(bench.store);
    await bench.store.ensureAlarm(bench.ref);
    expect(await bench.ring()).toContain(more[0]);
    expect(ids).toHaveLength(5);
  });

  it('admits new events to the fast lane at once, though others still wait', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    await bench.held(10);
    await bench.settle(failed[0] ?? '', ok, 1);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });

  it('holds the rest again when it fails again', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    const ids = await bench.held(40);
    await bench.settle(failed[0] ?? '', ok, 1);
    for (let step = 0; step < 3; step++) {
      await bench.ring();
      bench.clock.advance(1000);
    }
    await bench.fail();
    expect((await bench.store.health()).state).toBe('failing');
    expect(await bench.state(ids[39] ?? '')).toMatchObject({ hold: 'held', attempts: 0 });
    bench.clock.advance(1000);
    await bench.ring();
    expect(await bench.state(ids[39] ?? '')).toMatchObject({ hold: 'held', attempts: 0 });
  });
});
