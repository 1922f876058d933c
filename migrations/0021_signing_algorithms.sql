-- Keys of a second algorithm, EdDSA (contract 6.3). Code from before this migration must not sign with one: it would write RS256 into the
-- header. It signs with the key whose `role` is `current`, and moves `next` and `reserve` there. So an EdDSA key is always `retired` in
-- `role`: that code publishes it and seals it again with the others, and does nothing else with it. What the key is for is in `eddsa_role`.
-- While it has such a role, `retired_at` is the last millisecond of the year 9999, so that no code deletes it.
ALTER TABLE signing_keys ADD COLUMN algorithm TEXT NOT NULL DEFAULT 'RS256'
  CONSTRAINT algorithm_is_known CHECK (algorithm = 'RS256' OR (algorithm = 'EdDSA' AND role = 'retired'));
ALTER TABLE signing_keys ADD COLUMN eddsa_role TEXT
  CONSTRAINT eddsa_role_is_known CHECK (eddsa_role IS NULL
    OR (eddsa_role IN ('current', 'next') AND algorithm = 'EdDSA' AND retired_at = 253402300799999));
CREATE UNIQUE INDEX one_eddsa_key_of_a_role_per_customer ON signing_keys (customer_id, eddsa_role) WHERE eddsa_role IS NOT NULL;
