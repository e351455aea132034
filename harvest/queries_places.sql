-- name: objects_at_work
SELECT id FROM objects
WHERE target = :target AND state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE')
LIMIT 1;
