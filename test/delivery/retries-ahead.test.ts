/** How a consumer sends first retries to the queue that the store has leased to it. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { deliverDispatched } from '../../src/delivery/dispatched-attempts.ts';
import type { Disposition } from '../../src/delivery/disposition.ts';
import { FirstAttempts } from '../../src/delivery/first-attempts.ts';
import { hostKey } from '../../src/delivery/hosts.ts';
import { Invocation } from '../../src/delivery/invocation.ts';
import type { DeliveryPorts } from '../../src/delivery/ports.ts';
import { newEventIds, newLeaseToken } from '../../src/domain/ids.ts';
import type { Caller, LeasedRetry, SentReport, SettleReply } from '../../src/event-store/rpc.ts';
import { Dispatch } from '../../src/outbound/queues.ts';
import { holdTimers } from '../support/clock.ts';
import { A_KEY, aSubscription, signing } from '../support/delivery-fixtures.ts';
import { unlimited } from '../support/host-limit.ts';
import { anEvent } from '../support/world.ts';

beforeEach(() => holdTimers());
afterEach(() => vi.restoreAllMocks());

const random = () => crypto.getRandomValues(new Uint8Array(16));
const STEP_MS = 50;
const TOKEN = newLeaseToken(0, random());
const LATER_TOKEN = newLeaseToken(9000, random());

/** The store leases every retry of a settle. */
const leaseAll = (reports: readonly SentReport[]): LeasedRetry[] =>
  reports.map(({ eventId }) => ({ eventId, leaseToken: TOKEN, delaySeconds: 3 }));

interface Options {
  retries?: (reports: readonly SentReport[]) => LeasedRetry[] | undefined;
  send?: () => Promise<void>;
  settled?: Promise<unknown>;
  isHostShared?: boolean;
  health?: 'healthy' | 'slow';
}

/** Makes the first attempts of events that a listener refuses. */
async function deliver(count: number, options: Options = {}) {
  const subscription = aSubscription(0);
  let now = 0;
  const seen = {
    story: [] as string[],
    callers: [] as (Caller | undefined)[],
    sent: [] as { dispatch: Dispatch; delaySeconds: number }[],
    sends: 0,
    released: [] as string[],
    noted: [] as string[],
    outliving: [] as Promise<unknown>[],
    dispositions: new Map<string, Disposition>(),
  };
  const store: ReturnType<DeliveryPorts['store']> = {
    admit: async (_, eventIds) => eventIds.map(() => ({ answer: 'new' })),
    begin: async () => [],
    mayStart: async () => true,
    release: async (eventIds) => void seen.released.push(...eventIds),
    settle: async (_, reports, caller): Promise<SettleReply> => {
      seen.story.push('settle');
      seen.callers.push(caller);
      await options.settled;
      const retries = (options.retries ?? leaseAll)(reports);
      return {
        settled: reports.map(({ eventId }) => ({ eventId, state: 'awaiting-retry', attempts: 1 })),
        health: { state: options.health ?? 'healthy', since: 0 },
        ...(retries === undefined ? {} : { retries }),
      };
    },
  };
  const ports: DeliveryPorts = {
    store: () => store,
    host: () => unlimited,
    ...signing,
    sign: async () => 'a.b.c',
    post: async () => ({ kind: 'http_error', response: { statusCode: 503, headers: {} } }),
    noteHealth: async (_, { state }) => void seen.noted.push(state),
    noteStoreTenths: async () => undefined,
    longestAttemptMs: 14_000,
    sendSlices: async () => undefined,
    sendDispatches: async (dispatches, delaySeconds) => {
      seen.story.push('send');
      seen.sends++;
      await options.send?.();
      seen.sent.push(...dispatches.map((dispatch) => ({ dispatch, delaySeconds })));
    },
    waitUntil: (outliving) => void seen.outliving.push(outliving),
    now: () => now,
    debug: false,
  };
  const invocation = new Invocation(ports, 10_000, new Set([subscription.customerId]));
  if (options.isHostShared === true)
    invocation.expectHosts(new Map([[hostKey(subscription.customerId, subscription.endpoint), count]]));
  const events = newEventIds(Date.now(), count, random()).map((id) => ({
    ...anEvent({ id }),
    id,
    customerId: subscription.customerId,
    acceptedAt: 0,
    occurredAt: 0,
  }));
  const route = { subscription, key: A_KEY, events: events as never[], waited: new Set<string>() };
  const work = new FirstAttempts(invocation, 6).deliver(route, ({ id }, disposition) => {
    seen.story.push('done');
    seen.dispositions.set(id, disposition);
  });
  const kinds = () => [...seen.dispositions.values()].map(({ kind }) => kind);
  const pass = async (ms: number) => {
    // In steps, because the clock and the timers are two.
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      await vi.advanceTimersByTimeAsync(0);
      now += STEP_MS;
      await vi.advanceTimersByTimeAsync(STEP_MS);
    }
    await vi.advanceTimersByTimeAsync(0);
  };
  return { seen, work, kinds, subscription, pass };
}

