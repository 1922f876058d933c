/**
 * Tables of one event store: SQLite in a Durable Object, one for each subscription. Each table is named in one file beside
 * this one:
 *
 *     store                             owner.ts
 *     deliveries                        deliveries/rows.ts
 *     history_pages                     deliveries/history-pages.ts
 *     segments, merged                  deliveries/segment-rows.ts
 *     deliveries_counted                deliveries/rows.ts
 *     segments_counted                  deliveries/segment-rows.ts
 *     summary                           deliveries/summary.ts
 *     health                            endpoint/health.ts
 *     proofs                            endpoint/proofs.ts
 *     pauses                            pauses.ts
 *     room                              room.ts
 *     exports, export_parts, exported   jobs/exports.ts
 *     redeliveries                      jobs/redeliveries.ts
 *
 * `deliveries` is keyed by event id, a UUIDv7, without rowid: a delivery is one row written, and rows are in order of time
 * with no second index. The index `due` is partial, so a delivery that arrives already final never touches it. The narrow
 * columns come first, so a scan over states or times reads no overflow page. Deliveries that succeeded at their first attempt
 * are in `segments`, which is keyed by the last id of each.
 */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE store (
     one INTEGER PRIMARY KEY CONSTRAINT there_is_one CHECK (one = 1),
     customer_id TEXT NOT NULL,
     subscription_id TEXT NOT NULL,
     version INTEGER NOT NULL,
     enabled INTEGER NOT NULL,
     deleted_at INTEGER
   );
   CREATE TABLE deliveries (
     event_id TEXT PRIMARY KEY,
     state TEXT NOT NULL CONSTRAINT state_is_known
       CHECK (state IN ('awaiting-executing', 'executing', 'awaiting-retry', 'success', 'failure')),
     attempts INTEGER NOT NULL,
     run_base INTEGER NOT NULL,
     accepted_at INTEGER NOT NULL,
     updated_at INTEGER NOT NULL,
     due_at INTEGER,
     lease_token TEXT,
     endpoint TEXT NOT NULL,
     history TEXT NOT NULL CONSTRAINT history_is_json CHECK (json_valid(history)),
     set_token TEXT NOT NULL,
     CONSTRAINT due_exactly_while_not_final CHECK ((due_at IS NULL) = (state IN ('success', 'failure'))),
     CONSTRAINT the_run_is_within_the_attempts CHECK (run_base BETWEEN 0 AND attempts)
   ) WITHOUT ROWID;
   CREATE INDEX due ON deliveries (due_at) WHERE due_at IS NOT NULL;`,
  // The last accepted redelivery (contract 5.4), and the older part of long histories.
  `ALTER TABLE store ADD COLUMN redelivered_at INTEGER;
   CREATE TABLE history_pages (
     event_id TEXT NOT NULL,
     page INTEGER NOT NULL,
     entries TEXT NOT NULL CONSTRAINT entries_is_json CHECK (json_valid(entries)),
     PRIMARY KEY (event_id, page)
   ) WITHOUT ROWID;`,
  // Exports (contract 7). An event is in `exported` from its being written into a file on; a job that does not
  // complete takes its events out again. `failed` is partial: a healthy delivery never touches it.
  `CREATE TABLE exports (
     id TEXT NOT NULL PRIMARY KEY,
     state TEXT NOT NULL CONSTRAINT state_is_known
       CHECK (state IN ('processing', 'completed', 'canceled', 'failed')),
     created_at INTEGER NOT NULL,
     updated_at INTEGER NOT NULL,
     cursor TEXT NOT NULL,
     parts INTEGER NOT NULL
   );
   CREATE UNIQUE INDEX one_export_is_active ON exports (state) WHERE state = 'processing';
   CREATE TABLE export_parts (
     export_id TEXT NOT NULL,
     part INTEGER NOT NULL,
     lines TEXT NOT NULL,
     PRIMARY KEY (export_id, part)
   );
   CREATE TABLE exported (event_id TEXT NOT NULL PRIMARY KEY, export_id TEXT NOT NULL) WITHOUT ROWID;
   CREATE INDEX failed ON deliveries (event_id) WHERE state = 'failure';`,
  // What a large store counted last: the summary's figures, and its rows up to an event id.
  `CREATE TABLE summary (
     one INTEGER PRIMARY KEY CONSTRAINT there_is_one CHECK (one = 1),
     figures TEXT NOT NULL CONSTRAINT figures_are_json CHECK (json_valid(figures))
   );
   CREATE TABLE counted (
     one INTEGER PRIMARY KEY CONSTRAINT there_is_one CHECK (one = 1),
     up_to TEXT NOT NULL,
     rows INTEGER NOT NULL CONSTRAINT rows_are_not_negative CHECK (rows >= 0)
   );`,
  // Endpoint health (contract 10.4): `held` is partial, a delivery that is never held does not touch it.
  `CREATE TABLE health (
     one INTEGER PRIMARY KEY CONSTRAINT there_is_one CHECK (one = 1),
     figures TEXT NOT NULL CONSTRAINT figures_are_json CHECK (json_valid(figures))
   );
   ALTER TABLE store ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';
   ALTER TABLE deliveries ADD COLUMN hold TEXT CONSTRAINT hold_is_known CHECK (hold IN ('held', 'never'));
   CREATE INDEX held ON deliveries (event_id) WHERE hold = 'held';`,
  // Bulk redelivery (contract 10.3). A job takes what was in `failure` when it began; the trigger keeps its
  // counts, so no path that ends a run can forget to, and a repeat that changes nothing counts nothing.
  `CREATE TABLE redeliveries (
     id TEXT NOT NULL PRIMARY KEY,
     state TEXT NOT NULL CONSTRAINT state_is_known CHECK (state IN ('processing', 'completed', 'canceled')),
     created_at INTEGER NOT NULL,
     updated_at INTEGER NOT NULL,
     since INTEGER NOT NULL,
     until INTEGER NOT NULL,
     cursor TEXT,
     total INTEGER NOT NULL,
     redelivered INTEGER NOT NULL,
     succeeded INTEGER NOT NULL,
     failed INTEGER NOT NULL
   );
   CREATE UNIQUE INDEX one_redelivery_is_active ON redeliveries (state) WHERE state = 'processing';
   ALTER TABLE deliveries ADD COLUMN redelivery_id TEXT;
   CREATE TRIGGER redelivered_events_are_counted AFTER UPDATE OF state ON deliveries
   WHEN NEW.redelivery_id IS NOT NULL AND NEW.redelivery_id IS OLD.redelivery_id AND NEW.state <> OLD.state
     AND (NEW.state IN ('success', 'failure') OR OLD.state IN ('success', 'failure'))
   BEGIN
     UPDATE redeliveries SET updated_at = NEW.updated_at,
       succeeded = succeeded + (NEW.state = 'success') - (OLD.state = 'success'),
       failed = failed + (NEW.state = 'failure') - (OLD.state = 'failure')
     WHERE id = NEW.redelivery_id;
   END;`,
  // Deliveries that succeeded at their first attempt, many to a row.
  `CREATE TABLE segments (
     last_id TEXT NOT NULL PRIMARY KEY,
     first_id TEXT NOT NULL,
     events INTEGER NOT NULL,
     accepted_from INTEGER NOT NULL,
     accepted_until INTEGER NOT NULL,
     bytes INTEGER NOT NULL,
     ids BLOB NOT NULL,
     content BLOB NOT NULL,
     CONSTRAINT ids_are_in_order CHECK (first_id <= last_id),
     CONSTRAINT times_are_in_order CHECK (accepted_from <= accepted_until),
     CONSTRAINT there_is_an_id_for_each_event CHECK (events > 0 AND length(ids) = 16 * events)
   ) WITHOUT ROWID;
   CREATE TABLE merged (
     one INTEGER PRIMARY KEY CONSTRAINT there_is_one CHECK (one = 1),
     up_to TEXT NOT NULL
   );
   CREATE TABLE segments_counted (
     one INTEGER PRIMARY KEY CONSTRAINT there_is_one CHECK (one = 1),
     up_to TEXT NOT NULL,
     events INTEGER NOT NULL CONSTRAINT events_are_not_negative CHECK (events >= 0)
   );
   ALTER TABLE counted RENAME COLUMN rows TO events;
   ALTER TABLE counted RENAME TO deliveries_counted;`,
  // What an export reads of deliveries and what a summary counts of exports: joins, so that each table is named in one file.
  `CREATE VIEW unexported_failures AS
     SELECT deliveries.* FROM deliveries INDEXED BY failed
     WHERE state = 'failure'
       AND NOT EXISTS (SELECT 1 FROM exported WHERE exported.event_id = deliveries.event_id);
   CREATE VIEW exported_failures AS
     SELECT event_id, accepted_at FROM exported CROSS JOIN deliveries USING (event_id)
     WHERE state = 'failure'
       AND export_id NOT IN (SELECT id FROM exports WHERE exports.state = 'processing');`,
  // Verification of endpoints (contract 10.8), and the allowance of tests (contract 3.7). `proof` is partial: a delivery that
  // waits for no proof does not touch it.
  `ALTER TABLE store ADD COLUMN proof INTEGER;
   ALTER TABLE store ADD COLUMN tests_whole_at INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE deliveries ADD COLUMN proof INTEGER;
   CREATE INDEX proof ON deliveries (proof, state) WHERE proof IS NOT NULL;
   CREATE TABLE proofs (
     version INTEGER PRIMARY KEY,
     endpoint TEXT NOT NULL,
     asked_at INTEGER NOT NULL,
     given_at INTEGER,
     tested INTEGER NOT NULL CONSTRAINT tested_is_a_boolean CHECK (tested IN (0, 1))
   );`,
  // Pauses of duties that fail: a row for each duty that failed at its last call.
  `CREATE TABLE pauses (
     duty TEXT NOT NULL PRIMARY KEY,
     failures INTEGER NOT NULL CONSTRAINT it_has_failed CHECK (failures > 0),
     until INTEGER NOT NULL
   ) WITHOUT ROWID;`,
  // Always empty: a row is written and deleted to find out whether the store takes writes.
  `CREATE TABLE room (one INTEGER PRIMARY KEY, filler BLOB NOT NULL);`,
];

/** Brings the tables up to date; does nothing, and writes nothing, when they are. */
export function migrate(storage: DurableObjectStorage): void {
  const { sql } = storage;
  sql.exec('CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY)');
  const done = sql.exec<{ done: number }>('SELECT count(*) AS done FROM migrations').one().done;
  for (let number = done; number < MIGRATIONS.length; number++) {
    storage.transactionSync(() => {
      sql.exec(MIGRATIONS[number] ?? '');
      sql.exec('INSERT INTO migrations (number) VALUES (?)', number);
    });
  }
}
