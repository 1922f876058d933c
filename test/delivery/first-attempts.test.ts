import { beforeEach, describe, expect, it } from 'vitest';
import type { Disposition } from '../../src/delivery/disposition.ts';
import { FirstAttempts } from '../../src/delivery/first-attempts.ts';
import { Invocation } from '../../src/delivery/invocation.ts';
import type { DeliveryPorts } from '../../src/delivery/ports.ts';
import type { Route } from '../../src/delivery/route.ts';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import type { ShownState } from '../../src/domain/proof.ts';
import type { Admission, SentReport } from '../../src/event-store/rpc.ts';
import { A_KEY, aSubscription, signing } from '../support/delivery-fixtures.ts';
import { unlimited } from '../support/host-limit.ts';

/** A subscription of its own for each test: the isolate remembers how quick its listener is. */
let subscription = aSubscription(0);
beforeEach(() => {
  subscription = aSubscription(0);
});

function events(count: number): IdentityEvent[] {
  return Array.from({ length: count }, (_, index) => ({
    customerId: 'customer',
    id: `event ${index}`,
    type: 'entityCreated',
    acceptedAt: 0,
    occurredAt: 0,
    captureApplicationId: 'a',
    captureClientId: 'c',
    entityType: 'user',
    sub: 's',
  }));
}

/** Fake ports that record their calls. Only attempts move their clock. */
function ports(
  options: {
    attemptMs?: number;
    admission?: Admission;
    mayStart?: () => boolean;
    health?: () => ShownState;
    outcome?: Outcome;
  } = {},
) {
  const recorded = {
    now: 0,
    admitted: [] as string[],
    signed: [] as string[],
    reports: [] as SentReport[],
    posts: 0,
    noted: [] as ShownState[],
    settles: 0,
    released: [] as string[],
  };
  const store: ReturnType<DeliveryPorts['store']> = {
    admit: async (_, eventIds) => {
      recorded.admitted.push(...eventIds);
      return eventIds.map(() => options.admission ?? { answer: 'new' });
    },
    begin: async () => [],
    release: async (eventIds) => void recorded.released.push(...eventIds),
    mayStart: async () => options.mayStart?.() ?? true,
    settle: async (_, reports) => {
      recorded.settles++;
      recorded.reports.push(...reports);
      return {
        settled: reports.map(({ eventId }) => ({ eventId, state: 'success', attempts: 1 })),
        health: { state: options.health?.() ?? 'healthy', since: 1 },
      };
    },
  };
  const fakes: DeliveryPorts = {
    store: () => store,
    host: () => unlimited,
    ...signing,
    sign: async (event) => {
      recorded.signed.push(event.id);
      return `set of ${event.id} ${event.entityType}`;
    },
    post: async () => {
      recorded.posts++;
      recorded.now += options.attemptMs ?? 0;
      return options.outcome ?? { kind: 'success', response: { statusCode: 200, headers: {} } };
    },
    noteHealth: async (_, { state }) => {
      recorded.noted.push(state);
    },
    noteStoreTenths: async () => undefined,
    longestAttemptMs: 14_000,
    sendSlices: async () => undefined,
    sendDispatches: async () => undefined,
    waitUntil: () => undefined,
    now: () => recorded.now,
    debug: false,
  };
  return { recorded, fakes };
}

const route = (all: IdentityEvent[]): Route => ({
  subscription,
  key: A_KEY,
  events: all,
  waited: new Set(),
});

/** Makes the first attempts of events within ten seconds. @returns what became of each, by event id */
async function deliver(
  fakes: DeliveryPorts,
  all: IdentityEvent[],
  invocation = new Invocation(fakes, 10_000, ONE_CUSTOMER),
): Promise<Map<string, Disposition>> {
  const dispositions = new Map<string, Disposition>();
  await new FirstAttempts(invocation, 6).deliver(route(all), ({ id }, disposition) => {
    if (dispositions.has(id)) throw new Error(`${id} has ended twice`);
    dispositions.set(id, disposition);
  });
  return dispositions;
}

/** Lets all others that are ready go first. */
const hop = () => Promise.resolve();

const ONE_CUSTOMER = new Set(['customer']);

