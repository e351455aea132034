-- Orders as jobs of the OGC API, the latest first: those of a group, and of all. They are two queries, since SQLite takes
-- no index for a group that may be NULL; what is open of the time and the page is told by infinite times, for the same
-- reason.

-- name: jobs_of_group
SELECT * FROM orders
WHERE charged = :charged AND created >= :since AND created <= :latest AND state <> 'PENDING_ESTIMATE'
    AND (:states IS NULL OR CAST(:states AS TEXT) LIKE '%,' || state || ',%')
    AND (:least IS NULL OR coalesce(finished, :now) - started >= :least)
    AND (:most IS NULL OR coalesce(finished, :now) - started <= :most)
    AND (created < :before OR id > :before_id)
ORDER BY created DESC, id LIMIT :limit;

-- name: jobs
SELECT * FROM orders
WHERE created >= :since AND created <= :latest AND state <> 'PENDING_ESTIMATE'
    AND (:states IS NULL OR CAST(:states AS TEXT) LIKE '%,' || state || ',%')
    AND (:least IS NULL OR coalesce(finished, :now) - started >= :least)
    AND (:most IS NULL OR coalesce(finished, :now) - started <= :most)
    AND (created < :before OR id > :before_id)
ORDER BY created DESC, id LIMIT :limit;
