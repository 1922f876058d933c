/** What an event store does with an endpoint that must be verified (contract 10.8). */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { PROOFS_MAX } from '../../src/domain/limits.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import { Bench, lost, ok, timedOut } from '../support/store-bench.ts';

const DAY_MS = 86_400_000;
const OTHER = 'https://other.example/';

/** Rings the alarm once a second. @returns all events that were dispatched, in order */
async function drain(bench: Bench, seconds = 5): Promise<string[]> {
  const dispatched: string[] = [];
  for (let second = 0; second < seconds; second++) {
    dispatched.push(...(await bench.ring()));
    bench.clock.advance(1000);
  }
  return dispatched;
}

/** A new endpoint that must be verified. */
function unverified(): Bench {
  return new Bench({ proof: 1 });
}

async function verify(bench: Bench): Promise<void> {
  const { id } = await bench.test();
  await bench.ring();
  await bench.attempt([id], ok);
}

describe('an endpoint that is not verified', () => {
  it('admit defers the events of an unverified endpoint, and only its test is dispatched', async () => {
    const bench = unverified();
    const [id = ''] = bench.ids(1);
    expect(await bench.store.admit(bench.ref, [id])).toEqual([{ answer: 'held' }]);
    const events = await bench.held(3);
    const test = await bench.test();
    expect(await drain(bench, 3)).toEqual([test.id]);
    expect(await bench.state(events[0] ?? '')).toMatchObject({ state: 'awaiting-executing', attempts: 0 });
    expect(await bench.store.health()).toMatchObject({ state: 'unverified', waiting: 4 });
  });

  it('a success of a test releases the events that waited for it, oldest first', async () => {
    const bench = unverified();
    const events = await bench.held(4);
    await verify(bench);
    expect((await bench.store.health()).state).toBe('healthy');
    expect(await drain(bench)).toEqual(events);
    const [next = ''] = bench.ids(1);
    expect(await bench.store.admit(bench.ref, [next])).toEqual([{ answer: 'new' }]);
  });

  it('the proof and the waiting events survive an eviction of the store', async () => {
    const bench = unverified();
    const events = await bench.held(2);
    await evictDurableObject(bench.store);
    expect((await bench.store.health()).state).toBe('unverified');
    expect(await bench.ring()).toEqual([]);
    await verify(bench);
    await evictDurableObject(bench.store);
    expect((await bench.store.health()).state).toBe('healthy');
    expect(await drain(bench)).toEqual(events);
  });

  it('a test that fails six times verifies nothing, and a later test does', async () => {
    const bench = unverified();
    const events = await bench.held(1);
    const { id } = await bench.test();
    for (let attempt = 1; attempt <= 6; attempt++) {
      await bench.ring();
      await bench.attempt([id], lost);
      bench.clock.advance(DAY_MS);
    }
    expect(await bench.state(id)).toMatchObject({ state: 'failure', attempts: 6 });
    expect(await bench.state(events[0] ?? '')).toMatchObject({ attempts: 0 });
    await verify(bench);
    expect(await drain(bench)).toEqual(events);
  });

  it('an unverified endpoint that fails gets no event as a probe', async () => {
    const bench = unverified();
    const events = await bench.held(2);
    for (let count = 0; count < 5; count++) {
      const { id } = await bench.test();
      await bench.ring();
      await bench.attempt([id], lost);
    }
    await runInDurableObject(bench.store, (_, { storage }) => {
      storage.sql.exec("UPDATE deliveries SET state = 'failure', due_at = NULL WHERE hold = 'never'");
    });
    bench.clock.advance(600_000);
    expect(await drain(bench)).toEqual([]);
    await verify(bench);
    expect(await drain(bench)).toEqual(events);
  });

  it('an event that waited for the whole retention becomes a failure: endpoint not verified', async () => {
    const bench = unverified();
    const [id = ''] = await bench.held(1);
    bench.clock.advance(7 * DAY_MS);
    await bench.ring();
    const delivery = await bench.store.read(id);
    expect(delivery).toMatchObject({ state: 'failure', attempts: 0 });
    expect(delivery?.history.at(-1)?.reason).toBe('endpoint not verified');
    expect(await bench.store.redeliver(bench.ref, id)).toEqual({ answer: 'not verified' });
    const span = { since: 0, until: bench.clock.now() };
    expect(await bench.store.startRedelivery(bench.ref, span)).toEqual({ answer: 'not verified' });
    expect(await bench.store.previewRedelivery(bench.ref, span)).toEqual({ answer: 'not verified' });
    await verify(bench);
    expect(await bench.store.redeliver(bench.ref, id)).toMatchObject({ answer: 'accepted' });
    expect(await bench.ring()).toEqual([id]);
  });

  it('a proof that is given before the alarm has rewritten what disabling failed releases what came afterwards', async () => {
    const bench = unverified();
    const [failed = ''] = await bench.held(1);
    const { id } = await bench.test();
    await bench.ring();
    await bench.store.begin(bench.ref, (await bench.tokens()).get(id) ?? '', [id]);
    await bench.patch({ enabled: false });
    await bench.patch({ enabled: true });
    const late = await bench.held(1);
    await bench.settle(id, ok);
    expect(await drain(bench)).toEqual(late);
    expect(await bench.state(failed)).toMatchObject({ state: 'failure', attempts: 0 });
  });

  it('a test that was settled twice and a success that was settled twice change nothing more', async () => {
    const bench = unverified();
    const events = await bench.held(1);
    const { id } = await bench.test();
    await bench.store.settle(bench.ref, [{ ...bench.facts(id), neverHeld: true, kind: 'deferred' }]);
    await bench.ring();
    await bench.attempt([id], ok);
    await bench.settle(id, ok);
    expect(await bench.store.total()).toBe(2);
    expect(await drain(bench)).toEqual(events);
  });

  it('a settle that was rolled back leaves the endpoint unverified', async () => {
    const bench = unverified();
    const events = await bench.held(1);
    const { id } = await bench.test();
    await bench.ring();
    await runInDurableObject(bench.store, async (store, { storage }) => {
      const token = storage.sql
        .exec<{ t: string }>('SELECT lease_token AS t FROM deliveries WHERE event_id = ?', id)
        .one().t;
      await store.begin(bench.ref, token, [id]);
      storage.sql.exec(
        "CREATE TRIGGER broken BEFORE UPDATE ON deliveries WHEN NEW.state = 'success' BEGIN SELECT RAISE(ABORT, 'broken'); END",
      );
      const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
      const reports = [{ ...bench.facts(id), kind: 'attempted' as const, result }];
      await expect(store.settle(bench.ref, reports)).rejects.toThrow('broken');
      storage.sql.exec('DROP TRIGGER broken');
    });
    expect((await bench.store.health()).state).toBe('unverified');
    await bench.settle(id, ok);
    expect((await bench.store.health()).state).toBe('healthy');
    expect(await drain(bench)).toEqual(events);
  });

  it('a disabled subscription fails its waiting events, which cannot be redelivered before the proof', async () => {
    const bench = unverified();
    const [id = ''] = await bench.held(1);
    await bench.patch({ enabled: false });
    expect(await bench.state(id)).toMatchObject({ state: 'failure', attempts: 0 });
    expect((await bench.store.health()).state).toBe('unverified');
    await bench.patch({ enabled: true });
    expect(await bench.store.redeliver(bench.ref, id)).toEqual({ answer: 'not verified' });
    await verify(bench);
    expect(await bench.store.redeliver(bench.ref, id)).toMatchObject({ answer: 'accepted' });
  });
});

