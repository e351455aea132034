-- name: schema
CREATE TABLE IF NOT EXISTS token (
  id TEXT PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE,  -- SHA-256; the token itself is kept nowhere
  grant_json TEXT NOT NULL,
  created_at REAL NOT NULL,
  expires_at REAL,
  revoked_at REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change (count INTEGER NOT NULL);
INSERT INTO change (count) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM change);

-- name: read
SELECT id, digest, grant_json, created_at, expires_at, revoked_at FROM token ORDER BY created_at, id;

-- name: read_change
SELECT count FROM change;

-- name: write_change
UPDATE change SET count = count + 1;

-- name: create
INSERT INTO token (id, digest, grant_json, created_at, expires_at) VALUES (?, ?, ?, ?, ?);

-- name: prune
DELETE FROM token WHERE min(coalesce(revoked_at, 9e99), coalesce(expires_at, 9e99)) < ?;

-- name: revoke
UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL;
