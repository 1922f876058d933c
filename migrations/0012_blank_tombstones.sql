-- A deleted subscription keeps its ids, its version and its times, and nothing that its customer wrote: a title, an endpoint with
-- a secret in its query, or a filter.
UPDATE subscriptions SET title = '', endpoint = '', events = '[]', enabled = 0, filter = NULL, filter_steps = 0,
    health = 'healthy', health_since = 0
  WHERE deleted_at IS NOT NULL;
-- Code that does not know this rule is still active during a deploy, and again after a rollback.
CREATE TRIGGER deleted_subscriptions_are_blank AFTER UPDATE OF deleted_at ON subscriptions
  WHEN new.deleted_at IS NOT NULL AND (new.title <> '' OR new.endpoint <> '' OR new.filter IS NOT NULL)
BEGIN
  UPDATE subscriptions SET title = '', endpoint = '', events = '[]', enabled = 0, filter = NULL, filter_steps = 0,
      health = 'healthy', health_since = 0
    WHERE id = new.id;
END;
