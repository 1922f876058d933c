import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { HistoryEntry } from '../../src/domain/delivery.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import type { SubscriptionRef } from '../../src/domain/subscription.ts';
import { type EventStore, EventStore as Store } from '../../src/event-store/event-store.ts';
import type { AttemptReport } from '../../src/event-store/rpc.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { hostLimitStub } from '../support/host-limit.ts';
import { reportOf } from '../support/reports.ts';

const DAY_MS = 86_400_000;
const ok: Outcome = { kind: 'success', response: { statusCode: 200, headers: {} } };
const timedOut: Outcome = { kind: 'timed_out', message: 'no answer within 1 s' };
const unavailable: Outcome = { kind: 'http_error', response: { statusCode: 503, headers: {} } };

/** The store of a new subscription. */
function newStore(): { ref: SubscriptionRef; store: DurableObjectStub<EventStore> } {
  const subscriptionId = crypto.randomUUID();
  const ref = {
    customerId: crypto.randomUUID(),
    subscriptionId,
    version: 1,
    enabled: true,
    endpoint: 'https://listener.example/',
  };
  return { ref, store: eventStoreStub(subscriptionId) };
}

function eventIds(clock: HeldClock, count: number): string[] {
  return newEventIds(clock.now(), count, crypto.getRandomValues(new Uint8Array(16)));
}

function eventId(clock: HeldClock): string {
  return eventIds(clock, 1)[0] ?? '';
}

function attempted(
  clock: HeldClock,
  id: string,
  outcome: Outcome,
  attempt = 1,
  acceptedAt = clock.now(),
): AttemptReport {
  const facts = {
    eventId: id,
    acceptedAt,
    endpoint: 'https://listener.example/',
    set: 'the.signed.set',
  };
  return reportOf({ ...facts, result: { attempt, startedAt: clock.now(), durationMs: 5, outcome } });
}

function held(clock: HeldClock, id: string): AttemptReport {
  return reportOf({
    eventId: id,
    acceptedAt: clock.now(),
    endpoint: 'https://listener.example/',
    set: 'the.signed.set',
  });
}

/** The lease token of a delivery. Only the rows of the store show it. */
async function leaseToken(store: DurableObjectStub<EventStore>, id: string): Promise<string> {
  return await runInDurableObject(store, (_, state) => {
    const row = state.storage.sql
      .exec('SELECT lease_token AS token FROM deliveries WHERE event_id = ?', id)
      .one();
    return String(row['token']);
  });
}

async function alarmTime(store: DurableObjectStub<EventStore>): Promise<number | null> {
  return await runInDurableObject(store, (_, state) => state.storage.getAlarm());
}

async function states(store: DurableObjectStub<EventStore>, id: string): Promise<string[]> {
  const delivery = await store.read(id);
  return (delivery?.history ?? []).map((entry: HistoryEntry) => entry.state);
}

