/** What a delivery costs that waits or failed: bytes of the store, and what a change of its state writes. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { setHeader, setPayload } from '../../src/domain/security-event-token.ts';
import { migrate } from '../../src/event-store/schema.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const BASE64URL = { alphabet: 'base64url', omitPadding: true } as const;
/** The tables of the version before tokens had a table of their own. */
const TOKENS_IN_ROWS = 9;

/** A SET as the service signs it; the signature is random bytes of the right length. @param sub the user that the event is about */
function signedSet({ ref, clock }: Bench, eventId: string, sub = eventId): string {
  const part = (text: string) => new TextEncoder().encode(text).toBase64(BASE64URL);
  const { customerId, subscriptionId, endpoint } = ref;
  const header = setHeader('https://webhooks.example', customerId, {
    algorithm: 'RS256',
    kid: crypto.randomUUID(),
  });
  const claim = {
    captureApplicationId: 'tep2dcqy4fwurwtpkaxg76twgf',
    captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
    entityType: 'user',
    globalSub: `capture-v1://janraincapture.com/tep2dcqy4fwurwtpkaxg76twgf/user/${sub}`,
    id: eventId,
    sub,
  };
  const now = clock.now();
  const payload = setPayload('https://webhooks.example', {
    customerId,
    subscriptionId,
    eventId,
    endpoint,
    acceptedAt: now,
    occurredAt: now,
    events: { entityUpdated: claim },
  });
  const signature = crypto.getRandomValues(new Uint8Array(256)).toBase64(BASE64URL);
  return `${part(JSON.stringify(header))}.${part(payload)}.${signature}`;
}

/** An answer with headers as a load balancer sends them: an id of each request, and what stays the same. */
function unavailable(): Outcome {
  const id = crypto.getRandomValues(new Uint8Array(12)).toHex();
  return {
    kind: 'http_error',
    response: {
      statusCode: 503,
      headers: {
        connection: 'keep-alive',
        'content-length': '162',
        'content-type': 'text/html',
        date: 'Sun, 29 Nov 2026 06:30:00 GMT',
        server: 'awselb/2.0',
        'x-amzn-trace-id': `Root=1-692a9b3c-${id}`,
      },
    },
  };
}

/** Stores deliveries whose first attempts failed, a hundred in each call. @returns their SETs, by event id */
async function failedDeliveries(bench: Bench, count: number, attempts: number): Promise<Map<string, string>> {
  const sets = new Map(bench.ids(count).map((id) => [id, signedSet(bench, id)]));
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const reports = [...sets].map(([id, set]) => {
      const result = { attempt, startedAt: bench.clock.now(), durationMs: 5, outcome: unavailable() };
      return reportOf({ ...bench.facts(id), set, result });
    });
    for (let start = 0; start < count; start += 100) {
      await bench.store.settle(bench.ref, reports.slice(start, start + 100));
    }
  }
  return sets;
}

async function bytes(bench: Bench): Promise<number> {
  return await runInDurableObject(bench.store, (_, { storage }) => storage.sql.databaseSize);
}

