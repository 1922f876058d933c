/**
 * Tables of one event store: SQLite in a Durable Object, one per subscription.
 *
 * `deliveries` is keyed by event id, a UUIDv7, without rowid: one row written per delivery, in order of time with
 * no second index. `due` is partial, so that a delivery that arrives already final never touches it. The narrow
 * columns stand first: a scan over states or times reads no overflow page.
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
