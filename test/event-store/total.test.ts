import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import type { EventStore } from '../../src/event-store/event-store.ts';
import { TOTAL_COUNTED_AGAIN_ROWS } from '../../src/event-store/tuning.ts';
import { holdClock } from '../support/clock.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { reportOf } from '../support/reports.ts';
import { rowsRead } from '../support/rows-read.ts';

const DAY_MS = 86_400_000;
const COUNT = TOTAL_COUNTED_AGAIN_ROWS + 1;

/** A store with `COUNT` deliveries. It was evicted, so it must count at the next call. */
async function largeStore(acceptedAt: number) {
  const subscriptionId = crypto.randomUUID();
  const ref = {
    customerId: crypto.randomUUID(),
    subscriptionId,
    version: 1,
    enabled: false,
    endpoint: 'https://listener.example/',
  };
  const store = eventStoreStub(subscriptionId);
  const ids = newEventIds(acceptedAt, COUNT, crypto.getRandomValues(new Uint8Array(16)));
  const settle = (eventIds: readonly string[]) =>
    store.settle(
      ref,
      eventIds.map((eventId) =>
        reportOf({ eventId, acceptedAt, endpoint: 'https://listener.example/', set: 'set' }),
      ),
    );
  for (let start = 0; start < COUNT; start += 1000) await settle(ids.slice(start, start + 1000));
  await evictDurableObject(store);
  return { store, settle, ids };
}

/** How many rows an evicted store reads to answer its total. */
async function rowsReadAtWaking(store: DurableObjectStub<EventStore>): Promise<number> {
  return await rowsRead(store, (instance) => instance.total());
}

describe('the total of a large store', () => {
  it('the total of a large store is counted once, and later only for its newest rows', async () => {
    const clock = holdClock();
    const { store } = await largeStore(clock.now());
    expect(await store.total()).toBe(COUNT);
    await evictDurableObject(store);
    expect(await rowsReadAtWaking(store)).toBeLessThan(COUNT / 2);
  });

  it('the total is counted while a store grows, so that the first call after a rest is quick', async () => {
    const clock = holdClock();
    const { store } = await largeStore(clock.now());
    expect(await rowsReadAtWaking(store)).toBeLessThan(COUNT / 2);
  });

  it('the total stays exact when new and late events arrive, and after an eviction', async () => {
    const clock = holdClock();
    const { store, settle } = await largeStore(clock.now());
    await store.total();
    const random = () => crypto.getRandomValues(new Uint8Array(16));
    await settle(newEventIds(clock.now() + 1000, 3, random()));
    expect(await store.total()).toBe(COUNT + 3);
    await settle(newEventIds(clock.now() - 3_600_000, 2, random()));
    expect(await store.total()).toBe(COUNT + 5);
    await evictDurableObject(store);
    expect(await store.total()).toBe(COUNT + 5);
  });

  it('the total stays exact when rows expire', async () => {
    const clock = holdClock();
    const { store, settle } = await largeStore(clock.now());
    await store.total();
    clock.advance(6 * DAY_MS);
    await settle(newEventIds(clock.now(), 7, crypto.getRandomValues(new Uint8Array(16))));
    clock.advance(2 * DAY_MS);
    for (let bite = 0; bite < 2; bite++) await runDurableObjectAlarm(store);
    const { left } = await runInDurableObject(store, (_, state) =>
      state.storage.sql.exec<{ left: number }>('SELECT count(*) AS left FROM deliveries').one(),
    );
    // The sweep goes on in the next alarm, and the total leaves out what has expired already.
    expect(left).toBeLessThan(COUNT);
    expect(left).toBeGreaterThan(7);
    expect(await store.total()).toBe(7);
    await evictDurableObject(store);
    expect(await store.total()).toBe(7);
    for (let bite = 0; bite < 10; bite++) await runDurableObjectAlarm(store);
    expect(await store.total()).toBe(7);
  });

  it('the total is zero after the subscription was deleted', async () => {
    const clock = holdClock();
    const { store } = await largeStore(clock.now());
    await store.total();
    await store.erase({
      customerId: '',
      subscriptionId: '',
      version: 2,
      enabled: false,
      endpoint: 'https://listener.example/',
    });
    expect(await store.total()).toBe(0);
  });
});
