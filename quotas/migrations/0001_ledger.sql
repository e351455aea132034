-- Open leases: the reservations that count. `lines` is JSON.
CREATE TABLE lease (
  key TEXT PRIMARY KEY,
  grp TEXT NOT NULL,
  user TEXT NOT NULL,
  lines TEXT NOT NULL,
  fence INTEGER NOT NULL,
  expires_at REAL NOT NULL
) WITHOUT ROWID;

-- Leases that have ended, kept for a while so that a repeated call is recognised.
CREATE TABLE ended (
  key TEXT PRIMARY KEY,
  grp TEXT NOT NULL,
  user TEXT NOT NULL,
  lines TEXT NOT NULL,
  fence INTEGER NOT NULL,
  expires_at REAL NOT NULL,
  how TEXT NOT NULL CHECK (how IN ('commit', 'release', 'expire')),
  at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX ended_by_time ON ended (at);

-- Keys of stock that was given back, for the same reason.
CREATE TABLE returned (
  key TEXT PRIMARY KEY,
  at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX returned_by_time ON returned (at);

-- The history. Rows are only ever added.
CREATE TABLE entry (
  seq INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  event TEXT NOT NULL,
  key TEXT NOT NULL,
  grp TEXT NOT NULL,
  user TEXT NOT NULL,
  resource TEXT NOT NULL,
  edge TEXT NOT NULL,
  amount REAL NOT NULL,
  before REAL NOT NULL,
  after REAL NOT NULL,
  why TEXT NOT NULL
);
CREATE TRIGGER entry_is_not_changed BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'the history is only ever added to'); END;
CREATE TRIGGER entry_is_not_deleted BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'the history is only ever added to'); END;

-- What was committed and not given back.
CREATE TABLE stock (
  grp TEXT NOT NULL,
  user TEXT NOT NULL,
  resource TEXT NOT NULL,
  edge TEXT NOT NULL,
  amount REAL NOT NULL,
  PRIMARY KEY (grp, user, resource, edge)
) WITHOUT ROWID;

-- The windows (in seconds) in which a resource is counted, and what was committed in each bucket of them.
CREATE TABLE counted (
  resource TEXT NOT NULL,
  window_seconds INTEGER NOT NULL,
  PRIMARY KEY (resource, window_seconds)
) WITHOUT ROWID;
CREATE TABLE spent (
  grp TEXT NOT NULL,
  user TEXT NOT NULL,
  resource TEXT NOT NULL,
  edge TEXT NOT NULL,
  window_seconds INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  amount REAL NOT NULL,
  PRIMARY KEY (grp, user, resource, edge, window_seconds, bucket)
) WITHOUT ROWID;

-- The rates: theoretical arrival times. `policy` is its definition as JSON: another definition starts anew.
CREATE TABLE rate (
  policy TEXT NOT NULL,
  holder TEXT NOT NULL,
  tat REAL NOT NULL,
  PRIMARY KEY (policy, holder)
) WITHOUT ROWID;

-- One row: the fencing token up to which they may have been given out.
CREATE TABLE fence (
  last INTEGER NOT NULL
);
INSERT INTO fence (last) VALUES (0);
