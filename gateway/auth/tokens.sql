-- name: schema_1
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

-- name: schema_2
ALTER TABLE token ADD COLUMN last_used_at REAL;
ALTER TABLE token ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;  -- the number of the change that wrote it last
CREATE INDEX token_changed ON token (changed);

-- name: read_all
SELECT id, digest, grant_json, created_at, expires_at, revoked_at, last_used_at FROM token ORDER BY created_at, id;

-- name: read_since
SELECT id, digest, grant_json, created_at, expires_at, revoked_at, last_used_at FROM token
WHERE changed > ? ORDER BY created_at, id;

-- name: read_change
SELECT count FROM change;

-- name: write_change
UPDATE change SET count = count + 1;

-- name: create
INSERT INTO token (id, digest, grant_json, created_at, expires_at, changed)
VALUES (?, ?, ?, ?, ?, (SELECT count FROM change));

-- name: prune
DELETE FROM token
WHERE min(coalesce(revoked_at, 9e99), coalesce(expires_at, 9e99))
  < CASE coalesce(json_extract(grant_json, '$.kind'), 'token') WHEN 'token' THEN :listed ELSE :now END;

-- name: revoke
UPDATE token SET revoked_at = ?, changed = (SELECT count FROM change) WHERE id = ? AND revoked_at IS NULL;

-- name: write_use
UPDATE token SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?;
