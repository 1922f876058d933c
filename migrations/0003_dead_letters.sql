-- Queue messages we could not process: our trouble, the operator's list. The id is derived from message and
-- position, so that a message delivered twice adds no second letter.
CREATE TABLE dead_letters (
  id TEXT NOT NULL PRIMARY KEY,
  queue TEXT NOT NULL,
  reason TEXT NOT NULL,
  -- As JSON where it was JSON, else a description of what it was.
  body TEXT NOT NULL,
  -- Time of acceptance of the events in it, ms: travels through replay.
  accepted_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL
);

CREATE INDEX dead_letters_by_age ON dead_letters (created_at, id);
