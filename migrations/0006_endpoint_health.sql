-- How a subscription's endpoint fares (contract 10.4), for the list of subscriptions: the event store decides, the event
-- path writes it here when it changes. `health_since` orders what two consumers write at once.
ALTER TABLE subscriptions ADD COLUMN health TEXT NOT NULL DEFAULT 'healthy'
  CONSTRAINT subscription_health_is_known CHECK (health IN ('healthy', 'slow', 'failing'));
ALTER TABLE subscriptions ADD COLUMN health_since INTEGER NOT NULL DEFAULT 0;
