-- name: read_leases
-- All open leases.
SELECT key, grp, user, lines, fence, expires_at, degraded FROM lease;

-- name: read_ended
-- Those of the given keys (a JSON array) whose lease has ended.
SELECT key, grp, user, lines, fence, expires_at, degraded, how, at FROM ended
WHERE key IN (SELECT value FROM json_each(?));

-- name: read_returned
-- Which of the given keys (a JSON array) gave back already.
SELECT key, at FROM returned WHERE key IN (SELECT value FROM json_each(?));

-- name: read_stock
SELECT grp, user, resource, edge, amount FROM stock;

-- name: read_spent
SELECT grp, user, resource, edge, window_seconds, bucket, amount FROM spent;

-- name: read_rates
SELECT policy, holder, tat FROM rate;

-- name: read_counters
-- The last number of the history, and the fencing token up to which they may have been given out.
SELECT (SELECT coalesce(max(seq), (SELECT seq FROM forgotten)) FROM entry), (SELECT last FROM fence);

-- name: read_counted
SELECT resource, window_seconds FROM counted;

-- name: read_history
-- A group and all below it ('*': all groups): '0' is the character after '/'. Empty wishes restrict nothing.
SELECT seq, at, event, key, grp, user, resource, edge, amount, before, after, why FROM entry
WHERE seq > :after AND (:grp IN ('*', grp) OR (grp >= :grp || '/' AND grp < :grp || '0'))
  AND (:events = '[]' OR event IN (SELECT value FROM json_each(:events)))
  AND :user IN ('', user) AND :resource IN ('', resource) AND :edge IN ('', edge) AND :key IN ('', key)
  AND at >= :since AND at < :until
ORDER BY seq LIMIT :limit;

-- name: read_usage
-- What was used, and by how much what is held changed, per user, edge and step; step `total` is what came after.
-- `later` is all that changed from an entry on; without its own change, it is what came after it.
WITH change AS (
  SELECT grp, user AS who, edge, seq, at,
    CASE WHEN at >= :until THEN :total ELSE min(:total - 1, CAST((at - :since) / :step AS INTEGER)) END AS step,
    CASE WHEN event = 'commit' AND at < :until THEN amount ELSE 0.0 END AS used,
    CASE event
      WHEN 'reserve' THEN amount
      WHEN 'release' THEN -amount
      WHEN 'expire' THEN -amount
      WHEN 'commit' THEN after - before - CASE WHEN :kept THEN 0.0 ELSE amount END
      WHEN 'give-back' THEN CASE WHEN :kept THEN -amount ELSE 0.0 END
      ELSE 0.0
    END AS delta
  FROM entry
  WHERE seq > :after AND seq <= :last AND resource = :resource AND at >= :since
    AND event NOT IN ('policy', 'grant')
    AND (:grp IN ('*', grp) OR (grp >= :grp || '/' AND grp < :grp || '0'))
), leveled AS (
  SELECT grp, who, edge, step, used, delta, delta * (at - :since) AS moment,
    at - :since AS since_begin,
    sum(delta) OVER back - delta AS later,
    coalesce(lag(at) OVER back, :present) > at AS lasted
  FROM change
  WINDOW back AS (PARTITION BY grp, who, edge ORDER BY seq DESC)
)
SELECT grp, who, edge, step, sum(used), sum(delta), sum(moment), min(CASE WHEN lasted THEN later END), min(since_begin)
FROM leveled GROUP BY grp, who, edge, step;

-- name: read_used
-- The same of what is used up: what is held of it on its way is told on average only, which needs no order.
WITH change AS (
  SELECT grp, user AS who, edge, seq, at,
    CASE WHEN at >= :until THEN :total ELSE min(:total - 1, CAST((at - :since) / :step AS INTEGER)) END AS step,
    CASE WHEN event = 'commit' AND at < :until THEN amount ELSE 0.0 END AS used,
    CASE event
      WHEN 'reserve' THEN amount
      WHEN 'release' THEN -amount
      WHEN 'expire' THEN -amount
      WHEN 'commit' THEN after - before - CASE WHEN :kept THEN 0.0 ELSE amount END
      WHEN 'give-back' THEN CASE WHEN :kept THEN -amount ELSE 0.0 END
      ELSE 0.0
    END AS delta
  FROM entry
  WHERE seq > :after AND seq <= :last AND resource = :resource AND at >= :since
    AND event NOT IN ('policy', 'grant')
    AND (:grp IN ('*', grp) OR (grp >= :grp || '/' AND grp < :grp || '0'))
)
SELECT grp, who, edge, step, sum(used), sum(delta), sum(delta * (at - :since)), NULL, min(at - :since)
FROM change GROUP BY grp, who, edge, step;

