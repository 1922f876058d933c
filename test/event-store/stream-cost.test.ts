/** What a steady stream of deliveries costs from its first row to its last: stored, merged and expired. */
import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { aSet } from '../support/delivery-fixtures.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, ok } from '../support/store-bench.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

interface Rows {
  written: number;
  /** Each alarm that is set is a row too. */
  alarms: number;
}

/** Counts rows from now on. */
async function watch(bench: Bench): Promise<() => Promise<Rows>> {
  const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
  let alarms = 0;
  await runInDurableObject(bench.store, (_, { storage }) => {
    const exec = storage.sql.exec.bind(storage.sql);
    const setAlarm = storage.setAlarm.bind(storage);
    const counted = (query: string, ...values: SqlStorageValue[]) => {
      const cursor = exec(query, ...values);
      cursors.push(cursor);
      return cursor;
    };
    const counting = (at: number | Date) => {
      alarms++;
      return setAlarm(at);
    };
    Object.defineProperty(storage.sql, 'exec', { configurable: true, value: counted });
    Object.defineProperty(storage, 'setAlarm', { configurable: true, value: counting });
  });
  return () =>
    runInDurableObject(bench.store, () => ({
      written: cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0),
      alarms,
    }));
}

/** A settle each few seconds for some minutes, then eight days of nothing. @returns rows for each delivery */
async function stream(count: number, everyMs: number, minutes: number) {
  const bench = new Bench();
  await bench.store.adopt(bench.ref);
  const rows = await watch(bench);
  const ring = async () => {
    if (((await bench.alarm()) ?? Number.POSITIVE_INFINITY) <= bench.clock.now())
      await runDurableObjectAlarm(bench.store);
  };
  let deliveries = 0;
  for (let ms = 0; ms < minutes * MINUTE_MS; ms += everyMs) {
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: ok };
    const reports = bench.ids(count).map((id) => reportOf({ ...bench.facts(id), set: aSet(id), result }));
    await bench.store.settle(bench.ref, reports);
    deliveries += count;
    bench.clock.advance(everyMs);
    await ring();
  }
  // What is merged when the stream goes on is merged now; then everything expires.
  for (let step = 0; step < 40 * 60; step += 20) {
    bench.clock.advance(20_000);
    await ring();
  }
  bench.clock.advance(8 * DAY_MS);
  while ((await bench.store.total()) > 0) await bench.ringNext();
  const { written, alarms } = await rows();
  return { written: written / deliveries, alarms: alarms / deliveries };
}

describe('the rows of a steady stream, merged and expired', () => {
  it('a stream of single deliveries writes at most 1.1 rows for each: the delivery, and a share of a deletion', async () => {
    const { written, alarms } = await stream(1, 5000, 50);
    expect(written).toBeLessThanOrEqual(1.1);
    expect(alarms).toBeLessThanOrEqual(0.02);
  });

  it('an event a minute writes at most 1.1 rows for each: its segment spans a quarter of an hour', async () => {
    const { written } = await stream(1, MINUTE_MS, 120);
    expect(written).toBeLessThanOrEqual(1.1);
  });

  it('a stream in arrays of a hundred writes at most 0.015 rows for each delivery', async () => {
    const { written, alarms } = await stream(100, 5000, 50);
    expect(written).toBeLessThanOrEqual(0.015);
    expect(alarms).toBeLessThanOrEqual(0.0006);
  });
});

describe('what the platform counts', () => {
  it('an update that moves a row of a table without rowid to another key is one row written', async () => {
    const bench = new Bench();
    await bench.store.adopt(bench.ref);
    const written = await runInDurableObject(bench.store, (_, { storage: { sql } }) => {
      sql.exec('CREATE TABLE moved (key TEXT PRIMARY KEY, content BLOB) WITHOUT ROWID');
      sql.exec("INSERT INTO moved VALUES ('a', zeroblob(3000))");
      const cursor = sql.exec("UPDATE moved SET (key, content) = ('b', zeroblob(9000)) WHERE key = 'a'");
      return cursor.rowsWritten;
    });
    expect(written).toBe(1);
  });

  it('a table of a thousand rows is dropped for nothing, and emptied or filled for a thousand rows', async () => {
    const bench = new Bench();
    await bench.store.adopt(bench.ref);
    const written = await runInDurableObject(bench.store, (_, { storage: { sql } }) => {
      const rowsOf = (query: string) => {
        const cursor = sql.exec(query);
        cursor.toArray();
        return cursor.rowsWritten;
      };
      const create = 'CREATE TABLE thousand (id INTEGER PRIMARY KEY, content BLOB)';
      const fill = `INSERT INTO thousand WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT i, zeroblob(700) FROM n`;
      return {
        create: rowsOf(create),
        fill: rowsOf(fill),
        empty: rowsOf('DELETE FROM thousand'),
        fillAgain: rowsOf(fill),
        drop: rowsOf('DROP TABLE thousand'),
      };
    });
    expect(written).toEqual({ create: 2, fill: 1000, empty: 1000, fillAgain: 1000, drop: 0 });
  });
});
