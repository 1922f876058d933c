import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { insertDeadLetters } from '../../src/storage/dead-letters.ts';
import { holdClock } from '../support/clock.ts';
import { runCron } from '../support/cron.ts';
import { reportOf } from '../support/reports.ts';
import { asOperator, newCustomer, newSubscription, storeOf } from '../support/world.ts';

const DAY_MS = 86_400_000;
const EVERY_MS = 300_000;

async function settleSuccess(subscription: Awaited<ReturnType<typeof newSubscription>>): Promise<void> {
  const ref = {
    customerId: subscription.customer.id,
    subscriptionId: subscription.id,
    version: 1,
    enabled: true,
    endpoint: 'https://listener.example/',
  };
  const [eventId = ''] = newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)));
  const outcome = { kind: 'success', response: { statusCode: 200, headers: {} } } as const;
  const result = { attempt: 1, startedAt: Date.now(), durationMs: 1, outcome };
  await storeOf(subscription).settle(ref, [
    reportOf({
      eventId,
      acceptedAt: Date.now(),
      endpoint: 'https://listener.example/',
      set: 'a.b.c',
      result,
    }),
  ]);
}

async function tombstone(
  id: string,
): Promise<{ deleted_at: number | null; erased_at: number | null } | null> {
  return await env.DB.prepare('SELECT deleted_at, erased_at FROM subscriptions WHERE id = ?')
    .bind(id)
    .first();
}

