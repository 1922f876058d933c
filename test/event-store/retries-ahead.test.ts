/** A first retry that its consumer sends to the queue itself: leased when the failure is stored, and harmless whatever becomes of the message. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { leaseTokenTime } from '../../src/domain/ids.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import type { LeasedRetry } from '../../src/event-store/rpc.ts';
import { FIRST_RETRIES_MAX, UNHEALTHY_UNDER_WAY_MAX } from '../../src/event-store/tuning.ts';
import { aSet } from '../support/delivery-fixtures.ts';
import { reportOf } from '../support/reports.ts';
import { Sharded } from '../support/sharded.ts';
import { Bench, lost, ok, timedOut } from '../support/store-bench.ts';

const SENDS = { sendsRetries: true } as const;
const HAS_NO_PLACE = { signs: true, hasNoPlace: true } as const;
const LEASE_MS = 120_000;

function report(bench: Bench, eventId: string, outcome: Outcome = lost, attempt = 1) {
  const result = { attempt, startedAt: bench.clock.now(), durationMs: 5, outcome };
  return reportOf({ ...bench.facts(eventId), set: aSet(eventId), result });
}

/** Stores first attempts that failed, as a consumer does that sends retries itself. */
async function refused(bench: Bench, ids: readonly string[], outcome: Outcome = lost) {
  const { retries } = await bench.store.settle(
    bench.ref,
    ids.map((id) => report(bench, id, outcome)),
    SENDS,
  );
  return retries;
}

/** Many of them, with successes in between, so that the endpoint stays healthy. */
async function manyRefused(bench: Bench, count: number): Promise<LeasedRetry[]> {
  const all: LeasedRetry[] = [];
  for (let left = count; left > 0; left -= 4) {
    const reports = bench.ids(Math.min(4, left)).map((id) => report(bench, id));
    const good = bench.ids(1).map((id) => report(bench, id.replace(/.{4}$/, 'ffff'), ok));
    const { retries = [] } = await bench.store.settle(bench.ref, [...reports, ...good], SENDS);
    all.push(...retries);
    bench.clock.advance(1);
  }
  return all;
}

async function refusedOnce(bench: Bench): Promise<LeasedRetry> {
  const [id = ''] = bench.ids(1);
  const [retry] = (await refused(bench, [id])) ?? [];
  if (retry === undefined) throw new Error('no retry was leased');
  return retry;
}

async function begin(bench: Bench, { eventId, leaseToken }: LeasedRetry, caller: object = HAS_NO_PLACE) {
  return (await bench.store.begin(bench.ref, leaseToken, [eventId], caller))[0];
}

