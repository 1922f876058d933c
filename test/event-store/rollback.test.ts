/** What a store keeps in memory must not outlive the rows it stands for: each part is asked again after a rollback. */
import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { EventStore } from '../../src/event-store/event-store.ts';
import type { AttemptReport } from '../../src/event-store/rpc.ts';
import { DUTY_PAUSE_FIRST_MS, MERGE_SEGMENTS } from '../../src/event-store/tuning.ts';
import { aSet } from '../support/delivery-fixtures.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const refused: Outcome = { kind: 'blocked', message: 'no' };

/** Makes every write of a kind fail, for the length of one call of the store. */
async function whileBroken(
  bench: Bench,
  write: string,
  call: (store: EventStore) => Promise<unknown>,
): Promise<void> {
  await runInDurableObject(bench.store, async (store, { storage }) => {
    storage.sql.exec(`CREATE TRIGGER broken BEFORE ${write} BEGIN SELECT RAISE(ABORT, 'broken'); END`);
    await expect(call(store)).rejects.toThrow('broken');
    storage.sql.exec('DROP TRIGGER broken');
  });
}

function success(bench: Bench, eventId: string) {
  const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
  return reportOf({ ...bench.facts(eventId), set: aSet(eventId), result });
}

function failure(bench: Bench, eventId: string, outcome: Outcome = lost) {
  const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome };
  return reportOf({ ...bench.facts(eventId), result });
}

describe('a call that was rolled back', () => {
  it('a settle that was rolled back leaves the health of the endpoint as it was', async () => {
    const bench = new Bench();
    const [first = '', failed = '', ...others] = bench.ids(7);
    await bench.settle(first, refused);
    await bench.settle(failed, refused);
    await bench.store.startRedelivery(bench.ref, { since: 0, until: bench.clock.now() });
    await bench.attempt(await bench.ring(), ok);
    bench.clock.advance(1000);
    expect(await bench.ring()).toEqual([failed]);
    await bench.store.begin(bench.ref, (await bench.tokens()).get(failed) ?? '', [failed]);
    // The success completes the job, which is the last write of the call; the five failures are in the health by then.
    const result = { attempt: 2, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
    const reports = [reportOf({ ...bench.facts(failed), result }), ...others.map((id) => failure(bench, id))];
    await whileBroken(bench, "UPDATE ON redeliveries WHEN NEW.state = 'completed'", (store) =>
      store.settle(bench.ref, reports),
    );
    expect(await bench.store.health()).toMatchObject({ state: 'healthy', waiting: 1 });
    await bench.store.settle(bench.ref, reports);
    expect(await bench.store.health()).toMatchObject({ state: 'failing', waiting: 5 });
    expect((await bench.store.redeliveries())[0]).toMatchObject({ state: 'completed', succeeded: 2 });
  });

  it('a call with a newer version that was rolled back adopts the version when it is repeated', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await bench.settle(id, lost);
    const [held = ''] = await bench.held(1);
    const disabled = { ...bench.ref, version: 2, enabled: false };
    // The last write of the call; the version and the mark on what waits are written by then.
    await whileBroken(bench, 'UPDATE ON tally WHEN NEW.doomed > 0', (store) => store.adopt(disabled));
    expect((await bench.store.read(id))?.state).toBe('awaiting-retry');
    expect(await bench.store.health()).toMatchObject({ waiting: 2 });
    await bench.store.adopt(disabled);
    expect((await bench.store.read(id))?.state).toBe('failure');
    expect((await bench.store.read(held))?.state).toBe('failure');
  });

  it('a redelivery that was rolled back does not count for the interval between redeliveries', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await bench.settle(id, refused);
    await whileBroken(bench, 'INSERT ON store', (store) => store.redeliver(bench.ref, id));
    expect((await bench.store.read(id))?.state).toBe('failure');
    expect(await bench.store.redeliver(bench.ref, id)).toMatchObject({ answer: 'accepted' });
  });

  it('a bulk redelivery whose end was rolled back is still active', async () => {
    const bench = new Bench();
    const [failed = '', open = '', late = ''] = bench.ids(3);
    await bench.settle(failed, refused);
    await bench.store.startRedelivery(bench.ref, { since: 0, until: bench.clock.now() });
    await bench.ring();
    // Disabling ends the job, and the call fails after that.
    await bench.store.settle(bench.ref, [reportOf(bench.facts(open))]);
    const disabled = { ...bench.ref, version: 2, enabled: false };
    await whileBroken(bench, 'INSERT ON deliveries', (store) =>
      store.settle(disabled, [reportOf(bench.facts(late))]),
    );
    expect((await bench.store.redeliveries())[0]?.state).toBe('processing');
    await bench.store.adopt(disabled);
    expect((await bench.store.redeliveries())[0]?.state).toBe('canceled');
  });

  it('a bite of the sweep that was rolled back leaves the total as it was, and is done again', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await bench.settle(id, refused);
    expect(await bench.store.total()).toBe(1);
    bench.clock.advance(7 * 86_400_000);
    await runInDurableObject(bench.store, async (store, { storage }) => {
      // The second statement of the bite is refused.
      storage.sql.exec("INSERT INTO history_pages (event_id, page, entries) VALUES (?, 0, '[]')", id);
      storage.sql.exec(
        "CREATE TRIGGER broken BEFORE DELETE ON history_pages BEGIN SELECT RAISE(ABORT, ''); END",
      );
      await store.alarm();
      storage.sql.exec('DROP TRIGGER broken');
    });
    const stored = () =>
      runInDurableObject(bench.store, (_, { storage }) => {
        return storage.sql.exec<{ n: number }>('SELECT count(*) AS n FROM deliveries').one().n;
      });
    expect(await stored()).toBe(1);
    // It has expired. If the total had lost it, it would be -1.
    expect(await bench.store.total()).toBe(0);
    bench.clock.advance(DUTY_PAUSE_FIRST_MS);
    await bench.ring();
    expect(await stored()).toBe(0);
    expect(await bench.store.total()).toBe(0);
  });

  it('segments that were rolled back do not count towards a merge', async () => {
    const bench = new Bench();
    const first = MERGE_SEGMENTS - 1;
    for (let round = 0; round < first; round++) {
      await bench.store.settle(bench.ref, [success(bench, bench.ids(1)[0] ?? '')]);
    }
    const far = await bench.alarm();
    const [packed = '', row = '', other = ''] = bench.ids(3);
    await whileBroken(bench, 'INSERT ON health', (store) =>
      store.settle(bench.ref, [success(bench, packed), failure(bench, row), failure(bench, other)]),
    );
    // With one segment more a merge would be due in ten minutes.
    await bench.store.ensureAlarm(bench.ref);
    expect(await bench.alarm()).toBe(far);
    expect(await bench.store.total()).toBe(first);
  });
});

describe('versions of the service that talk to each other', () => {
  it('a report of an older consumer, which names no kind, counts like one of today', async () => {
    const bench = new Bench();
    const [attempted = '', held = ''] = bench.ids(2);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
    const older = [{ ...bench.facts(attempted), result }, bench.facts(held)];
    const { settled } = await bench.store.settle(bench.ref, older as unknown as AttemptReport[]);
    expect(settled.map(({ state }) => state)).toEqual(['success', 'awaiting-executing']);
  });
});