describe('admit', () => {
  it('admit answers new once, then busy for the rest of the claim', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    expect(await store.admit(ref, [id])).toEqual([{ answer: 'new' }]);
    clock.advance(1000);
    const [second] = await store.admit(ref, [id]);
    // A claim lasts 100 s: 10 for the invocation, 60 for the attempt, 30 of margin. One second has passed.
    expect(second).toEqual({ answer: 'busy', retryAfterMs: 99_000 });
  });

  it('admit answers new again when the claim has lapsed or was lost with the memory', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    await store.admit(ref, [id]);
    clock.advance(120_000);
    expect(await store.admit(ref, [id])).toEqual([{ answer: 'new' }]);
    await evictDurableObject(store);
    expect(await store.admit(ref, [id])).toEqual([{ answer: 'new' }]);
  });

  it('admit answers done for a stored event, whatever its state', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const [success = '', retry = '', waiting = ''] = eventIds(clock, 3);
    await store.settle(ref, [
      attempted(clock, success, ok),
      attempted(clock, retry, unavailable),
      held(clock, waiting),
    ]);
    expect(await store.admit(ref, [success, retry, waiting])).toEqual([
      { answer: 'done' },
      { answer: 'done' },
      { answer: 'done' },
    ]);
  });

  it('admit defers events in a disabled store, even for a consumer with an older version', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    await store.adopt({ ...ref, version: 2, enabled: false, endpoint: 'https://listener.example/' });
    expect(await store.admit(ref, [eventId(clock)])).toEqual([{ answer: 'held' }]);
  });

  it('admit adopts a newer version of the subscription from the call', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    await store.adopt({ ...ref, version: 2, enabled: false, endpoint: 'https://listener.example/' });
    expect(
      await store.admit({ ...ref, version: 3, enabled: true, endpoint: 'https://listener.example/' }, [
        eventId(clock),
      ]),
    ).toEqual([{ answer: 'new' }]);
  });

  it('admit refuses a call for another subscription', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    await store.admit(ref, [eventId(clock)]);
    await runInDurableObject(store, async (instance: EventStore) => {
      const other = { ...ref, subscriptionId: crypto.randomUUID(), version: 2 };
      await expect(instance.admit(other, [eventId(clock)])).rejects.toThrow('another subscription');
    });
  });
});

describe('settle', () => {
  it('a result that is settled twice changes nothing the second time', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    const settlement = attempted(clock, id, unavailable);
    await store.settle(ref, [settlement]);
    const first = await store.read(id);
    clock.advance(500);
    expect((await store.settle(ref, [settlement])).settled).toEqual([
      { eventId: id, state: 'dropped', attempts: 1 },
    ]);
    expect(await store.read(id)).toEqual(first);
  });

  it('a late success replaces a failure of the same attempt, and nothing replaces a success', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    await store.settle(ref, [attempted(clock, id, unavailable)]);
    await store.settle(ref, [attempted(clock, id, ok)]);
    expect((await store.read(id))?.state).toBe('success');
    await store.settle(ref, [attempted(clock, id, unavailable, 2)]);
    expect(await states(store, id)).toEqual(['awaiting-executing', 'executing', 'awaiting-retry', 'success']);
  });

  it('a failed attempt that could be retried is final in a disabled store', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    await store.admit(ref, [id]);
    await store.adopt({ ...ref, version: 2, enabled: false, endpoint: 'https://listener.example/' });
    await store.settle(ref, [attempted(clock, id, unavailable)]);
    const delivery = await store.read(id);
    expect(delivery?.state).toBe('failure');
    expect(delivery?.history.at(-1)?.reason).toBe('HTTP 503; subscription disabled');
  });

  it('settle stores all results of a call or none of them', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const [good = '', bad = ''] = eventIds(clock, 2);
    await runInDurableObject(store, async (instance: EventStore) => {
      const broken = { ...attempted(clock, bad, ok), endpoint: null as unknown as string };
      await expect(instance.settle(ref, [attempted(clock, good, ok), broken])).rejects.toThrow('NOT NULL');
    });
    expect(await store.total()).toBe(0);
  });
});

