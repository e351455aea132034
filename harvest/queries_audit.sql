-- Audits, and webhooks on their way.

-- name: audit_insert
INSERT INTO audits (id, target, "user", repair, deep, state, created, claim_until)
VALUES (:id, :target, :user, :repair, :deep, 'running', :now, 0);

-- name: audit_by_id
SELECT * FROM audits WHERE id = :id;

-- name: audits_latest
SELECT * FROM audits ORDER BY created DESC LIMIT :limit;

-- name: audit_due
SELECT * FROM audits WHERE state = 'running' AND claim_until <= :now ORDER BY created LIMIT 1;

-- name: audit_claim
UPDATE audits SET claim_until = :until WHERE id = :id AND state = 'running' AND claim_until <= :now;

-- name: audit_renew
UPDATE audits SET claim_until = :until WHERE id = :id AND state = 'running';

-- name: audit_ended
UPDATE audits SET state = :state, finished = :now, claim_until = 0, report = :report WHERE id = :id;

-- name: audited_objects
SELECT id, key, total AS size, digest FROM objects WHERE target = :target AND state = 'AVAILABLE' AND key > :after
ORDER BY key LIMIT :limit;

-- name: item_link_of_object
INSERT INTO order_items (order_id, item) SELECT :order_id, item FROM objects WHERE id = :object
ON CONFLICT DO NOTHING;

-- name: audited_copy
SELECT state, digest FROM objects WHERE target = :target AND key = :key;

-- name: audited_upload
SELECT id FROM objects WHERE target = :target AND key = :key
    AND (upload_id = :upload_id OR state IN ('CLAIMED', 'TRANSFERRING', 'VERIFYING'));

-- name: audited_items
-- Items of which the catalogue has been told.
SELECT id, collection, item_id FROM items
WHERE target = :target AND id > :after AND registered > 0 AND changed = registered ORDER BY id LIMIT :limit;

-- name: audited_copies
-- What is on its way in, again, may be told already.
SELECT key, state FROM objects WHERE item = :id AND key NOT LIKE '~tmp/%';

-- name: audit_lost
-- The bytes are fetched again, at the charge of who paid for them.
UPDATE objects SET state = 'WANTED', reason = :reason, payer = :order_id, source = NULL, validator = NULL, total = NULL,
    done = 0, hash_state = NULL, digest = NULL, attempts = 0, not_before = 0, fence = fence + 1, claim_until = 0,
    version = fresh_id(), visible = 1
WHERE id = :id AND state = 'AVAILABLE';

-- name: audit_owner
SELECT coalesce(o.charge_order, o.payer) AS order_id FROM objects o WHERE o.id = :id;

-- name: audit_order
INSERT INTO orders (id, "user", charged, fingerprint, request, target, state, message, created, updated, started, rule,
    priority, lifetime, copies_until)
SELECT :id, "user", charged, '', json_set(request, '$.lifetime', NULL), target, 'ACTIVE', 'repair', :now, :now, :now, rule,
    priority, NULL, copies_until FROM orders WHERE id = :like;

-- name: deliveries_due
SELECT d.*, e.type, e.time, e.data FROM deliveries d JOIN events e ON e.id = d.event
WHERE d.state = 'waiting' AND d.not_before <= :now AND d.claim_until <= :now ORDER BY +d.seq LIMIT :limit;

-- name: delivery_claim
UPDATE deliveries SET claim_until = :until WHERE seq = :seq AND state = 'waiting' AND claim_until <= :now;

-- name: delivery_ended
UPDATE deliveries SET state = :state, attempts = attempts + 1, reason = :reason, not_before = :not_before,
    claim_until = 0, updated = :now
WHERE seq = :seq;

-- name: deliveries_told
SELECT d.seq, d.subject, d.url, d.kind, d.state, d.attempts, d.reason, d.updated, e.type, e.id AS event
FROM deliveries d JOIN events e ON e.id = d.event WHERE d.state = :state ORDER BY d.seq DESC LIMIT 1000;

-- name: orders_expiring_soon
SELECT id, state, target, copies_until, request FROM orders
WHERE released = 0 AND copies_until IS NOT NULL AND expiring_told = 0 AND settled = 1 AND copies_until <= :until LIMIT 100;

-- name: order_expiring_told
UPDATE orders SET expiring_told = 1 WHERE id = :id;
