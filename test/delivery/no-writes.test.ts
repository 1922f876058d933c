/** A listener whose event store takes no writes: its results cannot be stored, so it must not be posted to again and again. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import {
  anEvent,
  consumeBatch,
  newCustomer,
  newSubscription,
  storeOf,
  type TestSubscription,
} from '../support/world.ts';

const FILLED = ['deliveries', 'first_retries', 'segments', 'write_check'];

let clock: HeldClock;
beforeEach(() => {
  clock = holdClock();
  for (const level of ['error', 'warn'] as const) {
    const silent = vi.spyOn(console, level).mockImplementation(() => undefined);
    onTestFinished(() => silent.mockRestore());
  }
});

async function alter(subscription: TestSubscription, query: (table: string) => string): Promise<void> {
  await runInDurableObject(storeOf(subscription), (_, { storage }) => {
    for (const table of FILLED) storage.sql.exec(query(table));
  });
}

const WRITES = ['INSERT', 'UPDATE'];

const fill = (subscription: TestSubscription) =>
  alter(subscription, (table) =>
    WRITES.map(
      (write) => `CREATE TRIGGER full_${write}_${table} BEFORE ${write} ON ${table}
        BEGIN SELECT RAISE(ABORT, 'database or disk is full: SQLITE_FULL'); END;`,
    ).join('\n'),
  );
const empty = (subscription: TestSubscription) =>
  alter(subscription, (table) => WRITES.map((write) => `DROP TRIGGER full_${write}_${table};`).join('\n'));

/** A subscription whose store has had an event, and an event for it. */
async function inUse(): Promise<{ subscription: TestSubscription; body: Record<string, unknown> }> {
  const subscription = await newSubscription(await newCustomer());
  const customerId = subscription.customer.id;
  await consumeBatch('events', [{ body: { ...anEvent(), customerId } }]);
  const [id] = newEventIds(clock.now(), 1, crypto.getRandomValues(new Uint8Array(16)));
  return { subscription, body: { ...anEvent({ id }), customerId } };
}

/**
 * The queue delivers a message again and again: after 2 s, 4 s and so on up to 15 minutes. What the consumer sends on is delivered
 * in its place.
 * @returns how many messages are left
 */
async function redeliver(body: unknown, times: number, between = async () => {}): Promise<number> {
  let messages: { id: string; body: unknown; attempts: number }[] = [{ id: 'first', body, attempts: 1 }];
  const sentOn = vi.spyOn(env.EVENTS, 'sendBatch').mockImplementation(async (batch) => {
    for (const one of batch) messages.push({ id: crypto.randomUUID(), body: one.body, attempts: 1 });
    return undefined as unknown as QueueSendBatchResponse;
  });
  for (let round = 1; round <= times; round++) {
    const batch = messages;
    messages = [];
    const { retried } = await consumeBatch('events', batch);
    for (const one of batch)
      if (retried.some(({ msgId }) => msgId === one.id))
        messages.push({ ...one, attempts: one.attempts + 1 });
    clock.advance(Math.min(2 ** round, 900) * 1000);
    await between();
  }
  sentOn.mockRestore();
  return messages.length;
}

describe('a listener whose store takes no writes', () => {
  it.each(['while its store stays awake', 'though its store is evicted each time'])(
    'a listener is posted to once by twenty deliveries of a message, %s',
    async (how) => {
      const { subscription, body } = await inUse();
      await fill(subscription);
      // An object is evicted after ten seconds without a call: not before the third delivery.
      let rounds = 0;
      const evict = async () => {
        rounds++;
        if (how.includes('evicted') && rounds >= 3) await evictDurableObject(storeOf(subscription));
      };
      expect(await redeliver(body, 20, evict)).toBe(1);
      expect((await subscription.listener.calls()).length).toBe(1 + 1);
    },
  );

  it('the event is delivered with the next message when its store takes writes again', async () => {
    const { subscription, body } = await inUse();
    await fill(subscription);
    await redeliver(body, 6);
    await empty(subscription);
    expect(await redeliver(body, 2)).toBe(0);
    expect((await subscription.listener.calls()).length).toBe(1 + 2);
    expect((await subscription.events()).map(({ state }) => state)).toEqual(['success', 'success']);
  });

  it('a consumer that cannot store the first results of a portion makes no further requests of it', async () => {
    const { subscription } = await inUse();
    await fill(subscription);
    const ids = newEventIds(clock.now(), 300, crypto.getRandomValues(new Uint8Array(16)));
    const customerId = subscription.customer.id;
    await subscription.listener.script({ status: 503 });
    const { acked } = await consumeBatch('events', [
      { body: ids.map((id) => ({ ...anEvent({ id }), customerId })) },
    ]);
    expect(acked).toEqual([]);
    // Five failures are reported at once, and five requests are under way at a time.
    expect((await subscription.listener.calls()).length).toBeLessThanOrEqual(1 + 15);
  });
});