describe('a test that is no proof', () => {
  const blocked: Outcome = { kind: 'blocked', message: 'private address' };
  it.each<[string, Outcome]>([
    ['no answer in time', timedOut],
    ['no connection', lost],
    ['a blocked address', blocked],
  ])('%s proves nothing', async (_, outcome) => {
    const bench = unverified();
    await bench.held(1);
    const { id } = await bench.test();
    await bench.ring();
    await bench.attempt([id], outcome);
    expect((await bench.store.health()).state).toBe('unverified');
    expect(await drain(bench, 2)).toEqual([]);
  });
});

describe('a result that comes from an earlier version of the subscription', () => {
  /** An event waits for the new endpoint, while a consumer that has not seen the change posts it to the old one. */
  async function crossed() {
    const bench = new Bench();
    await bench.store.adopt(bench.ref);
    const before = await bench.patch({ endpoint: OTHER, proof: 2 });
    const [id = ''] = await bench.held(1);
    const settleLate = async (outcome: Outcome) => {
      const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome };
      const facts = { ...bench.facts(id), endpoint: before.endpoint };
      await bench.store.settle(before, [{ ...facts, kind: 'attempted', result }]);
    };
    return { bench, id, settleLate, before };
  }

  it('its success ends the event, and does not verify the new endpoint', async () => {
    const { bench, id, settleLate } = await crossed();
    await settleLate(ok);
    expect(await bench.state(id)).toMatchObject({ state: 'success', attempts: 1 });
    expect((await bench.store.health()).state).toBe('unverified');
  });

  it('its failure leaves the event waiting, until the proof releases it', async () => {
    const { bench, id, settleLate } = await crossed();
    await settleLate(lost);
    expect(await bench.state(id)).toMatchObject({ state: 'awaiting-executing', attempts: 0 });
    bench.clock.advance(60_000);
    expect(await drain(bench, 2)).toEqual([]);
    await verify(bench);
    expect(await drain(bench)).toEqual([id]);
  });

  it('a request of it that has no answer yet leaves the event waiting', async () => {
    const { bench, id, before } = await crossed();
    const facts = { ...bench.facts(id), endpoint: before.endpoint };
    const startedAt = bench.clock.now();
    const waiting = { kind: 'waiting' as const, attempt: 1, startedAt, isUnusual: false, isAlone: false };
    await bench.store.settle(before, [{ ...facts, ...waiting }]);
    bench.clock.advance(DAY_MS);
    expect(await drain(bench, 2)).toEqual([]);
    expect(await bench.state(id)).toMatchObject({ state: 'awaiting-executing', attempts: 0 });
  });
});

