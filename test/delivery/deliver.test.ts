import { describe, expect, it } from 'vitest';
import { ConsumerInvocation, type DeliveryPorts } from '../../src/delivery/deliver.ts';
import type { Route } from '../../src/delivery/route.ts';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { HealthState } from '../../src/domain/endpoint-health.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import type { Admission, AttemptReport } from '../../src/event-store/rpc.ts';
import { aSubscription } from '../support/delivery-fixtures.ts';

const subscription = { ...aSubscription(0), id: 'subscription', customerId: 'customer' };

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
    health?: () => HealthState;
    outcome?: Outcome;
  } = {},
) {
  const recorded = {
    now: 0,
    admitted: [] as string[],
    signed: [] as string[],
    reports: [] as AttemptReport[],
    posts: 0,
    noted: [] as HealthState[],
    settles: 0,
  };
  const store: ReturnType<DeliveryPorts['store']> = {
    admit: async (_, eventIds) => {
      recorded.admitted.push(...eventIds);
      return eventIds.map(() => options.admission ?? { answer: 'new' });
    },
    begin: async () => [],
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
    now: () => recorded.now,
    debug: false,
  };
  return { recorded, fakes };
}

const route = (all: IdentityEvent[]): Route => ({ subscription, kid: 'kid', events: all });

describe('first attempts', () => {
  it('a consumer admits 250 events in portions, and attempts and dispositions all of them', async () => {
    const { recorded, fakes } = ports();
    const dispositions = await new ConsumerInvocation(fakes).deliverFirst(route(events(250)));
    expect(recorded.posts).toBe(250);
    expect([...dispositions.values()].every(({ kind }) => kind === 'done')).toBe(true);
  });

  it('a consumer out of time stores the admitted events and returns the rest to the queue', async () => {
    // Each attempt takes a second, so the thirty seconds end within the first portion.
    const { recorded, fakes } = ports({ attemptMs: 1000 });
    const dispositions = await new ConsumerInvocation(fakes).deliverFirst(route(events(250)));
    expect(recorded.admitted).toHaveLength(100);
    expect(recorded.signed).toHaveLength(100);
    expect(recorded.posts).toBeLessThanOrEqual(32);
    expect(recorded.reports).toHaveLength(100);
    expect(recorded.reports.filter(({ kind }) => kind === 'deferred')).toHaveLength(100 - recorded.posts);
    expect(dispositions.get('event 99')).toEqual({ kind: 'done' });
    expect(dispositions.get('event 100')).toEqual({ kind: 'retry-after', waitMs: 0 });
    expect(dispositions.get('event 249')).toEqual({ kind: 'retry-after', waitMs: 0 });
  });

  it('first attempts stop soon after the subscription is disabled, though more were admitted', async () => {
    const { recorded, fakes } = ports({ attemptMs: 600, mayStart: () => false });
    const dispositions = await new ConsumerInvocation(fakes).deliverFirst(route(events(50)));
    expect(recorded.posts).toBeLessThanOrEqual(4);
    expect(recorded.reports).toHaveLength(50);
    expect([...dispositions.values()].every(({ kind }) => kind === 'done')).toBe(true);
  });

  it('an event is signed only when a slot is free for it', async () => {
    const { recorded, fakes } = ports();
    const release: (() => void)[] = [];
    const hanging: DeliveryPorts = {
      ...fakes,
      post: async (endpoint, set) => {
        await new Promise<void>((resolve) => release.push(resolve));
        return await fakes.post(endpoint, set);
      },
    };
    const delivering = new ConsumerInvocation(hanging).deliverFirst(route(events(10)));
    while (release.length < 2) await Promise.resolve();
    expect(recorded.signed).toHaveLength(2);
    while (recorded.posts < 10) {
      release.shift()?.();
      await Promise.resolve();
    }
    await delivering;
  });

  it('two events under one id are sent once, with the first content', async () => {
    const { recorded, fakes } = ports();
    const [event] = events(1) as [IdentityEvent];
    await new ConsumerInvocation(fakes).deliverFirst(route([event, { ...event, entityType: 'other' }]));
    expect(recorded.reports.map(({ set }) => set)).toEqual(['set of event 0 user']);
  });

  it('deferred events are signed and stored, and none of them is sent', async () => {
    const { recorded, fakes } = ports({ admission: { answer: 'held' } });
    await new ConsumerInvocation(fakes).deliverFirst(route(events(3)));
    expect(recorded.posts).toBe(0);
    expect(recorded.reports.map(({ kind }) => kind)).toEqual(['deferred', 'deferred', 'deferred']);
  });

  it('the rest of the events go to the store once a result shows an unhealthy endpoint', async () => {
    const { recorded, fakes } = ports({
      outcome: { kind: 'timed_out', message: '' },
      health: () => 'slow',
    });
    const dispositions = await new ConsumerInvocation(fakes).deliverFirst(route(events(50)));
    // Two were under way together, and two more may have begun before the store answered.
    expect(recorded.posts).toBeLessThanOrEqual(4);
    expect(recorded.reports).toHaveLength(50);
    expect([...dispositions.values()].every(({ kind }) => kind === 'done')).toBe(true);
  });

  it('a time-out or five failures are reported to the store at once', async () => {
    const slow = ports({ outcome: { kind: 'timed_out', message: '' } });
    await new ConsumerInvocation(slow.fakes).deliverFirst(route(events(20)));
    expect(slow.recorded.settles).toBe(20);
    const failing = ports({ outcome: { kind: 'unreachable', message: '' } });
    await new ConsumerInvocation(failing.fakes).deliverFirst(route(events(20)));
    expect(failing.recorded.settles).toBe(4);
    const fine = ports();
    await new ConsumerInvocation(fine.fakes).deliverFirst(route(events(20)));
    expect(fine.recorded.settles).toBe(1);
  });

  it('a change of health is noted once, and an unchanged health is not noted', async () => {
    const { recorded, fakes } = ports({ outcome: { kind: 'timed_out', message: '' }, health: () => 'slow' });
    const delivering = new ConsumerInvocation(fakes);
    await delivering.deliverFirst(route(events(3)));
    await delivering.deliverFirst(route(events(3)));
    expect(recorded.noted).toEqual(['slow']);
    const same = ports();
    await new ConsumerInvocation(same.fakes).deliverFirst(route(events(3)));
    expect(same.recorded.noted).toEqual([]);
  });
});

