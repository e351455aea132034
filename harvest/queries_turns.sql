-- How sites are read by all who share this database.

-- name: turns_lapsed
DELETE FROM turns WHERE until <= :now;

-- name: turns_taken
SELECT count(*) AS taken FROM turns WHERE site = :site;

-- name: turn_keep
INSERT INTO turns (id, site, until) VALUES (:id, :site, :until)
ON CONFLICT (id) DO UPDATE SET until = excluded.until;

-- name: turn_end
DELETE FROM turns WHERE id = :id;

-- name: pace_of
SELECT next_request, next_bytes FROM paces WHERE site = :site;

-- name: pace_set
INSERT INTO paces (site, next_request, next_bytes) VALUES (:site, :next_request, :next_bytes)
ON CONFLICT (site) DO UPDATE SET next_request = excluded.next_request, next_bytes = excluded.next_bytes;
