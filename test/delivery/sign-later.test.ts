/** A consumer stores held events without a signature, and signs an event that its store hands out unsigned. */
import { describe, expect, it } from 'vitest';
import { deliverDispatched } from '../../src/delivery/dispatched-attempts.ts';
import { FirstAttempts } from '../../src/delivery/first-attempts.ts';
import { Invocation } from '../../src/delivery/invocation.ts';
import type { DeliveryPorts } from '../../src/delivery/ports.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import type { Admission, Caller, SentReport, StartedAttempt } from '../../src/event-store/rpc.ts';
import { A_KEY, anUnsignedSet, aSet, aSubscription, signing } from '../support/delivery-fixtures.ts';
import { unlimited } from '../support/host-limit.ts';

const subscription = aSubscription(0);
const [id = ''] = newEventIds(0, 1, crypto.getRandomValues(new Uint8Array(16)));

function consumer(options: { admission?: Admission; begun?: StartedAttempt } = {}) {
  const recorded = {
    signed: 0,
    reports: [] as SentReport[],
    posted: [] as string[],
    callers: [] as (Caller | undefined)[],
  };
  const ports: DeliveryPorts = {
    store: () => ({
      admit: async (_, ids) => ids.map(() => options.admission ?? { answer: 'new' }),
      begin: async (_, __, ___, caller) => {
        recorded.callers.push(caller);
        return options.begun === undefined ? [] : [options.begun];
      },
      mayStart: async () => true,
      release: async () => undefined,
      settle: async (_, reports) => {
        recorded.reports.push(...reports);
        return {
          settled: reports.map(({ eventId }) => ({ eventId, state: 'success', attempts: 1 })),
          health: { state: 'healthy', since: 0 },
        };
      },
    }),
    host: () => unlimited,
    ...signing,
    sign: async (event) => {
      recorded.signed++;
      return aSet(event.id);
    },
    post: async (_, set) => {
      recorded.posted.push(set);
      return { kind: 'success', response: { statusCode: 200, headers: {} } };
    },
    noteHealth: async () => undefined,
    noteStoreTenths: async () => undefined,
    longestAttemptMs: 14_000,
    sendSlices: async () => undefined,
    sendDispatches: async () => undefined,
    waitUntil: () => undefined,
    now: Date.now,
    debug: false,
  };
  return { recorded, ports };
}

async function deliver(ports: DeliveryPorts): Promise<void> {
  const event: IdentityEvent = {
    customerId: 'customer',
    id,
    type: 'entityCreated',
    acceptedAt: 0,
    occurredAt: 0,
    captureApplicationId: 'a',
    captureClientId: 'c',
    entityType: 'user',
    sub: 's',
  };
  const route = {
    subscription,
    key: A_KEY,
    events: [event],
    waited: new Set<string>(),
  };
  const invocation = new Invocation(ports, 10_000, new Set(['customer']));
  await new FirstAttempts(invocation, 6).deliver(route, () => undefined);
}

async function deliverAgain(ports: DeliveryPorts) {
  const dispatch = { customerId: 'customer', subscriptionId: subscription.id, token: 't', eventIds: [id] };
  return await deliverDispatched(
    new Invocation(ports, 10_000, new Set(['customer'])),
    subscription,
    dispatch,
  );
}

const begun = { eventId: id, acceptedAt: 0, endpoint: 'https://listener.example/', attempt: 1 };

describe('a consumer that stores an event without an attempt', () => {
  it('no signature is made for an event whose store takes it unsigned, and its report has no set', async () => {
    const { recorded, ports } = consumer({ admission: { answer: 'held', unsigned: true } });
    await deliver(ports);
    expect(recorded.signed).toBe(0);
    expect(recorded.reports).toMatchObject([{ kind: 'deferred', unsigned: anUnsignedSet(id) }]);
    // A store of an earlier version takes this text for a SET that it can send. It throws when there is none.
    expect(recorded.reports[0]).not.toHaveProperty('set');
  });

  it('an event is signed for a store of an earlier version, which does not say that it takes it unsigned', async () => {
    const { recorded, ports } = consumer({ admission: { answer: 'held' } });
    await deliver(ports);
    expect(recorded.reports).toMatchObject([{ kind: 'deferred', set: aSet(id) }]);
  });
});

describe('a consumer that begins an attempt', () => {
  it('the consumer says that it signs, and sends and reports a signed SET', async () => {
    const { recorded, ports } = consumer({ begun: { ...begun, set: anUnsignedSet(id) } });
    await deliverAgain(ports);
    expect(recorded.callers).toMatchObject([{ signs: true }]);
    expect(recorded.posted).toEqual([aSet(id)]);
    expect(recorded.reports).toMatchObject([{ kind: 'attempted', set: aSet(id) }]);
  });

  it('a consumer that dies after its request sends the same bytes when the attempt is made again', async () => {
    const { recorded, ports } = consumer({ begun: { ...begun, set: anUnsignedSet(id) } });
    await deliverAgain(ports);
    await deliverAgain(ports);
    expect(new Set(recorded.posted)).toEqual(new Set([aSet(id)]));
  });

  it.each([
    ['is gone', async (set: string) => set],
    ['could not be read', () => Promise.reject(new Error('away'))],
  ])('nothing is sent while the signing key %s, and the attempt is our fault', async (_, signStored) => {
    const { recorded, ports } = consumer({ begun: { ...begun, set: anUnsignedSet(id) } });
    expect(await deliverAgain({ ...ports, signStored })).toEqual({ kind: 'done' });
    expect(recorded.posted).toEqual([]);
    expect(recorded.reports).toMatchObject([
      { kind: 'attempted', set: anUnsignedSet(id), result: { outcome: { kind: 'our_fault' } } },
    ]);
  });
});
