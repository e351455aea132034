-- Which policies of `on_exceed: degrade` a lease exceeds, as JSON.
ALTER TABLE lease ADD COLUMN degraded TEXT NOT NULL DEFAULT '[]';
ALTER TABLE ended ADD COLUMN degraded TEXT NOT NULL DEFAULT '[]';

-- The policies, as JSON: the configured ones and the administrators'.
CREATE TABLE policy (
  source TEXT NOT NULL CHECK (source IN ('configuration', 'administrator')),
  name TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (source, name)
) WITHOUT ROWID;

-- Temporary raises of limits, as JSON.
CREATE TABLE permit (
  id TEXT PRIMARY KEY,
  body TEXT NOT NULL,
  expires_at REAL NOT NULL
) WITHOUT ROWID;

-- The line of those who wait, as JSON.
CREATE TABLE waiting (
  key TEXT PRIMARY KEY,
  body TEXT NOT NULL
) WITHOUT ROWID;

-- What users used lately of what others wait for, in seconds of the whole limit, as it was at a time.
CREATE TABLE share (
  grp TEXT NOT NULL,
  user TEXT NOT NULL,
  amount REAL NOT NULL,
  at REAL NOT NULL,
  PRIMARY KEY (grp, user)
) WITHOUT ROWID;

-- Up to where the history was forgotten, and what it added up to there: open reservations by key, and what was
-- kept (key '').
CREATE TABLE checkpoint (
  key TEXT NOT NULL,
  grp TEXT NOT NULL,
  user TEXT NOT NULL,
  resource TEXT NOT NULL,
  edge TEXT NOT NULL,
  amount REAL NOT NULL,
  PRIMARY KEY (key, grp, user, resource, edge)
) WITHOUT ROWID;
CREATE TABLE forgotten (
  seq INTEGER NOT NULL,
  at REAL NOT NULL
);
INSERT INTO forgotten (seq, at) VALUES (0, 0);

DROP TRIGGER entry_is_not_deleted;
CREATE TRIGGER entry_is_not_deleted BEFORE DELETE ON entry WHEN OLD.seq > (SELECT seq FROM forgotten)
BEGIN SELECT RAISE(ABORT, 'the history is only ever added to'); END;
