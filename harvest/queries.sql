-- Each query has a name; Python only binds values. Every change of claimed work names the fence it was claimed with.

-- name: order_insert
INSERT INTO orders (id, "user", charged, idempotency, fingerprint, request, target, state, created, updated, claim_until,
    rule, content, priority, lifetime)
VALUES (:id, :user, :charged, :idempotency, :fingerprint, :request, :target, 'PENDING_ESTIMATE', :now, :now, :until,
    :rule, :content, :priority, :lifetime);

-- name: order_by_idempotency
SELECT id, fingerprint, state FROM orders WHERE "user" = :user AND charged = :charged AND idempotency = :idempotency;

-- name: order_by_id
SELECT * FROM orders WHERE id = :id;

-- name: order_forget
-- An order that was never taken in: nobody has been told of it.
DELETE FROM orders WHERE id = :id AND state = 'PENDING_ESTIMATE';

-- name: orders_abandoned
SELECT id FROM orders WHERE state = 'PENDING_ESTIMATE' AND settled = 0 AND claim_until <= :now;

-- name: order_keep_planning
UPDATE orders SET claim_until = :until WHERE id = :id AND state = 'PENDING_ESTIMATE';

-- name: order_state
UPDATE orders SET state = :after, message = :message, updated = :now, retry_at = :retry_at, claim_until = 0,
    started = CASE WHEN :after = 'ACTIVE' THEN coalesce(started, :now) ELSE started END,
    copies_until = CASE WHEN :after = 'ACTIVE' AND :before <> 'ACTIVE' THEN :now + lifetime ELSE copies_until END,
    finished = CASE WHEN :ended = 1 THEN :now ELSE NULL END
WHERE id = :id AND state = :before;

-- name: order_present
UPDATE orders SET present = present + :count WHERE id = :id;

-- name: order_settled
UPDATE orders SET settled = 1, updated = :now, moved_settled = moved, tally = :tally WHERE id = :id;

-- name: order_unsettled
UPDATE orders SET settled = 0, updated = :now WHERE id = :id;

-- name: order_moved
UPDATE orders SET moved = moved + :size, updated = :now WHERE id = (SELECT payer FROM objects WHERE id = :object);

-- name: order_progress
SELECT count(*) AS objects,
    count(*) FILTER (WHERE o.state = 'AVAILABLE') AS available,
    count(*) FILTER (WHERE o.state IN ('BAD', 'NO_SOURCE')) AS failed,
    CAST(coalesce(sum(CASE WHEN o.state IN ('BAD', 'NO_SOURCE') THEN 0 ELSE coalesce(o.total, o.size, l.estimate) END), 0)
        AS BIGINT) AS bytes,
    CAST(coalesce(sum(CASE WHEN o.state IN ('BAD', 'NO_SOURCE') THEN 0 ELSE o.done END), 0) AS BIGINT) AS done
FROM order_objects l JOIN objects o ON o.id = l.object WHERE l.order_id = :id;

