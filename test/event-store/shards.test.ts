/** A subscription with several event stores, in the runtime: three from a moment on, and what was stored before stays in the first. */
import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Delivery } from '../../src/domain/delivery.ts';
import { DAY_MS, EXPORT_LIFE_MS, HOUR_MS, JOBS_KEPT_MAX, MINUTE_MS } from '../../src/domain/limits.ts';
import { shardOf } from '../../src/domain/shards.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import type { SearchQuery } from '../../src/event-store/rpc.ts';
import { storeName } from '../../src/event-store/sharding/stores.ts';
import { holdClock } from '../support/clock.ts';
import { Sharded } from '../support/sharded.ts';
import { lost, ok } from '../support/store-bench.ts';

const ALL = { since: 0, until: Number.MAX_SAFE_INTEGER };

/** One store until `HOUR_MS` ago, then three, and from now on two. */
function threeStores(): Sharded {
  const now = holdClock().now();
  const epochs = [
    { since: now - HOUR_MS, n: 3 },
    { since: now, n: 2 },
  ];
  return new Sharded({ epochs, most: 3 });
}

let sub: Sharded;
/** Ids of all three epochs, in order. */
let ids: string[];
beforeEach(() => {
  sub = threeStores();
  const now = sub.clock.now();
  ids = [
    ...sub.ids(10, now - 2 * HOUR_MS),
    ...sub.ids(40, now - 30 * MINUTE_MS, 250),
    ...sub.ids(20, now, 250),
  ];
});

const idsOf = (deliveries: readonly Delivery[]) => deliveries.map(({ eventId }) => eventId);

describe('the names of event stores', () => {
  it('the home store keeps the name that it had without shards, and each other store has its number behind it', () => {
    expect([0, 1, 15].map((number) => storeName('a', number))).toEqual(['a', 'a/1', 'a/15']);
  });
});

