/** The rows that the model bills, and a small copy of the scenario that prices deliveries. */
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { countBilledRows } from '../../tools/model/billed-rows.ts';
import { prices } from '../../tools/model/price.ts';

/** A table like that of deliveries, with two indexes of which one is partial, and a trigger that counts. */
const TABLES = `
  CREATE TABLE deliveries (id TEXT PRIMARY KEY, state TEXT NOT NULL, due INTEGER, token TEXT) WITHOUT ROWID;
  CREATE INDEX due ON deliveries (due) WHERE due IS NOT NULL;
  CREATE INDEX by_state ON deliveries (state, id);
  CREATE TABLE tally (one INTEGER PRIMARY KEY, n INTEGER NOT NULL);
  INSERT INTO tally VALUES (1, 0);
  CREATE TRIGGER tallied AFTER UPDATE OF state ON deliveries BEGIN UPDATE tally SET n = n + 1; END;`;

describe('the rows that the model bills', () => {
  it.each([
    // What the platform's own counter says of the same statements in an event store.
    ["INSERT INTO deliveries VALUES ('b', 'waits', 1, NULL)", 3],
    ["INSERT INTO deliveries VALUES ('b', 'failed', NULL, NULL)", 2],
    ["UPDATE deliveries SET token = 'x'", 1],
    ['UPDATE deliveries SET due = due + 1', 2],
    ["UPDATE deliveries SET state = 'taken', due = NULL", 3],
    ['DELETE FROM deliveries', 1],
    ['INSERT OR REPLACE INTO tally VALUES (1, 5)', 1],
  ])('the statement %s is %i rows', (statement, expected) => {
    const database = new DatabaseSync(':memory:');
    database.exec(TABLES);
    database.exec("INSERT INTO deliveries VALUES ('a', 'waits', 1, NULL)");
    let rows = 0;
    countBilledRows(database, (more) => {
      rows += more;
    });
    database.exec(statement);
    expect(rows).toBe(expected);
    database.close();
  });
});

describe('the price of a delivery', () => {
  it('a delivery that is refused once, then taken, is followed from its publish until the sweep has deleted it', async () => {
    const { figures, targets } = await prices(
      [
        {
          title: 'refused once',
          mood: { kind: 'refusing once', latency: 1 },
          publishes: [5, 1, 60_000],
        },
        { title: 'an array', mood: { kind: 'well', latency: 1 }, publishes: [2, 50, 1000] },
      ],
      { seed: 1 },
    );
    expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
    // Two for the failure, two for the success, one deleted for all five; but most find their alarm set already.
    expect(figures['refused once']).toMatch(/^rows 4,/);
    expect(figures['an array']).toMatch(/^rows 0\.0/);
  });

  it('thirty results of a listener that answers after half a second share a row, a call and no line of the log', async () => {
    const { prices: all } = await prices(
      [{ title: 'slow', mood: { kind: 'well', latency: 500 }, publishes: [10, 100, 1000] }],
      // Other ids than above: the isolate remembers how quick a listener was.
      { seed: 7 },
    );
    const [{ rows, objectRequests, logLines }] = all as [(typeof all)[number]];
    // Each row is deleted once. With a row for each second it would be three times as many.
    expect(rows).toBeLessThanOrEqual(0.1);
    // Of an invocation: admit, settle, release, and two questions whether attempts may still start.
    expect(objectRequests).toBeLessThanOrEqual(0.2);
    expect(logLines).toBeLessThanOrEqual(0.02);
  });
});