describe('the alarm', () => {
  it('the alarm is armed for the next attempt, and dispatches nothing early', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    await store.settle(ref, [attempted(clock, id, unavailable)]);
    expect(await alarmTime(store)).toBe(clock.now() + 3000);
    clock.advance(2999);
    await runDurableObjectAlarm(store);
    expect((await store.read(id))?.leaseToken).toBeNull();
    expect(await alarmTime(store)).toBe(clock.now() + 1);
  });

  it('the alarm is not written again when it already rings early enough', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const [first = '', second = ''] = eventIds(clock, 2);
    await store.settle(ref, [attempted(clock, first, unavailable)]);
    const armed = await alarmTime(store);
    clock.advance(1000);
    await store.settle(ref, [attempted(clock, second, unavailable)]);
    expect(await alarmTime(store)).toBe(armed);
  });

  it('a lost alarm is armed again by the next call', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    await store.settle(ref, [attempted(clock, eventId(clock), unavailable)]);
    await runInDurableObject(store, (_, state) => state.storage.deleteAlarm());
    await store.ensureAlarm(ref);
    expect(await alarmTime(store)).toBe(clock.now() + 3000);
  });

  it('an admit arms the alarm when something was written since it was armed, or the object woke', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    await store.settle(ref, [attempted(clock, eventId(clock), unavailable)]);
    const armed = await alarmTime(store);
    const afterLoss = async (brought: typeof ref) => {
      await runInDurableObject(store, (_, state) => state.storage.deleteAlarm());
      await store.admit(brought, [eventId(clock)]);
      return await alarmTime(store);
    };
    expect(await afterLoss(ref)).toBe(null);
    expect(await afterLoss({ ...ref, version: ref.version + 1 })).toBe(armed);
    expect(await afterLoss({ ...ref, version: ref.version + 1 })).toBe(null);
    await evictDurableObject(store);
    expect(await afterLoss({ ...ref, version: ref.version + 1 })).toBe(armed);
  });

  it('a repeated dispatch keeps its unspent token, so that the slow message still counts', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    // D1 does not have this subscription, so the real consumer drops these messages.
    const id = eventId(clock);
    await store.settle(ref, [held(clock, id)]);
    await runDurableObjectAlarm(store);
    const token = await leaseToken(store, id);
    clock.advance(120_000);
    await runDurableObjectAlarm(store);
    expect(await leaseToken(store, id)).toBe(token);
    expect(await store.begin(ref, token, [id])).toHaveLength(1);
    expect(await store.begin(ref, token, [id])).toEqual([]);
  });

  it('a lapsed attempt is made again under its own number', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    await store.settle(ref, [held(clock, id)]);
    await runDurableObjectAlarm(store);
    const [first] = await store.begin(ref, await leaseToken(store, id), [id]);
    expect(first?.attempt).toBe(1);
    clock.advance(90_000); // 60 s for the attempt and 30 s of margin
    await runDurableObjectAlarm(store);
    const [again] = await store.begin(ref, await leaseToken(store, id), [id]);
    expect(again?.attempt).toBe(1);
    await store.settle(ref, [attempted(clock, id, ok, 1)]);
    expect(await states(store, id)).toEqual(['awaiting-executing', 'executing', 'success']);
  });

  it('a delivery that the queue did not take is sent again, with its token, after a wait that grows', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    const error = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const tokens: string[] = [];
    // All tests of the isolate share this binding, so it is broken for this test only.
    const send = vi.spyOn(env.DELIVERIES, 'sendBatch').mockImplementation(async (batch) => {
      for (const { body } of batch) tokens.push((body as { token: string }).token);
      throw new Error('away');
    });
    onTestFinished(() => {
      send.mockRestore();
      error.mockRestore();
    });
    await store.settle(ref, [held(clock, id)]);
    for (const wait of [1000, 2000, 4000]) {
      await runDurableObjectAlarm(store);
      expect(await alarmTime(store)).toBe(clock.now() + wait);
      clock.advance(wait);
    }
    expect(tokens).toHaveLength(3);
    expect(new Set(tokens)).toEqual(new Set([await leaseToken(store, id)]));
  });

  it('deliveries that the queue did not take return their places at the host', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    await runInDurableObject(store, async (instance: EventStore) => {
      const queue = env.DELIVERIES;
      const send = queue.sendBatch.bind(queue);
      await instance.settle(
        ref,
        eventIds(clock, 5).map((id) => held(clock, id)),
      );
      Object.defineProperty(queue, 'sendBatch', {
        configurable: true,
        value: () => Promise.reject(new Error('away')),
      });
      try {
        await instance.alarm();
      } finally {
        Object.defineProperty(queue, 'sendBatch', { configurable: true, value: send });
      }
    });
    const all = { id: 'other', want: 5, left: 0, succeeded: 0, failedStarts: [], leaseMs: 1 };
    expect((await hostLimitStub(ref.customerId, ref.endpoint).visit(all)).granted).toBe(5);
  });

  it('deliveries that the queue did not take do not hold up a test notification', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const [waiting = '', test = ''] = eventIds(clock, 2);
    await runInDurableObject(store, async (instance: EventStore, { storage }) => {
      const queue = env.DELIVERIES;
      const send = queue.sendBatch.bind(queue);
      await instance.settle(ref, [held(clock, waiting)]);
      Object.defineProperty(queue, 'sendBatch', {
        configurable: true,
        value: () => Promise.reject(new Error('away')),
      });
      try {
        for (let refusal = 0; refusal < 8; refusal++) {
          await instance.alarm();
          clock.advance(300_000);
        }
      } finally {
        Object.defineProperty(queue, 'sendBatch', { configurable: true, value: send });
      }
      clock.advance(-299_000);
      await instance.settle(ref, [{ ...held(clock, test), neverHeld: true }]);
      expect(await storage.getAlarm()).toBeLessThanOrEqual(clock.now());
      await instance.alarm();
      expect((await instance.read(test))?.leaseToken).not.toBeNull();
    });
  });

  it('an alarm that rings while the configuration is wrong rings again after 15 minutes, and sends nothing', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    await store.settle(ref, [held(clock, id)]);
    const error = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    onTestFinished(() => error.mockRestore());
    await runInDurableObject(store, async (_, state) => {
      const misconfigured = new Store(state, { ...env, RETENTION_DAYS: 'many' });
      await state.storage.deleteAlarm();
      await misconfigured.alarm();
      expect(await state.storage.getAlarm()).toBe(clock.now() + 900_000);
    });
    expect(await store.read(id)).toMatchObject({ state: 'awaiting-executing', leaseToken: null });
    expect(error.mock.calls.flat().join()).toContain('RETENTION_DAYS');
  });

  it('a delivery that is due in a disabled store fails instead of being sent', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    await store.settle(ref, [held(clock, id)]);
    await runDurableObjectAlarm(store);
    const token = await leaseToken(store, id);
    await store.begin(ref, token, [id]);
    await store.adopt({ ...ref, version: 2, enabled: false, endpoint: 'https://listener.example/' });
    expect((await store.read(id))?.state).toBe('executing');
    clock.advance(90_000);
    await runDurableObjectAlarm(store);
    const delivery = await store.read(id);
    expect(delivery?.state).toBe('failure');
    expect(delivery?.history.at(-1)?.reason).toBe('result of the attempt unknown; subscription disabled');
  });
});