describe('events in several stores', () => {
  it('each event is in the store of its shard alone, whatever epochs came later', async () => {
    await sub.settle(ids, ok);
    const stored = await sub.idsByStore(3);
    for (const [number, own] of stored.entries()) {
      expect(own).toEqual(ids.filter((id) => shardOf(id, sub.shards) === number));
    }
    expect(stored.map(({ length }) => length > 0)).toEqual([true, true, true]);
    expect(stored[0]).toEqual(expect.arrayContaining(ids.slice(0, 10)));
    expect(new Set(stored[2]).isDisjointFrom(new Set(ids.slice(50)))).toBe(true);
  });

  it('an event that is stored is done for every consumer, and a repeat of its report changes nothing', async () => {
    const first = await sub.store.admit(sub.ref, ids);
    expect(first.every((one) => one?.answer === 'new')).toBe(true);
    await sub.settle(ids, ok);
    await sub.settle(ids, ok);
    const again = await sub.store.admit(sub.ref, ids);
    expect(again.every((one) => one?.answer === 'done')).toBe(true);
    expect(await sub.store.total()).toBe(ids.length);
  });

  it('a batch of one tenth of a second takes one call of admit and one of settle, as without shards', async () => {
    await sub.store.adopt(sub.ref);
    const calls: string[] = [];
    const { admit, settle } = EventStore.prototype;
    const spies = [
      vi.spyOn(EventStore.prototype, 'admit').mockImplementation(function (this: EventStore, ...values) {
        calls.push('admit');
        return admit.apply(this, values);
      }),
      vi.spyOn(EventStore.prototype, 'settle').mockImplementation(function (this: EventStore, ...values) {
        calls.push('settle');
        return settle.apply(this, values);
      }),
    ];
    onTestFinished(() => {
      for (const spy of spies) spy.mockRestore();
    });
    const start = Math.floor(sub.clock.now() / 100) * 100 - 30 * MINUTE_MS;
    const batch = sub.ids(100, start, 1);
    const { store } = sub;
    await store.admit(sub.ref, batch);
    const result = { attempt: 1, startedAt: sub.clock.now(), durationMs: 5, outcome: ok };
    await store.settle(
      sub.ref,
      batch.map((id) => ({ ...sub.facts(id), kind: 'attempted', result })),
    );
    expect(calls).toEqual(['admit', 'settle']);
  });

  it('events that a consumer gives back are new for the next one', async () => {
    await sub.store.admit(sub.ref, ids);
    expect((await sub.store.admit(sub.ref, ids)).every((one) => one?.answer === 'busy')).toBe(true);
    await sub.store.release(ids);
    expect((await sub.store.admit(sub.ref, ids)).every((one) => one?.answer === 'new')).toBe(true);
  });

  it('the answers of several stores come in the order of the reports', async () => {
    const mixed = ids.toReversed();
    const { settled } = await sub.settle(mixed, ok);
    expect(settled.map(({ eventId }) => eventId)).toEqual(mixed);
  });

  it('an event is read, and found where it went, in its store', async () => {
    await sub.settle(ids, ok);
    for (const id of [ids[0], ids[25], ids[60]]) {
      expect((await sub.store.read(id ?? ''))?.eventId).toBe(id);
      expect((await sub.store.glance(id ?? ''))?.delivery.eventId).toBe(id);
    }
    expect(await sub.store.read(sub.idOf(1))).toBeUndefined();
  });

  it('an event that home stored under a version without shards is read, attempted and redelivered there', async () => {
    const id = sub.idOf(1);
    const { shard: _, ...old } = sub.refFor(0);
    const result = { attempt: 1, startedAt: sub.clock.now(), durationMs: 5, outcome: lost };
    await sub.one(0).settle(old, [{ ...sub.facts(id), kind: 'attempted', result }]);
    expect((await sub.store.read(id))?.state).toBe('awaiting-retry');
    sub.clock.advance(4000);
    await sub.ring(1);
    const [row] = await sub.rows<{ token: string }>(
      0,
      `SELECT lease_token AS token FROM first_retries UNION ALL SELECT lease_token FROM deliveries`,
    );
    const { store } = sub;
    const [begun] = await store.begin(sub.ref, row?.token ?? '', [id], { signs: true });
    expect(begun?.attempt).toBe(2);
    await store.settle(sub.ref, [
      { ...sub.facts(id), kind: 'attempted', result: { ...result, attempt: 2, outcome: ok } },
    ]);
    expect((await sub.store.read(id))?.state).toBe('success');
    expect(await sub.store.total()).toBe(1);
  });

  it('a store that cannot take part fails its own events alone', async () => {
    await sub.store.adopt(sub.ref);
    const { admit } = EventStore.prototype;
    const spy = vi.spyOn(EventStore.prototype, 'admit').mockImplementation(function (
      this: EventStore,
      ref,
      ...rest
    ) {
      if (ref.shard?.number === 1) return Promise.reject(new Error('event store full'));
      return admit.call(this, ref, ...rest);
    });
    onTestFinished(() => spy.mockRestore());
    const answers = await sub.store.admit(sub.ref, ids);
    for (const [index, id] of ids.entries()) {
      expect(answers[index]?.answer).toBe(shardOf(id, sub.shards) === 1 ? undefined : 'new');
    }
    const own = ids.filter((id) => shardOf(id, sub.shards) === 1);
    await expect(sub.store.admit(sub.ref, own)).rejects.toThrow('event store full');
  });

  it('an attempt that its store has begun is made although home, which is asked for a stale event, is away', async () => {
    await sub.store.adopt(sub.ref);
    const [id, gone] = [sub.idOf(1), sub.idOf(1)];
    await sub.settle([id], lost);
    await sub.settle([gone], ok);
    sub.clock.advance(4000);
    await sub.ring(3);
    const [row] = await sub.rows<{ token: string }>(1, 'SELECT lease_token AS token FROM first_retries');
    const { begin } = EventStore.prototype;
    const spy = vi.spyOn(EventStore.prototype, 'begin').mockImplementation(function (
      this: EventStore,
      ref,
      ...rest
    ) {
      if (ref.shard?.number === 0) return Promise.reject(new Error('away'));
      return begin.call(this, ref, ...rest);
    });
    onTestFinished(() => spy.mockRestore());
    const begun = await sub.store.begin(sub.ref, row?.token ?? '', [id, gone], { signs: true });
    expect(begun.map(({ eventId }) => eventId)).toEqual([id]);
    // Nothing has begun: the message must come again.
    await expect(sub.store.begin(sub.ref, row?.token ?? '', [gone])).rejects.toThrow('away');
  });

  it('a store of another subscription or shard refuses a call that was mixed up', async () => {
    await sub.store.adopt(sub.ref);
    await runInDurableObject(sub.one(1), async (instance) => {
      await expect(instance.adopt(sub.refFor(2))).rejects.toThrow('another shard');
      const mixedUp = { ...sub.refFor(1), subscriptionId: crypto.randomUUID() };
      await expect(instance.adopt(mixedUp)).rejects.toThrow('another subscription');
    });
  });

  it('two subscriptions with shards share nothing', async () => {
    const other = new Sharded(sub.shards);
    await sub.settle(ids, ok);
    expect(await other.store.total()).toBe(0);
    expect(await other.store.list({ limit: 100 })).toEqual([]);
    await other.settle(ids.slice(0, 5), lost);
    await other.store.erase(other.ref);
    expect(await sub.store.total()).toBe(ids.length);
  });
});

