/** Events that are held come to the store without a signature: the consumer that makes their attempt signs them. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { SentReport } from '../../src/event-store/rpc.ts';
import { SIGNER_WAIT_MS } from '../../src/event-store/tuning.ts';
import { anUnsignedSet, aSet } from '../support/delivery-fixtures.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok, timedOut } from '../support/store-bench.ts';

const SIGNS = { signs: true } as const;

function unsignedReport(bench: Bench, eventId: string): SentReport {
  const { set: _, ...facts } = bench.facts(eventId);
  return { ...facts, kind: 'deferred', unsigned: anUnsignedSet(eventId) };
}

/** Stores one event without a signature, which is due at once. @returns its id and the token of its dispatch */
async function dispatched(bench: Bench): Promise<{ id: string; token: string }> {
  const [id = ''] = bench.ids(1);
  await bench.store.settle(bench.ref, [unsignedReport(bench, id)]);
  expect(await bench.ring()).toContain(id);
  return { id, token: (await bench.tokens()).get(id) ?? '' };
}

async function settle(bench: Bench, eventId: string, attempt: number, outcome = lost) {
  const result = { attempt, startedAt: bench.clock.now(), durationMs: 5, outcome };
  await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(eventId), set: aSet(eventId), result })]);
}

describe('an event whose SET is not signed', () => {
  it('the store takes a SET without its signature while the endpoint is failing, and only then', async () => {
    const bench = new Bench();
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'new' }]);
    await bench.settle(bench.ids(1)[0] ?? '', timedOut);
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'held' }]);
    await bench.fail();
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'held', unsigned: true }]);
    await bench.patch({ enabled: false });
    expect(await bench.store.admit(bench.ref, bench.ids(1))).toEqual([{ answer: 'held' }]);
  });

  it('a consumer that signs begins the attempt, and the SET that it sent comes back for each retry', async () => {
    const bench = new Bench();
    const { id, token } = await dispatched(bench);
    const [begun] = await bench.store.begin(bench.ref, token, [id], SIGNS);
    expect(begun).toMatchObject({ eventId: id, attempt: 1, set: anUnsignedSet(id) });
    await settle(bench, id, 1);
    await evictDurableObject(bench.store);
    expect(await bench.ringNext()).toEqual([id]);
    const again = await bench.store.begin(bench.ref, (await bench.tokens()).get(id) ?? '', [id]);
    expect(again).toMatchObject([{ attempt: 2, set: aSet(id) }]);
  });

  it('the store has the signature also when the consumer dies after a report that its request waits', async () => {
    const bench = new Bench();
    const { id, token } = await dispatched(bench);
    await bench.store.begin(bench.ref, token, [id], SIGNS);
    const waiting = { kind: 'waiting', attempt: 1, startedAt: bench.clock.now() } as const;
    await bench.store.settle(bench.ref, [
      { ...bench.facts(id), set: aSet(id), ...waiting, isUnusual: false, isAlone: true },
    ]);
    expect(await bench.store.read(id)).toMatchObject({ state: 'executing', set: aSet(id) });
  });

  it('a consumer of an earlier version begins nothing, and the event is dispatched again after five seconds', async () => {
    const bench = new Bench();
    const { id, token } = await dispatched(bench);
    expect(await bench.store.begin(bench.ref, token, [id])).toEqual([]);
    expect(await bench.state(id)).toMatchObject({ state: 'awaiting-executing', attempts: 0 });
    expect(await bench.alarm()).toBe(bench.clock.now() + SIGNER_WAIT_MS);
    await bench.ringNext();
    expect(await bench.store.begin(bench.ref, token, [id], SIGNS)).toHaveLength(1);
  });

  it('an attempt whose key was not available is made again under its number, and is not charged', async () => {
    const bench = new Bench();
    const { id, token } = await dispatched(bench);
    await bench.store.begin(bench.ref, token, [id], SIGNS);
    const outcome = { kind: 'our_fault', message: 'the signing key is not available' } as const;
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 0, outcome };
    await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(id), set: anUnsignedSet(id), result })]);
    while (!(await bench.ringNext()).includes(id));
    const begun = await bench.store.begin(bench.ref, (await bench.tokens()).get(id) ?? '', [id], SIGNS);
    expect(begun).toMatchObject([{ attempt: 1, set: anUnsignedSet(id) }]);
  });

  it('a report that has another SET than the stored one leaves the stored one alone', async () => {
    const bench = new Bench();
    const { id } = await dispatched(bench);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: lost };
    const other = { ...bench.facts(id), set: aSet(id, 'another key'), result };
    await bench.store.settle(bench.ref, [reportOf(other)]);
    expect(await bench.store.read(id)).toMatchObject({ state: 'awaiting-retry', set: anUnsignedSet(id) });
  });

  it('an event that fails before its first attempt can be redelivered', async () => {
    const bench = new Bench();
    const { id } = await dispatched(bench);
    await bench.patch({ enabled: false });
    await bench.ring();
    await bench.patch({ enabled: true });
    expect(await bench.store.redeliver(bench.ref, id)).toMatchObject({ answer: 'accepted' });
    await bench.ring();
    const begun = await bench.store.begin(bench.ref, (await bench.tokens()).get(id) ?? '', [id], SIGNS);
    expect(begun).toMatchObject([{ attempt: 1, set: anUnsignedSet(id) }]);
    await settle(bench, id, 1, ok);
    expect(await bench.state(id)).toMatchObject({ state: 'success', attempts: 1 });
  });

  it('code from before cannot begin the attempt of an event whose SET is not signed', async () => {
    const bench = new Bench();
    await dispatched(bench);
    const rows = await runInDurableObject(bench.store, (_, { storage }) =>
      storage.sql
        .exec<{ history: string; entries: string }>('SELECT history, entries FROM deliveries')
        .toArray(),
    );
    // That code adds an entry to the list in `entries`, and throws when it finds none.
    for (const { history, entries } of rows) {
      expect(() => [...JSON.parse(history)]).toThrow('not iterable');
      expect(() => [...JSON.parse(entries)]).toThrow('not iterable');
    }
  });
});
