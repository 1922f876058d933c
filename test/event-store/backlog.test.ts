import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { hostLimitStub } from '../support/host-limit.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok, timedOut } from '../support/store-bench.ts';

const DAY_MS = 86_400_000;

describe('an endpoint that is not healthy', () => {
  it('admit defers new events while the endpoint is slow, so that they leave the fast lane', async () => {
    const bench = new Bench();
    const [slow = '', next = ''] = bench.ids(2);
    await bench.settle(slow, timedOut);
    expect(await bench.store.admit(bench.ref, [next])).toEqual([{ answer: 'held' }]);
    expect(await bench.store.health()).toEqual({ state: 'slow', since: bench.clock.now(), waiting: 1 });
  });

  it('the store sends new events of a slow endpoint at once', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    const ids = await bench.held(3);
    expect(await bench.ring()).toEqual(ids);
  });

  it('a slow endpoint has at most forty dispatched deliveries, and gets more as those end', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    const ids = await bench.held(60);
    expect(await bench.ring()).toEqual(ids.slice(0, 40));
    expect(await bench.ring()).toEqual([]);
    await bench.attempt(ids.slice(0, 3), ok);
    bench.clock.advance(1000);
    expect(await bench.ring()).toContain(ids[40]);
  });

  it('no alarm rings for what is due while forty deliveries of a slow endpoint are on their way', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    await bench.held(60);
    const sent = await bench.ring();
    expect(sent).toHaveLength(40);
    // Nothing can go out before one of them has a result, or is sent again.
    const at = bench.clock.now() + 120_000;
    expect(await bench.alarm()).toBe(at);
    const tokens = await bench.tokens();
    for (const id of sent) await bench.store.begin(bench.ref, tokens.get(id) ?? '', [id]);
    expect(await bench.alarm()).toBe(at);
    await bench.settle(sent[0] ?? '', ok, 1, 3000);
    expect(await bench.alarm()).toBe(bench.clock.now() + 1000);
    expect(await bench.ringNext()).toHaveLength(1);
  });

  it('the health of an endpoint survives an eviction of its store', async () => {
    const bench = new Bench();
    await bench.fail();
    await evictDurableObject(bench.store);
    expect((await bench.store.health()).state).toBe('failing');
  });

  it('a result that is settled twice counts once for the health of the endpoint', async () => {
    const bench = new Bench();
    const ids = bench.ids(4);
    for (const id of [...ids, ...ids]) await bench.settle(id, lost);
    expect((await bench.store.health()).state).toBe('healthy');
  });
});