describe('an endpoint that changed', () => {
  it('a consumer that has not seen the change of a long verified endpoint still sends its events there', async () => {
    const bench = unverified();
    await verify(bench);
    bench.clock.advance(30 * DAY_MS);
    for (let rings = 0; rings < 3; rings++) await bench.ring();
    const before = await bench.patch({ endpoint: OTHER, proof: 2 });
    const [id = ''] = bench.ids(1);
    expect(await bench.store.admit(before, [id])).toEqual([{ answer: 'new' }]);
  });

  it('a store remembers a hundred endpoints, the newest ones, however often the endpoint changes', async () => {
    const bench = unverified();
    await bench.held(1);
    for (let change = 0; change < PROOFS_MAX + 20; change++) {
      await bench.patch({ endpoint: `${OTHER}${change}`, proof: bench.ref.version + 1 });
      await bench.held(1);
    }
    const kept = await runInDurableObject(bench.store, (_, { storage }) =>
      storage.sql.exec<{ version: number }>('SELECT version FROM proofs').toArray(),
    );
    expect(kept).toHaveLength(100);
    const [newest = ''] = await bench.held(1);
    await verify(bench);
    expect(await drain(bench)).toContain(newest);
  });

  it("a success of the old endpoint's test does not verify the new endpoint", async () => {
    const bench = unverified();
    const { id } = await bench.test();
    await bench.ring();
    const before = await bench.patch({ endpoint: OTHER, proof: 2 });
    const events = await bench.held(1);
    const token = (await bench.tokens()).get(id) ?? '';
    expect(await bench.store.begin(bench.ref, token, [id])).toHaveLength(1);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
    const facts = { ...bench.facts(id), endpoint: before.endpoint };
    await bench.store.settle(bench.ref, [{ ...facts, kind: 'attempted', result }]);
    expect((await bench.store.health()).state).toBe('unverified');
    expect(await drain(bench, 2)).toEqual([]);
    await verify(bench);
    expect(await drain(bench)).toEqual(events);
  });

  it('events for an endpoint that was never verified stay unsent after another one is verified', async () => {
    const bench = unverified();
    const [stranger = ''] = await bench.held(1);
    await bench.patch({ endpoint: OTHER, proof: 2 });
    await verify(bench);
    const own = await bench.held(1);
    expect(await drain(bench)).toEqual(own);
    bench.clock.advance(7 * DAY_MS);
    await bench.ring();
    expect((await bench.store.read(stranger))?.history.at(-1)?.reason).toBe('endpoint not verified');
    expect(await bench.store.redeliver(bench.ref, stranger)).toEqual({ answer: 'not verified' });
    const span = { since: 0, until: bench.clock.now() };
    expect(await bench.store.previewRedelivery(bench.ref, span)).toMatchObject({
      answer: 'previewed',
      preview: { total: 0, notKept: 0, notVerified: 1 },
    });
    await bench.store.startRedelivery(bench.ref, span);
    expect(await drain(bench)).toEqual([]);
    expect(await bench.store.redeliveries()).toMatchObject([{ state: 'completed', total: 0 }]);
  });

  it('an endpoint that comes back is asked again, and its proof releases what waited for it before', async () => {
    const bench = unverified();
    const [waiting = ''] = await bench.held(1);
    await bench.patch({ endpoint: OTHER, proof: 2 });
    await bench.patch({ endpoint: 'https://listener.example/', proof: 3 });
    expect((await bench.store.health()).state).toBe('unverified');
    await verify(bench);
    expect(await drain(bench)).toEqual([waiting]);
  });

  it('an endpoint that was verified is asked again when it comes back', async () => {
    const bench = unverified();
    await verify(bench);
    await bench.patch({ endpoint: OTHER, proof: 2 });
    await bench.patch({ endpoint: 'https://listener.example/', proof: 3 });
    expect((await bench.store.health()).state).toBe('unverified');
    await bench.held(1);
    expect(await drain(bench)).toEqual([]);
  });

  it('retries for the old endpoint go on while the new one is unverified', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await bench.settle(id, lost);
    const before = await bench.patch({ endpoint: OTHER, proof: 2 });
    // A consumer that has not seen the change stores an event of the old endpoint.
    const [late = ''] = bench.ids(1);
    const facts = { ...bench.facts(late), endpoint: before.endpoint };
    await bench.store.settle(before, [{ ...facts, kind: 'deferred' }]);
    bench.clock.advance(3000);
    expect((await bench.ring()).sort()).toEqual([id, late].sort());
  });

  it('a consumer that knows only the unverified version cannot attempt its events after the next change', async () => {
    const bench = unverified();
    await bench.store.adopt(bench.ref);
    const before = await bench.patch({ endpoint: OTHER, proof: null });
    const [id = ''] = bench.ids(1);
    expect(await bench.store.admit(before, [id])).toEqual([{ answer: 'held' }]);
    expect(await bench.store.admit(bench.ref, [id])).not.toEqual([{ answer: 'new' }]);
    const [other = ''] = bench.ids(1);
    expect(await bench.store.admit(bench.ref, [other])).toEqual([{ answer: 'new' }]);
  });

  it('a version that came without its proof, from an earlier release, learns it from the next call', async () => {
    const bench = unverified();
    const { proof: _, ...older } = bench.ref;
    await bench.store.adopt(older);
    const [id = '', next = ''] = bench.ids(2);
    expect(await bench.store.admit(bench.ref, [id])).toEqual([{ answer: 'held' }]);
    expect(await bench.store.admit(older, [next])).toEqual([{ answer: 'held' }]);
  });
});

