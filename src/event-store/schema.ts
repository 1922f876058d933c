/**
 * Tables of one event store: SQLite in a Durable Object, one for each subscription. Each table is named in one file beside
 * this one:
 *
 *     store                             owner.ts
 *     deliveries                        deliveries/rows.ts
 *     bodies                            deliveries/bodies.ts
 *     first_retries                     deliveries/first-retries.ts
 *     history_pages                     deliveries/history-pages.ts
 *     segments, merged                  deliveries/segment-rows.ts
 *     packs, pack_groups                deliveries/pack-rows.ts
 *     tally                             deliveries/tally.ts
 *     disabled_mark                     deliveries/disabled.ts
 *     segments_counted                  deliveries/segment-rows.ts
 *     summary                           deliveries/summary.ts
 *     figure_days, figures_counted      deliveries/figure-days.ts
 *     health                            endpoint/health.ts
 *     proofs                            endpoint/proofs.ts
 *     pauses                            pauses.ts
 *     write_check                       write-check.ts
 *     exports, export_parts, exported   jobs/exports.ts
 *     redeliveries                      jobs/redeliveries.ts
 *
 * `deliveries` is keyed by event id, a UUIDv7, without rowid: a delivery is one row written, and rows are in order of time
 * with no second index. Its SET is in `bodies`, so a change of state does not write it again. The index `due` is partial, so a
 * delivery that arrives already final never touches it. The narrow columns come first, so a scan over states or times reads no
 * overflow page. Deliveries that succeeded at their first attempt are in `segments`, which is keyed by the last id of each.
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
  // When the operator was last warned that the store fills up (contract 10.9).
  `ALTER TABLE store ADD COLUMN fill_warned_at INTEGER NOT NULL DEFAULT 0;`,
  // SETs apart from the rows that change. A row of an earlier version has no `body`, keeps its SET in `set_token` and its history
  // in `history`; now a history is in `entries`, compressed when it is long.
  `CREATE TABLE bodies (number INTEGER PRIMARY KEY, token BLOB NOT NULL);
   ALTER TABLE deliveries ADD COLUMN body INTEGER;
   ALTER TABLE deliveries ADD COLUMN entries BLOB;`,
  // Questions whose work must not grow with what waits. `by_state` is for lists of one state, and takes the place of `failed`; `held` finds
  // what is held for one endpoint; `first` finds the tests, redeliveries and probes that are due. The triggers keep the counts, so that no path
  // can forget to.
  `CREATE INDEX by_state ON deliveries (state, event_id);
   DROP VIEW unexported_failures;
   CREATE VIEW unexported_failures AS
     SELECT deliveries.* FROM deliveries INDEXED BY by_state
     WHERE state = 'failure'
       AND NOT EXISTS (SELECT 1 FROM exported WHERE exported.event_id = deliveries.event_id);
   DROP INDEX failed;
   DROP INDEX held;
   CREATE INDEX held ON deliveries (endpoint, event_id) WHERE hold = 'held';
   CREATE INDEX first ON deliveries (due_at) WHERE hold = 'never' AND due_at IS NOT NULL;
   DROP TABLE deliveries_counted;
   CREATE TABLE tally (
     hour INTEGER PRIMARY KEY,
     open INTEGER NOT NULL CONSTRAINT open_is_not_negative CHECK (open >= 0),
     succeeded INTEGER NOT NULL CONSTRAINT succeeded_is_not_negative CHECK (succeeded >= 0),
     failed INTEGER NOT NULL CONSTRAINT failed_is_not_negative CHECK (failed >= 0)
   );
   INSERT INTO tally (hour, open, succeeded, failed)
     SELECT accepted_at / 3600000, sum(due_at IS NOT NULL), sum(state = 'success'), sum(state = 'failure')
     FROM deliveries GROUP BY accepted_at / 3600000;
   CREATE TRIGGER added_events_are_tallied AFTER INSERT ON deliveries
   BEGIN
     INSERT INTO tally (hour, open, succeeded, failed)
       VALUES (NEW.accepted_at / 3600000, NEW.due_at IS NOT NULL, NEW.state = 'success', NEW.state = 'failure')
       ON CONFLICT (hour) DO UPDATE SET
         open = open + excluded.open, succeeded = succeeded + excluded.succeeded, failed = failed + excluded.failed;
   END;
   CREATE TRIGGER changed_events_are_tallied AFTER UPDATE OF state ON deliveries
   WHEN NEW.state <> OLD.state AND (NEW.due_at IS NULL OR OLD.due_at IS NULL)
   BEGIN
     UPDATE tally SET
       open = open + (NEW.due_at IS NOT NULL) - (OLD.due_at IS NOT NULL),
       succeeded = succeeded + (NEW.state = 'success') - (OLD.state = 'success'),
       failed = failed + (NEW.state = 'failure') - (OLD.state = 'failure')
     WHERE hour = NEW.accepted_at / 3600000;
   END;
   CREATE TRIGGER deleted_events_are_tallied AFTER DELETE ON deliveries
   BEGIN
     UPDATE tally SET
       open = open - (OLD.due_at IS NOT NULL),
       succeeded = succeeded - (OLD.state = 'success'),
       failed = failed - (OLD.state = 'failure')
     WHERE hour = OLD.accepted_at / 3600000;
     DELETE FROM tally WHERE hour = OLD.accepted_at / 3600000 AND open + succeeded + failed = 0;
   END;`,
  // What waited when the subscription was disabled, until the alarm has rewritten it. `doomed` counts the open rows with the mark.
  `ALTER TABLE deliveries ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
   CREATE TABLE disabled_mark (
     one INTEGER PRIMARY KEY CONSTRAINT there_is_one CHECK (one = 1),
     generation INTEGER NOT NULL,
     at INTEGER NOT NULL,
     state TEXT NOT NULL,
     cursor TEXT NOT NULL,
     done INTEGER NOT NULL CONSTRAINT done_is_a_boolean CHECK (done IN (0, 1))
   );
   ALTER TABLE tally ADD COLUMN doomed INTEGER NOT NULL DEFAULT 0
     CONSTRAINT doomed_are_open CHECK (doomed BETWEEN 0 AND open);
   DROP TRIGGER changed_events_are_tallied;
   CREATE TRIGGER changed_events_are_tallied AFTER UPDATE OF state, generation ON deliveries
   WHEN NEW.generation <> OLD.generation OR (NEW.state <> OLD.state AND (NEW.due_at IS NULL OR OLD.due_at IS NULL))
   BEGIN
     UPDATE tally SET
       open = open + (NEW.due_at IS NOT NULL) - (OLD.due_at IS NOT NULL),
       succeeded = succeeded + (NEW.state = 'success') - (OLD.state = 'success'),
       failed = failed + (NEW.state = 'failure') - (OLD.state = 'failure'),
       doomed = doomed - (OLD.due_at IS NOT NULL AND EXISTS (SELECT 1 FROM disabled_mark WHERE done = 0
         AND OLD.generation <= generation AND (OLD.state <> 'executing' OR OLD.due_at <= at)))
     WHERE hour = NEW.accepted_at / 3600000;
   END;
   DROP TRIGGER deleted_events_are_tallied;
   CREATE TRIGGER deleted_events_are_tallied AFTER DELETE ON deliveries
   BEGIN
     UPDATE tally SET
       open = open - (OLD.due_at IS NOT NULL),
       succeeded = succeeded - (OLD.state = 'success'),
       failed = failed - (OLD.state = 'failure'),
       doomed = doomed - (OLD.due_at IS NOT NULL AND EXISTS (SELECT 1 FROM disabled_mark WHERE done = 0
         AND OLD.generation <= generation AND (OLD.state <> 'executing' OR OLD.due_at <= at)))
     WHERE hour = OLD.accepted_at / 3600000;
     DELETE FROM tally WHERE hour = OLD.accepted_at / 3600000 AND open + succeeded + failed = 0;
   END;`,
  // When a delivery has waited too long, counted from the first time that it was held.
  `ALTER TABLE deliveries ADD COLUMN held_until INTEGER;`,
  // A bulk redelivery counts in bites: the failures after this event id are not counted yet; null when all are.
  `ALTER TABLE redeliveries ADD COLUMN uncounted_after TEXT;`,
  // Pauses of duties that fail: a row for each duty that failed at its last call.
  `CREATE TABLE pauses (
     duty TEXT NOT NULL PRIMARY KEY,
     failures INTEGER NOT NULL CONSTRAINT it_has_failed CHECK (failures > 0),
     until INTEGER NOT NULL
   ) WITHOUT ROWID;`,
  // Always empty: a row is written and deleted to find out whether the store takes writes.
  `CREATE TABLE write_check (one INTEGER PRIMARY KEY, filler BLOB NOT NULL);`,
  // What waits for its first retry, one row each. It has no index, and no trigger counts it: its few rows are outlined in memory.
  `CREATE TABLE first_retries (
     number INTEGER PRIMARY KEY,
     event_id TEXT NOT NULL,
     accepted_at INTEGER NOT NULL,
     due_at INTEGER NOT NULL,
     lease_token TEXT,
     endpoint TEXT NOT NULL,
     history TEXT NOT NULL CONSTRAINT history_is_json CHECK (json_valid(history)),
     token BLOB NOT NULL
   );`,
  // A SET that nobody has signed yet. The consumer that begins the first attempt signs it; then it is in `bodies`.
  `ALTER TABLE deliveries ADD COLUMN unsigned BLOB;`,
  // Held deliveries that nobody has attempted, many to a row. Those of a group share their endpoint and their fate: they are held, or
  // failed for a reason. `gone` has a bit for each delivery that was taken out. The tally counts packed deliveries, too; `packed` is how
  // many of its open ones they are. `packed_at` is the acceptance of an event that was packed when it was exported; one that was taken out
  // since has a row.
  `CREATE TABLE pack_groups (
     number INTEGER PRIMARY KEY,
     endpoint TEXT NOT NULL,
     generation INTEGER NOT NULL,
     reason TEXT CONSTRAINT reason_is_known
       CHECK (reason IN ('subscription disabled', 'endpoint failing', 'event too old')),
     failed_at INTEGER,
     merged_up_to TEXT NOT NULL DEFAULT '',
     CONSTRAINT held_ones_have_not_failed CHECK (reason IS NOT NULL OR failed_at IS NULL)
   );
   CREATE TABLE packs (
     group_number INTEGER NOT NULL,
     last_id TEXT NOT NULL,
     first_id TEXT NOT NULL,
     events INTEGER NOT NULL,
     present INTEGER NOT NULL,
     accepted_from INTEGER NOT NULL,
     accepted_until INTEGER NOT NULL,
     held_until INTEGER NOT NULL,
     bytes INTEGER NOT NULL,
     gone BLOB,
     ids BLOB NOT NULL,
     content BLOB NOT NULL,
     PRIMARY KEY (group_number, last_id),
     CONSTRAINT ids_are_in_order CHECK (first_id <= last_id),
     CONSTRAINT they_were_accepted_in_one_hour CHECK (accepted_from / 3600000 = accepted_until / 3600000),
     CONSTRAINT there_is_an_id_for_each_event CHECK (events > 0 AND length(ids) = 16 * events),
     CONSTRAINT some_are_present CHECK (present BETWEEN 1 AND events)
   ) WITHOUT ROWID;
   CREATE INDEX pack_deadlines ON packs (group_number, held_until);
   ALTER TABLE tally ADD COLUMN packed INTEGER NOT NULL DEFAULT 0
     CONSTRAINT packed_are_open CHECK (packed BETWEEN 0 AND open);
   ALTER TABLE exported ADD COLUMN packed_at INTEGER;
   CREATE VIEW exported_packed_failures AS
     SELECT event_id, packed_at AS accepted_at FROM exported
     WHERE packed_at IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = exported.event_id)
       AND export_id NOT IN (SELECT id FROM exports WHERE exports.state = 'processing');`,
  // Figures by hour (contract 10.14). `hours` has the hours of a day; `up_to` is a last id of segments. `since` is 0 in a store of an earlier
  // version, whose deliveries with rows were not counted: it counts from the first time that it writes.
  `CREATE TABLE figure_days (
     day INTEGER PRIMARY KEY,
     hours TEXT NOT NULL CONSTRAINT hours_are_json CHECK (json_valid(hours))
   );
   CREATE TABLE figures_counted (
     one INTEGER PRIMARY KEY CONSTRAINT there_is_one CHECK (one = 1),
     up_to TEXT NOT NULL,
     since INTEGER
   );
   INSERT INTO figures_counted (one, up_to, since) SELECT 1, '', 0 FROM tally LIMIT 1;`,
  // Which of several stores of the subscription this is, and how many shards new events have (decision 0042).
  `ALTER TABLE store ADD COLUMN shard INTEGER NOT NULL DEFAULT 0
     CONSTRAINT shards_are_counted_from_home CHECK (shard >= 0);
   ALTER TABLE store ADD COLUMN shards INTEGER NOT NULL DEFAULT 1
     CONSTRAINT there_is_a_shard CHECK (shards >= 1);`,
  // The request that published an event, for the log of its attempts. What is packed has it in its text, if it is held.
  `ALTER TABLE deliveries ADD COLUMN request_id TEXT;
   ALTER TABLE first_retries ADD COLUMN request_id TEXT;`,
  // The subscription was disabled again before the alarm had rewritten what failed the time before: the generations and times of those marks.
  `ALTER TABLE disabled_mark ADD COLUMN earlier TEXT NOT NULL DEFAULT '[]'
     CONSTRAINT earlier_marks_are_json CHECK (json_valid(earlier));`,
];

/** Whether a store has no tables yet: no call has made any, or the store of a deleted subscription has erased them. It writes nothing. */
export function isBlank(storage: DurableObjectStorage): boolean {
  return storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'migrations'").toArray().length === 0;
}

/**
 * Brings the tables up to date; does nothing, and writes nothing, when they are.
 * @param upTo how many migrations there are; fewer make the tables of an earlier version
 */
export function migrate(storage: DurableObjectStorage, upTo = MIGRATIONS.length): void {
  const { sql } = storage;
  sql.exec('CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY)');
  const done = sql.exec<{ done: number }>('SELECT count(*) AS done FROM migrations').one().done;
  for (let number = done; number < upTo; number++) {
    storage.transactionSync(() => {
      sql.exec(MIGRATIONS[number] ?? '');
      sql.exec('INSERT INTO migrations (number) VALUES (?)', number);
    });
  }
}
