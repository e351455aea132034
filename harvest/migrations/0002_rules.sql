-- Standing rules, how long copies are held and by whom, what was charged for each, audits, and webhooks.

CREATE TABLE rules (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    user         TEXT NOT NULL,
    charged      TEXT NOT NULL,              -- the charging group
    idempotency  TEXT,
    fingerprint  TEXT NOT NULL,
    request      TEXT NOT NULL,              -- RuleRequest as JSON
    state        TEXT NOT NULL,
    message      TEXT NOT NULL DEFAULT '',
    created      REAL NOT NULL,
    updated      REAL NOT NULL,
    expires      REAL,                       -- the rule itself ends then
    next_run     REAL NOT NULL DEFAULT 0,
    runs         INTEGER NOT NULL DEFAULT 0,
    attempts     INTEGER NOT NULL DEFAULT 0, -- runs in a row that failed
    approved     TEXT NOT NULL DEFAULT '',   -- by whom
    progress     TEXT NOT NULL DEFAULT '{}', -- Watermark as JSON: how far the source has been read
    purge        INTEGER NOT NULL DEFAULT 0, -- 1: cancelled, and its copies go
    fence        INTEGER NOT NULL DEFAULT 0,
    claim_until  REAL NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX rules_idempotency ON rules (user, charged, idempotency) WHERE idempotency IS NOT NULL;
CREATE INDEX rules_of_group ON rules (charged, created);

ALTER TABLE orders ADD COLUMN rule TEXT;
ALTER TABLE orders ADD COLUMN content TEXT NOT NULL DEFAULT 'data';     -- catalogue: items only, no bytes
ALTER TABLE orders ADD COLUMN priority INTEGER NOT NULL DEFAULT 3;
ALTER TABLE orders ADD COLUMN planned_bytes INTEGER NOT NULL DEFAULT 0; -- as estimated at its admission
ALTER TABLE orders ADD COLUMN lifetime REAL;                            -- seconds
ALTER TABLE orders ADD COLUMN copies_until REAL;                        -- its hold on the copies ends then
ALTER TABLE orders ADD COLUMN released INTEGER NOT NULL DEFAULT 0;      -- 1: it holds no copies any more
ALTER TABLE orders ADD COLUMN moved_settled INTEGER NOT NULL DEFAULT 0; -- of `moved`, what the ledger knows
ALTER TABLE orders ADD COLUMN round INTEGER NOT NULL DEFAULT 0;         -- grows with each retry
ALTER TABLE orders ADD COLUMN repairs INTEGER NOT NULL DEFAULT 0;       -- retries that nobody asked for
ALTER TABLE orders ADD COLUMN expiring_told INTEGER NOT NULL DEFAULT 0;
CREATE INDEX orders_of_rule ON orders (rule, created) WHERE rule IS NOT NULL;
CREATE INDEX orders_holding_copies ON orders (copies_until) WHERE released = 0 AND copies_until IS NOT NULL;

ALTER TABLE leases ADD COLUMN round INTEGER NOT NULL DEFAULT 0;

ALTER TABLE items ADD COLUMN before TEXT; -- the item as the target had it before us, or 'null'; NULL: not looked yet
UPDATE items SET before = 'null' WHERE registered > 0;

ALTER TABLE objects ADD COLUMN visible INTEGER NOT NULL DEFAULT 0;      -- 1: readers may know of bytes at its key
ALTER TABLE objects ADD COLUMN charge_order TEXT;                       -- whose charge the bytes are stored at
ALTER TABLE objects ADD COLUMN charge_version TEXT;                     -- which version of the bytes
ALTER TABLE objects ADD COLUMN charge_settled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE objects ADD COLUMN charged INTEGER NOT NULL DEFAULT 0;      -- bytes
CREATE INDEX objects_charged ON objects (charge_order) WHERE charge_order IS NOT NULL;
UPDATE objects SET visible = 1, charge_order = payer, charge_version = version, charge_settled = 1, charged = total
WHERE state = 'AVAILABLE' AND payer IN (SELECT id FROM orders WHERE settled = 1);
UPDATE orders SET moved_settled = moved WHERE settled = 1;

CREATE TABLE holds (                         -- copies that were there already, and that an order counts on
    order_id     TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    object       INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    PRIMARY KEY (order_id, object)
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_of_object ON holds (object);

CREATE TABLE refunds (                       -- stored bytes to be given back, once the object is gone or replaced
    id           TEXT PRIMARY KEY,
    order_id     TEXT NOT NULL,
    charged      TEXT NOT NULL,
    user         TEXT NOT NULL,
    target       TEXT NOT NULL,
    bytes        INTEGER NOT NULL,
    object       INTEGER NOT NULL,
    version      TEXT NOT NULL,
    done         INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX refunds_open ON refunds (id) WHERE done = 0;

CREATE TABLE deliveries (                    -- an event on its way to somebody (transactional outbox)
    seq          INTEGER PRIMARY KEY,
    event        TEXT NOT NULL REFERENCES events (id),
    subject      TEXT NOT NULL,
    url          TEXT NOT NULL,
    kind         TEXT NOT NULL,              -- cloudevent, or the name of an OGC API callback
    secret       TEXT NOT NULL DEFAULT '',   -- the name of the key that signs it
    state        TEXT NOT NULL DEFAULT 'waiting', -- waiting, sent, dead
    attempts     INTEGER NOT NULL DEFAULT 0,
    not_before   REAL NOT NULL DEFAULT 0,
    claim_until  REAL NOT NULL DEFAULT 0,
    reason       TEXT NOT NULL DEFAULT '',
    updated      REAL NOT NULL
) STRICT;
CREATE INDEX deliveries_open ON deliveries (not_before) WHERE state = 'waiting';
CREATE INDEX deliveries_of_subject ON deliveries (subject);

CREATE TABLE audits (
    id           TEXT PRIMARY KEY,
    target       TEXT NOT NULL,
    user         TEXT NOT NULL,
    repair       INTEGER NOT NULL,
    deep         INTEGER NOT NULL,           -- 1: every byte is read
    state        TEXT NOT NULL,              -- running, done, failed
    created      REAL NOT NULL,
    finished     REAL,
    claim_until  REAL NOT NULL DEFAULT 0,
    report       TEXT NOT NULL DEFAULT '{}'
) STRICT;
