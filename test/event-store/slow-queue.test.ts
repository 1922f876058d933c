/** Dispatched deliveries that nobody begins: their queue is slow or paused, or has lost them. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Dispatch } from '../../src/outbound/queues.ts';
import { Bench, ok, timedOut } from '../support/store-bench.ts';

const MINUTE_MS = 60_000;

/** A queue that takes everything and delivers nothing. */
class StuckQueue {
  readonly messages: Dispatch[] = [];

  constructor(...queues: Queue<unknown>[]) {
    for (const queue of queues) {
      vi.spyOn(queue, 'sendBatch').mockImplementation(async (batch) => {
        for (const { body } of batch) this.messages.push(body as Dispatch);
        return undefined as unknown as QueueSendBatchResponse;
      });
    }
    onTestFinished(() => void vi.restoreAllMocks());
  }

  /** How often each delivery is in the queue. */
  copies(): Map<string, number> {
    const copies = new Map<string, number>();
    for (const { eventIds } of this.messages)
      for (const eventId of eventIds) copies.set(eventId, (copies.get(eventId) ?? 0) + 1);
    return copies;
  }
}

/** Rings the alarm at its times, for as long. @param between called after each ring */
async function live(bench: Bench, forMs: number, between = async () => {}): Promise<number> {
  const end = bench.clock.now() + forMs;
  for (let rings = 0; ; rings++) {
    const at = Math.max((await bench.alarm()) ?? end, bench.clock.now());
    if (at >= end) {
      bench.clock.advance(end - bench.clock.now());
      return rings;
    }
    await bench.ringNext();
    await between();
  }
}

describe('a dispatch that nobody begins', () => {
  it('a dispatch that nobody begins is sent again after 2, 4, 8, 16 and 32 minutes, then each 30', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES);
    await bench.held(1);
    const start = bench.clock.now();
    const minutes: number[] = [];
    await live(bench, 125 * MINUTE_MS, async () => {
      if (queue.messages.length > minutes.length) minutes.push((bench.clock.now() - start) / MINUTE_MS);
    });
    expect(minutes).toEqual([0, 2, 4, 8, 16, 32, 62, 92, 122]);
  });

  it('a dispatch that nobody begins is not sent more often because its store is evicted', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES);
    const [id = ''] = await bench.held(1);
    await live(bench, 20 * MINUTE_MS, async () => {
      await evictDurableObject(bench.store);
      // Any call wakes the store and sets its alarm.
      bench.clock.advance(1000);
      await bench.store.ensureAlarm(bench.ref);
    });
    expect(queue.copies().get(id)).toBe(5);
  });

  it('a thousand dispatches that nobody begins for twenty minutes are 250 messages, each with one token', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES);
    await bench.held(1000);
    await live(bench, 20 * MINUTE_MS);
    expect(queue.messages).toHaveLength(5 * 50);
    expect(Math.max(...queue.copies().values())).toBe(5);
    expect(new Set(queue.messages.map(({ token }) => token)).size).toBe(1);
  });

  it('the first copy of a dispatch begins its attempt, however often it was sent again', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES);
    const [id = ''] = await bench.held(1);
    await live(bench, 60 * MINUTE_MS);
    const [first] = queue.messages;
    expect(await bench.store.begin(bench.ref, first?.token ?? '', [id])).toHaveLength(1);
    expect(await bench.store.begin(bench.ref, first?.token ?? '', [id])).toEqual([]);
    await bench.settle(id, ok);
    expect((await bench.state(id))?.state).toBe('success');
  });

  it('a dispatch of the version before, with a token without a time, is sent again when its lease lapses', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES);
    const [id = ''] = await bench.held(1);
    const token = crypto.randomUUID();
    const lapsesAt = bench.clock.now() + 90_000;
    await evictDurableObject(bench.store);
    await runInDurableObject(bench.store, (_, { storage }) => {
      storage.sql.exec('UPDATE deliveries SET lease_token = ?, due_at = ?', token, lapsesAt);
    });
    await bench.ring();
    expect(queue.messages).toEqual([]);
    expect(await bench.alarm()).toBe(lapsesAt);
    await bench.ringNext();
    expect(queue.messages).toMatchObject([{ token, eventIds: [id] }]);
    expect(await bench.alarm()).toBe(lapsesAt + 2 * MINUTE_MS);
  });
});

describe('a queue that delivers nothing', () => {
  it('a healthy endpoint has at most 3,000 deliveries dispatched and not begun', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES);
    await bench.held(3500);
    const rings = await live(bench, 60 * MINUTE_MS);
    expect(queue.copies().size).toBe(3000);
    // What is over waits without ringing the alarm.
    expect(rings).toBeLessThan(40);
    // An attempt that begins makes room for one of those that wait.
    const [message] = queue.messages;
    await bench.store.begin(bench.ref, message?.token ?? '', message?.eventIds ?? []);
    await bench.ringNext();
    expect(queue.copies().size).toBe(3020);
  });

  it('a test notification goes out beside 3,000 deliveries that nobody begins', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES);
    await bench.held(3100);
    await live(bench, MINUTE_MS);
    const { id } = await bench.test();
    await bench.ringNext();
    expect(queue.copies().has(id)).toBe(true);
  });

  it('an endpoint in trouble has forty deliveries dispatched and not begun, also after an hour', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES, env.UNHEALTHY);
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    const ids = new Set(await bench.held(200));
    await live(bench, 60 * MINUTE_MS);
    expect([...queue.copies().keys()].filter((id) => ids.has(id)).length).toBeLessThanOrEqual(40);
  });

  it('deliveries whose messages were all lost are delivered when they are sent again', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES);
    await bench.held(1100);
    await live(bench, MINUTE_MS);
    queue.messages.splice(0);
    await live(bench, 10 * MINUTE_MS, async () => {
      const tokens = await bench.tokens();
      for (const { eventIds } of queue.messages.splice(0))
        for (const id of eventIds) {
          const [begun] = await bench.store.begin(bench.ref, tokens.get(id) ?? '', [id]);
          if (begun !== undefined) await bench.settle(id, ok, begun.attempt);
        }
    });
    expect((await bench.store.health()).waiting).toBe(0);
  });
});

describe('a dispatch that fails halfway', () => {
  it('a dispatch of which one delivery cannot be written leases none, and all go out after the pause', async () => {
    const bench = new Bench();
    const queue = new StuckQueue(env.DELIVERIES);
    const ids = await bench.held(10);
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const alter = (query: string) =>
      runInDurableObject(bench.store, (_, { storage }) => void storage.sql.exec(query));
    await alter(
      `CREATE TRIGGER broken BEFORE UPDATE ON deliveries WHEN OLD.event_id = '${ids[7]}'
       BEGIN SELECT RAISE(ABORT, 'broken'); END`,
    );
    await bench.ringNext();
    await alter('DROP TRIGGER broken');
    expect((await bench.tokens()).size).toBe(0);
    await bench.ringNext();
    expect(queue.copies().size).toBe(10);
  });
});
