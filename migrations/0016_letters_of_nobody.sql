-- A letter whose customer does not exist belongs to nobody, and its event counts as refused. Until now such letters named the customer
-- all the same, so trimming had to look up each customer that anybody had made up. The index finds them without a look at a body.
UPDATE dead_letters SET customer_id = NULL, refused = 1 WHERE id IN (
  SELECT id FROM dead_letters INDEXED BY dead_letters_by_customer
  WHERE refused IN (0, 1) AND customer_id IS NOT NULL AND customer_id NOT IN (SELECT id FROM customers));