describe('lists, searches and counts over several stores', () => {
  it('a list has all events in order of id, by pages of any size', async () => {
    await sub.settle(ids, ok);
    expect(idsOf(await sub.store.list({ limit: 100 }))).toEqual(ids);
    for (const limit of [1, 3, 7, 64]) {
      const paged: string[] = [];
      for (let after: string | undefined; ; ) {
        const page = await sub.store.list({ limit, ...(after === undefined ? {} : { after }) });
        paged.push(...idsOf(page));
        after = page.at(-1)?.eventId;
        if (page.length < limit) break;
      }
      expect(paged).toEqual(ids);
    }
    const between = await sub.store.list({ after: ids[4] ?? '', before: ids[60] ?? '', limit: 100 });
    expect(idsOf(between)).toEqual(ids.slice(5, 60));
  });

  it('a list asks the stores for about twice as many events as it shows, and not for a page each', async () => {
    const many = sub.ids(300, sub.clock.now() - 30 * MINUTE_MS, 100);
    await sub.settle(many, ok);
    const { store } = sub;
    const page = await store.list({ limit: 200 });
    expect(idsOf(page)).toEqual(many.slice(0, 200));
  });

  it.each(['asc', 'desc'] as const)(
    'a search that goes %s finds all events in order, look by look',
    async (order) => {
      await sub.settle(ids.slice(0, 30), ok);
      await sub.settle(ids.slice(30), lost);
      for (const isSummary of [true, false]) {
        const found: string[] = [];
        const query: SearchQuery = { order, limit: 7, isSummary, state: 'success' };
        for (let upTo: string | undefined, looks = 0; looks < 100; looks++) {
          const from = upTo === undefined ? {} : { [order === 'asc' ? 'after' : 'before']: upTo };
          const look = await sub.store.search({ ...query, ...from });
          found.push(...look.found.map(({ delivery }) => delivery.eventId));
          upTo = look.upTo;
          if (upTo === undefined) break;
        }
        const expected = ids.slice(0, 30);
        expect(found).toEqual(order === 'asc' ? expected : expected.toReversed());
      }
    },
  );

  it('totals, summaries and what waits are those of all stores together', async () => {
    await sub.settle(ids.slice(0, 30), ok);
    await sub.settle(ids.slice(30, 50), lost);
    expect(await sub.store.total()).toBe(50);
    expect(await sub.store.health(sub.ref)).toMatchObject({ state: 'failing', waiting: 20 });
    expect(await sub.store.summary()).toMatchObject({
      succeeded: 30,
      retrying: 20,
      failed: 0,
      exportable: 0,
    });
  });
});

describe('figures of several stores', () => {
  it('figures by hour, and what the daily visit says, are those of all stores together', async () => {
    await sub.settle(ids.slice(0, 40), ok);
    sub.clock.advance(2000);
    await sub.hold(ids.slice(40));
    sub.clock.advance(HOUR_MS);
    const figures = await sub.store.figures(0);
    expect(figures.hours.reduce((all, { delivered }) => all + delivered, 0)).toBe(40);
    expect(new Set(figures.hours.map(({ hour }) => hour)).size).toBe(figures.hours.length);
    expect(figures).toMatchObject({
      waiting: 30,
      oldestWaitingAt: sub.clock.now() - HOUR_MS,
      lastDeliveredAt: sub.clock.now() - HOUR_MS - 2000,
    });
    const { day } = await sub.store.ensureAlarm(sub.ref);
    expect(day).toMatchObject({ accepted: 70, delivered: 40, failed: 0, waiting: 30 });
  });
});