describe('the slots of an invocation', () => {
  /** Delivers dispatched events of several subscriptions to listeners that all hang. @returns who got a request */
  async function occupied(unhealthy: number, healthy: number): Promise<string[]> {
    const { fakes } = ports();
    const begun: string[] = [];
    const hanging: DeliveryPorts = {
      ...fakes,
      store: (id) => ({
        ...fakes.store(id),
        begin: async (_, __, [eventId = '']) => [
          { eventId, acceptedAt: 0, endpoint: id, set: 'set', attempt: 1 },
        ],
      }),
      post: (endpoint) => {
        begun.push(endpoint);
        return new Promise(() => {});
      },
    };
    const delivering = new ConsumerInvocation(hanging);
    const dispatch = (id: string, isUnhealthy: boolean) =>
      void delivering.deliverDispatched(
        { ...subscription, id },
        {
          customerId: 'customer',
          subscriptionId: id,
          token: 'token',
          eventIds: ['a', 'b', 'c'],
          ...(isUnhealthy ? { unhealthy: true as const } : {}),
        },
      );
    for (let index = 0; index < unhealthy; index++) dispatch(`unhealthy ${index}`, true);
    for (let index = 0; index < healthy; index++) dispatch(`healthy ${index}`, false);
    for (let turn = 0; turn < 200; turn++) await Promise.resolve();
    return begun;
  }

  it('an invocation has six slots, and one subscription gets two of them', async () => {
    expect(await occupied(0, 1)).toHaveLength(2);
    expect(await occupied(0, 9)).toHaveLength(6);
  });

  it('unhealthy endpoints get four of the six slots, however many of them hang', async () => {
    const begun = await occupied(9, 1);
    expect(begun.filter((id) => id.startsWith('unhealthy'))).toHaveLength(4);
    expect(begun.filter((id) => id.startsWith('healthy'))).toHaveLength(2);
  });
});
