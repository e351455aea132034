-- Where orders are carried out: beside the gateway, or by workers elsewhere, run after run.

ALTER TABLE orders ADD COLUMN executor TEXT NOT NULL DEFAULT 'local';

CREATE TABLE runs (                          -- workers elsewhere, at work for one order
    id           TEXT PRIMARY KEY,
    order_id     TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    executor     TEXT NOT NULL,
    target       TEXT NOT NULL,
    state        TEXT NOT NULL,              -- starting, working, ended
    handle       TEXT NOT NULL DEFAULT '',   -- what the executor finds its workers by
    reason       TEXT NOT NULL DEFAULT '',
    created      REAL NOT NULL,
    expires      REAL NOT NULL,              -- its token is good until then
    seen         REAL NOT NULL DEFAULT 0,    -- when a worker last asked
    ended        REAL,
    failed       INTEGER NOT NULL DEFAULT 0, -- 1: it ended though there was work
    fence        INTEGER NOT NULL DEFAULT 0,
    claim_until  REAL NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX runs_open ON runs (order_id) WHERE state <> 'ended';
CREATE INDEX runs_of_order ON runs (order_id, created);