-- name: order_item_progress
SELECT count(*) AS items, count(*) FILTER (WHERE i.changed = i.registered AND i.failed = 0 AND i.changed > 0
    AND NOT EXISTS (SELECT 1 FROM objects o JOIN order_objects l ON l.object = o.id
        WHERE l.order_id = :id AND o.item = i.id AND o.state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE'))) AS done
FROM order_items l JOIN items i ON i.id = l.item WHERE l.order_id = :id;

-- name: planned_insert
INSERT INTO planned (order_id, seq, doc, wishes, objects, bytes, collection, item_id)
SELECT :order_id, (SELECT coalesce(max(seq), 0) + 1 FROM planned WHERE order_id = :order_id) + CAST(key AS BIGINT),
    value ->> 0, value ->> 1, CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT), value ->> 4, value ->> 5
FROM json_each(:rows);

-- name: planned_of_order
SELECT count(*) AS items, CAST(coalesce(sum(objects), 0) AS BIGINT) AS objects, CAST(coalesce(sum(bytes), 0) AS BIGINT) AS bytes
FROM planned WHERE order_id = :id;

-- name: planned_order
-- The order of which a plan is spread next, and how far at once.
SELECT r.id, r.target, r.created, r.request, (SELECT max(seq) FROM (
    SELECT seq FROM planned WHERE order_id = r.id ORDER BY seq LIMIT :limit) AS few) AS seq
FROM orders r WHERE r.state = 'ACTIVE' AND r.settled = 0 AND EXISTS (SELECT 1 FROM planned WHERE order_id = r.id)
ORDER BY r.updated LIMIT 1;

-- name: planned_unnamed
SELECT seq, doc FROM planned WHERE order_id = :order_id AND seq <= :seq AND collection IS NULL;

-- name: planned_name
UPDATE planned SET collection = told.collection, item_id = told.item_id
FROM (SELECT CAST(value ->> 0 AS BIGINT) AS seq, value ->> 1 AS collection, value ->> 2 AS item_id
    FROM json_each(:rows)) AS told
WHERE planned.order_id = :order_id AND planned.seq = told.seq;

-- name: planned_items
-- SQLite keeps to the order of a CROSS JOIN: what is planned is looked up, not all of a target.
SELECT p.seq, i.id AS item, p.wishes FROM planned p CROSS JOIN items i
WHERE p.order_id = :order_id AND p.seq <= :seq
    AND i.target = :target AND i.collection = p.collection AND i.item_id = p.item_id
ORDER BY p.seq;

-- name: planned_forget
DELETE FROM planned WHERE order_id = :id;

-- name: items_keep
-- As they were found last: a plan may name one several times.
INSERT INTO items (target, collection, item_id, doc)
SELECT :target, collection, item_id, doc FROM planned WHERE order_id = :order_id AND seq IN (
    SELECT max(seq) FROM planned WHERE order_id = :order_id AND seq <= :seq GROUP BY collection, item_id)
ORDER BY seq
ON CONFLICT (target, collection, item_id) DO UPDATE SET doc = excluded.doc, failed = 0, attempts = 0, reason = '';

-- name: items_link
INSERT INTO order_items (order_id, item)
SELECT DISTINCT :order_id, i.id FROM planned p CROSS JOIN items i
WHERE p.order_id = :order_id AND p.seq <= :seq
    AND i.target = :target AND i.collection = p.collection AND i.item_id = p.item_id
ON CONFLICT DO NOTHING;

-- name: objects_by_key
SELECT o.id, o.key, o.state, o.payer, o.checksum, o.size FROM json_each(:rows) AS told CROSS JOIN objects o
WHERE o.target = :target AND o.key = told.value ->> 0;

-- name: objects_insert
INSERT INTO objects (target, key, item, asset, media_type, sources, size, checksum, integrity, version, state, payer)
SELECT :target, value ->> 0, CAST(value ->> 1 AS BIGINT), value ->> 2, value ->> 3, value ->> 4,
    CAST(value ->> 5 AS BIGINT), value ->> 6, :integrity, value ->> 7, 'WANTED', :payer
FROM json_each(:rows) WHERE true;

-- name: objects_link
INSERT INTO order_objects (order_id, object, estimate, reserved)
SELECT :order_id, CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT)
FROM json_each(:rows) WHERE true
ON CONFLICT DO NOTHING;

-- name: objects_link_new
-- All that is estimated of them is reserved.
INSERT INTO order_objects (order_id, object, estimate, reserved)
SELECT :order_id, o.id, CAST(told.value ->> 1 AS BIGINT), CAST(told.value ->> 1 AS BIGINT)
FROM json_each(:rows) AS told CROSS JOIN objects o WHERE o.target = :target AND o.key = told.value ->> 0;

-- name: planned_done_to
DELETE FROM planned WHERE order_id = :order_id AND seq <= :seq;

-- name: skipped_insert
INSERT INTO skipped (order_id, collection, item_id, asset, reason)
VALUES (:order_id, :collection, :item_id, :asset, :reason)
ON CONFLICT DO NOTHING;

-- name: skipped_of_order
SELECT collection, item_id, asset, reason FROM skipped WHERE order_id = :id ORDER BY collection, item_id, asset LIMIT 1000;

-- name: object_by_key
SELECT o.id, o.target, o.state, o.checksum, o.size, o.sources, o.finished, o.payer,
    i.changed > i.registered AS unregistered
FROM objects o JOIN items i ON i.id = o.item WHERE o.target = :target AND o.key = :key;

-- name: object_want_again
-- The upload is kept in the row, so that the next worker discards it.
UPDATE objects SET item = :item, sources = :sources, size = :size, checksum = :checksum, integrity = :integrity,
    version = :version, state = 'WANTED', reason = '', payer = :payer, source = NULL, validator = NULL, total = NULL,
    done = 0, hash_state = NULL, digest = NULL, attempts = 0, not_before = 0, fence = fence + 1, claim_until = 0,
    visible = CASE WHEN objects.state = 'AVAILABLE' THEN 1 ELSE visible END, media_type = :media_type
WHERE id = :id;

-- name: object_add_sources
UPDATE objects SET sources = :sources WHERE id = :id;

