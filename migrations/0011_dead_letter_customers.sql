-- Whose event a dead letter is, and whether it was refused: so one producer's nonsense cannot drop the letters of others.
-- The customer is the one that the event names: it may not exist. NULL when it names none, and in letters from before.
ALTER TABLE dead_letters ADD COLUMN customer_id TEXT;
ALTER TABLE dead_letters ADD COLUMN refused INTEGER NOT NULL DEFAULT 0 CHECK (refused IN (0, 1));

-- Trimming reads this index alone, never the bodies.
CREATE INDEX dead_letters_by_customer ON dead_letters (refused, customer_id, created_at, id);