describe('a first retry that the consumer sends itself', () => {
  it('a failed first attempt is answered with a lease that begins when the retry is due', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    const now = bench.clock.now();
    const retries = await refused(bench, [id]);
    expect(retries).toEqual([{ eventId: id, leaseToken: expect.any(String), delaySeconds: 3 }]);
    expect(leaseTokenTime(retries?.[0]?.leaseToken ?? '')).toBe(now + 3000);
    expect(await bench.alarm()).toBe(now + 3000 + LEASE_MS);
  });

  it('the retry is shown as one that waits for its time', async () => {
    const bench = new Bench();
    const { eventId } = await refusedOnce(bench);
    const delivery = await bench.store.read(eventId);
    expect(delivery).toMatchObject({ state: 'awaiting-retry', attempts: 1 });
    expect(delivery?.history.at(-1)?.nextAttemptAt).toBe(bench.clock.now() + 3000);
    expect(await bench.store.list({ limit: 9, state: 'awaiting-retry' })).toHaveLength(1);
    expect(await bench.store.list({ limit: 9, state: 'executing' })).toEqual([]);
    expect(await bench.store.health()).toMatchObject({ waiting: 1 });
  });

  it('the attempt begins when its message comes, once, and a success is packed', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    bench.clock.advance(3000);
    expect(await begin(bench, retry)).toMatchObject({ attempt: 2, set: aSet(retry.eventId) });
    expect(await bench.state(retry.eventId)).toMatchObject({ state: 'executing', attempts: 2 });
    expect(await begin(bench, retry)).toBeUndefined();
    await bench.settle(retry.eventId, ok, 2);
    expect(await bench.state(retry.eventId)).toMatchObject({ state: 'success', attempts: 2 });
    expect(await begin(bench, retry)).toBeUndefined();
    expect(await bench.ringNext()).toEqual([]);
  });

  it('a second failure waits for thirty seconds, like any other', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    bench.clock.advance(3000);
    await begin(bench, retry);
    await bench.settle(retry.eventId, lost, 2);
    const before = bench.clock.now();
    expect(await bench.ringNext()).toEqual([retry.eventId]);
    expect(bench.clock.now() - before).toBe(30_000);
  });

  it('a consumer that does not say that it sends retries gets none, and the alarm dispatches them', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    const reply = await bench.store.settle(bench.ref, [report(bench, id)]);
    expect('retries' in reply).toBe(false);
    expect(await bench.alarm()).toBe(bench.clock.now() + 3000);
  });

  it('the delay is in whole seconds, and never shorter than the wait', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    const response = { statusCode: 503, headers: {} };
    const retries = await refused(bench, [id], { kind: 'http_error', response, retryAfterMs: 7001 });
    expect(retries).toMatchObject([{ delaySeconds: 8 }]);
  });

  it('a wait of more than a minute is left to the alarm', async () => {
    const bench = new Bench();
    const response = { statusCode: 503, headers: {} };
    const [id = ''] = bench.ids(1);
    expect(
      await refused(bench, [id], { kind: 'http_error', response, retryAfterMs: 60_001 }),
    ).toBeUndefined();
    expect(await bench.alarm()).toBe(bench.clock.now() + 60_001);
  });

  it('failures of one call that are due together share a token', async () => {
    const bench = new Bench();
    const retries = await refused(bench, bench.ids(4));
    expect(retries).toHaveLength(4);
    expect(new Set(retries?.map(({ leaseToken }) => leaseToken)).size).toBe(1);
  });
});

describe('a retry whose message is lost, late, early or doubled', () => {
  it('the alarm sends it again when its lease ends, with the same token', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    const before = bench.clock.now();
    await bench.ringNext();
    expect(bench.clock.now() - before).toBe(3000 + LEASE_MS);
    expect((await bench.tokens()).get(retry.eventId)).toBe(retry.leaseToken);
    expect(await bench.alarm()).toBe(bench.clock.now() + LEASE_MS);
    expect(await begin(bench, retry)).toMatchObject({ attempt: 2 });
    expect(await begin(bench, retry, { signs: true })).toBeUndefined();
  });

  it('a message that comes early begins nothing, and the alarm sends the retry when it is due', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    const before = bench.clock.now();
    bench.clock.advance(2999);
    expect(await begin(bench, retry)).toBeUndefined();
    expect(await bench.alarm()).toBe(before + 3000);
    await bench.ringNext();
    expect(await begin(bench, retry)).toMatchObject({ attempt: 2 });
  });

  it('a message that came early to a store whose clock went back is sent again when its lease begins', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    const dueAt = bench.clock.now() + 3000;
    await bench.store.release([retry.eventId]);
    await bench.ringNext();
    bench.clock.advance(-500);
    expect(await begin(bench, retry)).toBeUndefined();
    expect(await bench.alarm()).toBe(dueAt);
    await bench.ringNext();
    expect(await begin(bench, retry)).toMatchObject({ attempt: 2 });
  });

  it('a settle that is repeated is answered with the same lease', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    const first = await refused(bench, [id]);
    expect(await refused(bench, [id])).toEqual(first);
    bench.clock.advance(1500);
    expect(await refused(bench, [id])).toMatchObject([{ ...first?.[0], delaySeconds: 2 }]);
    bench.clock.advance(1500);
    expect(await refused(bench, [id])).toBeUndefined();
  });

  it('a consumer that could not send a retry gives it back, and the alarm sends it when it is due', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    const before = bench.clock.now();
    await bench.store.release([retry.eventId]);
    expect(await bench.alarm()).toBe(before + 3000);
    await bench.ringNext();
    expect(bench.clock.now() - before).toBe(3000);
    expect(await bench.alarm()).toBe(bench.clock.now() + LEASE_MS);
    expect(await begin(bench, retry)).toMatchObject({ attempt: 2 });
  });

  it('a retry that is given back to a store that has just woken is sent when it is due', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    const before = bench.clock.now();
    await evictDurableObject(bench.store);
    await bench.store.release([retry.eventId]);
    expect(await bench.alarm()).toBe(before + 3000);
    await bench.ringNext();
    expect(await begin(bench, retry)).toMatchObject({ attempt: 2 });
  });

  it('a message that comes early to a store that has just woken begins nothing, and the retry is sent when it is due', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    const before = bench.clock.now();
    await evictDurableObject(bench.store);
    bench.clock.advance(2999);
    expect(await begin(bench, retry)).toBeUndefined();
    expect(await bench.alarm()).toBe(before + 3000);
  });

  it('what is given back after its attempt has begun is not sent again', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    bench.clock.advance(3000);
    await begin(bench, retry);
    const before = await bench.alarm();
    await bench.store.release([retry.eventId]);
    expect(await bench.alarm()).toBe(before);
  });
});

