/** Requests without an answer: what the invocation reports, what it sends on, and how long its batch waits. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { deliverDispatched } from '../../src/delivery/dispatched-attempts.ts';
import { DONE, FAILED } from '../../src/delivery/disposition.ts';
import { FirstAttempts } from '../../src/delivery/first-attempts.ts';
import { Invocation } from '../../src/delivery/invocation.ts';
import type { DeliveryPorts } from '../../src/delivery/ports.ts';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import type { Subscription } from '../../src/domain/subscription.ts';
import type { AttemptReport } from '../../src/event-store/rpc.ts';
import type { Dispatch } from '../../src/outbound/queues.ts';
import { holdTimers } from '../support/clock.ts';
import { aSubscription, ok, timedOut } from '../support/delivery-fixtures.ts';

beforeEach(() => holdTimers());

/** Listeners that answer when the test says so, in a world whose clock and timers the test moves. */
class World {
  now = 1_000_000;
  readonly reports: AttemptReport[] = [];
  readonly released: string[] = [];
  readonly dispatches: [Dispatch, number][] = [];
  readonly waits: Promise<unknown>[] = [];
  readonly posted: string[] = [];
  refusesWaiting = false;
  readonly #answers = new Map<string, (outcome: Outcome) => void>();

  readonly ports: DeliveryPorts = {
    store: () => ({
      admit: async (_, ids) => ids.map(() => ({ answer: 'new' })),
      begin: async (_, __, [eventId = '']) => [
        { eventId, acceptedAt: 0, endpoint: eventId, set: eventId, attempt: 3 },
      ],
      mayStart: async () => true,
      release: async (ids) => void this.released.push(...ids),
      settle: async (_, reports) => {
        if (this.refusesWaiting && reports.some(({ kind }) => kind === 'waiting')) throw new Error('away');
        this.reports.push(...reports);
        return {
          settled: reports.map(({ eventId }) => ({ eventId, state: 'success', attempts: 1 })),
          health: { state: 'healthy', since: 0 },
        };
      },
    }),
    sign: async (event) => event.id,
    post: (_, set) => {
      this.posted.push(set);
      return new Promise((resolve) => this.#answers.set(set, resolve));
    },
    longestAttemptMs: 14_000,
    noteHealth: async () => undefined,
    sendSlices: async () => undefined,
    sendDispatches: async (dispatches, seconds) =>
      void this.dispatches.push(...dispatches.map((one): [Dispatch, number] => [one, seconds])),
    waitUntil: (work) => void this.waits.push(work),
    now: () => this.now,
    debug: false,
  };

  async advance(ms: number): Promise<void> {
    // What is under way goes on first, by the time that it began at.
    await vi.advanceTimersByTimeAsync(0);
    this.now += ms;
    await vi.advanceTimersByTimeAsync(ms);
    await vi.advanceTimersByTimeAsync(0);
  }

  async answer(set: string, outcome: Outcome = ok): Promise<void> {
    this.#answers.get(set)?.(outcome);
    await vi.advanceTimersByTimeAsync(0);
  }

  get kinds(): string[] {
    return this.reports.map(({ eventId, kind }) => `${eventId} ${kind}`);
  }
}

function anEvent(id: string): IdentityEvent {
  return { id, customerId: 'c', type: 'entityCreated', acceptedAt: 0, occurredAt: 0 } as IdentityEvent;
}

/** Delivers events and records how each ended. */
function deliver(world: World, invocation: Invocation, subscription: Subscription, ids: readonly string[]) {
  const ended: Record<string, unknown> = {};
  const attempts = new FirstAttempts(invocation, 6);
  void attempts.deliver({ subscription, kid: 'k', events: ids.map(anEvent) }, ({ id }, disposition) => {
    ended[id] = disposition;
  });
  return { ended, world };
}

/** A subscription whose listener has answered in 20 ms before. */
async function quick(world: World): Promise<Subscription> {
  const subscription = aSubscription(0);
  const invocation = new Invocation(world.ports, 10_000);
  deliver(world, invocation, subscription, [`first of ${subscription.id}`]);
  await world.advance(20);
  await world.answer(`first of ${subscription.id}`);
  world.reports.length = 0;
  return subscription;
}

describe('a first attempt without an answer', () => {
  it('a request that is overdue is reported as waiting, and its message needs it no more', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000);
    const { ended } = deliver(world, invocation, await quick(world), ['a']);
    await world.advance(249);
    expect(ended).toEqual({});
    await world.advance(1);
    expect(world.kinds).toEqual(['a waiting']);
    expect(world.reports[0]).toMatchObject({ attempt: 1, isUnusual: true, set: 'a' });
    expect(ended).toEqual({ a: DONE });
    await world.advance(5000);
    await world.answer('a', timedOut);
    expect(world.kinds).toEqual(['a waiting', 'a attempted']);
    expect(world.reports[1]).toMatchObject({ result: { attempt: 1, durationMs: 5250, outcome: timedOut } });
  });

  it('the message waits for the answer when the store could not note the attempt', async () => {
    const world = new World();
    world.refusesWaiting = true;
    const { ended } = deliver(world, new Invocation(world.ports, 10_000), aSubscription(0), ['a']);
    await world.advance(1250);
    expect(ended).toEqual({});
    await world.answer('a');
    expect(ended).toEqual({ a: DONE });
    expect(world.kinds).toEqual(['a attempted']);
  });