describe('the health of an endpoint with several stores', () => {
  it('five failures at one store make all of them hold, and one success makes all of them release', async () => {
    await sub.store.adopt(sub.ref);
    const failed = Array.from({ length: 5 }, () => sub.idOf(1));
    await sub.settle(failed, lost);
    for (const number of [0, 1, 2]) {
      expect(await sub.one(number).health()).toMatchObject({ state: 'failing', since: sub.clock.now() });
    }
    const answers = await sub.store.admit(sub.ref, ids);
    expect(answers.every((one) => one?.answer === 'held')).toBe(true);
    sub.clock.advance(1000);
    await sub.settle([sub.idOf(0)], ok);
    for (const number of [0, 1, 2]) expect((await sub.one(number).health()).state).toBe('healthy');
  });

  it('a store that was away learns the state from the next call, which brings what D1 knows', async () => {
    await sub.store.adopt(sub.ref);
    const since = sub.clock.now();
    sub.clock.advance(5000);
    sub.ref = { ...sub.ref, news: { state: 'failing', since, proven: null } };
    const [answer] = await sub.store.admit(sub.ref, [sub.idOf(2)]);
    expect(answer).toEqual({ answer: 'held', unsigned: true });
    // Older news change nothing.
    sub.ref = { ...sub.ref, news: { state: 'healthy', since: since - 1, proven: null } };
    await sub.store.admit(sub.ref, [sub.idOf(2)]);
    expect((await sub.one(2).health()).state).toBe('failing');
  });

  it('home probes after three seconds, and each other store after five minutes', async () => {
    await sub.store.adopt(sub.ref);
    await sub.hold([0, 1, 2].flatMap((shard) => [sub.idOf(shard), sub.idOf(shard)]));
    await sub.settle(
      Array.from({ length: 5 }, () => sub.idOf(1)),
      lost,
    );
    const probes = async () =>
      await Promise.all(
        [0, 1, 2].map(async (number) => {
          const [row] = await sub.rows<{ figures: string }>(number, 'SELECT figures FROM health');
          return (JSON.parse(row?.figures ?? '{}') as { probeAt: number }).probeAt - sub.clock.now();
        }),
      );
    expect(await probes()).toEqual([3000, 300_000, 300_000]);
  });

  it('a proof that home got is given at every store', async () => {
    sub.ref = { ...sub.ref, proof: 1 };
    await sub.store.adopt(sub.ref);
    sub.ref = { ...sub.ref, news: { state: 'healthy', since: 0, proven: 1 } };
    for (const shard of [0, 1, 2]) {
      await sub.store.admit(sub.ref, [sub.idOf(shard)]);
      const [proof] = await sub.rows<{ given: number | null }>(shard, 'SELECT given_at AS given FROM proofs');
      expect(proof?.given).not.toBeNull();
    }
  });
});

