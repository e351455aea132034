-- name: jobs
-- Orders as jobs of the OGC API, the latest first.
SELECT * FROM orders
WHERE (:charged IS NULL OR charged = :charged) AND state <> 'PENDING_ESTIMATE'
    AND (:states IS NULL OR CAST(:states AS TEXT) LIKE '%,' || state || ',%')
    AND (:since IS NULL OR created >= :since) AND (:until IS NULL OR created <= :until)
    AND (:least IS NULL OR coalesce(finished, :now) - started >= :least)
    AND (:most IS NULL OR coalesce(finished, :now) - started <= :most)
    AND (:before IS NULL OR created < :before OR (created = :before AND id > :before_id))
ORDER BY created DESC, id LIMIT :limit;