-- name: object_link
INSERT INTO order_objects (order_id, object, estimate, reserved)
VALUES (:order_id, :object, :estimate, :reserved)
ON CONFLICT DO NOTHING;

-- name: object_reserved
SELECT l.reserved, o.payer, r.round FROM objects o LEFT JOIN order_objects l ON l.object = o.id AND l.order_id = o.payer
    LEFT JOIN orders r ON r.id = o.payer
WHERE o.id = :object;

-- name: object_raise_reserved
UPDATE order_objects SET reserved = :reserved WHERE order_id = :order_id AND object = :object AND reserved < :reserved;

-- name: objects_unpaid
-- Objects whose payer no longer works, though another order still wants them.
UPDATE objects SET payer = (
    SELECT l.order_id FROM order_objects l JOIN orders r ON r.id = l.order_id
    WHERE l.object = objects.id AND r.state = 'ACTIVE' ORDER BY r.created LIMIT 1)
WHERE payer = :id AND state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE') AND state <> 'DELETING' AND EXISTS (
    SELECT 1 FROM order_objects l JOIN orders r ON r.id = l.order_id
    WHERE l.object = objects.id AND r.state = 'ACTIVE' AND r.id <> :id);

-- name: objects_adopt
-- Objects that a waiting or suspended order pays for come to this one, which wants them too and works.
UPDATE objects SET payer = :id
WHERE id IN (SELECT object FROM order_objects WHERE order_id = :id)
    AND state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE', 'DELETING')
    AND (payer IS NULL OR NOT EXISTS (SELECT 1 FROM orders r WHERE r.id = payer AND r.state = 'ACTIVE'));

-- name: objects_dropped
-- Objects that no living order wants are taken from whoever works on them, to be discarded.
-- Of one that was being checked, the bytes may be there.
UPDATE objects SET visible = CASE WHEN state = 'VERIFYING' THEN 1 ELSE visible END,
    state = 'DELETING', fence = fence + 1, claim_until = 0, not_before = 0, reason = 'cancelled'
WHERE id IN (SELECT object FROM order_objects WHERE order_id = :id)
    AND state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE', 'DELETING')
    AND NOT EXISTS (
        SELECT 1 FROM order_objects l JOIN orders r ON r.id = l.order_id
        WHERE l.object = objects.id AND l.order_id <> :id AND r.settled = 0
            AND r.state IN ('ACTIVE', 'WAITING_QUOTA', 'SUSPENDED', 'PENDING_ESTIMATE', 'WAITING_APPROVAL'));

