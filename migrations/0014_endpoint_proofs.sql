-- Verification of endpoints (contract 10.8). `proof` names the proof that the present endpoint needs: the version of the
-- subscription that set the endpoint while verification was on. NULL: it needs none. `proven` is the proof that the event
-- store has said was given. The event store decides; this copy is for the list of subscriptions.
ALTER TABLE subscriptions ADD COLUMN proof INTEGER
  CONSTRAINT proof_is_a_version CHECK (proof IS NULL OR proof BETWEEN 1 AND version);
ALTER TABLE subscriptions ADD COLUMN proven INTEGER;
