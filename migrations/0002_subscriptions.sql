-- A deleted subscription leaves a tombstone, so that a late message is told from one of a restored database, and
-- so that the erasure of its event store is finished if it was cut short. Tombstones outlive their customer,
-- hence no reference to it; an insert checks that the customer exists.
CREATE TABLE subscriptions (
  id TEXT NOT NULL PRIMARY KEY,
  customer_id TEXT NOT NULL,
  title TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  events TEXT NOT NULL CONSTRAINT events_is_a_json_array CHECK (json_type(events) = 'array'),
  enabled INTEGER NOT NULL CONSTRAINT enabled_is_a_boolean CHECK (enabled IN (0, 1)),
  version INTEGER NOT NULL CONSTRAINT version_counts_from_one CHECK (version >= 1),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  -- When the event store confirmed its erasure.
  erased_at INTEGER,
  CONSTRAINT erased_only_when_deleted CHECK (erased_at IS NULL OR deleted_at IS NOT NULL)
);

CREATE UNIQUE INDEX title_is_unique_among_the_living ON subscriptions (customer_id, title) WHERE deleted_at IS NULL;
CREATE INDEX subscriptions_of_a_customer ON subscriptions (customer_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX subscriptions_deleted ON subscriptions (deleted_at) WHERE deleted_at IS NOT NULL;
