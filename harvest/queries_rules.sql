-- Standing rules, their runs, and what is told of them.

-- name: rule_insert
INSERT INTO rules (id, name, "user", charged, idempotency, fingerprint, request, state, created, updated, expires, next_run)
VALUES (:id, :title, :user, :charged, :idempotency, :fingerprint, :request, 'PENDING_ESTIMATE', :now, :now, :expires, :now);

-- name: rule_by_idempotency
SELECT id, fingerprint FROM rules WHERE "user" = :user AND charged = :charged AND idempotency = :idempotency;

-- name: rule_by_id
SELECT * FROM rules WHERE id = :id;

-- name: rules_of_group
SELECT * FROM rules WHERE (:charged IS NULL OR charged = :charged)
    AND (:before IS NULL OR created < :before) AND (:state IS NULL OR state = :state)
ORDER BY created DESC, id LIMIT :limit;

-- name: rule_state
UPDATE rules SET state = :after, message = :message, updated = :now WHERE id = :id AND state = :before;

-- name: rules_due
SELECT * FROM rules WHERE claim_until <= :now AND next_run <= :now
    AND state IN ('PENDING_ESTIMATE', 'ACTIVE', 'OK', 'STUCK', 'WAITING_QUOTA') ORDER BY next_run LIMIT 20;

-- name: rule_claim
UPDATE rules SET claim_until = :until, fence = fence + 1 WHERE id = :id AND claim_until <= :now RETURNING *;

-- name: rule_ran
UPDATE rules SET runs = runs + :runs, attempts = :attempts, next_run = :next_run, claim_until = 0,
    progress = coalesce(:progress, progress), updated = :now
WHERE id = :id AND fence = :fence;

-- name: rule_changed
UPDATE rules SET name = :title, request = :request, fingerprint = :fingerprint, expires = :expires, updated = :now,
    fence = fence + 1, claim_until = 0
WHERE id = :id;

-- name: rule_anew
UPDATE rules SET progress = '{}', attempts = 0, next_run = :now, approved = '' WHERE id = :id;

-- name: rule_next_run
UPDATE rules SET next_run = :next_run WHERE id = :id;

-- name: rule_approved
UPDATE rules SET approved = :by, next_run = :now WHERE id = :id;

-- name: rules_expired
SELECT id, state, message, request FROM rules WHERE expires <= :now AND state NOT IN ('EXPIRED', 'CANCELLED');

-- name: rules_at_work
SELECT r.id, r.state, r.message, r.request, r.attempts,
    count(*) FILTER (WHERE o.settled = 0) AS open, count(*) FILTER (WHERE o.state = 'STUCK') AS stuck
FROM rules r LEFT JOIN orders o ON o.rule = r.id
WHERE r.state IN ('ACTIVE', 'STUCK', 'OK') AND r.runs > 0 GROUP BY r.id;

-- name: rule_repairable
-- What is stuck is tried again, later each time.
SELECT id FROM orders WHERE rule = :rule AND state = 'STUCK' AND settled = 1 AND released = 0 AND repairs < :most
    AND finished + :pause * CAST(1 << CAST(repairs AS INTEGER) AS DOUBLE PRECISION) <= :now LIMIT 20;

-- name: rule_orders
SELECT id, state, settled, target, created FROM orders WHERE rule = :rule ORDER BY created DESC, id LIMIT :limit;

-- name: rule_open_orders
SELECT id, state FROM orders WHERE rule = :rule AND (settled = 0 OR state = 'STUCK')
    AND state NOT IN ('CANCELLED', 'EXPIRED', 'PENDING_ESTIMATE');

-- name: rule_holding_orders
SELECT id FROM orders WHERE rule = :rule AND released = 0;

-- name: rule_oldest_open
SELECT min(created) AS created FROM orders WHERE rule = :rule AND settled = 0 AND state <> 'PENDING_ESTIMATE';

-- name: rule_targets
SELECT target, min(created) FROM orders WHERE rule = :rule GROUP BY target ORDER BY min(created);

-- name: rule_progress
SELECT count(DISTINCT o.id) AS objects,
    count(DISTINCT CASE WHEN o.state = 'AVAILABLE' THEN o.id END) AS available,
    count(DISTINCT CASE WHEN o.state IN ('BAD', 'NO_SOURCE') THEN o.id END) AS failed,
    count(DISTINCT o.item) AS items
