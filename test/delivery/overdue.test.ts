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
import type { SentReport } from '../../src/event-store/rpc.ts';
import type { Dispatch } from '../../src/outbound/queues.ts';
import { holdTimers } from '../support/clock.ts';
import { A_KEY, aSubscription, ok, signing, timedOut } from '../support/delivery-fixtures.ts';
import { unlimited } from '../support/host-limit.ts';

beforeEach(() => holdTimers());

const ONE_CUSTOMER = new Set(['customer']);
const STEP_MS = 50;

/** Listeners that answer when the test says so, in a world whose clock and timers the test moves. */
class World {
  now = 1_000_000;
  readonly reports: SentReport[] = [];
  readonly released: string[] = [];
  readonly dispatches: [Dispatch, number][] = [];
  readonly waits: Promise<unknown>[] = [];
  readonly posted: string[] = [];
  /** The deliveries of each call of `begin`. */
  readonly begun: string[] = [];
  refusesWaiting = false;
  readonly #answers = new Map<string, (outcome: Outcome) => void>();

  readonly ports: { -readonly [Name in keyof DeliveryPorts]: DeliveryPorts[Name] } = {
    store: () => ({
      admit: async (_, ids) => ids.map(() => ({ answer: 'new' })),
      begin: async (_, __, eventIds) => {
        this.begun.push(eventIds.join());
        return eventIds.map((eventId) => ({
          eventId,
          acceptedAt: 0,
          endpoint: eventId,
          set: eventId,
          attempt: 3,
        }));
      },
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
    host: () => unlimited,
    ...signing,
    sign: async (event) => event.id,
    post: (_, set) => {
      this.posted.push(set);
      return new Promise((resolve) => this.#answers.set(set, resolve));
    },
    longestAttemptMs: 14_000,
    noteHealth: async () => undefined,
    noteStoreTenths: async () => undefined,
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
    // The clock and the timers go together.
    for (let left = ms; left > 0; left -= STEP_MS) {
      const step = Math.min(left, STEP_MS);
      this.now += step;
      await vi.advanceTimersByTimeAsync(step);
    }
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
function deliver(
  world: World,
  invocation: Invocation,
  subscription: Subscription,
  ids: readonly string[],
  waited: ReadonlySet<string> = new Set(),
) {
  const ended: Record<string, unknown> = {};
  const attempts = new FirstAttempts(invocation, 6);
  void attempts.deliver(
    { subscription, key: A_KEY, events: ids.map(anEvent), waited },
    ({ id }, disposition) => {
      ended[id] = disposition;
    },
  );
  return { ended, world };
}

/** A subscription whose listener has answered in 20 ms before. */
async function quick(world: World): Promise<Subscription> {
  const subscription = aSubscription(0);
  const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
  deliver(world, invocation, subscription, [`first of ${subscription.id}`]);
  await world.advance(20);
  await world.answer(`first of ${subscription.id}`);
  world.reports.length = 0;
  return subscription;
}

describe('a first attempt without an answer', () => {
  it('a request that is overdue is reported as waiting, and its message needs it no more', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
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
    const { ended } = deliver(world, new Invocation(world.ports, 10_000, ONE_CUSTOMER), aSubscription(0), [
      'a',
    ]);
    await world.advance(1250);
    expect(ended).toEqual({});
    await world.answer('a');
    expect(ended).toEqual({ a: DONE });
    expect(world.kinds).toEqual(['a attempted']);
  });

  it('the events behind it wait for it elsewhere, until two seconds have passed', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
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

  it('nobody waits for a listener that usually takes longer, and it gets the next request all the same', async () => {
    const world = new World();
    const subscription = aSubscription(0);
    const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
    deliver(world, invocation, subscription, ['first']);
    await world.advance(1400);
    await world.answer('first');
    const { ended } = deliver(world, invocation, subscription, ['a', 'b', 'c', 'd', 'e', 'f']);
    await world.advance(0);
    expect(world.posted).toEqual(['first', 'a', 'b', 'c', 'd', 'e']);
    await world.answer('a');
    await world.advance(250);
    expect(world.posted).toContain('f');
    expect(ended).toMatchObject({ a: DONE, b: DONE, c: DONE, d: DONE, e: DONE });
  });

  it('one slow answer among quick ones stops no other event of its subscription', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
    const { ended } = deliver(world, invocation, await quick(world), ['slow', 'b', 'c', 'd', 'e', 'f', 'g']);
    await world.advance(0);
    for (const id of ['b', 'c', 'd', 'e']) await world.answer(id);
    await world.advance(250);
    for (const id of ['f', 'g']) await world.answer(id);
    await world.advance(0);
    expect(Object.values(ended)).toEqual(Array(7).fill(DONE));
  });

  it('a slow answer is no single one when two listeners do not answer at once', async () => {
    const world = new World();
    const [one, two] = [await quick(world), await quick(world)];
    const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
    deliver(world, invocation, one, ['a']);
    await world.advance(100);
    deliver(world, invocation, two, ['b']);
    await world.advance(250);
    expect(
      world.reports.map(({ eventId, kind, ...rest }) => [eventId, kind, 'isAlone' in rest && rest.isAlone]),
    ).toEqual([
      ['a', 'waiting', true],
      ['b', 'waiting', false],
    ]);
    const { ended } = deliver(world, invocation, two, ['c']);
    await world.advance(0);
    expect(ended).toEqual({ c: { kind: 'later', waitMs: 1750 } });
  });

  it('an event that has waited once takes its turn, although two requests have no answer', async () => {
    const world = new World();
    const subscription = await quick(world);
    const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
    deliver(world, invocation, subscription, ['a', 'b']);
    await world.advance(250);
    const { ended: others } = deliver(world, invocation, subscription, ['c']);
    const { ended } = deliver(world, invocation, subscription, ['d'], new Set(['d']));
    await world.advance(0);
    expect(others).toEqual({ c: { kind: 'later', waitMs: 1750 } });
    expect(world.posted).toContain('d');
    expect(ended).toEqual({});
  });

  it('a store that does not answer within five seconds keeps no batch', async () => {
    const world = new World();
    const store = world.ports.store(aSubscription(0));
    world.ports.store = () => ({ ...store, admit: () => new Promise(() => {}) });
    const { ended } = deliver(world, new Invocation(world.ports, 10_000, ONE_CUSTOMER), aSubscription(0), [
      'a',
    ]);
    await world.advance(4999);
    expect(ended).toEqual({});
    await world.advance(1);
    expect(ended).toEqual({ a: FAILED });
  });

  it('an event that could not be signed is released, for the next consumer', async () => {
    const world = new World();
    world.ports.sign = () => Promise.reject(new Error('no key'));
    const { ended } = deliver(world, new Invocation(world.ports, 10_000, ONE_CUSTOMER), aSubscription(0), [
      'a',
    ]);
    await world.advance(0);
    expect(ended).toEqual({ a: FAILED });
    expect(world.released).toEqual(['a']);
  });

  it('an event that another consumer works on is not released', async () => {
    const world = new World();
    const store = world.ports.store(aSubscription(0));
    world.ports.store = () => ({ ...store, admit: async () => [{ answer: 'busy', retryAfterMs: 40_000 }] });
    const { ended } = deliver(world, new Invocation(world.ports, 10_000, ONE_CUSTOMER), aSubscription(0), [
      'a',
    ]);
    await world.advance(0);
    expect(ended).toEqual({ a: { kind: 'later', waitMs: 40_000 } });
    expect(world.released).toEqual([]);
  });

  it('tokens that are not stored yet keep others from being made, beyond eight million characters', async () => {
    const world = new World();
    const store = world.ports.store(aSubscription(0));
    let storeAll = () => {};
    const away = new Promise<void>((resolve) => {
      storeAll = resolve;
    });
    world.ports.store = () => ({
      ...store,
      settle: (...all) => away.then(() => store.settle(...all)),
    });
    world.ports.sign = async (event) => event.id.padEnd(1_000_000, '.');
    world.ports.post = async (_, set) => {
      world.posted.push(set);
      return ok;
    };
    const ids = Array.from({ length: 30 }, (_, index) => `e${index}`);
    const { ended } = deliver(
      world,
      new Invocation(world.ports, 10_000, ONE_CUSTOMER),
      aSubscription(0),
      ids,
    );
    await world.advance(0);
    expect(world.posted.length).toBeGreaterThanOrEqual(8);
    expect(world.posted.length).toBeLessThanOrEqual(13);
    storeAll();
    await world.advance(0);
    expect(Object.keys(ended)).toHaveLength(30);
  });

  it('three overdue requests send everything else on, to free connections', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
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
    const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
    deliver(world, invocation, aSubscription(0), ['a']);
    await world.advance(1250);
    await invocation.end();
    expect(world.waits).toHaveLength(1);
  });

  it('a batch waits for a request that may need longer than the platform lets it', async () => {
    const world = new World();
    const invocation = new Invocation({ ...world.ports, longestAttemptMs: 64_000 }, 10_000, ONE_CUSTOMER);
    deliver(world, invocation, aSubscription(0), ['a']);
    await world.advance(1250);
    let hasEnded = false;
    void invocation.end().then(() => {
      hasEnded = true;
    });
    await world.advance(42_750 - STEP_MS);
    expect(hasEnded).toBe(false);
    await world.advance(STEP_MS);
    expect(hasEnded).toBe(true);
  });

  it('a batch ends at once when such a request was answered', async () => {
    const world = new World();
    const invocation = new Invocation({ ...world.ports, longestAttemptMs: 64_000 }, 10_000, ONE_CUSTOMER);
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
    const ended = deliverDispatched(
      new Invocation(world.ports, 10_000, ONE_CUSTOMER),
      subscription,
      dispatch,
    );
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
    const ended = deliverDispatched(
      new Invocation(world.ports, 10_000, ONE_CUSTOMER),
      subscription,
      dispatch,
    );
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
    const ended = deliverDispatched(
      new Invocation(world.ports, 10_000, ONE_CUSTOMER),
      subscription,
      dispatch,
    );
    await world.advance(1250);
    expect(world.posted).toEqual(['a', 'b', 'c', 'd', 'e']);
    // All connections are overdue, so the rest goes on at once in another invocation.
    expect(await ended).toEqual(DONE);
    expect(world.dispatches).toEqual([[{ ...dispatch, eventIds: ['f', 'g'] }, 0]]);
  });

  it('a message out of time is sent on with what has not begun, and costs no retry', async () => {
    const world = new World();
    const invocation = new Invocation(world.ports, 10_000, ONE_CUSTOMER);
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
      ONE_CUSTOMER,
    );
    const subscription = aSubscription(0);
    world.now += 10_001;
    expect(await deliverDispatched(invocation, subscription, dispatchOf(subscription, ['a']))).toEqual(
      FAILED,
    );
  });
});
