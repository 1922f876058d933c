/** D1 was restored to an earlier time: the operator makes event stores adopt the rows of a customer again (contract 10.2). */
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { callIn } from '../support/requests.ts';
import {
  anEvent,
  asOperator,
  consumeBatch,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

let clock: HeldClock;
beforeEach(() => {
  clock = holdClock();
});

/** Puts the row of a subscription back to what it was when it was created. */
async function restore(subscription: TestSubscription): Promise<void> {
  await env.DB.prepare('UPDATE subscriptions SET version = 1, enabled = 1 WHERE id = ?')
    .bind(subscription.id)
    .run();
}

async function versionOf({ id }: { id: string }): Promise<number | null> {
  return await env.DB.prepare('SELECT version FROM subscriptions WHERE id = ?').bind(id).first('version');
}

async function change(subscription: TestSubscription, body: Record<string, unknown>): Promise<void> {
  const path = `/subscriptions/${subscription.id}`;
  const media = { 'content-type': 'application/merge-patch+json' };
  expect((await subscription.customer.call('PATCH', path, body, media)).status).toBe(200);
}

/** Delivers an event. @returns the state of the newest event of the subscription */
async function deliver(subscription: TestSubscription): Promise<string> {
  // In another millisecond than the last event, so that their ids are in order.
  clock.advance(1);
  const event = { ...anEvent(), customerId: subscription.customer.id };
  await consumeBatch('events', [{ body: event }]);
  return (await subscription.events()).at(-1).state;
}

/** A subscription that its store knows as disabled, while D1 has the older row again. */
async function restored(): Promise<TestSubscription> {
  const subscription = await newSubscription(await newCustomer());
  for (const enabled of [false, true, false]) await change(subscription, { enabled });
  await restore(subscription);
  await change(subscription, { title: `changed ${crypto.randomUUID()}` });
  return subscription;
}

function adoptAgain(customer: Pick<TestCustomer, 'id'>) {
  return asOperator('POST', `/customers/${customer.id}/subscriptions/adopt-again`);
}

afterEach(() => vi.restoreAllMocks());

describe('a customer whose rows in D1 were restored', () => {
  it('an event store goes by what it knew until the operator makes it adopt the restored row', async () => {
    const subscription = await restored();
    expect(await deliver(subscription)).toBe('failure');
    const { status, body } = await adoptAgain(subscription.customer);
    expect([status, body]).toEqual([200, { total: 1, adopted: 1 }]);
    expect(await deliver(subscription)).toBe('success');
  });

  it('a change after the call reaches the store at once', async () => {
    const subscription = await restored();
    await adoptAgain(subscription.customer);
    await change(subscription, { enabled: false });
    expect(await deliver(subscription)).toBe('failure');
  });

  it('an event store that is away adopts the restored row with the next event', async () => {
    const subscription = await restored();
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const away = () => {
      throw Object.assign(new Error('away'), { overloaded: true });
    };
    const namespace = { idFromName: () => 'id', get: () => ({ adopt: async () => away() }) };
    const path = `/operator/customers/${subscription.customer.id}/subscriptions/adopt-again`;
    const { status, body } = await callIn(
      { ...env, EVENT_STORE: namespace as unknown as typeof env.EVENT_STORE },
      'POST',
      path,
      { token: OPERATOR_TOKEN },
    );
    expect([status, body]).toEqual([200, { total: 1, adopted: 0 }]);
    expect(await deliver(subscription)).toBe('success');
  });

  it('the call changes nothing but versions, and only those of living subscriptions of the customer', async () => {
    const other = await newSubscription(await newCustomer());
    const customer = await newCustomer();
    const [kept, deleted] = [await newSubscription(customer), await newSubscription(customer)];
    await customer.call('DELETE', `/subscriptions/${deleted.id}`);
    const [before, versions] = [
      (await customer.call('GET', `/subscriptions/${kept.id}`)).body,
      await Promise.all([kept, deleted, other].map(versionOf)),
    ];
    for (let times = 1; times <= 2; times++) {
      expect((await adoptAgain(customer)).body).toEqual({ total: 1, adopted: 1 });
      const now = await Promise.all([kept, deleted, other].map(versionOf));
      expect(now).toEqual([1 + times * 1_000_000, versions[1], versions[2]]);
    }
    expect((await customer.call('GET', `/subscriptions/${kept.id}`)).body).toEqual(before);
  });

  it('the call for an unknown customer is a 404, and a client may not make it', async () => {
    expect((await adoptAgain({ id: crypto.randomUUID() })).status).toBe(404);
    const customer = await newCustomer();
    const path = `/operator/customers/${customer.id}/subscriptions/adopt-again`;
    expect((await callIn(env, 'POST', path, { token: customer.token })).status).toBe(403);
  });
});