  it('the events behind it wait for it elsewhere, until two seconds have passed', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000);
    const { ended } = deliver(world, invocation, aSubscription(0), ['a', 'b', 'c']);
    await world.advance(1250);
    expect(world.posted).toEqual(['a']);
    expect(ended).toEqual({
      a: DONE,
      b: { kind: 'later', waitMs: 750 },
      c: { kind: 'later', waitMs: 750 },
    });
    expect(world.released).toEqual(['b', 'c']);
  });

  it('a listener that usually takes longer gets the next request all the same', async () => {
    const world = new World();
    const subscription = aSubscription(0);
    const invocation = new Invocation(world.ports, 10_000);
    deliver(world, invocation, subscription, ['first']);
    await world.advance(1400);
    await world.answer('first');
    const { ended } = deliver(world, invocation, subscription, ['a', 'b', 'c', 'd', 'e', 'f']);
    await world.advance(1249);
    expect(world.posted).toEqual(['first', 'a', 'b', 'c', 'd', 'e']);
    await world.answer('a');
    await world.advance(1);
    // The answer to the first request gave its slot to the last event.
    expect(world.reports.filter(({ kind }) => kind === 'waiting')).toHaveLength(5);
    expect(world.posted).toContain('f');
    expect(ended).toMatchObject({ a: DONE, b: DONE, e: DONE });
  });

  it('three overdue requests send everything else on, to free connections', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000);
    for (let index = 0; index < 5; index++) {
      deliver(world, invocation, aSubscription(0), [`hangs ${index}`]);
    }
    const { ended } = deliver(world, invocation, aSubscription(0), ['well']);
    await world.advance(1249);
    expect(ended).toEqual({});
    await world.advance(1);
    expect(ended).toEqual({ well: { kind: 'later', waitMs: 0 } });
    expect(world.released).toEqual(['well']);
    expect(world.posted).toHaveLength(5);
  });
});

describe('the end of a batch', () => {
  it('a batch ends while a request goes on that needs at most 20 seconds more', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000);
    deliver(world, invocation, aSubscription(0), ['a']);
    await world.advance(1250);
    await invocation.end();
    expect(world.waits).toHaveLength(1);
  });

  it('a batch waits for a request that may need longer than the platform lets it', async () => {
    const world = new World();
    const invocation = new Invocation({ ...world.ports, longestAttemptMs: 64_000 }, 10_000);
    deliver(world, invocation, aSubscription(0), ['a']);
    await world.advance(1250);
    let hasEnded = false;
    void invocation.end().then(() => {
      hasEnded = true;
    });
    await world.advance(42_749);
    expect(hasEnded).toBe(false);
    await world.advance(1);
    expect(hasEnded).toBe(true);
  });

  it('a batch ends at once when such a request was answered', async () => {
    const world = new World();
    const invocation = new Invocation({ ...world.ports, longestAttemptMs: 64_000 }, 10_000);
    deliver(world, invocation, aSubscription(0), ['a']);
    await world.advance(1250);
    await world.answer('a');
    await invocation.end();
  });
});

describe('a dispatched attempt without an answer', () => {
  const dispatchOf = (subscription: Subscription, eventIds: string[], unhealthy?: true): Dispatch => ({
    customerId: subscription.customerId,
    subscriptionId: subscription.id,
    token: 'token',
    eventIds,
    ...(unhealthy ? { unhealthy } : {}),
  });

  it('the rest of its message goes on in the queue of endpoints in trouble, with its token', async () => {
    const world = new World();
    const subscription = aSubscription(0);
    const dispatch = dispatchOf(subscription, ['a', 'b', 'c']);
    const ended = deliverDispatched(new Invocation(world.ports, 10_000), subscription, dispatch);
    await world.advance(1250);
    expect(await ended).toEqual(DONE);
    expect(world.posted).toEqual(['a']);
    expect(world.kinds).toEqual(['a waiting']);
    expect(world.dispatches).toEqual([[{ ...dispatch, eventIds: ['b', 'c'], unhealthy: true }, 1]]);
  });

  it('an attempt for an endpoint in trouble is left behind without a word to the store', async () => {
    const world = new World();
    const subscription = aSubscription(0);
    const dispatch = dispatchOf(subscription, ['a'], true);
    const ended = deliverDispatched(new Invocation(world.ports, 10_000), subscription, dispatch);
    await world.advance(1250);
    expect(await ended).toEqual(DONE);
    expect(world.reports).toEqual([]);
    await world.answer('a');
    expect(world.kinds).toEqual(['a attempted']);
  });

  it('an endpoint in trouble gets its next request all the same: its store keeps its window', async () => {
    const world = new World();
    const subscription = aSubscription(0);
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const dispatch = dispatchOf(subscription, ids, true);
    const ended = deliverDispatched(new Invocation(world.ports, 10_000), subscription, dispatch);
    await world.advance(1250);
    expect(world.posted).toEqual(['a', 'b', 'c', 'd', 'e']);
    // All connections are overdue, so the rest goes on at once in another invocation.
    expect(await ended).toEqual(DONE);
    expect(world.dispatches).toEqual([[{ ...dispatch, eventIds: ['f', 'g'] }, 0]]);
  });

  it('a message out of time is sent on with what has not begun, and costs no retry', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000);
    const subscription = aSubscription(0);
    world.now += 10_001;
    const dispatch = dispatchOf(subscription, ['a', 'b']);
    expect(await deliverDispatched(invocation, subscription, dispatch)).toEqual(DONE);
    expect(world.dispatches).toEqual([[dispatch, 0]]);
  });

  it('a message returns to the queue when the rest of it could not be sent on', async () => {
    const world = new World();
    const invocation = new Invocation(
      { ...world.ports, sendDispatches: () => Promise.reject(new Error('queue away')) },
      10_000,
    );
    const subscription = aSubscription(0);
    world.now += 10_001;
    expect(await deliverDispatched(invocation, subscription, dispatchOf(subscription, ['a']))).toEqual(
      FAILED,
    );
  });
});
