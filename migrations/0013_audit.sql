-- Who did what: one row for each action, or for several like ones together (contract 10.7). Rows outlive their customer and their
-- client, hence no reference to them. `id` is a UUID version 7, so the table is in order of time. Each query of the list
-- has an index of its own: D1 has one thread, and every delivery needs it.
CREATE TABLE audit (
  id TEXT NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  event TEXT NOT NULL,
  actor TEXT NOT NULL CONSTRAINT audit_actor_is_known CHECK (actor IN ('operator', 'client', 'service', 'stranger')),
  customer_id TEXT CONSTRAINT audit_customer_id_is_short CHECK (length(customer_id) <= 36),
  client_id TEXT CONSTRAINT audit_client_id_is_short CHECK (length(client_id) <= 64),
  target TEXT CONSTRAINT audit_target_is_short CHECK (length(target) <= 64),
  address TEXT CONSTRAINT audit_address_is_short CHECK (length(address) <= 64),
  request_id TEXT,
  caller_request_id TEXT CONSTRAINT audit_caller_request_id_is_short CHECK (length(caller_request_id) <= 255),
  outcome TEXT NOT NULL,
  count INTEGER NOT NULL CONSTRAINT audit_counts_from_one CHECK (count >= 1)
) WITHOUT ROWID;

CREATE INDEX audit_of_a_customer ON audit (customer_id, id) WHERE customer_id IS NOT NULL;
CREATE INDEX audit_by_event ON audit (event, id);
CREATE INDEX audit_of_a_customer_by_event ON audit (customer_id, event, id) WHERE customer_id IS NOT NULL;