describe('redelivery over several stores', () => {
  it('one event of a subscription is redelivered in a minute, whichever store has it', async () => {
    await sub.failForGood(ids);
    const [home = '', other = ''] = [0, 1].map((shard) =>
      ids.find((id) => shardOf(id, sub.shards) === shard),
    );
    expect((await sub.store.redeliver(sub.ref, other)).answer).toBe('accepted');
    expect(await sub.store.redeliver(sub.ref, home)).toEqual({ answer: 'too soon', waitMs: 60_000 });
    expect((await sub.store.redeliver(sub.ref, other)).answer).toBe('not failed');
    sub.clock.advance(60_000);
    expect((await sub.store.redeliver(sub.ref, home)).answer).toBe('accepted');
    const another = ids.find((id) => id !== other && shardOf(id, sub.shards) === 1) ?? '';
    expect((await sub.store.redeliver(sub.ref, another)).answer).toBe('too soon');
    expect((await sub.store.redeliver(sub.ref, sub.idOf(2))).answer).toBe('not found');
  });

  it('a bulk redelivery takes the failures of every store, as one job', async () => {
    await sub.failForGood(ids);
    const preview = await sub.store.previewRedelivery(sub.ref, ALL);
    expect(preview).toMatchObject({ answer: 'previewed', preview: { total: ids.length } });
    const started = await sub.store.startRedelivery(sub.ref, ALL);
    expect(started).toMatchObject({ answer: 'started', job: { state: 'processing', total: ids.length } });
    expect(await sub.store.startRedelivery(sub.ref, ALL)).toEqual({ answer: 'active' });
    for (let step = 0; step < 8; step++) {
      sub.clock.advance(1000);
      await sub.ring(3);
    }
    await sub.settle(ids, ok);
    const [job] = await sub.store.redeliveries();
    expect(job).toMatchObject({
      state: 'completed',
      redelivered: ids.length,
      succeeded: ids.length,
      failed: 0,
    });
    expect((await sub.store.startRedelivery(sub.ref, ALL)).answer).toBe('started');
  });

  it('a job whose caller died after home began it is joined by the others when somebody looks', async () => {
    await sub.failForGood(ids);
    const started = await sub.one(0).startRedelivery(sub.refFor(0), ALL);
    const id = started.answer === 'started' ? started.job.id : '';
    expect(await sub.one(1).redeliveries()).toEqual([]);
    const [job] = await sub.store.redeliveries(id);
    expect(job).toMatchObject({ id, state: 'processing', total: ids.length });
    expect(await sub.one(1).redeliveries(id)).toHaveLength(1);
    expect(await sub.one(2).redeliveries(id)).toHaveLength(1);
  });

  it('the daily visit lets stores join a job, too', async () => {
    await sub.failForGood(ids);
    await sub.one(0).startRedelivery(sub.refFor(0), ALL);
    await sub.store.ensureAlarm(sub.ref);
    expect(await sub.one(2).redeliveries()).toHaveLength(1);
  });

  it('a store that has forgotten its part of an old job does not begin it once more', async () => {
    await sub.failForGood(ids);
    await sub.one(0).startRedelivery(sub.refFor(0), ALL);
    sub.clock.advance(DAY_MS + 1);
    await sub.store.redeliveries();
    expect(await sub.one(1).redeliveries()).toEqual([]);
  });

  it('canceling ends the part of every store, also one that the caller did not reach before', async () => {
    await sub.failForGood(ids);
    const started = await sub.store.startRedelivery(sub.ref, ALL);
    const id = started.answer === 'started' ? started.job.id : '';
    await sub.one(0).cancelRedelivery(id);
    expect((await sub.store.redeliveries(id))[0]?.state).toBe('canceled');
    for (const number of [1, 2]) expect((await sub.one(number).redeliveries(id))[0]?.state).toBe('canceled');
    expect(await sub.store.cancelRedelivery(id)).toBe('canceled');
    expect(await sub.store.cancelRedelivery(crypto.randomUUID())).toBeUndefined();
    expect((await sub.store.startRedelivery(sub.ref, ALL)).answer).toBe('started');
  });

  it('a disabled subscription begins no job, and is said before a job that is active', async () => {
    await sub.failForGood(ids);
    await sub.store.startRedelivery(sub.ref, ALL);
    sub.ref = { ...sub.ref, version: sub.ref.version + 1, enabled: false };
    expect(await sub.store.startRedelivery(sub.ref, ALL)).toEqual({ answer: 'disabled' });
    await sub.store.adopt(sub.ref);
    expect((await sub.store.redeliveries())[0]?.state).toBe('canceled');
    expect(await sub.store.redeliver(sub.ref, ids[30] ?? '')).toEqual({ answer: 'disabled' });
  });

  it('a dry run goes on where it ended at each store', async () => {
    await sub.failForGood(ids);
    const span = { since: sub.clock.now() - HOUR_MS, until: sub.clock.now() };
    const first = await sub.store.previewRedelivery(sub.ref, span);
    expect(first).toMatchObject({ preview: { total: ids.length, notKept: 0, isEarly: false } });
    const start = sub.idAt(sub.clock.now() - HOUR_MS);
    const cursor = `1=${start},2=${start}`;
    const next = await sub.store.previewRedelivery(sub.ref, span, cursor);
    const elsewhere = ids.filter((id) => shardOf(id, sub.shards) !== 0).length;
    expect(next).toMatchObject({ preview: { total: elsewhere } });
  });
});

