-- name: read_leases
-- All open leases.
SELECT key, grp, user, lines, fence, expires_at FROM lease;

-- name: read_ended
-- Those of the given keys (a JSON array) whose lease has ended.
SELECT key, grp, user, lines, fence, expires_at, how, at FROM ended
WHERE key IN (SELECT value FROM json_each(?));

-- name: read_returned
-- Whether the key gave back already.
SELECT key, at FROM returned WHERE key = ?;

-- name: read_stock
SELECT grp, user, resource, edge, amount FROM stock;

-- name: read_spent
SELECT grp, user, resource, edge, window_seconds, bucket, amount FROM spent;

-- name: read_rates
SELECT policy, holder, tat FROM rate;

-- name: read_counters
-- The last number of the history, and the fencing token up to which they may have been given out.
SELECT (SELECT coalesce(max(seq), 0) FROM entry), (SELECT last FROM fence);

-- name: read_counted
SELECT resource, window_seconds FROM counted;

-- name: read_history
-- A group and all below it ('*': all groups): '0' is the character after '/'.
SELECT seq, at, event, key, grp, user, resource, edge, amount, before, after, why FROM entry
WHERE seq > :after AND (:grp IN ('*', grp) OR (grp >= :grp || '/' AND grp < :grp || '0'))
ORDER BY seq LIMIT :limit;

-- name: forget_ended
DELETE FROM ended WHERE key = ?;

-- name: close_lease
DELETE FROM lease WHERE key = ?;

-- name: write_lease
INSERT INTO lease (key, grp, user, lines, fence, expires_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET fence = excluded.fence, expires_at = excluded.expires_at;

-- name: write_ended
INSERT INTO ended (key, grp, user, lines, fence, expires_at, how, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: write_returned
INSERT INTO returned (key, at) VALUES (?, ?);

-- name: write_entry
INSERT INTO entry (seq, at, event, key, grp, user, resource, edge, amount, before, after, why)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: write_stock
INSERT INTO stock (grp, user, resource, edge, amount) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (grp, user, resource, edge) DO UPDATE SET amount = excluded.amount;

-- name: add_spent
INSERT INTO spent (grp, user, resource, edge, window_seconds, bucket, amount) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (grp, user, resource, edge, window_seconds, bucket) DO UPDATE SET amount = amount + excluded.amount;

-- name: write_rate
INSERT INTO rate (policy, holder, tat) VALUES (?, ?, ?)
ON CONFLICT (policy, holder) DO UPDATE SET tat = excluded.tat;

-- name: write_fence
UPDATE fence SET last = ?;

-- name: begin_counting
-- A new window starts with what the history knows of it.
INSERT INTO spent (grp, user, resource, edge, window_seconds, bucket, amount)
SELECT grp, user, resource, edge, :window, CAST(at * :buckets / :window AS INTEGER) AS bucket, sum(amount)
FROM entry
WHERE event = 'commit' AND amount > 0 AND resource = :resource AND at > :since
GROUP BY grp, user, resource, edge, bucket;

-- name: write_counted
INSERT INTO counted (resource, window_seconds) VALUES (:resource, :window);

-- name: end_counting_spent
DELETE FROM spent WHERE resource = :resource AND window_seconds = :window;

-- name: end_counting
DELETE FROM counted WHERE resource = :resource AND window_seconds = :window;

-- name: drop_rate
DELETE FROM rate WHERE policy = ?;

-- name: prune_ended
DELETE FROM ended WHERE key IN (SELECT key FROM ended WHERE at < ? LIMIT 10000);

-- name: prune_returned
DELETE FROM returned WHERE key IN (SELECT key FROM returned WHERE at < ? LIMIT 10000);

-- name: prune_rates
DELETE FROM rate WHERE tat < ?;

-- name: prune_spent
DELETE FROM spent WHERE (bucket + 1 + :buckets) * window_seconds <= :now * :buckets;
