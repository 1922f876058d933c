/** Many subscriptions of one customer at one host: how many requests it gets, whatever the number of batches and queues. */
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { IdentityEvent } from '../../src/domain/event.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { packEvents } from '../../src/outbound/queues.ts';
import { holdClock } from '../support/clock.ts';
import { hostLimitStub } from '../support/host-limit.ts';
import type { Answer } from '../support/listener-script.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  consumeBatch,
  newCustomer,
  newSubscription,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

const SUBSCRIPTIONS = 20;

async function subscriptions(customer: TestCustomer, answer: Answer): Promise<TestSubscription[]> {
  const all: TestSubscription[] = [];
  for (let index = 0; index < SUBSCRIPTIONS; index++) {
    all.push(await newSubscription(customer, { answers: [answer] }));
  }
  return all;
}

async function requests(all: readonly TestSubscription[]): Promise<number> {
  const each = await Promise.all(all.map(({ listener }) => listener.calls()));
  return each.flat().length;
}

/** The environment, with a queue that keeps what is sent on. */
function keeping() {
  const sentOn: { events: unknown[]; subscriptions: string[] }[] = [];
  const queue = {
    sendBatch: async (messages: Iterable<MessageSendRequest<unknown>>) => {
      for (const { body } of messages) sentOn.push(body as (typeof sentOn)[number]);
    },
  } as unknown as Queue<unknown>;
  const deliveries = () => sentOn.reduce((sum, one) => sum + one.events.length * one.subscriptions.length, 0);
  return { sentOn, deliveries, environment: { ...env, EVENTS: queue, SLICES: queue } };
}

const messagesOf = (customer: TestCustomer, events: number) => [
  { body: Array.from({ length: events }, () => ({ ...anEvent(), customerId: customer.id })) },
];

/** A slice with one event, which has not waited yet. */
function sliceOf(customer: TestCustomer, all: readonly TestSubscription[]) {
  const now = Date.now();
  const [id = ''] = newEventIds(now, 1, crypto.getRandomValues(new Uint8Array(16)));
  const event = {
    ...anEvent(),
    id,
    customerId: customer.id,
    acceptedAt: now,
    occurredAt: now,
  } as IdentityEvent;
  const [packed] = packEvents([event], now);
  return { body: { ...packed, subscriptions: all.map(({ id }) => id) } };
}

describe('many subscriptions at one host', () => {
  it('a host that hangs has five requests at once, from two batches, tests and redeliveries together', async () => {
    holdClock();
    const customer = await newCustomer();
    const all = await subscriptions(customer, { manner: 'hang' });
    const { deliveries, environment } = keeping();
    const batches = [1, 2].map(() => consumeBatch('events', messagesOf(customer, 1), environment));
    await until(async () => deliveries() >= 2 * SUBSCRIPTIONS - 10, 'what the batches send on');
    for (const subscription of all) {
      expect((await customer.call('POST', `/subscriptions/${subscription.id}/test`)).status).toBe(202);
      await subscription.ring();
    }
    const slices = consumeBatch('slices', [sliceOf(customer, all)], environment);
    await until(async () => deliveries() >= 3 * SUBSCRIPTIONS - 10, 'what the slice sends on');
    // No request ends, so this is the most that were on their way at once.
    expect(await requests(all)).toBe(5);
    await Promise.all(all.map(({ listener }) => listener.script({})));
    await Promise.all(all.map(({ listener }) => listener.release()));
    await Promise.all([...batches, slices]);
  });

  it.each([1, 2])(
    'a batch does not wait for a host that hangs and gives it only %i of five places',
    async (places) => {
      holdClock();
      const customer = await newCustomer();
      const all = await subscriptions(customer, { manner: 'hang' });
      const others = {
        id: 'other',
        want: 5 - places,
        left: 0,
        succeeded: 0,
        failedStarts: [],
        leaseMs: 86_400_000,
      };
      await hostLimitStub(customer.id, all[0]?.listener.endpoint ?? '').visit(others);
      const { deliveries, environment } = keeping();
      const batch = consumeBatch('events', messagesOf(customer, 1), environment);
      await until(async () => deliveries() >= SUBSCRIPTIONS - places, 'what the batch sends on');
      expect(await requests(all)).toBe(places);
      await Promise.all(all.map(({ listener }) => listener.script({})));
      await Promise.all(all.map(({ listener }) => listener.release()));
      await batch;
    },
  );

  it('a host that answers 404 to everything gets five requests of four hundred deliveries', async () => {
    holdClock();
    const customer = await newCustomer();
    const all = await subscriptions(customer, { status: 404 });
    const { deliveries, environment } = keeping();
    await consumeBatch('events', messagesOf(customer, 20), environment);
    expect(await requests(all)).toBe(5);
    expect(deliveries()).toBeGreaterThanOrEqual(20 * SUBSCRIPTIONS - 5);
  });

  it('what got no place twice at a host that does not answer is stored, and goes round in no queue', async () => {
    holdClock();
    const customer = await newCustomer();
    const all = await subscriptions(customer, { status: 404 });
    const { sentOn, environment } = keeping();
    await consumeBatch('events', messagesOf(customer, 2), environment);
    const again = sentOn.splice(0);
    await consumeBatch(
      'events',
      again.map((body) => ({ body })),
      environment,
    );
    expect(sentOn).toEqual([]);
    expect(await requests(all)).toBe(5);
    const stored = await Promise.all(all.map(({ events }) => events()));
    expect(stored.flat()).toHaveLength(2 * SUBSCRIPTIONS);
  });

  it('a host that answers gets everything in one batch', async () => {
    holdClock();
    const customer = await newCustomer();
    const all = await subscriptions(customer, {});
    const { sentOn, environment } = keeping();
    await consumeBatch('events', messagesOf(customer, 10), environment);
    expect(sentOn).toEqual([]);
    expect(await requests(all)).toBe(10 * SUBSCRIPTIONS);
  });
});