describe('a store that dies or changes between the failure and its retry', () => {
  it('an evicted store knows the lease, and when it ends', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    const before = bench.clock.now();
    await evictDurableObject(bench.store);
    expect(await bench.state(retry.eventId)).toMatchObject({ state: 'awaiting-retry', attempts: 1 });
    await bench.store.adopt(bench.ref);
    expect(await bench.alarm()).toBe(before + 3000 + LEASE_MS);
    bench.clock.advance(3000);
    await evictDurableObject(bench.store);
    expect(await begin(bench, retry)).toMatchObject({ attempt: 2 });
  });

  it('a settle that is rolled back leases nothing', async () => {
    const bench = new Bench();
    const [id = '', good = ''] = bench.ids(2);
    await bench.store.adopt(bench.ref);
    await runInDurableObject(bench.store, async (store: EventStore, { storage }) => {
      storage.sql.exec(
        "CREATE TRIGGER broken BEFORE INSERT ON segments BEGIN SELECT RAISE(ABORT, 'broken'); END",
      );
      const reports = [report(bench, id), report(bench, good, ok)];
      await expect(store.settle(bench.ref, reports, SENDS)).rejects.toThrow('broken');
      storage.sql.exec('DROP TRIGGER broken');
    });
    expect(await bench.state(id)).toBeUndefined();
    expect((await bench.tokens()).size).toBe(0);
    expect(await refused(bench, [id])).toHaveLength(1);
  });

  it.each([
    ['failing', (bench: Bench) => bench.fail()],
    ['slow', (bench: Bench) => bench.settle(bench.ids(1)[0] ?? '', timedOut)],
  ] as const)(
    'a message that comes when its endpoint is %s begins nothing: the retry goes the way of endpoints in trouble',
    async (_, turn) => {
      const bench = new Bench();
      const retry = await refusedOnce(bench);
      await turn(bench);
      bench.clock.advance(3000);
      expect(await begin(bench, retry)).toBeUndefined();
      expect(await bench.alarm()).toBe(bench.clock.now());
      expect(await bench.ring()).toContain(retry.eventId);
      expect(await begin(bench, retry)).toBeUndefined();
      const leaseToken = (await bench.tokens()).get(retry.eventId) ?? '';
      expect(await begin(bench, { ...retry, leaseToken }, { signs: true })).toMatchObject({ attempt: 2 });
    },
  );

  it('retries that wait in the queue take no room of an endpoint that is not healthy', async () => {
    const bench = new Bench();
    expect(await manyRefused(bench, 2 * UNHEALTHY_UNDER_WAY_MAX)).toHaveLength(2 * UNHEALTHY_UNDER_WAY_MAX);
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    await bench.store.settle(
      bench.ref,
      bench.ids(50).map((id) => reportOf(bench.facts(id))),
    );
    expect(await bench.ring()).toHaveLength(UNHEALTHY_UNDER_WAY_MAX);
  });

  it('a retry fails at once when its subscription is disabled, and its message begins nothing', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    await bench.patch({ enabled: false });
    expect(await bench.state(retry.eventId)).toMatchObject({ state: 'failure', attempts: 1 });
    await bench.patch({ enabled: true });
    bench.clock.advance(3000);
    expect(await begin(bench, retry)).toBeUndefined();
    expect(await bench.store.redeliver(bench.ref, retry.eventId)).toMatchObject({ answer: 'accepted' });
    expect(await begin(bench, retry)).toBeUndefined();
  });

  it('a retry goes to the endpoint for which its event was stored, with a place at its host', async () => {
    const bench = new Bench();
    const { endpoint } = bench.ref;
    const retry = await refusedOnce(bench);
    await bench.fail();
    await bench.grantPlaces();
    await bench.patch({ endpoint: 'https://other.example/' });
    bench.clock.advance(3000);
    // The store knows nothing of the health of that endpoint any more: it was failing.
    expect(await begin(bench, retry)).toBeUndefined();
    expect(await bench.alarm()).toBe(bench.clock.now());
    await runDurableObjectAlarm(bench.store);
    const leaseToken = (await bench.tokens()).get(retry.eventId) ?? '';
    expect(await begin(bench, { ...retry, leaseToken }, { signs: true })).toMatchObject({ endpoint });
  });

  it('a message that comes after its subscription was deleted begins nothing', async () => {
    const bench = new Bench();
    const retry = await refusedOnce(bench);
    await bench.store.erase({ ...bench.ref, version: 2 });
    bench.clock.advance(3000);
    expect(await begin(bench, retry)).toBeUndefined();
  });
});