-- name: order_unlink_open
DELETE FROM order_objects WHERE order_id = :id AND EXISTS (SELECT 1 FROM objects o
    WHERE o.id = order_objects.object AND o.state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE', 'DELETING'));

-- name: orders_working
-- The orders that may be worked for (one of them, or all that are carried out here): by priority, then the one with the
-- least work in hand first.
SELECT r.id, r.priority FROM orders r WHERE r.state = 'ACTIVE' AND r.settled = 0
    AND (r.id = :scope OR (:scope IS NULL AND r.executor = 'local'))
ORDER BY r.priority DESC, (SELECT count(*) FROM objects o WHERE o.payer = r.id AND o.claim_until > 0
    AND o.claim_until > :now), r.created;

-- name: objects_claimable_small
SELECT id, size FROM objects
WHERE payer = :payer AND state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE')
    AND state IN ('WANTED', 'ORDERED', 'CLAIMED', 'TRANSFERRING', 'VERIFYING')
    AND not_before <= :now AND claim_until <= :now AND size <= :size
LIMIT :most;

-- name: objects_claimable
SELECT id, size FROM objects
WHERE payer = :payer AND state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE')
    AND state IN ('WANTED', 'ORDERED', 'CLAIMED', 'TRANSFERRING', 'VERIFYING')
    AND not_before <= :now AND claim_until <= :now
LIMIT :limit;

-- name: objects_deletable
-- What readers may know of leaves the catalogue first.
SELECT id FROM objects WHERE state = 'DELETING'
    AND not_before <= :now AND claim_until <= :now
    AND NOT (visible = 1 AND EXISTS (SELECT 1 FROM items i WHERE i.id = objects.item AND i.changed > i.registered))
LIMIT :limit;

-- name: object_claimed
SELECT o.*, i.collection, i.item_id FROM objects o JOIN items i ON i.id = o.item WHERE o.id = :id;

-- name: object_renew
UPDATE objects SET claim_until = :until WHERE id = :id AND fence = :fence AND claim_until > 0;

-- name: object_began
-- Of one that was being checked, the bytes may be there.
UPDATE objects SET visible = CASE WHEN state = 'VERIFYING' THEN 1 ELSE visible END, state = 'TRANSFERRING', upload_id = :upload_id, part_bytes = :part_bytes, source = :source,
    validator = :validator, total = :total, done = 0, hash_state = NULL
WHERE id = :id AND fence = :fence AND state IN ('CLAIMED', 'TRANSFERRING', 'VERIFYING');

-- name: object_discarded
UPDATE objects SET upload_id = NULL, source = NULL, validator = NULL, done = 0, hash_state = NULL, digest = NULL
WHERE id = :id AND fence = :fence;

-- name: parts_forget
DELETE FROM parts WHERE object = :id;

-- name: part_known
SELECT number FROM parts WHERE object = :id AND number = :number AND etag = :etag AND size = :size;

-- name: part_insert
INSERT INTO parts (object, number, etag, size, crc64nvme) VALUES (:id, :number, :etag, :size, :crc)
ON CONFLICT (object, number) DO UPDATE SET etag = excluded.etag, size = excluded.size, crc64nvme = excluded.crc64nvme;

-- name: object_part_done
-- One that was put off and is gone on with is CLAIMED until its next part.
UPDATE objects SET state = 'TRANSFERRING', done = :done, hash_state = :hash_state, attempts = 0
WHERE id = :id AND fence = :fence AND state IN ('CLAIMED', 'TRANSFERRING');

-- name: parts_of
SELECT number, etag, size, crc64nvme FROM parts WHERE object = :id ORDER BY number;

-- name: object_checked
UPDATE objects SET state = 'VERIFYING', digest = :digest, total = :total, source = :source
WHERE id = :id AND fence = :fence AND state IN ('CLAIMED', 'TRANSFERRING', 'VERIFYING');

-- name: object_available
UPDATE objects SET state = 'AVAILABLE', done = total, upload_id = NULL, hash_state = NULL, reason = '',
    finished = :now, claim_until = 0
WHERE id = :id AND fence = :fence AND state = 'VERIFYING';

-- name: item_changed
UPDATE items SET changed = changed + 1 WHERE id = (SELECT item FROM objects WHERE id = :id);

-- name: object_ended
UPDATE objects SET state = :state, reason = :reason, finished = :now, claim_until = 0, upload_id = NULL,
    hash_state = NULL, done = 0
WHERE id = :id AND fence = :fence;

-- name: object_put_off
-- Of one that was being checked, the bytes may be there.
UPDATE objects SET visible = CASE WHEN state = 'VERIFYING' THEN 1 ELSE visible END,
    state = :state, reason = :reason, not_before = :not_before, claim_until = 0, attempts = attempts + 1
WHERE id = :id AND fence = :fence;

-- name: object_forget
DELETE FROM objects WHERE id = :id AND fence = :fence AND state = 'DELETING';

-- name: item_claimable
-- Ready is an item that for some order at work has nothing left to copy, that no order works on, or that loses a copy.
SELECT i.id, i.target, i.collection, length(i.doc) AS size FROM items i
WHERE i.changed > i.registered AND i.failed = 0 AND i.not_before <= :now AND i.claim_until <= :now
    AND (EXISTS (SELECT 1 FROM order_items l JOIN orders r ON r.id = l.order_id
        WHERE l.item = i.id AND r.settled = 0 AND NOT EXISTS (
            SELECT 1 FROM objects o JOIN order_objects lo ON lo.object = o.id AND lo.order_id = r.id
            WHERE o.item = i.id AND o.state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE', 'DELETING')))
        OR EXISTS (SELECT 1 FROM objects o WHERE o.item = i.id AND o.state = 'DELETING' AND o.visible = 1)
        OR NOT EXISTS (SELECT 1 FROM order_items l JOIN orders r ON r.id = l.order_id
            WHERE l.item = i.id AND r.settled = 0))
LIMIT :limit;

-- name: item_put_off
UPDATE items SET attempts = attempts + 1, reason = :reason, not_before = :not_before, failed = :failed, claim_until = 0
WHERE id = :id AND fence = :fence;

-- name: orders_finished
-- Orders with nothing left to copy or register, that the ledger does not know of yet. What they pay for has an index
-- of what is open: as long as there is some, nothing else is looked through.
SELECT r.id FROM orders r
WHERE r.settled = 0 AND r.state IN ('ACTIVE', 'CANCELLED') AND r.claim_until <= :now AND r.retry_at <= :now
    AND (r.state = 'CANCELLED' OR NOT EXISTS (SELECT 1 FROM objects o
        WHERE o.payer = r.id AND o.state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE')
            AND o.state IN ('WANTED', 'ORDERED', 'CLAIMED', 'TRANSFERRING', 'VERIFYING')))
    AND NOT EXISTS (SELECT 1 FROM planned WHERE order_id = r.id)
    AND NOT EXISTS (SELECT 1 FROM order_objects l JOIN objects o ON o.id = l.object
        WHERE l.order_id = r.id AND o.state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE'))
    AND NOT EXISTS (SELECT 1 FROM order_items l JOIN items i ON i.id = l.item
        WHERE l.order_id = r.id AND i.changed > i.registered AND i.failed = 0);

-- name: order_claim
UPDATE orders SET claim_until = :until WHERE id = :id AND settled = 0 AND claim_until <= :now RETURNING *;

-- name: order_release
UPDATE orders SET claim_until = 0, retry_at = :retry_at, message = :message, updated = :now WHERE id = :id;

-- name: order_failures
SELECT (SELECT count(*) FROM order_objects l JOIN objects o ON o.id = l.object
        WHERE l.order_id = :id AND o.state IN ('BAD', 'NO_SOURCE'))
    + (SELECT count(*) FROM order_items l JOIN items i ON i.id = l.item WHERE l.order_id = :id AND i.failed = 1)
    + (SELECT count(*) FROM skipped WHERE order_id = :id) AS failures;

-- name: order_charge_replaced
-- Bytes that were charged to somebody for an earlier version of an object are theirs again.
INSERT INTO refunds (id, order_id, charged, "user", target, bytes, object, version)
SELECT fresh_id(), o.charge_order, r.charged, r."user", o.target, o.charged, o.id, o.charge_version
FROM objects o JOIN orders r ON r.id = o.charge_order
WHERE o.payer = :id AND o.state = 'AVAILABLE' AND o.charged > 0 AND o.charge_version <> o.version;

-- name: order_charge
UPDATE objects SET charge_order = :id, charge_version = version, charge_settled = 0,
    charged = CASE WHEN :free = 1 THEN 0 ELSE total END
WHERE payer = :id AND state = 'AVAILABLE' AND (charge_version IS NULL OR charge_version <> version)
    AND id IN (SELECT object FROM order_objects WHERE order_id = :id);

-- name: order_stored
SELECT CAST(coalesce(sum(charged), 0) AS BIGINT) AS stored FROM objects WHERE charge_order = :id AND charge_settled = 0;

-- name: order_charged
UPDATE objects SET charge_settled = 1 WHERE charge_order = :id;

-- name: orders_waiting
SELECT id, "user", charged, target, state, priority FROM orders WHERE state = 'WAITING_QUOTA' AND settled = 0 AND retry_at <= :now;

-- name: orders_holding
SELECT r.id, r."user", r.charged, r.target, r.state, r.priority FROM orders r
WHERE r.settled = 0 AND r.state IN ('ACTIVE', 'CANCELLED', 'SUSPENDED', 'WAITING_QUOTA');

-- name: lease_insert
INSERT INTO leases (key, order_id, amount, jobs, round)
VALUES (:key, :order_id, :amount, :jobs, (SELECT round FROM orders WHERE id = :order_id))
ON CONFLICT DO NOTHING;

-- name: leases_open
SELECT key, amount, jobs FROM leases WHERE order_id = :id AND ended = 0 ORDER BY jobs DESC, key;

-- name: leases_of_round
-- Those of the present round, ended or not: a settlement that is repeated divides as it did before.
SELECT l.key, l.amount, l.jobs, l.ended FROM leases l JOIN orders r ON r.id = l.order_id AND r.round = l.round
WHERE l.order_id = :id ORDER BY l.jobs DESC, l.key;

-- name: lease_ended
UPDATE leases SET ended = 1 WHERE key = :key;

-- name: results_objects
SELECT o.id, i.collection, i.item_id, o.asset, o.state, o.key, o.total, o.digest, o.reason
FROM order_objects l JOIN objects o ON o.id = l.object JOIN items i ON i.id = o.item
WHERE l.order_id = :id AND o.id > :after ORDER BY o.id LIMIT :limit;

-- name: results_items
SELECT i.collection, i.item_id, i.reason FROM order_items l JOIN items i ON i.id = l.item
WHERE l.order_id = :id AND i.failed = 1 ORDER BY i.id LIMIT 1000;

-- name: stuck_reasons
SELECT reason, count(*) AS times FROM order_objects l JOIN objects o ON o.id = l.object
WHERE l.order_id = :id AND o.reason <> '' GROUP BY reason ORDER BY times DESC LIMIT 3;
