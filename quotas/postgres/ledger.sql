-- name: look
-- What was written after a version, and what is known of the given keys and attempts: all at one moment.
SELECT
  version,
  (SELECT array_agg(body ORDER BY batch.version) FROM batch WHERE batch.version > $1) AS batches,
  (SELECT array_agg(ended) FROM ended WHERE key = ANY ($2::text[])) AS ended,
  (SELECT array_agg(returned) FROM returned WHERE key = ANY ($2::text[])) AS returned
FROM head;

-- name: lock
SELECT version FROM head FOR UPDATE;

-- name: wrote
SELECT writer FROM batch WHERE writer = ANY ($1::uuid[]);

-- name: write_batch
SELECT write_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: write_fresh
SELECT write_fresh($15, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: tell_policies
-- The channel is that of `quotas.postgres.store`; told when the transaction commits.
SELECT pg_notify($1, '');

-- name: write_rest
SELECT write_rest($1, $2, $3, $4, $5, $6, $7);

-- name: read_head
SELECT version, fence, (SELECT coalesce(max(seq), (SELECT seq FROM forgotten)) FROM entry) AS seq FROM head;

-- name: read_leases
SELECT key, grp, "user", lines, fence, expires_at, degraded FROM lease;

-- name: read_stock
SELECT grp, "user", resource, edge, amount FROM stock;

-- name: read_spent
SELECT grp, "user", resource, edge, span, bucket, amount FROM spent;

-- name: read_rates
SELECT policy, holder, tat FROM rate;

-- name: read_shares
SELECT grp, "user", amount, at FROM share;

-- name: read_waiting
SELECT body FROM waiting;

-- name: read_policies
SELECT name, body FROM policy;

-- name: read_permits
SELECT id, body FROM permit;

-- name: read_counted
SELECT resource, span FROM counted;

-- name: begin_counting
-- A new window starts with what the history knows of it.
INSERT INTO spent (grp, "user", resource, edge, span, bucket, amount)
SELECT grp, "user", resource, edge, $2::bigint,
  CASE WHEN $2 < 0
    THEN (extract(year FROM to_timestamp(at) AT TIME ZONE 'UTC') * 12
      + extract(month FROM to_timestamp(at) AT TIME ZONE 'UTC') - 1)::bigint
    ELSE floor(at * $4 / $2)::bigint
  END AS bucket, sum(amount)
FROM entry
WHERE event = 'commit' AND amount > 0 AND resource = $1 AND at > $3::double precision
GROUP BY grp, "user", resource, edge, bucket;

-- name: write_counted
INSERT INTO counted (resource, span) VALUES ($1, $2);

-- name: end_counting_spent
DELETE FROM spent WHERE resource = $1 AND span = $2;

-- name: end_counting
DELETE FROM counted WHERE resource = $1 AND span = $2;

-- name: drop_rates
DELETE FROM rate WHERE NOT policy = ANY ($1::text[]);

-- name: read_history
-- A group and all below it ('*': all groups): '0' is the character after '/'. Empty wishes restrict nothing.
SELECT seq, at, event, key, grp, "user", resource, edge, amount, before, after, why FROM entry
WHERE seq > $1 AND ($2 IN ('*', grp) OR (grp >= $2 || '/' AND grp < $2 || '0'))
  AND (cardinality($4::text[]) = 0 OR event = ANY ($4))
  AND $5 IN ('', "user") AND $6 IN ('', resource) AND $7 IN ('', edge) AND $8 IN ('', key)
  AND at >= $9 AND at < $10
ORDER BY seq LIMIT $3;

-- name: for_long
-- For this transaction only: a long history takes its time to sum up.
SET LOCAL statement_timeout = '60s';

-- name: read_usage
-- What was used, and by how much what is held changed, per user, edge and step; step `total` is what came after.
-- `later` is all that changed from an entry on; without its own change, it is what came after it.
WITH change AS (
  SELECT grp, "user" AS who, edge, seq, at,
    CASE WHEN at >= $6::double precision THEN $8::bigint ELSE least($8::bigint - 1, floor((at - $5::double precision) / $7::double precision)::bigint) END AS step,
    CASE WHEN event = 'commit' AND at < $6::double precision THEN amount ELSE 0.0 END AS used,
    CASE event
      WHEN 'reserve' THEN amount
      WHEN 'release' THEN -amount
      WHEN 'expire' THEN -amount
      WHEN 'commit' THEN after - before - CASE WHEN $9::boolean THEN 0.0 ELSE amount END
      WHEN 'give-back' THEN CASE WHEN $9::boolean THEN -amount ELSE 0.0 END
      ELSE 0.0
    END AS delta
  FROM entry
  WHERE seq > $2::bigint AND seq <= $3::bigint AND resource = $4 AND at >= $5::double precision
    AND event NOT IN ('policy', 'grant')
    AND ($1 IN ('*', grp) OR (grp >= $1 || '/' AND grp < $1 || '0'))
), leveled AS (
  SELECT grp, who, edge, step, used, delta, delta * (at - $5::double precision) AS moment,
    at - $5::double precision AS since_begin,
    sum(delta) OVER back - delta AS later,
    coalesce(lag(at) OVER back, 'infinity'::double precision) > at AS lasted
  FROM change
  WINDOW back AS (PARTITION BY grp, who, edge ORDER BY seq DESC)
)
SELECT grp, who, edge, step, sum(used), sum(delta), sum(moment), min(CASE WHEN lasted THEN later END), min(since_begin)
FROM leveled GROUP BY grp, who, edge, step;

-- name: read_used
-- The same of what is used up: what is held of it on its way is told on average only, which needs no order.
WITH change AS (
  SELECT grp, "user" AS who, edge, seq, at,
    CASE WHEN at >= $6::double precision THEN $8::bigint ELSE least($8::bigint - 1, floor((at - $5::double precision) / $7::double precision)::bigint) END AS step,
    CASE WHEN event = 'commit' AND at < $6::double precision THEN amount ELSE 0.0 END AS used,
    CASE event
      WHEN 'reserve' THEN amount
      WHEN 'release' THEN -amount
      WHEN 'expire' THEN -amount
      WHEN 'commit' THEN after - before - CASE WHEN $9::boolean THEN 0.0 ELSE amount END
      WHEN 'give-back' THEN CASE WHEN $9::boolean THEN -amount ELSE 0.0 END
      ELSE 0.0
    END AS delta
  FROM entry
  WHERE seq > $2::bigint AND seq <= $3::bigint AND resource = $4 AND at >= $5::double precision
    AND event NOT IN ('policy', 'grant')
    AND ($1 IN ('*', grp) OR (grp >= $1 || '/' AND grp < $1 || '0'))
)
SELECT grp, who, edge, step, sum(used), sum(delta), sum(delta * (at - $5::double precision)), NULL, min(at - $5::double precision)
FROM change GROUP BY grp, who, edge, step;

-- name: read_bounds
-- Before the first, and the last number of the history.
SELECT coalesce(min(seq), 1) - 1, coalesce(max(seq), 0) FROM entry;

-- name: read_entry_time
SELECT at FROM entry WHERE seq = $1;

-- name: prune_batches
DELETE FROM batch WHERE version < (SELECT version FROM head) - $1::bigint AND at < $2;

-- name: prune_ended
DELETE FROM ended WHERE key IN (SELECT key FROM ended WHERE at < $1 LIMIT 10000);

-- name: prune_returned
DELETE FROM returned WHERE key IN (SELECT key FROM returned WHERE at < $1 LIMIT 10000);

-- name: prune_rates
DELETE FROM rate WHERE tat < $1;

-- name: prune_permits
DELETE FROM permit WHERE expires_at < $1;

-- name: prune_spent
DELETE FROM spent WHERE span > 0 AND (bucket + 1 + $2::bigint) * span <= $1::double precision * $2;

-- name: read_forgotten
SELECT seq FROM forgotten;

-- name: read_checkpoint
SELECT key, grp, "user", resource, edge, amount FROM checkpoint;

-- name: read_oldest
SELECT seq, at, event, key, grp, "user", resource, edge, amount, before, after, why FROM entry
ORDER BY seq LIMIT $1;

-- name: clear_checkpoint
DELETE FROM checkpoint;

-- name: write_checkpoint
INSERT INTO checkpoint SELECT * FROM unnest($1::checkpoint[]);

-- name: write_forgotten
UPDATE forgotten SET seq = $1, at = $2;

-- name: forget_entries
DELETE FROM entry WHERE seq <= $1;