describe('which retries a consumer gets to send', () => {
  it.each([
    ['a time-out, which makes the endpoint slow', 1, timedOut],
    ['five failures in a row, which make it failing', 5, lost],
  ] as const)('none of %s', async (_, count, outcome) => {
    const bench = new Bench();
    expect(await refused(bench, bench.ids(count), outcome)).toBeUndefined();
    expect(await bench.alarm()).toBe(bench.clock.now() + 3000);
  });

  it('none while the endpoint is failing', async () => {
    const bench = new Bench();
    await bench.fail();
    expect(await refused(bench, bench.ids(1))).toBeUndefined();
  });

  it('none of an earlier endpoint, of whose health the store knows nothing', async () => {
    const bench = new Bench();
    const before = await bench.patch({ endpoint: 'https://other.example/' });
    const [id = ''] = bench.ids(1);
    const old = { ...report(bench, id), endpoint: before.endpoint };
    expect(await bench.store.settle(bench.ref, [old], SENDS)).not.toHaveProperty('retries');
  });

  it('none of a request that was overdue, whose delivery has a row of its own', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    const {
      kind: _,
      result: __,
      ...facts
    } = report(bench, id) as ReturnType<typeof report> & {
      result: unknown;
    };
    const startedAt = bench.clock.now();
    const waiting = {
      ...facts,
      kind: 'waiting',
      attempt: 1,
      startedAt,
      isUnusual: false,
      isAlone: true,
    } as const;
    await bench.store.settle(bench.ref, [waiting], SENDS);
    expect(await refused(bench, [id])).toBeUndefined();
  });

  it('none while the alarm has yet to write what failed when the subscription was disabled', async () => {
    const bench = new Bench();
    await bench.heldInRows(3);
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true });
    expect(await refused(bench, bench.ids(1))).toBeUndefined();
    await bench.ring();
    expect(await refused(bench, bench.ids(1))).toHaveLength(1);
  });

  it('none while the host of the endpoint gives no places', async () => {
    const bench = new Bench();
    await bench.held(7);
    // The host has five places before its first success.
    await runDurableObjectAlarm(bench.store);
    expect((await bench.tokens()).size).toBe(5);
    expect(await refused(bench, bench.ids(1))).toBeUndefined();
  });

  it('none that is due at once: the alarm sends it at once', async () => {
    const bench = new Bench();
    await bench.store.adopt(bench.ref);
    await runInDurableObject(bench.store, async (_, state) => {
      const store = new EventStore(state, { ...env, RETRY_DELAYS_SECONDS: '0,30' });
      const [id = ''] = bench.ids(1);
      expect(await store.settle(bench.ref, [report(bench, id)], SENDS)).not.toHaveProperty('retries');
      expect(await state.storage.getAlarm()).toBe(bench.clock.now());
    });
  });

  it('no more than there are rows for', async () => {
    const bench = new Bench();
    const retries = await manyRefused(bench, FIRST_RETRIES_MAX + 20);
    expect(retries).toHaveLength(FIRST_RETRIES_MAX);
    expect((await bench.tokens()).size).toBe(FIRST_RETRIES_MAX);
    expect(await bench.store.health()).toMatchObject({ waiting: FIRST_RETRIES_MAX + 20 });
  });
});

