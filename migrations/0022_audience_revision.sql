-- Consumers remember the subscriptions of a customer, and ask for them again only when one has changed. `audience` is another text after each
-- change of what consumers read, and never the same twice: also not after the database was restored to an earlier time.
ALTER TABLE customers ADD COLUMN audience TEXT NOT NULL DEFAULT '';

CREATE TRIGGER audience_gains_a_subscription AFTER INSERT ON subscriptions
BEGIN
  UPDATE customers SET audience = hex(randomblob(8)) WHERE id = new.customer_id;
END;

CREATE TRIGGER audience_loses_a_subscription AFTER DELETE ON subscriptions WHEN old.deleted_at IS NULL
BEGIN
  UPDATE customers SET audience = hex(randomblob(8)) WHERE id = old.customer_id;
END;

-- These are the columns that `src/storage/recipients.ts` reads for the event path.
CREATE TRIGGER audience_changes
  AFTER UPDATE OF endpoint, events, enabled, filter_steps, health, proof, proven, store_tenths, version, deleted_at ON subscriptions
  WHEN new.endpoint IS NOT old.endpoint OR new.events IS NOT old.events OR new.enabled IS NOT old.enabled
    OR new.filter_steps IS NOT old.filter_steps OR new.health IS NOT old.health OR new.proof IS NOT old.proof
    OR new.proven IS NOT old.proven OR new.store_tenths IS NOT old.store_tenths OR new.version IS NOT old.version
    OR new.deleted_at IS NOT old.deleted_at
BEGIN
  UPDATE customers SET audience = hex(randomblob(8)) WHERE id = new.customer_id;
END;
