-- How far an order came, counted when it was settled: each who asks would have all of its objects counted again.
ALTER TABLE orders ADD COLUMN tally TEXT;
