-- What many claims do at the same time, in one statement. Values come as one JSON text, by position: {"0": [...], ...}.
-- `coalesce(state, '')` keeps SQLite from going through a whole state: rows are found by their ids.

-- name: objects_uncovered
-- Those of which more came than their payer has reserved.
SELECT o.id FROM json_each(:rows) AS told JOIN objects o ON o.id = CAST(told.value ->> 0 AS BIGINT)
    LEFT JOIN order_objects l ON l.object = o.id AND l.order_id = o.payer
WHERE o.payer IS NOT NULL AND coalesce(l.reserved, 0) < CAST(told.value ->> 1 AS BIGINT);

-- name: objects_claim
UPDATE objects SET state = CASE state WHEN 'WANTED' THEN 'CLAIMED' WHEN 'ORDERED' THEN 'CLAIMED' ELSE state END,
    fence = fence + 1, claim_until = :until
WHERE id IN (SELECT CAST(told.value ->> 0 AS BIGINT) FROM json_each(:rows) AS told);

-- name: objects_claimed
-- Those without a state of a checksum to go on from: others, which are few, come each by itself (object_claimed).
SELECT o.id, o.target, o.key, i.collection, i.item_id, o.asset, o.state, o.sources, o.size, o.checksum, o.integrity,
    o.version, o.upload_id, o.part_bytes, o.source, o.validator, o.total, o.done, NULL AS hash_state, o.digest,
    o.attempts, o.fence, o.visible
FROM json_each(:rows) AS told
    JOIN objects o ON o.id = CAST(told.value ->> 0 AS BIGINT) JOIN items i ON i.id = o.item
WHERE o.hash_state IS NULL;

-- name: objects_checked
-- Those of which no more came than their payer has reserved.
UPDATE objects SET state = 'VERIFYING', total = told.total, digest = told.digest, source = told.source
FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS fence,
    CAST(value ->> 2 AS BIGINT) AS total, value ->> 3 AS digest, value ->> 4 AS source FROM json_each(:rows)) AS told
WHERE objects.id = told.id AND objects.fence = told.fence
    AND coalesce(objects.state, '') IN ('CLAIMED', 'TRANSFERRING', 'VERIFYING')
    AND (objects.payer IS NULL OR told.total <= coalesce((SELECT l.reserved FROM order_objects l
        WHERE l.object = objects.id AND l.order_id = objects.payer), 0));

-- name: objects_verifying
SELECT o.id, o.item, o.payer FROM json_each(:rows) AS told JOIN objects o ON o.id = CAST(told.value ->> 0 AS BIGINT)
WHERE o.fence = CAST(told.value ->> 1 AS BIGINT) AND coalesce(o.state, '') = 'VERIFYING';

-- name: objects_available
UPDATE objects SET state = 'AVAILABLE', done = total, upload_id = NULL, hash_state = NULL, reason = '',
    finished = told.now, claim_until = 0
FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS fence,
    CAST(value ->> 2 AS DOUBLE PRECISION) AS now FROM json_each(:rows)) AS told
WHERE objects.id = told.id AND objects.fence = told.fence AND coalesce(objects.state, '') = 'VERIFYING';

-- name: items_changed
UPDATE items SET changed = changed + told.times
FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS times FROM json_each(:rows)) AS told
WHERE items.id = told.id;

-- name: payer_moved
UPDATE orders SET moved = moved + :size, updated = :now WHERE id = :id;

-- name: items_claim
UPDATE items SET fence = fence + 1, claim_until = :until
WHERE id IN (SELECT CAST(told.value ->> 0 AS BIGINT) FROM json_each(:rows) AS told);

-- name: items_claimed
SELECT i.id, i.target, i.collection, i.item_id, i.doc, i.changed, i.attempts, i.fence FROM json_each(:rows) AS told
    JOIN items i ON i.id = CAST(told.value ->> 0 AS BIGINT);

-- name: items_entries
SELECT i.id, i.before, i.registered, EXISTS (SELECT 1 FROM order_items l JOIN orders r ON r.id = l.order_id
    WHERE l.item = i.id AND r.content = 'catalogue' AND r.released = 0
        AND r.state NOT IN ('PENDING_ESTIMATE', 'WAITING_APPROVAL')) AS wanted
FROM json_each(:rows) AS told JOIN items i ON i.id = CAST(told.value ->> 0 AS BIGINT);

-- name: items_copies
-- Temporary copies are in no catalogue.
SELECT o.item, o.asset, o.key, o.total, o.digest, o.source FROM json_each(:rows) AS told
    JOIN objects o ON o.item = CAST(told.value ->> 0 AS BIGINT)
WHERE coalesce(o.state, '') = 'AVAILABLE' AND o.key NOT LIKE '~tmp/%';

-- name: items_keys_leaving
SELECT o.item, o.key FROM json_each(:rows) AS told JOIN objects o ON o.item = CAST(told.value ->> 0 AS BIGINT)
WHERE coalesce(o.state, '') = 'DELETING';

-- name: items_untils
-- When a copy may go: when the last order that counts on it lets go; NULL where one never does.
SELECT item, key, CASE WHEN count(*) = count(copies_until) THEN max(copies_until) END AS until
FROM (
    SELECT o.id, o.item, o.key, r.id AS order_id, r.copies_until FROM json_each(:rows) AS told
    JOIN objects o ON o.item = CAST(told.value ->> 0 AS BIGINT)
    JOIN order_objects l ON l.object = o.id JOIN orders r ON r.id = l.order_id AND r.released = 0
    WHERE coalesce(o.state, '') = 'AVAILABLE'
    UNION ALL
    SELECT o.id, o.item, o.key, r.id AS order_id, r.copies_until FROM json_each(:rows) AS told
    JOIN objects o ON o.item = CAST(told.value ->> 0 AS BIGINT)
    JOIN holds h ON h.object = o.id JOIN orders r ON r.id = h.order_id AND r.released = 0
    WHERE coalesce(o.state, '') = 'AVAILABLE'
) counted
GROUP BY id, item, key;

-- name: items_before
UPDATE items SET before = told.doc
FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, value ->> 1 AS doc FROM json_each(:rows)) AS told
WHERE items.id = told.id AND items.before IS NULL;

-- name: items_registered
UPDATE items SET registered = told.changed, claim_until = 0, attempts = 0, reason = ''
FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, CAST(value ->> 1 AS BIGINT) AS fence,
    CAST(value ->> 2 AS BIGINT) AS changed FROM json_each(:rows)) AS told
WHERE items.id = told.id AND items.fence = told.fence;

-- name: items_held
SELECT i.id FROM json_each(:rows) AS told JOIN items i ON i.id = CAST(told.value ->> 0 AS BIGINT)
WHERE i.fence = CAST(told.value ->> 1 AS BIGINT);