describe('a failing endpoint', () => {
  it('no further event is released as a probe while one waits for a place at the host', async () => {
    const bench = new Bench();
    await bench.fail();
    const ids = await bench.held(20);
    const all = { id: 'other', want: 5, left: 0, succeeded: 0, failedStarts: [], leaseMs: 86_400_000 };
    await hostLimitStub(bench.ref.customerId, bench.ref.endpoint).visit(all);
    for (const end = bench.clock.now() + 600_000; bench.clock.now() < end; ) {
      bench.clock.advance(Math.max(1, ((await bench.alarm()) ?? end) - bench.clock.now()));
      await runDurableObjectAlarm(bench.store);
    }
    const states = await Promise.all(ids.map((id) => bench.state(id)));
    expect(states.filter((state) => state?.hold === 'never').length).toBeLessThanOrEqual(1);
  });

  it('events without an attempt are held for a failing endpoint, and sent one at a time as probes', async () => {
    const bench = new Bench();
    await bench.fail();
    await bench.endRetries();
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
    // Its retry, three seconds later, is the next probe. The held events wait longer than that.
    expect(await bench.ringNext()).toEqual([ids[0]]);
    expect(await bench.state(ids[1] ?? '')).toMatchObject({ hold: 'held' });
  });

  it('retries keep their times while the endpoint is failing', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    const ids = await bench.held(1);
    const start = bench.clock.now();
    const dispatched = await bench.ringNext();
    expect(bench.clock.now() - start).toBe(3000);
    expect(dispatched).toEqual(expect.arrayContaining(failed));
    expect(ids).toHaveLength(1);
  });

  it('a test notification is sent at once, however many deliveries are dispatched', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    await bench.held(60);
    await bench.ring();
    await bench.fail();
    const [test = ''] = bench.ids(1);
    await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(test), neverHeld: true })]);
    bench.clock.advance(1000);
    expect(await bench.ring()).toContain(test);
  });

  it('test notifications and redeliveries are not held for a failing endpoint', async () => {
    const bench = new Bench();
    const [redelivered = '', test = ''] = bench.ids(2);
    await bench.settle(redelivered, {
      kind: 'http_error',
      response: { statusCode: 301, headers: {} },
    });
    await bench.fail();
    await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(test), neverHeld: true })]);
    await bench.store.redeliver(bench.ref, redelivered);
    expect((await bench.ring()).sort()).toEqual([redelivered, test].sort());
    const tokens = await bench.tokens();
    expect(await bench.store.begin(bench.ref, tokens.get(test) ?? '', [test])).toHaveLength(1);
    expect(await bench.store.begin(bench.ref, tokens.get(redelivered) ?? '', [redelivered])).toHaveLength(1);
  });

  it('an event dispatched before the endpoint failed is held when its attempt would begin', async () => {
    const bench = new Bench();
    const [id = ''] = await bench.held(1);
    await bench.ring();
    const token = (await bench.tokens()).get(id) ?? '';
    await bench.fail();
    expect(await bench.store.begin(bench.ref, token, [id])).toEqual([]);
    expect(await bench.state(id)).toMatchObject({ state: 'awaiting-executing', hold: 'held' });
  });

  it('an event held for the whole retention becomes a failure with the reason endpoint failing', async () => {
    const bench = new Bench();
    await bench.fail();
    const [id = ''] = await bench.held(1);
    await runInDurableObject(bench.store, (_, state) => {
      // The next probe is far away, so this event is held to the end.
      const far = JSON.stringify({ ...JSON.parse('{}'), state: 'failing', since: 1, probeAt: 9e15 });
      state.storage.sql.exec('UPDATE health SET figures = ?', far);
    });
    await bench.endRetries();
    bench.clock.advance(7 * DAY_MS);
    await bench.ring();
    const delivery = await bench.store.read(id);
    expect(delivery).toMatchObject({ state: 'failure', attempts: 0 });
    expect(delivery?.history.map(({ state, reason }) => [state, reason])).toEqual([
      ['awaiting-executing', undefined],
      ['failure', 'endpoint failing'],
    ]);
  });

  it('a held event whose first attempt failed after all keeps the times of its retries', async () => {
    const bench = new Bench();
    await bench.fail();
    const [late = ''] = await bench.held(1);
    // Another consumer had begun the attempt before its claim was lost.
    await bench.settle(late, lost);
    const dueAt = (await bench.store.read(late))?.dueAt;
    expect(await bench.state(late)).toEqual({ state: 'awaiting-retry', attempts: 1, hold: 'possible' });
    await bench.ring();
    expect((await bench.store.read(late))?.dueAt).toBe(dueAt);
  });

  it('the backlog goes on after a held event whose first attempt succeeded after all', async () => {
    const bench = new Bench();
    await bench.fail();
    const [late = '', next = ''] = await bench.held(2);
    await bench.settle(late, ok);
    expect(await bench.state(late)).toMatchObject({ state: 'success', attempts: 1 });
    expect(await bench.ring()).toEqual([next]);
  });

  it('a held event becomes a failure when its subscription is disabled', async () => {
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

  it('the next probe is sent although the alarm was lost and the store evicted', async () => {
    const bench = new Bench();
    await bench.fail();
    await bench.endRetries();
    const ids = await bench.held(1);
    await runInDurableObject(bench.store, (_, state) => state.storage.deleteAlarm());
    await evictDurableObject(bench.store);
    await bench.store.ensureAlarm(bench.ref);
    expect(await bench.ringNext()).toEqual(ids);
  });
});

describe('a new endpoint in place of a failing one', () => {
  const replaced = async (bench: Bench) => {
    const ref = { ...bench.ref, version: 2, endpoint: 'https://other.example/' };
    await bench.store.adopt(ref);
    return ref;
  };

  it('a new endpoint in place of a failing one is healthy, and its events are admitted', async () => {
    const bench = new Bench();
    await bench.fail();
    const ref = await replaced(bench);
    expect(await bench.store.health()).toMatchObject({ state: 'healthy', since: bench.clock.now() });
    expect(await bench.store.admit(ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });

  it('a failure at the old endpoint does not count for the new one', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    const ref = await replaced(bench);
    bench.clock.advance(3000);
    await bench.ring();
    const tokens = await bench.tokens();
    for (const id of failed) {
      await bench.store.begin(ref, tokens.get(id) ?? '', [id]);
      // The consumer that reports this result does not know of the change yet.
      await bench.settle(id, lost, 2);
    }
    expect((await bench.store.read(failed[4] ?? ''))?.attempts).toBe(2);
    expect((await bench.store.health()).state).toBe('healthy');
  });

  it('an event held for the old endpoint is released and still goes to the old endpoint', async () => {
    const bench = new Bench();
    await bench.fail();
    const [held = ''] = await bench.held(1);
    await replaced(bench);
    expect(await bench.ring()).toContain(held);
    expect((await bench.store.read(held))?.endpoint).toBe(bench.ref.endpoint);
  });
});

describe('a recovered endpoint', () => {
  it('the backlog of a recovered endpoint drains oldest first, in steps that double', async () => {
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

  it('the backlog does not speed up while its last step is still under way', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    await bench.held(40);
    await bench.settle(failed[0] ?? '', ok, 1);
    await bench.ring();
    bench.clock.advance(1000);
    const second = await bench.ring();
    bench.clock.advance(1000);
    const third = await bench.ring();
    // One event of the first step and one of the second are under way, so the pace stays at two.
    expect(second.length + third.length).toBeLessThanOrEqual(6);
  });

  it('the backlog does not wait for deliveries that were dispatched before an eviction', async () => {
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

  it('new events of a recovered endpoint take the fast lane at once, though others still wait', async () => {
    const bench = new Bench();
    const failed = await bench.fail();
    await bench.held(10);
    await bench.settle(failed[0] ?? '', ok, 1);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
  });

  it('the rest of the backlog is held again when the endpoint fails again', async () => {
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