describe('the switch turned off', () => {
  it('an endpoint is shown as healthy at once, and admit lets its events pass', async () => {
    const bench = unverified();
    await bench.store.adopt(bench.ref);
    await runInDurableObject(bench.store, async (_, state) => {
      const off = new EventStore(state, { ...env, VERIFY_ENDPOINTS: 'false' });
      expect(await off.health(bench.ref)).toMatchObject({ state: 'healthy' });
      const [id = ''] = bench.ids(1);
      expect(await off.admit(bench.ref, [id])).toEqual([{ answer: 'new' }]);
    });
  });

  it('a store that never learned of a proof asks for none once verification is off', async () => {
    const bench = unverified();
    await runInDurableObject(bench.store, async (_, state) => {
      const off = new EventStore(state, { ...env, VERIFY_ENDPOINTS: 'false' });
      const [newer = '', late = ''] = bench.ids(2);
      await off.admit({ ...bench.ref, version: 3, proof: null }, [newer]);
      expect(await off.admit(bench.ref, [late])).toEqual([{ answer: 'new' }]);
    });
  });

  it('a call releases what waits once verification is off, and the endpoint stays verified', async () => {
    const bench = unverified();
    const events = await bench.held(2);
    await runInDurableObject(bench.store, async (_, state) => {
      const off = new EventStore(state, { ...env, VERIFY_ENDPOINTS: 'false' });
      await off.ensureAlarm(bench.ref);
    });
    await evictDurableObject(bench.store);
    expect((await bench.store.health()).state).toBe('healthy');
    expect(await drain(bench)).toEqual(events);
  });
});
