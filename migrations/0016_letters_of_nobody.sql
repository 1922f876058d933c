-- A letter whose customer does not exist belongs to nobody, and its event counts as refused. Until now such letters named the customer
-- all the same, so trimming had to look up each customer that anybody had made up.
UPDATE dead_letters SET customer_id = NULL, refused = 1
WHERE customer_id IS NOT NULL AND customer_id NOT IN (SELECT id FROM customers);