FROM order_objects l JOIN objects o ON o.id = l.object JOIN orders r ON r.id = l.order_id WHERE r.rule = :rule;

-- name: rule_bytes
SELECT CAST(coalesce(sum(coalesce(o.total, o.size, 0)), 0) AS BIGINT) AS bytes,
    CAST(coalesce(sum(o.done), 0) AS BIGINT) AS done FROM objects o
WHERE o.state NOT IN ('BAD', 'NO_SOURCE') AND o.id IN (
    SELECT l.object FROM order_objects l JOIN orders r ON r.id = l.order_id WHERE r.rule = :rule);

-- name: rule_planned
SELECT count(*) AS items, CAST(coalesce(sum(p.objects), 0) AS BIGINT) AS objects,
    CAST(coalesce(sum(p.bytes), 0) AS BIGINT) AS bytes
FROM planned p JOIN orders r ON r.id = p.order_id WHERE r.rule = :rule;

-- name: rule_items
SELECT o.id, o.target, i.collection, i.item_id, o.asset, o.state, o.key, o.total, o.digest, o.reason
FROM objects o JOIN items i ON i.id = o.item
WHERE o.id > :after AND (:state IS NULL OR o.state = :state) AND o.id IN (
    SELECT l.object FROM order_objects l JOIN orders r ON r.id = l.order_id WHERE r.rule = :rule
    UNION SELECT h.object FROM holds h JOIN orders r ON r.id = h.order_id WHERE r.rule = :rule)
ORDER BY o.id LIMIT :limit;

-- name: reasons_of_order
SELECT o.state, o.reason, count(*) AS times, min(i.item_id || ' ' || o.asset) AS example,
    min(nullif(o.not_before, 0)) AS not_before
FROM order_objects l JOIN objects o ON o.id = l.object JOIN items i ON i.id = o.item
WHERE l.order_id = :id AND o.state <> 'AVAILABLE' GROUP BY o.state, o.reason ORDER BY times DESC LIMIT 20;

-- name: item_reasons_of_order
SELECT CASE WHEN i.failed = 1 THEN 'NOT_REGISTERED' ELSE 'REGISTERING' END AS state, i.reason, count(*) AS times,
    min(i.item_id) AS example, min(nullif(i.not_before, 0)) AS not_before
FROM order_items l JOIN items i ON i.id = l.item
WHERE l.order_id = :id AND i.changed > i.registered AND i.reason <> '' GROUP BY 1, i.reason LIMIT 20;

-- name: skipped_reasons_of_order
SELECT 'SKIPPED' AS state, reason, count(*) AS times, min(item_id || ' ' || asset) AS example, NULL AS not_before
FROM skipped WHERE order_id = :id GROUP BY reason LIMIT 20;

-- name: stats_orders
SELECT state, count(*) AS orders FROM orders GROUP BY state;

-- name: stats_objects
SELECT target, state, count(*) AS objects, CAST(coalesce(sum(total), 0) AS BIGINT) AS bytes FROM objects GROUP BY target, state;

-- name: stats_rules
SELECT state, count(*) AS rules FROM rules GROUP BY state;

-- name: stats_moved
SELECT target, CAST(coalesce(sum(moved), 0) AS BIGINT) AS moved, CAST(coalesce(sum(round), 0) AS BIGINT) AS rounds FROM orders GROUP BY target;

-- name: stats_deliveries
SELECT state, count(*) AS deliveries FROM deliveries GROUP BY state;

-- name: rules_standing
SELECT id, name, progress, created FROM rules
WHERE state NOT IN ('EXPIRED', 'CANCELLED') AND json_extract(request, '$.mode') <> 'once' ORDER BY created LIMIT :limit;

-- name: rates_of_target
SELECT moved, CASE WHEN finished - started > 0.001 THEN finished - started ELSE 0.001 END AS seconds FROM orders
WHERE target = :target AND state = 'OK' AND moved > 0 AND started IS NOT NULL AND finished IS NOT NULL
ORDER BY finished DESC LIMIT 10;