describe('maintenance by the cron', () => {
  it('maintenance finishes an erasure that was cut short and drops its tombstone after 30 days', async () => {
    const subscription = await newSubscription(await newCustomer());
    await settleSuccess(subscription);
    const store = storeOf(subscription);
    // The deletion was cut short after D1 and before the store.
    await env.DB.prepare('UPDATE subscriptions SET deleted_at = ?, version = 2 WHERE id = ?')
      .bind(Date.now(), subscription.id)
      .run();
    expect(await store.total()).toBe(1);
    await runCron(env, Date.now());
    expect(await store.total()).toBe(0);
    expect((await tombstone(subscription.id))?.erased_at).not.toBeNull();
    await runCron(env, Date.now() + 29 * DAY_MS);
    expect(await tombstone(subscription.id)).not.toBeNull();
    await runCron(env, Date.now() + 31 * DAY_MS);
    expect(await tombstone(subscription.id)).toBeNull();
  });

  it('maintenance visits every event store within a day and sets a lost alarm again', async () => {
    const subscription = await newSubscription(await newCustomer());
    await settleSuccess(subscription);
    const store = storeOf(subscription);
    await runInDurableObject(store, (_, state) => state.storage.deleteAlarm());
    const armed = () => runInDurableObject(store, (_, state) => state.storage.getAlarm());
    // A day has 288 runs. A run visits one of 256 ranges of the ids, named by their first two digits.
    const range = Number.parseInt(subscription.id.slice(0, 2), 16);
    const runs = Array.from({ length: DAY_MS / EVERY_MS }, (_, run) => run * EVERY_MS);
    const own = runs.filter((at) => Math.floor(at / EVERY_MS) % 256 === range);
    expect(own.length).toBeGreaterThanOrEqual(1);
    await runCron(env, (own[0] ?? 0) + EVERY_MS);
    expect(await armed()).toBeNull();
    await runCron(env, own[0] ?? 0);
    expect(await armed()).not.toBeNull();
  });

  it('maintenance drops the oldest dead letters beyond 100,000, and logs how many', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    onTestFinished(() => warn.mockRestore());
    const now = Date.now();
    await env.DB.prepare('DELETE FROM dead_letters').run();
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100003)
       INSERT INTO dead_letters (id, queue, reason, body, accepted_at, created_at)
       SELECT 'letter ' || i, 'webhook-events', 'reason', '{}', ?1, ?1 + i FROM n`,
    )
      .bind(now - DAY_MS)
      .run();
    await runCron(env, now);
    const { left, oldest } = (await env.DB.prepare(
      'SELECT count(*) AS left, min(created_at) - ? AS oldest FROM dead_letters',
    )
      .bind(now - DAY_MS)
      .first()) as { left: number; oldest: number };
    expect({ left, oldest }).toEqual({ left: 100_000, oldest: 4 });
    expect(warn.mock.calls.flat().join()).toContain('"event":"dead letters dropped","count":3');
    await env.DB.prepare('DELETE FROM dead_letters').run();
  });

  it('maintenance logs how many dead letters it dropped before D1 failed', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const error = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    onTestFinished(() => {
      warn.mockRestore();
      error.mockRestore();
    });
    await env.DB.prepare('DELETE FROM dead_letters').run();
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
       INSERT INTO dead_letters (id, queue, reason, body, accepted_at, created_at, refused)
       SELECT 'letter ' || i, 'webhook-events', 'reason', '{}', ?1, ?1 + i, 1 FROM n`,
    )
      .bind(Date.now())
      .run();
    let deletes = 0;
    const DB = new Proxy(env.DB, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown;
        if (typeof value !== 'function') return value;
        return (query: unknown, ...more: unknown[]) => {
          // The first one deletes old letters, and the second one 5,000 others.
          const isDelete = name === 'prepare' && String(query).startsWith('delete from "dead_letters"');
          if (isDelete && ++deletes > 2) throw new Error('D1 is away');
          return value.call(target, query, ...more);
        };
      },
    });
    await runCron({ ...env, DB }, Date.now());
    expect(error.mock.calls.flat().join()).toContain('"task":"trim dead letters"');
    expect(warn.mock.calls.flat().join()).toContain('"event":"dead letters dropped","count":5000');
    await env.DB.prepare('DELETE FROM dead_letters').run();
  });

  it('refused events of unknown customers keep 10,000 dead letters, and drop no others', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    onTestFinished(() => warn.mockRestore());
    const now = Date.now();
    const customer = await newCustomer();
    await env.DB.prepare('DELETE FROM dead_letters').run();
    const insert = (
      name: string,
      count: number,
      customerId: string | null,
      refused: number,
      createdAt: number,
    ) =>
      env.DB.prepare(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO dead_letters (id, queue, reason, body, accepted_at, created_at, customer_id, refused)
         SELECT ?2 || i, 'webhook-events', ?2, 'b', 1, ?5 + i, ?3, ?4 FROM n`,
      )
        .bind(count, name, customerId, refused, createdAt)
        .run();
    await insert('accepted', 3, customer.id, 0, now - 2 * DAY_MS);
    await insert('refused', 3, customer.id, 1, now - 2 * DAY_MS);
    await insert('stranger', 10_003, null, 1, now - DAY_MS);
    await runCron(env, now);
    const { results } = await env.DB.prepare(
      'SELECT reason, count(*) AS n, min(created_at) AS oldest FROM dead_letters GROUP BY reason ORDER BY reason',
    ).all();
    expect(results).toEqual([
      { reason: 'accepted', n: 3, oldest: now - 2 * DAY_MS + 1 },
      { reason: 'refused', n: 3, oldest: now - 2 * DAY_MS + 1 },
      { reason: 'stranger', n: 10_000, oldest: now - DAY_MS + 4 },
    ]);
    expect(warn.mock.calls.flat().join()).toContain('"event":"dead letters dropped","count":3');
    await env.DB.prepare('DELETE FROM dead_letters').run();
  });

  it('a full list drops letters of refused events before those of accepted ones', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    onTestFinished(() => warn.mockRestore());
    const now = Date.now();
    await env.DB.prepare('DELETE FROM dead_letters').run();
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100004)
       INSERT INTO dead_letters (id, queue, reason, body, accepted_at, created_at, refused)
       SELECT i, 'webhook-events', 'reason', '{}', ?1, ?1 + i, i > 100002 FROM n`,
    )
      .bind(now - DAY_MS)
      .run();
    await runCron(env, now);
    const left = await env.DB.prepare(
      'SELECT count(*) AS n, sum(refused) AS refused, min(created_at) - ?1 AS oldest FROM dead_letters',
    )
      .bind(now - DAY_MS)
      .first();
    expect(left).toEqual({ n: 100_000, refused: 0, oldest: 3 });
    await env.DB.prepare('DELETE FROM dead_letters').run();
  });

  it('maintenance drops dead letters after 30 days', async () => {
    const clock = holdClock();
    const about = { queue: 'webhook-events', customerId: null, refused: false };
    const letter = { ...about, reason: 'r', body: '{}', acceptedAt: clock.now() };
    await insertDeadLetters(openDatabase(env.DB), [
      { ...letter, id: crypto.randomUUID(), createdAt: clock.now() },
      { ...letter, id: crypto.randomUUID(), createdAt: clock.now() + DAY_MS },
    ]);
    await runCron(env, clock.now() + 30 * DAY_MS + 1);
    expect((await asOperator('GET', '/dead-letters')).body.total).toBe(1);
  });

  it('maintenance goes on with the other tasks when one fails', async () => {
    const subscription = await newSubscription(await newCustomer());
    await env.DB.prepare('UPDATE subscriptions SET deleted_at = 1, version = 2 WHERE id = ?')
      .bind(subscription.id)
      .run();
    const EVENT_STORE = {
      idFromName: () => 'x',
      get: () => ({ erase: () => Promise.reject(new Error('away')) }),
    };
    await runCron({ ...env, EVENT_STORE: EVENT_STORE as unknown as typeof env.EVENT_STORE }, Date.now());
    expect((await tombstone(subscription.id))?.erased_at).toBeNull();
    await runCron(env, Date.now());
    expect((await tombstone(subscription.id))?.erased_at).not.toBeNull();
  });
});
