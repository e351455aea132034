-- How long copies are held, and what becomes of them after.

-- name: item_dirty
UPDATE items SET changed = changed + 1, failed = 0, attempts = 0, not_before = 0 WHERE id = :id;

-- name: held_objects
SELECT o.id, o.state, o.item, o.claim_until FROM objects o JOIN items i ON i.id = o.item
WHERE o.target = :target AND i.collection = :collection AND i.item_id = :item_id AND o.asset = :asset
    AND o.state IN ('AVAILABLE', 'DELETING') AND o.key NOT LIKE '~tmp/%';

-- name: item_hold
INSERT INTO order_items (order_id, item)
SELECT :order_id, id FROM items WHERE target = :target AND collection = :collection AND item_id = :item_id
ON CONFLICT DO NOTHING;

-- name: hold_insert
INSERT INTO holds (order_id, object) VALUES (:order_id, :object)
ON CONFLICT DO NOTHING;

-- name: holds_superseded
-- A rule holds a copy once, by its latest run.
DELETE FROM holds WHERE object = :object AND order_id <> :order_id
    AND order_id IN (SELECT id FROM orders WHERE rule = (SELECT rule FROM orders WHERE id = :order_id));

-- name: object_spared
-- A copy that was about to go, and that nobody has begun to delete, stays.
UPDATE objects SET state = 'AVAILABLE', fence = fence + 1, reason = '' WHERE id = :id AND state = 'DELETING'
    AND claim_until <= :now AND digest IS NOT NULL AND upload_id IS NULL AND reason = 'nobody counts on it any more';

-- name: object_charge_again
UPDATE objects SET charged = f.bytes, charge_order = f.order_id, charge_version = f.version, charge_settled = 1
FROM refunds f WHERE objects.id = :id AND f.object = objects.id AND f.version = objects.version AND f.done = 0;

-- name: refund_withdraw
DELETE FROM refunds WHERE object = :id AND done = 0 AND version = (SELECT version FROM objects WHERE id = :id);

-- name: orders_to_release
SELECT id, state, message FROM orders WHERE released = 0 AND settled = 1 AND copies_until <= :now ORDER BY copies_until LIMIT :limit;

-- name: order_released
UPDATE orders SET released = 1, updated = :now WHERE id = :id;

-- name: order_let_go
-- Its hold ends now, or when it is settled.
UPDATE orders SET copies_until = :now WHERE id = :id AND released = 0;

-- name: objects_released
-- Copies of an order on which no other order counts.
UPDATE objects SET state = 'DELETING', visible = 1, fence = fence + 1, claim_until = 0, not_before = 0, attempts = 0,
    reason = 'nobody counts on it any more'
WHERE id IN (SELECT object FROM order_objects WHERE order_id = :id UNION SELECT object FROM holds WHERE order_id = :id)
    AND state = 'AVAILABLE' AND (charge_order IS NULL OR charge_settled = 1)
    AND NOT EXISTS (
        SELECT 1 FROM (SELECT order_id FROM order_objects WHERE object = objects.id
            UNION SELECT order_id FROM holds WHERE object = objects.id) l
        JOIN orders r ON r.id = l.order_id WHERE r.id <> :id AND r.released = 0);

-- name: items_leaving
-- Items of an order that lose a copy, or that it alone wanted in the catalogue.
UPDATE items SET changed = changed + 1, failed = 0, attempts = 0, not_before = 0
WHERE id IN (SELECT item FROM objects WHERE state = 'DELETING' AND visible = 1 AND id IN (
        SELECT object FROM order_objects WHERE order_id = :id UNION SELECT object FROM holds WHERE order_id = :id))
    OR id IN (SELECT l.item FROM order_items l JOIN orders r ON r.id = l.order_id
        WHERE r.id = :id AND r.content = 'catalogue' AND r.released = 1);

-- name: refunds_of_leaving
INSERT INTO refunds (id, order_id, charged, "user", target, bytes, object, version)
SELECT fresh_id(), o.charge_order, r.charged, r."user", o.target, o.charged, o.id, o.version
FROM objects o JOIN orders r ON r.id = o.charge_order
WHERE o.state = 'DELETING' AND o.charged > 0 AND o.id IN (
    SELECT object FROM order_objects WHERE order_id = :id UNION SELECT object FROM holds WHERE order_id = :id);

-- name: charges_of_leaving
UPDATE objects SET charged = 0, charge_order = NULL, charge_version = NULL, charge_settled = 0
WHERE state = 'DELETING' AND charged > 0 AND id IN (
    SELECT object FROM order_objects WHERE order_id = :id UNION SELECT object FROM holds WHERE order_id = :id);

-- name: refunds_due
-- The bytes are gone, or others lie in their place.
SELECT f.* FROM refunds f WHERE f.done = 0
    AND NOT EXISTS (SELECT 1 FROM objects o WHERE o.id = f.object AND o.version = f.version)
LIMIT :limit;

-- name: refund_done
UPDATE refunds SET done = 1 WHERE id = :id;

-- name: order_planned
UPDATE orders SET planned_bytes = :bytes, executor = :executor WHERE id = :id;

-- name: order_next_round
UPDATE orders SET round = round + 1, settled = 0, released = 0, finished = NULL, repairs = repairs + :repairs
WHERE id = :id;

-- name: reservations_used
-- What was reserved for copies that failed was given back when the order was settled.
UPDATE order_objects SET reserved = 0 WHERE order_id = :id
    AND EXISTS (SELECT 1 FROM objects o WHERE o.id = order_objects.object AND o.state IN ('BAD', 'NO_SOURCE'));

-- name: objects_want_again
-- What failed is tried once more, from the start.
UPDATE objects SET state = 'WANTED', reason = '', payer = :id, source = NULL, validator = NULL, total = NULL, done = 0,
    hash_state = NULL, digest = NULL, attempts = 0, not_before = 0, fence = fence + 1, claim_until = 0, version = fresh_id()
WHERE state IN ('BAD', 'NO_SOURCE') AND id IN (SELECT object FROM order_objects WHERE order_id = :id);

-- name: items_want_again
UPDATE items SET failed = 0, attempts = 0, not_before = 0, reason = ''
WHERE failed = 1 AND id IN (SELECT item FROM order_items WHERE order_id = :id);

-- name: objects_paused
-- Whoever works on them loses the claim; uploads stay, to be gone on with.
UPDATE objects SET fence = fence + 1, claim_until = 0
WHERE payer = :id AND state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE', 'DELETING') AND claim_until > 0;

-- name: event_insert_told
INSERT INTO events (id, type, subject, time, data, sent) VALUES (:id, :type, :subject, :now, :data, 1);

-- name: delivery_insert
INSERT INTO deliveries (event, subject, url, kind, secret, updated)
VALUES (:event, :subject, :url, :kind, :secret, :now);
