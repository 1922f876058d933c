/** The deliveries of a message begin in few calls, and none long before its request. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { deliverDispatched } from '../../src/delivery/dispatched-attempts.ts';
import { DONE } from '../../src/delivery/disposition.ts';
import { Invocation } from '../../src/delivery/invocation.ts';
import type { DeliveryPorts } from '../../src/delivery/ports.ts';
import type { SentReport } from '../../src/event-store/rpc.ts';
import { holdTimers } from '../support/clock.ts';
import { aSubscription, ok, signing } from '../support/delivery-fixtures.ts';
import { unlimited } from '../support/host-limit.ts';

beforeEach(() => holdTimers());

const STEP_MS = 10;
const IDS = Array.from({ length: 20 }, (_, index) => `${index}`);

/** A consumer in virtual time, of a listener that answers after so many ms. */
function consumer(answersAfterMs: () => number, unbegun: ReadonlySet<string> = new Set()) {
  let now = 1_000_000;
  const seen = { begun: [] as string[][], posted: [] as string[], reports: [] as SentReport[] };
  const ports: DeliveryPorts = {
    store: () => ({
      admit: async () => [],
      begin: async (_, __, eventIds) => {
        seen.begun.push([...eventIds]);
        return eventIds
          .filter((eventId) => !unbegun.has(eventId))
          .map((eventId) => ({
            eventId,
            acceptedAt: 0,
            endpoint: 'https://e.example/',
            set: eventId,
            attempt: 2,
          }));
      },
      mayStart: async () => true,
      release: async () => undefined,
      settle: async (_, reports) => {
        seen.reports.push(...reports);
        const settled = reports.map(({ eventId }) => ({ eventId, state: 'success' as const, attempts: 2 }));
        return { settled, health: { state: 'healthy', since: 0 } };
      },
    }),
    host: () => unlimited,
    ...signing,
    sign: async () => '',
    post: async (_, set) => {
      seen.posted.push(set);
      await new Promise((resolve) => setTimeout(resolve, answersAfterMs()));
      return ok;
    },
    longestAttemptMs: 14_000,
    noteHealth: async () => undefined,
    noteStoreTenths: async () => undefined,
    sendSlices: async () => undefined,
    sendDispatches: async () => undefined,
    waitUntil: () => undefined,
    now: () => now,
    debug: false,
  };
  const subscription = aSubscription(0);
  const dispatch = async (eventIds: readonly string[], unhealthy?: true) => {
    const { customerId, id: subscriptionId } = subscription;
    const mark = unhealthy ? { unhealthy } : {};
    const message = { customerId, subscriptionId, token: 't', eventIds: [...eventIds], ...mark };
    const ended = deliverDispatched(new Invocation(ports, 10_000, new Set(['c'])), subscription, message);
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    while (!isOver) {
      now += STEP_MS;
      await vi.advanceTimersByTimeAsync(STEP_MS);
    }
    return await ended;
  };
  return { dispatch, seen };
}

describe('how dispatched deliveries begin', () => {
  it('a message of twenty to a quick listener begins with two calls, instead of twenty', async () => {
    const { dispatch, seen } = consumer(() => 30);
    expect(await dispatch(IDS)).toEqual(DONE);
    // The first shows how quick the listener is.
    expect(seen.begun).toEqual([['0'], IDS.slice(1)]);
    expect(seen.posted).toEqual(IDS);
    const another = await dispatch(IDS.map((id) => `b${id}`));
    expect(another).toEqual(DONE);
    expect(seen.begun).toHaveLength(3);
    expect(seen.reports).toHaveLength(40);
  });

  it('a listener that takes longer has only those begun that can start within a second', async () => {
    const { dispatch, seen } = consumer(() => 400);
    await dispatch(['first']);
    await dispatch(IDS);
    // Five have slots, and four more start within a second.
    expect(seen.begun[1]).toHaveLength(9);
    expect(seen.begun.slice(1).flat()).toEqual(IDS);
    expect(seen.posted).toEqual(['first', ...IDS]);
  });

  it('an endpoint in trouble has only those begun that have a slot', async () => {
    const { dispatch, seen } = consumer(() => 30);
    await dispatch(['first']);
    await dispatch(IDS, true);
    expect(Math.max(...seen.begun.map(({ length }) => length))).toBe(5);
    expect(seen.begun.flat()).toEqual(['first', ...IDS]);
  });

  it('a delivery that the store does not begin is not posted, and the others are', async () => {
    const { dispatch, seen } = consumer(() => 30, new Set(['3']));
    expect(await dispatch(IDS)).toEqual(DONE);
    expect(seen.posted).toEqual(IDS.filter((id) => id !== '3'));
  });

  it('a delivery that has begun and gets no slot is made again soon, under its number, and costs no attempt', async () => {
    let latency = 30;
    const { dispatch, seen } = consumer(() => latency);
    await dispatch(['first']);
    latency = 12_000;
    expect(await dispatch(IDS)).toEqual(DONE);
    const ours = seen.reports.flatMap((report) =>
      report.kind === 'attempted' && report.result.outcome.kind === 'our_fault' ? [report] : [],
    );
    const posted = new Set(seen.posted);
    expect(ours.map(({ eventId }) => eventId)).toEqual(IDS.filter((id) => !posted.has(id)));
    expect(ours[0]?.result.attempt).toBe(2);
  });
});
