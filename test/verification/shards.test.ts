/** An endpoint that must be verified (contract 10.8), with several event stores: home keeps its tests and its proof. */
import { describe, expect, it } from 'vitest';
import { HOUR_MS } from '../../src/domain/limits.ts';
import { holdClock } from '../support/clock.ts';
import { Sharded } from '../support/sharded.ts';
import { ok } from '../support/store-bench.ts';

/** Three stores, whose endpoint is not verified, with an event at each. */
async function unverified(): Promise<{ sub: Sharded; ids: string[] }> {
  const sub = new Sharded({ epochs: [{ since: holdClock().now() - HOUR_MS, n: 3 }], most: 3 });
  sub.ref = { ...sub.ref, proof: 1 };
  await sub.store.adopt(sub.ref);
  const ids = [0, 1, 2].map((shard) => sub.idOf(shard));
  await sub.hold(ids);
  return { sub, ids };
}

/** A consumer makes the attempt of a test notification. @param to all stores, or home alone: the consumer dies behind it */
async function prove(sub: Sharded, to: 'all' | 'home'): Promise<void> {
  const id = sub.idOf(0);
  const facts = sub.facts(id);
  await sub.one(0).settle(sub.refFor(0), [{ ...facts, kind: 'deferred', neverHeld: true }]);
  sub.clock.advance(1000);
  await sub.ring(1);
  const [row] = await sub.rows<{ token: string }>(
    0,
    'SELECT lease_token AS token FROM deliveries WHERE lease_token IS NOT NULL',
  );
  const [begun] = await sub.one(0).begin(sub.refFor(0), row?.token ?? '', [id], { signs: true });
  expect(begun?.attempt).toBe(1);
  const result = { attempt: 1, startedAt: sub.clock.now(), durationMs: 5, outcome: ok };
  const report = { ...facts, kind: 'attempted', result } as const;
  if (to === 'all') await sub.store.settle(sub.ref, [report]);
  else await sub.one(0).settle(sub.refFor(0), [report]);
}

const statesOf = async (sub: Sharded) =>
  await Promise.all([0, 1, 2].map(async (number) => (await sub.one(number).health()).state));

describe('an endpoint with several event stores that must be verified', () => {
  it('no store sends an event before the test notification at home has succeeded', async () => {
    const { sub, ids } = await unverified();
    expect(await statesOf(sub)).toEqual(['unverified', 'unverified', 'unverified']);
    expect((await sub.store.admit(sub.ref, [sub.idOf(1)]))[0]?.answer).toBe('held');
    for (const id of ids) expect((await sub.store.read(id))?.attempts).toBe(0);
  });

  it('the success of a test notification verifies the endpoint at every store at once', async () => {
    const { sub } = await unverified();
    await prove(sub, 'all');
    expect(await statesOf(sub)).toEqual(['healthy', 'healthy', 'healthy']);
  });

  it('a proof of which home alone learned, because the consumer died, reaches every store at the daily visit', async () => {
    const { sub } = await unverified();
    await prove(sub, 'home');
    expect(await statesOf(sub)).toEqual(['healthy', 'unverified', 'unverified']);
    await sub.store.ensureAlarm(sub.ref);
    expect(await statesOf(sub)).toEqual(['healthy', 'healthy', 'healthy']);
  });

  it('a proof that D1 knows is given at every store, also at one that is new', async () => {
    const { sub } = await unverified();
    await prove(sub, 'home');
    sub.shards = { epochs: [...sub.shards.epochs, { since: sub.clock.now(), n: 4 }], most: 4 };
    const news = { state: 'healthy', since: sub.clock.now(), proven: 1 } as const;
    sub.ref = { ...sub.ref, version: 2, news };
    await sub.store.adopt(sub.ref);
    expect(await statesOf(sub)).toEqual(['healthy', 'healthy', 'healthy']);
    expect((await sub.one(3).health()).state).toBe('healthy');
  });

  it('a redelivery that is refused because of the proof does not count for the limit on redeliveries, at any store', async () => {
    const { sub, ids } = await unverified();
    await sub.failForGood([]);
    for (const id of [...ids, ...ids]) {
      expect(await sub.store.redeliver(sub.ref, id)).toEqual({ answer: 'not verified' });
    }
  });
});