describe('exports over several stores', () => {
  async function file(id: string, parts: number): Promise<string[]> {
    const { store } = sub;
    let text = '';
    for (let part = 0; part < parts; part++) text += (await store.exportPart(id, part)) ?? 'GONE';
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { id: string }).id);
  }

  it('the file of an export has the failures of every store, in order of id', async () => {
    await sub.failForGood(ids);
    const started = await sub.store.startExport(sub.ref);
    const id = started.answer === 'started' ? started.job.id : '';
    expect(started).toMatchObject({ answer: 'started', job: { state: 'processing' } });
    expect(await sub.store.startExport(sub.ref)).toEqual({ answer: 'active' });
    await sub.ring(3);
    const [job] = await sub.store.exports(id);
    expect(job).toMatchObject({ state: 'completed', parts: 3 });
    expect(await file(id, job?.parts ?? 0)).toEqual(ids);
    expect((await sub.store.summary()).exportable).toBe(0);
    expect((await sub.store.startExport(sub.ref)).answer).toBe('too soon');
    sub.clock.advance(DAY_MS);
    expect((await sub.store.startExport(sub.ref)).answer).toBe('started');
  });

  it('an export that is canceled while one store has completed its part gives back all events', async () => {
    await sub.failForGood(ids);
    const started = await sub.store.startExport(sub.ref);
    const id = started.answer === 'started' ? started.job.id : '';
    await sub.ring(1);
    expect((await sub.one(0).exports(id))[0]?.state).toBe('completed');
    expect((await sub.store.exports(id))[0]?.state).toBe('processing');
    expect(await sub.store.cancelExport(id)).toBe('canceled');
    expect((await sub.store.exports(id))[0]?.state).toBe('canceled');
    const again = await sub.store.startExport(sub.ref);
    const next = again.answer === 'started' ? again.job.id : '';
    await sub.ring(3);
    const [job] = await sub.store.exports(next);
    expect(await file(next, job?.parts ?? 0)).toEqual(ids);
  });

  it('an export of which one part failed has failed, and its events belong to the next', async () => {
    await sub.failForGood(ids);
    const started = await sub.store.startExport(sub.ref);
    const id = started.answer === 'started' ? started.job.id : '';
    await sub.ring(1);
    await runInDurableObject(sub.one(1), (_, state) => {
      state.storage.sql.exec("UPDATE exports SET state = 'failed'");
    });
    expect((await sub.store.exports(id))[0]).toMatchObject({ state: 'failed', parts: 0 });
    for (const number of [0, 2]) expect((await sub.one(number).exports(id))[0]?.state).toBe('canceled');
    const again = await sub.store.startExport(sub.ref);
    const next = again.answer === 'started' ? again.job.id : '';
    await sub.ring(3);
    const [job] = await sub.store.exports(next);
    expect(await file(next, job?.parts ?? 0)).toEqual(ids);
  });

  it('an export whose caller died after home began it is joined by the others when somebody looks', async () => {
    await sub.failForGood(ids);
    const started = await sub.one(0).startExport(sub.refFor(0));
    const id = started.answer === 'started' ? started.job.id : '';
    await sub.ring(1);
    expect((await sub.store.exports(id))[0]?.state).toBe('processing');
    await sub.ring(3);
    const [job] = await sub.store.exports(id);
    expect(job?.state).toBe('completed');
    expect(await file(id, job?.parts ?? 0)).toEqual(ids);
  });

  it('the file of an export is whole until its end, though home ended its part after the other stores', async () => {
    await sub.failForGood(ids);
    const started = await sub.store.startExport(sub.ref);
    const id = started.answer === 'started' ? started.job.id : '';
    for (const number of [1, 2]) await runDurableObjectAlarm(sub.one(number));
    sub.clock.advance(10 * MINUTE_MS);
    await sub.ring(1);
    sub.clock.advance(EXPORT_LIFE_MS - MINUTE_MS);
    await sub.ring(3);
    const [job] = await sub.store.exports(id);
    expect(await file(id, job?.parts ?? 0)).toEqual(ids);
    sub.clock.advance(2 * MINUTE_MS);
    await sub.ring(3);
    expect(await sub.store.exports()).toEqual([]);
    sub.clock.advance(DAY_MS);
    await sub.ring(3);
    for (const number of [1, 2]) expect(await sub.one(number).exports()).toEqual([]);
  });

  it('a completed export stays whole in every store, however many are canceled after it', async () => {
    await sub.failForGood(ids);
    const started = await sub.store.startExport(sub.ref);
    const id = started.answer === 'started' ? started.job.id : '';
    await sub.ring(3);
    sub.clock.advance(DAY_MS);
    for (let jobs = 0; jobs < JOBS_KEPT_MAX; jobs++) {
      const next = await sub.store.startExport(sub.ref);
      await sub.store.cancelExport(next.answer === 'started' ? next.job.id : '');
    }
    const [job] = await sub.store.exports(id);
    expect(job).toMatchObject({ state: 'completed', parts: 3 });
    expect(await file(id, job?.parts ?? 0)).toEqual(ids);
    for (const number of [0, 1, 2]) expect(await sub.one(number).exports()).toHaveLength(JOBS_KEPT_MAX);
  });
});

