-- How full a subscription's event store is, in tenths of what an object may hold (contract 10.9): the event store decides, the event
-- path writes it here when it changes. The index has only stores that are a tenth full, so the list of customers reads few rows.
ALTER TABLE subscriptions ADD COLUMN store_tenths INTEGER NOT NULL DEFAULT 0
  CONSTRAINT store_tenths_are_not_negative CHECK (store_tenths >= 0);
CREATE INDEX stores_that_fill_up ON subscriptions (customer_id, store_tenths) WHERE store_tenths > 0;
