import { describe, expect, it } from 'vitest';
import { Delivering, type DeliveryPorts } from '../../src/delivery/deliver.ts';
import type { Route } from '../../src/delivery/route.ts';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { HealthState } from '../../src/domain/endpoint-health.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import type { Subscription } from '../../src/domain/subscription.ts';
import type { Admission, Settlement } from '../../src/event-store/answers.ts';

const subscription: Subscription = {
  id: 'subscription',
  customerId: 'customer',
  title: 'title',
  endpoint: 'https://listener.example/',
  events: ['entityCreated'],
  enabled: true,
  filter: null,
  health: 'healthy',
  version: 1,
  createdAt: 0,
  updatedAt: 0,
};

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

/** Ports that record, with a clock that only attempts move. */
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
    settled: [] as Settlement[],
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
    mayStart: () => options.mayStart?.() ?? true,
    settle: async (_, settlements) => {
      recorded.settles++;
      recorded.settled.push(...settlements);
      return {
        settled: settlements.map(({ eventId }) => ({ eventId, state: 'success', attempts: 1 })),
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
  it('admit a hundred events at a time, so that no more are signed or claimed than can be served', async () => {
    const { recorded, fakes } = ports();
    const finishes = await new Delivering(fakes).deliverFirst(route(events(250)));
    expect(recorded.posts).toBe(250);
    expect([...finishes.values()].every(({ finished }) => finished)).toBe(true);
  });

  it('once the time is over, store what was admitted and put the rest back unclaimed and unsigned', async () => {
    // Each attempt takes a second: thirty seconds are over in the first portion.
    const { recorded, fakes } = ports({ attemptMs: 1000 });
    const finishes = await new Delivering(fakes).deliverFirst(route(events(250)));
    expect(recorded.admitted).toHaveLength(100);
    expect(recorded.signed).toHaveLength(100);
    expect(recorded.posts).toBeLessThanOrEqual(32);
    expect(recorded.settled).toHaveLength(100);
    expect(recorded.settled.filter(({ result }) => result === undefined)).toHaveLength(100 - recorded.posts);
    expect(finishes.get('event 99')).toEqual({ finished: true });
    expect(finishes.get('event 100')).toEqual({ finished: false, retryAfterMs: 0 });
    expect(finishes.get('event 249')).toEqual({ finished: false, retryAfterMs: 0 });
  });

  it('stop soon after the subscription is disabled, though more were admitted', async () => {
    const { recorded, fakes } = ports({ attemptMs: 600, mayStart: () => false });
    const finishes = await new Delivering(fakes).deliverFirst(route(events(50)));
    expect(recorded.posts).toBeLessThanOrEqual(4);
    expect(recorded.settled).toHaveLength(50);
    expect([...finishes.values()].every(({ finished }) => finished)).toBe(true);
  });

  it('sign an event only when a slot is free for it', async () => {
    const { recorded, fakes } = ports();
    const release: (() => void)[] = [];
    const hanging: DeliveryPorts = {
      ...fakes,
      post: async (endpoint, set) => {
        await new Promise<void>((resolve) => release.push(resolve));
        return await fakes.post(endpoint, set);
      },
    };
    const delivering = new Delivering(hanging).deliverFirst(route(events(10)));
    while (release.length < 2) await Promise.resolve();
    expect(recorded.signed).toHaveLength(2);
    while (recorded.posts < 10) {
      release.shift()?.();
      await Promise.resolve();
    }
    await delivering;
  });

  it('of two events under one id send the first content', async () => {
    const { recorded, fakes } = ports();
    const [event] = events(1) as [IdentityEvent];
    await new Delivering(fakes).deliverFirst(route([event, { ...event, entityType: 'other' }]));
    expect(recorded.settled.map(({ set }) => set)).toEqual(['set of event 0 user']);
  });

  it('of held events sign and store each, and send none', async () => {
    const { recorded, fakes } = ports({ admission: { answer: 'held' } });
    await new Delivering(fakes).deliverFirst(route(events(3)));
    expect(recorded.posts).toBe(0);
    expect(recorded.settled.map(({ result }) => result)).toEqual([undefined, undefined, undefined]);
  });
});