describe('changes of a subscription with several stores', () => {
  it('disabling fails what waits in every store', async () => {
    await sub.hold(ids);
    sub.ref = { ...sub.ref, version: 2, enabled: false };
    await sub.store.adopt(sub.ref);
    await sub.ring(3);
    expect(await sub.store.summary()).toMatchObject({ failed: ids.length, retrying: 0 });
    expect(await sub.store.mayStart()).toBe(false);
  });

  it('a consumer asks every store from which it has events whether they may still be sent', async () => {
    const { store } = sub;
    await store.admit(sub.ref, [sub.idOf(0), sub.idOf(2)]);
    expect(await store.mayStart()).toBe(true);
    await sub.one(2).adopt({ ...sub.refFor(2), version: 2, enabled: false });
    expect(await store.mayStart()).toBe(false);
  });

  it('erasure reaches every store that any epoch ever had', async () => {
    await sub.settle(ids, ok);
    // The second store of an epoch that was forgotten.
    const forgotten = { ...sub.shards, epochs: sub.shards.epochs.slice(1) };
    sub.shards = forgotten;
    expect(await sub.one(2).total()).toBeGreaterThan(0);
    await sub.store.erase({ ...sub.ref, version: 2 });
    for (const number of [0, 1, 2]) {
      expect(await sub.one(number).total()).toBe(0);
      const [row] = await sub.rows<{ deleted: number }>(number, 'SELECT deleted_at AS deleted FROM store');
      expect(row?.deleted).toBe(sub.clock.now());
    }
    const answers = await sub.store.admit(sub.ref, ids);
    expect(answers.every((one) => one?.answer === 'done')).toBe(true);
  });

  it('an erasure that one store does not confirm is not confirmed, and may be repeated', async () => {
    await sub.settle(ids, ok);
    const { erase } = EventStore.prototype;
    const spy = vi.spyOn(EventStore.prototype, 'erase').mockImplementation(function (this: EventStore, ref) {
      if (ref.shard?.number === 2) return Promise.reject(new Error('the object is gone'));
      return erase.call(this, ref);
    });
    await expect(sub.store.erase(sub.ref)).rejects.toThrow('the object is gone');
    spy.mockRestore();
    await sub.store.erase(sub.ref);
    for (const number of [0, 1, 2]) expect(await sub.one(number).total()).toBe(0);
  });

  it('the daily visit sets the alarm of every store', async () => {
    await sub.hold(ids);
    for (const number of [0, 1, 2])
      await runInDurableObject(sub.one(number), (_, { storage }) => storage.deleteAlarm());
    await sub.store.ensureAlarm(sub.ref);
    for (const number of [0, 1, 2]) {
      const alarm = await runInDurableObject(sub.one(number), (_, { storage }) => storage.getAlarm());
      expect(alarm).not.toBeNull();
    }
  });
});
