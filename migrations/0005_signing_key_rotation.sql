-- When a key began to sign: rotation goes by it. Keys made before this column signed from their creation.
ALTER TABLE signing_keys ADD COLUMN current_since INTEGER;
UPDATE signing_keys SET current_since = created_at WHERE role = 'current';
CREATE INDEX signing_keys_by_age ON signing_keys (current_since) WHERE role = 'current';
