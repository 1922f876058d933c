-- The event stores of a subscription that has several (decision 0042): {"epochs":[{"since":ms,"n":shards}],"most":shards}, the oldest
-- epoch first. NULL: one store.
ALTER TABLE subscriptions ADD COLUMN shards TEXT
  CONSTRAINT shards_are_json CHECK (shards IS NULL OR json_valid(shards));

-- What the event path reads beside the columns of `audience_changes`. The time of a state matters to several stores alone.
CREATE TRIGGER audience_has_other_stores
AFTER UPDATE OF shards, health_since ON subscriptions
WHEN NEW.shards IS NOT OLD.shards OR (NEW.shards IS NOT NULL AND NEW.health_since IS NOT OLD.health_since)
BEGIN
  UPDATE customers SET audience = hex(randomblob(8)) WHERE id = NEW.customer_id;
END;

-- A version that knows no shards erases one store, and marks the tombstone. The mark is refused: the row names stores that are not
-- erased yet. A version that knows them takes the names away together with the mark.
CREATE TRIGGER all_shards_are_erased
AFTER UPDATE OF erased_at ON subscriptions
WHEN NEW.erased_at IS NOT NULL AND NEW.shards IS NOT NULL
BEGIN
  UPDATE subscriptions SET erased_at = NULL WHERE id = NEW.id;
END;
