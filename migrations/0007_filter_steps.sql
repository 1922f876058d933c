-- How many steps the filter takes for one event, at worst (contract 4). NULL: a filter from before this column, whose steps
-- are not known yet. Code from before this column, which is still active during a deploy, leaves them NULL too.
ALTER TABLE subscriptions ADD COLUMN filter_steps INTEGER
  CONSTRAINT filter_steps_count_from_zero CHECK (filter_steps IS NULL OR filter_steps >= 0);
UPDATE subscriptions SET filter_steps = 0 WHERE filter IS NULL;
-- Code that does not know the column may still replace a filter. Then the steps are those of another filter.
CREATE TRIGGER steps_of_another_filter_are_forgotten AFTER UPDATE OF filter ON subscriptions
  WHEN new.filter IS NOT old.filter AND new.filter_steps IS old.filter_steps
BEGIN
  UPDATE subscriptions SET filter_steps = NULL WHERE id = new.id;
END;
