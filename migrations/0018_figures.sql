-- What each event store said at its daily visit (contract 10.2): of the 24 hours before, and of what waits. The event store decides; this
-- copy is for the operator's figures.
ALTER TABLE subscriptions ADD COLUMN day_accepted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN day_delivered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN day_failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN oldest_waiting_at INTEGER;

-- Questions of the operator. Each index has only what is in trouble, so that it is small and healthy subscriptions never touch it.
CREATE INDEX endpoints_in_trouble ON subscriptions (health, health_since, id)
  WHERE deleted_at IS NULL AND enabled = 1 AND health <> 'healthy';
CREATE INDEX endpoints_unverified ON subscriptions (health_since, id)
  WHERE deleted_at IS NULL AND enabled = 1 AND proof IS NOT NULL AND proof IS NOT proven;
CREATE INDEX subscriptions_that_wait ON subscriptions (oldest_waiting_at)
  WHERE deleted_at IS NULL AND oldest_waiting_at IS NOT NULL;
CREATE INDEX stores_by_fill ON subscriptions (store_tenths) WHERE deleted_at IS NULL AND store_tenths > 0;

-- Sums over all subscriptions, so that no question reads all of them. Triggers keep them, also for code that does not know them.
CREATE TABLE totals (
  one INTEGER PRIMARY KEY CONSTRAINT there_is_one CHECK (one = 1),
  customers INTEGER NOT NULL,
  subscriptions INTEGER NOT NULL,
  disabled INTEGER NOT NULL,
  unverified INTEGER NOT NULL,
  slow INTEGER NOT NULL,
  failing INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  waiting INTEGER NOT NULL
);
-- What a subscription adds to the sums. The state of an endpoint counts while its subscription is enabled.
CREATE VIEW subscription_figures AS
  SELECT id,
    deleted_at IS NULL AS living,
    deleted_at IS NULL AND enabled = 0 AS disabled,
    deleted_at IS NULL AND enabled = 1 AND proof IS NOT NULL AND proof IS NOT proven AS unverified,
    deleted_at IS NULL AND enabled = 1 AND (proof IS NULL OR proof IS proven) AND health = 'slow' AS slow,
    deleted_at IS NULL AND enabled = 1 AND (proof IS NULL OR proof IS proven) AND health = 'failing' AS failing,
    (deleted_at IS NULL) * day_accepted AS accepted,
    (deleted_at IS NULL) * day_delivered AS delivered,
    (deleted_at IS NULL) * day_failed AS failed,
    (deleted_at IS NULL) * waiting AS waiting
  FROM subscriptions;
INSERT INTO totals (one, customers, subscriptions, disabled, unverified, slow, failing, accepted, delivered, failed, waiting)
  SELECT 1, (SELECT count(*) FROM customers), coalesce(sum(living), 0), coalesce(sum(disabled), 0),
    coalesce(sum(unverified), 0), coalesce(sum(slow), 0), coalesce(sum(failing), 0), 0, 0, 0, 0
  FROM subscription_figures;

CREATE TRIGGER customers_are_totalled AFTER INSERT ON customers
BEGIN
  UPDATE totals SET customers = customers + 1;
END;
CREATE TRIGGER erased_customers_are_totalled AFTER DELETE ON customers
BEGIN
  UPDATE totals SET customers = customers - 1;
END;
CREATE TRIGGER subscriptions_are_totalled AFTER INSERT ON subscriptions
BEGIN
  UPDATE totals SET (subscriptions, disabled, unverified, slow, failing, accepted, delivered, failed, waiting) = (
    SELECT totals.subscriptions + living, totals.disabled + f.disabled, totals.unverified + f.unverified,
      totals.slow + f.slow, totals.failing + f.failing, totals.accepted + f.accepted,
      totals.delivered + f.delivered, totals.failed + f.failed, totals.waiting + f.waiting
    FROM subscription_figures AS f WHERE f.id = NEW.id);
END;
-- A row is taken out of the sums before it changes, and put in after it.
CREATE TRIGGER changing_subscriptions_are_totalled
  BEFORE UPDATE OF deleted_at, enabled, proof, proven, health, day_accepted, day_delivered, day_failed, waiting ON subscriptions
BEGIN
  UPDATE totals SET (subscriptions, disabled, unverified, slow, failing, accepted, delivered, failed, waiting) = (
    SELECT totals.subscriptions - living, totals.disabled - f.disabled, totals.unverified - f.unverified,
      totals.slow - f.slow, totals.failing - f.failing, totals.accepted - f.accepted,
      totals.delivered - f.delivered, totals.failed - f.failed, totals.waiting - f.waiting
    FROM subscription_figures AS f WHERE f.id = OLD.id);
END;
CREATE TRIGGER changed_subscriptions_are_totalled
  AFTER UPDATE OF deleted_at, enabled, proof, proven, health, day_accepted, day_delivered, day_failed, waiting ON subscriptions
BEGIN
  UPDATE totals SET (subscriptions, disabled, unverified, slow, failing, accepted, delivered, failed, waiting) = (
    SELECT totals.subscriptions + living, totals.disabled + f.disabled, totals.unverified + f.unverified,
      totals.slow + f.slow, totals.failing + f.failing, totals.accepted + f.accepted,
      totals.delivered + f.delivered, totals.failed + f.failed, totals.waiting + f.waiting
    FROM subscription_figures AS f WHERE f.id = NEW.id);
END;
CREATE TRIGGER forgotten_subscriptions_are_totalled BEFORE DELETE ON subscriptions WHEN OLD.deleted_at IS NULL
BEGIN
  UPDATE totals SET (subscriptions, disabled, unverified, slow, failing, accepted, delivered, failed, waiting) = (
    SELECT totals.subscriptions - living, totals.disabled - f.disabled, totals.unverified - f.unverified,
      totals.slow - f.slow, totals.failing - f.failing, totals.accepted - f.accepted,
      totals.delivered - f.delivered, totals.failed - f.failed, totals.waiting - f.waiting
    FROM subscription_figures AS f WHERE f.id = OLD.id);
END;