describe('the alarm of a store whose first retries are sent ahead', () => {
  it('a burst of two hundred failures that are taken at the retry sets one alarm, which rings once in vain', async () => {
    const bench = new Bench();
    await bench.store.adopt(bench.ref);
    const set: number[] = [];
    await runInDurableObject(bench.store, (_, { storage }) => {
      const setAlarm = storage.setAlarm.bind(storage);
      Object.defineProperty(storage, 'setAlarm', {
        configurable: true,
        value: (at: number) => {
          set.push(at);
          return setAlarm(at);
        },
      });
    });
    const start = bench.clock.now();
    const retries = await manyRefused(bench, 200);
    bench.clock.advance(3000);
    for (const retry of retries) expect(await begin(bench, retry)).toMatchObject({ attempt: 2 });
    for (let first = 0; first < retries.length; first += 50) {
      const some = retries.slice(first, first + 50);
      await bench.store.settle(
        bench.ref,
        some.map(({ eventId }) => report(bench, eventId, ok, 2)),
      );
    }
    expect(await bench.store.health()).toMatchObject({ waiting: 0 });
    expect(set).toEqual([start + 3000 + LEASE_MS]);
    expect(await bench.ringNext()).toEqual([]);
    expect(await bench.alarm()).toBeGreaterThan(bench.clock.now() + 60_000);
  });
});

describe('first retries of several event stores', () => {
  it('the leases of all stores come in one answer, and each is begun and given back at its store', async () => {
    const sub = new Sharded({ epochs: [{ since: 0, n: 3 }], most: 3 });
    const ids = [sub.idOf(0), sub.idOf(1), sub.idOf(2)];
    const result = { attempt: 1, startedAt: sub.clock.now(), durationMs: 5, outcome: lost };
    const reports = ids.map((id) => reportOf({ ...sub.facts(id), result }));
    const { retries = [] } = await sub.store.settle(sub.ref, reports, SENDS);
    expect(retries.map(({ eventId }) => eventId).toSorted()).toEqual(ids.toSorted());
    const own = retries.find(({ eventId }) => eventId === ids[2]);
    await sub.store.release([ids[1] ?? '']);
    const alarmOf = (number: number) =>
      runInDurableObject(sub.one(number), (_, { storage }) => storage.getAlarm());
    const dueAt = sub.clock.now() + 3000;
    expect([await alarmOf(0), await alarmOf(1)]).toEqual([dueAt + LEASE_MS, dueAt]);
    sub.clock.advance(3000);
    const begun = await sub.store.begin(sub.ref, own?.leaseToken ?? '', [ids[2] ?? ''], HAS_NO_PLACE);
    expect(begun).toMatchObject([{ eventId: ids[2], attempt: 2 }]);
  });
});