describe('a disabled subscription', () => {
  it('waiting deliveries fail at once when the subscription is disabled, and no attempt begins', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const [retry = '', waiting = ''] = eventIds(clock, 2);
    await store.settle(ref, [attempted(clock, retry, unavailable), held(clock, waiting)]);
    await runDurableObjectAlarm(store);
    const token = await leaseToken(store, waiting);
    await store.adopt({ ...ref, version: 2, enabled: false, endpoint: 'https://listener.example/' });
    expect((await store.read(retry))?.state).toBe('failure');
    expect((await store.read(waiting))?.history.at(-1)).toMatchObject({
      state: 'failure',
      attempts: 0,
      reason: 'subscription disabled',
    });
    expect(await store.begin(ref, token, [waiting])).toEqual([]);
  });

  it('a disabled store keeps new events as failures without an attempt', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const id = eventId(clock);
    const {
      settled: [settled],
    } = await store.settle({ ...ref, enabled: false }, [held(clock, id)]);
    expect(settled).toEqual({ eventId: id, state: 'failure', attempts: 0 });
  });
});

describe('retention', () => {
  it('a success is deleted seven days after its acceptance, and not before', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    await store.settle(ref, [attempted(clock, eventId(clock), ok)]);
    expect(await alarmTime(store)).toBe(clock.now() + 7 * DAY_MS);
    clock.advance(7 * DAY_MS - 1);
    await runDurableObjectAlarm(store);
    expect(await store.total()).toBe(1);
    clock.advance(3_600_000);
    await runDurableObjectAlarm(store);
    expect(await store.total()).toBe(0);
  });

  it('a failure is kept seven days after it failed, and an open delivery until it ends', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const [failed = '', open = ''] = eventIds(clock, 2);
    const accepted = clock.now();
    await store.settle(ref, [attempted(clock, failed, unavailable), attempted(clock, open, unavailable)]);
    clock.advance(2 * DAY_MS);
    const redirect: Outcome = { kind: 'http_error', response: { statusCode: 302, headers: {} } };
    await store.settle(ref, [attempted(clock, failed, redirect, 2, accepted)]);
    clock.advance(6 * DAY_MS);
    await runDurableObjectAlarm(store);
    expect(await store.total()).toBe(2);
    clock.advance(DAY_MS + 3_600_000);
    await runDurableObjectAlarm(store);
    expect(await store.read(failed)).toBeUndefined();
    expect(await store.read(open)).toBeDefined();
  });

  it('the sweep deletes one bounded bite in each alarm until all expired events are gone', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    for (let batch = 0; batch < 11; batch++) {
      await store.settle(
        ref,
        eventIds(clock, 100).map((id) => attempted(clock, id, ok)),
      );
    }
    clock.advance(8 * DAY_MS);
    const left = () =>
      runInDurableObject(store, (_, { storage }) => {
        const query = 'SELECT count(*) AS left FROM deliveries';
        return storage.sql.exec<{ left: number }>(query).one().left;
      });
    await runDurableObjectAlarm(store);
    expect(await left()).toBe(100);
    expect(await alarmTime(store)).toBe(clock.now());
    await runDurableObjectAlarm(store);
    expect(await left()).toBe(0);
  });
});