describe('a delivery that waits for a retry', () => {
  it.each([1, 3, 6])(
    'a delivery takes at most 1,700 bytes of the store after %i failed attempts',
    async (attempts) => {
      const bench = new Bench();
      await bench.store.adopt(bench.ref);
      const before = await bytes(bench);
      await failedDeliveries(bench, 500, attempts);
      expect(((await bytes(bench)) - before) / 500).toBeLessThanOrEqual(1700);
    },
  );

  it('a delivery shows its whole history after many attempts', async () => {
    const bench = new Bench();
    const [[id = ''] = []] = await failedDeliveries(bench, 1, 6);
    const { history = [] } = (await bench.store.read(id)) ?? {};
    expect(history.map(({ attempts }) => attempts)).toEqual([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]);
    expect(history.at(-1)).toMatchObject({ state: 'failure', response: { statusCode: 503 } });
  });

  it('a delivery is dispatched, attempted and stored again without a write to its token', async () => {
    const bench = new Bench();
    const [[id = '', set] = []] = await failedDeliveries(bench, 1, 2);
    await runInDurableObject(bench.store, (_, { storage }) => {
      storage.sql.exec(
        `CREATE TRIGGER written BEFORE UPDATE ON bodies BEGIN SELECT RAISE(ABORT, 'written'); END`,
      );
    });
    // The alarm was set for the first retry; it then sets the time of the second.
    await bench.ringNext();
    expect(await bench.ringNext()).toEqual([id]);
    const [begun] = await bench.store.begin(bench.ref, (await bench.tokens()).get(id) ?? '', [id]);
    expect(begun?.set).toBe(set);
    await bench.settle(id, ok, 3);
    expect(await bench.store.read(id)).toMatchObject({ state: 'success', set });
  });

  it('a delivery keeps its token byte for byte, whatever it is made of', async () => {
    const bench = new Bench();
    const sets = [
      'set',
      'a.b',
      'e30.e31.sig',
      'e30.e30.',
      'e30.e30.sig.more',
      'e30.e30.c2ln',
      'e30=.e30.sig',
      'e30.e30.c2k=',
      'Cg.e30.c2ln',
    ];
    const ids = bench.ids(sets.length);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: lost };
    await bench.store.settle(
      bench.ref,
      ids.map((id, index) => reportOf({ ...bench.facts(id), set: sets[index] ?? '', result })),
    );
    expect((await bench.store.list({ limit: 100 })).map(({ set }) => set)).toEqual(sets);
  });

  it('a delivery cannot be begun by code of before, which would send an empty SET', async () => {
    const bench = new Bench();
    await failedDeliveries(bench, 2, 2);
    const rows = await runInDurableObject(bench.store, (_, { storage }) =>
      storage.sql.exec<{ history: string }>('SELECT history FROM deliveries').toArray(),
    );
    expect(rows).toHaveLength(2);
    // That code appends an entry to this list, and throws without one.
    for (const { history } of rows) expect(() => [...JSON.parse(history)]).toThrow('not iterable');
  });

  it('a deleted delivery leaves nothing behind', async () => {
    const bench = new Bench();
    await failedDeliveries(bench, 3, 1);
    await bench.patch({ enabled: false });
    bench.clock.advance(8 * 86_400_000);
    await bench.ring();
    expect(await bench.store.total()).toBe(0);
    const left = await runInDurableObject(bench.store, (_, { storage }) =>
      storage.sql.exec('SELECT number FROM bodies').toArray(),
    );
    expect(left).toEqual([]);
  });
});

describe('a delivery that is held', () => {
  it('a held delivery takes at most 160 bytes of the store, also when each is of another user and another request', async () => {
    const bench = new Bench();
    await bench.fail();
    const before = await bytes(bench);
    for (let round = 0; round < 20; round++) {
      const reports = bench
        .ids(100)
        .map((id) => ({ ...bench.facts(id), set: signedSet(bench, id, crypto.randomUUID()) }))
        .map((facts) => reportOf({ ...facts, requestId: crypto.randomUUID() }));
      await bench.store.settle(bench.ref, reports);
      bench.clock.advance(1000);
    }
    expect(((await bytes(bench)) - before) / 2000).toBeLessThanOrEqual(160);
  });
});

describe('a store that an earlier version wrote', () => {
  it('deliveries of an earlier version are read, sent again and deleted like new ones', async () => {
    const bench = new Bench();
    const [id = '', failed = ''] = bench.ids(2);
    const set = signedSet(bench, id);
    await runInDurableObject(bench.store, async (_, { storage }) => {
      await storage.deleteAll();
      migrate(storage, TOKENS_IN_ROWS);
      const columns =
        'event_id, state, attempts, run_base, accepted_at, updated_at, due_at, endpoint, history, set_token';
      const insert = `INSERT INTO deliveries (${columns}) VALUES (?, ?, 1, 0, ?, ?, ?, ?, '[]', ?)`;
      const now = bench.clock.now();
      const { endpoint } = bench.ref;
      storage.sql.exec(insert, id, 'awaiting-retry', now, now, now, endpoint, set);
      storage.sql.exec(insert, failed, 'failure', now, now, null, endpoint, set);
    });
    await evictDurableObject(bench.store);
    await bench.store.adopt(bench.ref);
    expect((await bench.store.list({ limit: 9 })).map((each) => [each.eventId, each.set])).toEqual([
      [id, set],
      [failed, set],
    ]);
    expect(await bench.store.total()).toBe(2);
    expect(await bench.store.health()).toMatchObject({ waiting: 1 });
    await bench.ring();
    const [begun] = await bench.store.begin(bench.ref, (await bench.tokens()).get(id) ?? '', [id]);
    expect(begun?.set).toBe(set);
    await bench.settle(id, ok, 2);
    expect(await bench.state(id)).toMatchObject({ state: 'success' });
    expect(await bench.store.redeliver(bench.ref, failed)).toMatchObject({ answer: 'accepted' });
    await bench.attempt(await bench.ring(), ok);
    bench.clock.advance(8 * 86_400_000);
    await bench.ring();
    expect(await bench.store.total()).toBe(0);
  });
});
