-- Runs of workers elsewhere.

-- name: order_carried_here
UPDATE orders SET executor = 'local' WHERE id = :id;

-- name: orders_to_run
-- Orders with bytes to carry elsewhere, for which nobody is at work, and not right after a run that failed.
SELECT r.id, r.executor, r.target FROM orders r
WHERE r.state = 'ACTIVE' AND r.settled = 0 AND r.executor <> 'local'
    AND EXISTS (SELECT 1 FROM objects o WHERE o.payer = r.id
        AND o.state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE')
        AND o.state IN ('WANTED', 'ORDERED', 'CLAIMED', 'TRANSFERRING', 'VERIFYING') AND o.not_before <= :now)
    AND NOT EXISTS (SELECT 1 FROM runs n WHERE n.order_id = r.id AND n.state <> 'ended')
    AND NOT EXISTS (SELECT 1 FROM runs n WHERE n.order_id = r.id AND n.failed = 1
        AND n.ended + CASE WHEN (SELECT count(*) FROM runs f WHERE f.order_id = r.id AND f.failed = 1) > 6 THEN :longest
            ELSE :pause * (SELECT count(*) FROM runs f WHERE f.order_id = r.id AND f.failed = 1) END > :now)
ORDER BY r.priority DESC, r.created LIMIT 20;

-- name: run_insert
INSERT INTO runs (id, order_id, executor, target, state, created, expires)
VALUES (:id, :order_id, :executor, :target, 'starting', :now, :expires);

-- name: runs_due
SELECT id FROM runs WHERE state <> 'ended' AND claim_until <= :now ORDER BY claim_until LIMIT 50;

-- name: run_claim
UPDATE runs SET claim_until = :until, fence = fence + 1 WHERE id = :id AND state <> 'ended' AND claim_until <= :now
RETURNING *;

-- name: run_wanted
-- The order that a run works for, and whether there are bytes for it to carry.
SELECT r."user", r.charged, r.state, EXISTS (SELECT 1 FROM objects o WHERE o.payer = r.id
    AND o.state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE')
    AND o.state IN ('WANTED', 'ORDERED', 'CLAIMED', 'TRANSFERRING', 'VERIFYING')) AS open
FROM orders r WHERE r.id = :order_id;

-- name: run_looked
UPDATE runs SET state = 'working', handle = :handle, reason = :reason, claim_until = :until
WHERE id = :id AND fence = :fence AND state <> 'ended';

-- name: run_ended
UPDATE runs SET state = 'ended', reason = :reason, failed = :failed, ended = :now, claim_until = 0
WHERE id = :id AND fence = :fence AND state <> 'ended';

-- name: run_seen
UPDATE runs SET seen = :now WHERE id = :id AND state <> 'ended' AND expires > :now RETURNING order_id, target;

-- name: run_open
SELECT count(*) AS open FROM objects
WHERE payer = :order_id AND state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE')
    AND state IN ('WANTED', 'ORDERED', 'CLAIMED', 'TRANSFERRING', 'VERIFYING');

-- name: runs_latest
SELECT id, executor, state, reason, created, seen, ended, failed FROM runs WHERE order_id = :order_id
ORDER BY created DESC, id LIMIT 5;

-- name: stats_runs
SELECT executor, state, count(*) AS runs FROM runs WHERE state <> 'ended' GROUP BY executor, state;

-- name: stats_runs_failed
SELECT executor, count(*) AS failed FROM runs WHERE failed = 1 GROUP BY executor;

-- name: stats_silence
-- How long the workers of a run have said nothing, of the most silent one.
SELECT executor, max(:now - CASE WHEN seen > created THEN seen ELSE created END) AS silent
FROM runs WHERE state = 'working' GROUP BY executor;

-- name: stats_claims
-- Claims that live, and those that have lapsed without anybody taking the work up, with how long ago the first did.
SELECT count(*) FILTER (WHERE claim_until > :now) AS alive, count(*) FILTER (WHERE claim_until <= :now) AS lapsed,
    coalesce(max(:now - claim_until), 0.0) AS oldest
FROM objects WHERE claim_until > 0 AND state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE');