describe('an erased store', () => {
  it('an erased store has nothing to read, and drops late results', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    const [id = '', late = ''] = eventIds(clock, 2);
    await store.settle(ref, [attempted(clock, id, unavailable)]);
    await store.erase(ref);
    expect(await store.read(id)).toBeUndefined();
    expect(await store.admit(ref, [late])).toEqual([{ answer: 'done' }]);
    expect((await store.settle(ref, [attempted(clock, late, ok)])).settled).toEqual([
      { eventId: late, state: 'dropped', attempts: 0 },
    ]);
    expect(await store.total()).toBe(0);
  });

  it('an erased store drops late results even when its tables are gone', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    await store.settle(ref, [attempted(clock, eventId(clock), timedOut)]);
    await store.erase(ref);
    clock.advance(3_600_000);
    await runDurableObjectAlarm(store);
    const late = eventId(clock);
    const answer = await store.settle(ref, [attempted(clock, late, ok)]);
    expect(answer).toEqual({
      settled: [{ eventId: late, state: 'dropped', attempts: 0 }],
      health: { state: 'healthy', since: 0 },
    });
    expect(await store.admit(ref, [late])).toEqual([{ answer: 'done' }]);
    expect(await store.health()).toMatchObject({ waiting: 0 });
  });

  it('a store may be erased twice, stays erased after an eviction, and ends empty', async () => {
    const clock = holdClock();
    const { ref, store } = newStore();
    await store.settle(ref, [attempted(clock, eventId(clock), ok)]);
    await store.erase(ref);
    await store.erase(ref);
    await evictDurableObject(store);
    expect(await store.admit(ref, [eventId(clock)])).toEqual([{ answer: 'done' }]);
    expect(await alarmTime(store)).toBe(clock.now() + 3_600_000);
    clock.advance(3_600_000);
    await runDurableObjectAlarm(store);
    const tables = await runInDurableObject(store, (_, state) =>
      state.storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'deliveries'").toArray(),
    );
    expect(tables).toEqual([]);
    expect(await alarmTime(store)).toBeNull();
  });
});