describe('a consumer that sends first retries itself', () => {
  it('a retry is in the queue before the message of its event is acknowledged', async () => {
    const { seen, work, kinds, subscription } = await deliver(1);
    await work;
    expect(seen.story).toEqual(['settle', 'send', 'done']);
    expect(kinds()).toEqual(['done']);
    expect(seen.callers).toEqual([{ sendsRetries: true }]);
    const { customerId, id: subscriptionId } = subscription;
    const eventIds = [...seen.dispositions.keys()];
    const dispatch = { customerId, subscriptionId, token: TOKEN, eventIds };
    expect(seen.sent).toEqual([{ dispatch, delaySeconds: 3 }]);
    expect(Dispatch.safeParse({ ...dispatch, customerId: crypto.randomUUID() }).success).toBe(true);
  });

  it('a hundred retries of one answer are five messages of one send', async () => {
    const ids = newEventIds(0, 100, random());
    const all = ids.map((eventId) => ({ eventId, leaseToken: TOKEN, delaySeconds: 3 }));
    const { seen, work } = await deliver(1, { retries: () => all });
    await work;
    expect(seen.sends).toBe(1);
    expect(seen.sent.map(({ dispatch }) => dispatch.eventIds.length)).toEqual([20, 20, 20, 20, 20]);
    expect(seen.sent.flatMap(({ dispatch }) => dispatch.eventIds)).toEqual(ids);
  });

  it('retries that are due at other times have messages of their own', async () => {
    const [first = '', second = ''] = newEventIds(0, 2, random());
    const retries = [
      { eventId: first, leaseToken: TOKEN, delaySeconds: 3 },
      { eventId: second, leaseToken: LATER_TOKEN, delaySeconds: 9 },
    ];
    const { seen, work } = await deliver(1, { retries: () => retries });
    await work;
    const sent = seen.sent.map(({ dispatch, delaySeconds }) => [
      dispatch.token,
      dispatch.eventIds,
      delaySeconds,
    ]);
    expect(sent).toEqual([
      [TOKEN, [first], 3],
      [LATER_TOKEN, [second], 9],
    ]);
  });

  it('a store that leases none is sent nothing for', async () => {
    const { seen, work, kinds } = await deliver(2, { retries: () => undefined });
    await work;
    expect([seen.sends, kinds()]).toEqual([0, ['done', 'done']]);
  });

  it('a consumer leaves retries to the store at a host that subscriptions share', async () => {
    const { seen, work } = await deliver(2, { isHostShared: true, retries: () => undefined });
    await work;
    expect(seen.callers.every((caller) => caller === undefined)).toBe(true);
  });
});

describe('a queue that does not take a retry', () => {
  it('the consumer gives it back to its store, and goes on', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const { seen, work, kinds } = await deliver(3, { send: () => Promise.reject(new Error('queue away')) });
    await work;
    expect(kinds()).toEqual(['done', 'done', 'done']);
    expect(seen.released.toSorted()).toEqual([...seen.dispositions.keys()].toSorted());
    const logged = warn.mock.calls.map(
      ([line]) => JSON.parse(String(line)) as { event: string; call: string },
    );
    expect(logged).toContainEqual(
      expect.objectContaining({ event: 'delivery call failed', call: 'sendDispatches' }),
    );
  });

  it('a queue that hangs holds up the batch for five seconds', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const { seen, work, kinds, pass } = await deliver(1, { send: () => new Promise(() => undefined) });
    await pass(4950);
    expect(kinds()).toEqual([]);
    await pass(STEP_MS);
    await work;
    expect(kinds()).toEqual(['done']);
    expect(seen.released).toHaveLength(1);
  });

  it('the health of an answer is noted before its retries are sent, so that no later answer is overtaken', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const { seen, work, pass } = await deliver(1, {
      send: () => new Promise(() => undefined),
      health: 'slow',
    });
    await pass(0);
    expect([seen.sends, seen.noted, seen.dispositions.size]).toEqual([1, ['slow'], 0]);
    await pass(5000);
    await work;
  });

  it('a store that answers too late has its retries sent all the same', async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const { promise, resolve } = Promise.withResolvers<void>();
    const { seen, work, kinds, pass } = await deliver(1, { settled: promise });
    await pass(5000);
    await work;
    expect([kinds(), seen.sends]).toEqual([['failed'], 0]);
    // The platform would end the invocation with its batch.
    expect(seen.outliving).toHaveLength(1);
    resolve();
    await Promise.all(seen.outliving);
    expect(seen.sent).toHaveLength(1);
  });
});

describe('a consumer that gets a retry which was sent ahead', () => {
  it('a consumer says that a dispatch has no place at its host, also when it was sent on, and of no other', async () => {
    const subscription = aSubscription(0);
    const { customerId, id: subscriptionId } = subscription;
    const [eventId = ''] = newEventIds(0, 1, random());
    const dispatch = { customerId, subscriptionId, token: TOKEN, eventIds: [eventId] };
    const callers: (Caller | undefined)[] = [];
    const sentOn: Dispatch[] = [];
    let now = 0;
    const ports = {
      store: () => ({
        begin: async (_: unknown, __: unknown, ___: unknown, caller?: Caller) => {
          callers.push(caller);
          return [];
        },
      }),
      host: () => unlimited,
      sendDispatches: async (dispatches: readonly Dispatch[]) => void sentOn.push(...dispatches),
      waitUntil: () => undefined,
      longestAttemptMs: 14_000,
      now: () => now,
    } as unknown as DeliveryPorts;
    const late = new Invocation(ports, 10_000, new Set([customerId]));
    now = 10_001;
    await deliverDispatched(late, subscription, dispatch);
    expect(sentOn).toEqual([dispatch]);
    for (const one of [...sentOn, { ...dispatch, places: { id: TOKEN, host: 'listener.example' } }])
      await deliverDispatched(new Invocation(ports, 10_000, new Set([customerId])), subscription, one);
    expect(callers).toEqual([{ signs: true, hasNoPlace: true }, { signs: true }]);
  });
});
