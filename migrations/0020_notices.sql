-- Notices for the operator (contract 10.16). `notices` names the one subscription that gets them, and its customer, which the service
-- made for it. `notices_sent` says what was sent of a subscription last; it has rows only of subscriptions that were worth a notice.
CREATE TABLE notices (
  one INTEGER PRIMARY KEY CONSTRAINT there_is_one_receiver_of_notices CHECK (one = 1),
  customer_id TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
  subscription_id TEXT NOT NULL
);

CREATE INDEX notices_of_a_customer ON notices (customer_id);

CREATE TABLE notices_sent (
  subscription_id TEXT NOT NULL PRIMARY KEY REFERENCES subscriptions (id) ON DELETE CASCADE,
  -- Since when the endpoint fails, as the last notice said; NULL: it said that the endpoint is not failing.
  failing_since INTEGER,
  -- Of the events that ended in failure, how many the notices have counted.
  ended INTEGER NOT NULL CONSTRAINT ended_events_are_counted CHECK (ended >= 0),
  -- When the allowance of notices about this endpoint is whole again.
  whole_at INTEGER NOT NULL
) WITHOUT ROWID;