-- name: read_bounds
-- Before the first, and the last number of the history.
SELECT coalesce(min(seq), 1) - 1, coalesce(max(seq), 0) FROM entry;

-- name: read_entry_time
SELECT at FROM entry WHERE seq = ?;

-- name: forget_ended
DELETE FROM ended WHERE key = ?;

-- name: close_lease
DELETE FROM lease WHERE key = ?;

-- name: write_lease
INSERT INTO lease (key, grp, user, lines, fence, expires_at, degraded) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET grp = excluded.grp, user = excluded.user, lines = excluded.lines,
  fence = excluded.fence, expires_at = excluded.expires_at, degraded = excluded.degraded;

-- name: write_ended
INSERT OR REPLACE INTO ended (key, grp, user, lines, fence, expires_at, degraded, how, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

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
-- A new window starts with what the history knows of it. `bucket_of` is our own function.
INSERT INTO spent (grp, user, resource, edge, window_seconds, bucket, amount)
SELECT grp, user, resource, edge, :span, bucket_of(:span, at) AS bucket, sum(amount)
FROM entry
WHERE event = 'commit' AND amount > 0 AND resource = :resource AND at > :since
GROUP BY grp, user, resource, edge, bucket;

-- name: write_counted
INSERT INTO counted (resource, window_seconds) VALUES (:resource, :span);

-- name: end_counting_spent
DELETE FROM spent WHERE resource = :resource AND window_seconds = :span;

-- name: end_counting
DELETE FROM counted WHERE resource = :resource AND window_seconds = :span;

-- name: drop_rate
DELETE FROM rate WHERE policy = ?;

-- name: prune_ended
DELETE FROM ended WHERE key IN (SELECT key FROM ended WHERE at < ? LIMIT 10000);

-- name: prune_returned
DELETE FROM returned WHERE key IN (SELECT key FROM returned WHERE at < ? LIMIT 10000);

-- name: prune_rates
DELETE FROM rate WHERE tat < ?;

-- name: prune_spent
-- Of calendar months (span -1) nothing is pruned here: a row a month.
DELETE FROM spent WHERE window_seconds > 0 AND (bucket + 1 + :buckets) * window_seconds <= :now * :buckets;

-- name: prune_permits
DELETE FROM permit WHERE expires_at < ?;

-- name: read_policies
SELECT name, body FROM policy;

-- name: write_policy
INSERT INTO policy (source, name, body) VALUES (?, ?, ?)
ON CONFLICT (source, name) DO UPDATE SET body = excluded.body;

-- name: delete_policy
DELETE FROM policy WHERE source = ? AND name = ?;

-- name: read_permits
SELECT id, body FROM permit;

-- name: write_permit
INSERT INTO permit (id, body, expires_at) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET body = excluded.body, expires_at = excluded.expires_at;

-- name: delete_permit
DELETE FROM permit WHERE id = ?;

-- name: read_waiting
SELECT body FROM waiting;

-- name: write_waiting
INSERT INTO waiting (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body;

-- name: delete_waiting
DELETE FROM waiting WHERE key = ?;

-- name: read_shares
SELECT grp, user, amount, at FROM share;

-- name: write_share
INSERT INTO share (grp, user, amount, at) VALUES (?, ?, ?, ?)
ON CONFLICT (grp, user) DO UPDATE SET amount = excluded.amount, at = excluded.at;

-- name: read_forgotten
SELECT seq FROM forgotten;

-- name: read_checkpoint
SELECT key, grp, user, resource, edge, amount FROM checkpoint;

-- name: read_oldest
SELECT seq, at, event, key, grp, user, resource, edge, amount, before, after, why FROM entry
ORDER BY seq LIMIT ?;

-- name: clear_checkpoint
DELETE FROM checkpoint;

-- name: write_checkpoint
INSERT INTO checkpoint (key, grp, user, resource, edge, amount) VALUES (?, ?, ?, ?, ?, ?);

-- name: write_forgotten
UPDATE forgotten SET seq = ?, at = ?;

-- name: forget_entries
DELETE FROM entry WHERE seq <= ?;
