-- A JSON Schema evaluated against every event (contract 4); none: every event passes.
ALTER TABLE subscriptions
  ADD COLUMN filter TEXT CONSTRAINT filter_is_a_json_object CHECK (filter IS NULL OR json_type(filter) = 'object');
