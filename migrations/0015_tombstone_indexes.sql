-- A customer's tombstones are counted before it creates a subscription, and the stores that are still to be erased are looked for
-- every five minutes. Neither may read the tombstones of everybody.
CREATE INDEX tombstones_of_a_customer ON subscriptions (customer_id) WHERE deleted_at IS NOT NULL;
-- `erased_at` comes first so that the planner prefers this index to `subscriptions_deleted`.
CREATE INDEX subscriptions_to_erase ON subscriptions (erased_at, customer_id)
  WHERE deleted_at IS NOT NULL AND erased_at IS NULL;