describe('first attempts', () => {
  it('a consumer admits 250 events in portions, and attempts and dispositions all of them', async () => {
    const { recorded, fakes } = ports();
    const dispositions = await deliver(fakes, events(250));
    expect(recorded.posts).toBe(250);
    expect([...dispositions.values()].every(({ kind }) => kind === 'done')).toBe(true);
  });

  it('a consumer out of time releases what it admitted, and leaves the rest untouched', async () => {
    // Each attempt takes a second, so the ten seconds end within the first portion.
    const { recorded, fakes } = ports({ attemptMs: 1000 });
    const dispositions = await deliver(fakes, events(250));
    expect(recorded.posts).toBe(11);
    expect(recorded.admitted).toHaveLength(100);
    expect(recorded.signed).toHaveLength(11);
    expect(recorded.reports.map(({ kind }) => kind)).toEqual(Array(11).fill('attempted'));
    expect(recorded.released).toHaveLength(89);
    expect(recorded.released).toContain('event 99');
    expect(dispositions.get('event 0')).toEqual({ kind: 'done' });
    expect(dispositions.get('event 99')).toEqual({ kind: 'later', waitMs: 0 });
    expect(dispositions.get('event 249')).toEqual({ kind: 'later', waitMs: 0 });
  });

  it('first attempts stop soon after the subscription is disabled, though more were admitted', async () => {
    const { recorded, fakes } = ports({ attemptMs: 600, mayStart: () => false });
    const dispositions = await deliver(fakes, events(50));
    expect(recorded.posts).toBeLessThanOrEqual(6);
    expect(recorded.reports).toHaveLength(50);
    expect([...dispositions.values()].every(({ kind }) => kind === 'done')).toBe(true);
  });

  it('an event is signed only when a slot is free for it', async () => {
    const { recorded, fakes } = ports();
    const release: (() => void)[] = [];
    const hanging: DeliveryPorts = {
      ...fakes,
      post: async (...request) => {
        await new Promise<void>((resolve) => release.push(resolve));
        return await fakes.post(...request);
      },
    };
    const delivering = deliver(hanging, events(10));
    while (release.length < 1) await Promise.resolve();
    expect(recorded.signed).toHaveLength(1);
    while (recorded.posts < 10) {
      release.shift()?.();
      await Promise.resolve();
    }
    await delivering;
  });

  it('deferred events are signed and stored, and none of them is sent', async () => {
    const { recorded, fakes } = ports({ admission: { answer: 'held' } });
    await deliver(fakes, events(3));
    expect(recorded.posts).toBe(0);
    expect(recorded.reports.map(({ kind }) => kind)).toEqual(['deferred', 'deferred', 'deferred']);
  });

  it('the rest of the events go to the store once a result shows an unhealthy endpoint', async () => {
    const { recorded, fakes } = ports({
      outcome: { kind: 'timed_out', message: '' },
      health: () => 'slow',
    });
    const dispositions = await deliver(fakes, events(50));
    // One shows whether the listener answers. Five more may have begun before the store answered.
    expect(recorded.posts).toBeLessThanOrEqual(6);
    expect(recorded.reports).toHaveLength(50);
    expect([...dispositions.values()].every(({ kind }) => kind === 'done')).toBe(true);
  });

  it('no request begins while the store thinks about five failures, and none after it says failing', async () => {
    const { recorded, fakes } = ports({ health: () => 'failing' });
    const refused: Outcome = { kind: 'http_error', response: { statusCode: 404, headers: {} } };
    const store = fakes.store(aSubscription(0));
    // Until the store answers, the listener could answer to all hundred.
    const thinking: DeliveryPorts = {
      ...fakes,
      store: () => ({
        ...store,
        settle: async (ref, reports) => {
          for (let turn = 0; turn < 400; turn++) await hop();
          return await store.settle(ref, reports);
        },
      }),
      post: async (...request) => {
        await hop();
        await fakes.post(...request);
        return refused;
      },
    };
    await deliver(thinking, events(100));
    // Four more may be under way when the fifth fails.
    expect(recorded.posts).toBeLessThanOrEqual(9);
    expect(recorded.reports).toHaveLength(100);
  });

  it('a time-out or a failure is reported to the store at once, and successes together', async () => {
    const slow = ports({ outcome: { kind: 'timed_out', message: '' } });
    await deliver(slow.fakes, events(20));
    expect(slow.recorded.settles).toBe(20);
    const failing = ports({ outcome: { kind: 'unreachable', message: '' } });
    await deliver(failing.fakes, events(20));
    // The listener has not answered, so its requests are made one after the other.
    expect(failing.recorded.settles).toBe(20);
    const fine = ports();
    await deliver(fine.fakes, events(20));
    expect(fine.recorded.settles).toBe(1);
  });

  it('the store is not asked whether attempts may start when it has just said so in an answer', async () => {
    const refused: Outcome = { kind: 'http_error', response: { statusCode: 404, headers: {} } };
    const asked = { count: 0 };
    const { recorded, fakes } = ports({ attemptMs: 600, outcome: refused });
    const store = fakes.store(aSubscription(0));
    const answering: DeliveryPorts = {
      ...fakes,
      store: () => ({
        ...store,
        mayStart: async () => {
          asked.count++;
          return true;
        },
        settle: async (ref, reports) => ({ ...(await store.settle(ref, reports)), mayStart: true }),
      }),
    };
    await deliver(answering, events(10));
    // Each failure is settled at once, so no word of the store is older than a second.
    expect([recorded.posts, asked.count]).toEqual([10, 0]);
  });

  it('no attempt starts once an answer of the store says that none may', async () => {
    const { recorded, fakes } = ports({ attemptMs: 600 });
    const store = fakes.store(aSubscription(0));
    const refused: Outcome = { kind: 'http_error', response: { statusCode: 404, headers: {} } };
    const disabled: DeliveryPorts = {
      ...fakes,
      store: () => ({
        ...store,
        settle: async (ref, reports) => ({ ...(await store.settle(ref, reports)), mayStart: false }),
      }),
      post: async (...request) => {
        await fakes.post(...request);
        return refused;
      },
    };
    await deliver(disabled, events(10));
    // Five more may have begun while the store thought about the first.
    expect(recorded.posts).toBeLessThanOrEqual(6);
  });

  it('a change of health is noted once, and an unchanged health is not noted', async () => {
    const { recorded, fakes } = ports({ outcome: { kind: 'timed_out', message: '' }, health: () => 'slow' });
    const invocation = new Invocation(fakes, 10_000, ONE_CUSTOMER);
    await deliver(fakes, events(3), invocation);
    await deliver(fakes, events(3), invocation);
    expect(recorded.noted).toEqual(['slow']);
    const same = ports();
    await deliver(same.fakes, events(3));
    expect(same.recorded.noted).toEqual([]);
  });
});
