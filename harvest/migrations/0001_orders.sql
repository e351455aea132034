-- Orders, the objects and items that they want, and what was promised about quota.
-- Times are epoch seconds. Sizes are bytes. Nothing is ever renamed here; later files only add.

CREATE TABLE orders (
    id           TEXT PRIMARY KEY,
    user         TEXT NOT NULL,
    charged      TEXT NOT NULL,              -- the charging group
    idempotency  TEXT,                       -- the caller's key, if one came
    fingerprint  TEXT NOT NULL,              -- of the request, to tell a reused key
    request      TEXT NOT NULL,              -- OrderRequest as JSON
    target       TEXT NOT NULL,
    state        TEXT NOT NULL,
    message      TEXT NOT NULL DEFAULT '',
    created      REAL NOT NULL,
    updated      REAL NOT NULL,
    started      REAL,
    finished     REAL,
    settled      INTEGER NOT NULL DEFAULT 0, -- 1: nothing is left to do, also not with the ledger
    present      INTEGER NOT NULL DEFAULT 0, -- assets that the target had already
    moved        INTEGER NOT NULL DEFAULT 0, -- bytes that were transferred at this order's charge
    retry_at     REAL NOT NULL DEFAULT 0,
    claim_until  REAL NOT NULL DEFAULT 0     -- who plans or settles holds it until then
) STRICT;
CREATE UNIQUE INDEX orders_idempotency ON orders (user, charged, idempotency) WHERE idempotency IS NOT NULL;
CREATE INDEX orders_open ON orders (state) WHERE settled = 0;
CREATE INDEX orders_of_group ON orders (charged, created);

CREATE TABLE items (
    id           INTEGER PRIMARY KEY,
    target       TEXT NOT NULL,
    collection   TEXT NOT NULL,
    item_id      TEXT NOT NULL,
    doc          TEXT NOT NULL,              -- the item as it was found
    changed      INTEGER NOT NULL DEFAULT 0, -- counts objects that became available
    registered   INTEGER NOT NULL DEFAULT 0, -- the value of changed that the catalogue knows
    failed       INTEGER NOT NULL DEFAULT 0, -- 1: the catalogue refuses it
    attempts     INTEGER NOT NULL DEFAULT 0,
    reason       TEXT NOT NULL DEFAULT '',
    not_before   REAL NOT NULL DEFAULT 0,
    fence        INTEGER NOT NULL DEFAULT 0,
    claim_until  REAL NOT NULL DEFAULT 0,
    UNIQUE (target, collection, item_id)
) STRICT;
CREATE INDEX items_dirty ON items (id) WHERE changed > registered AND failed = 0;

CREATE TABLE objects (
    id           INTEGER PRIMARY KEY,
    target       TEXT NOT NULL,
    key          TEXT NOT NULL,
    item         INTEGER NOT NULL REFERENCES items (id),
    asset        TEXT NOT NULL,
    media_type   TEXT NOT NULL,
    sources      TEXT NOT NULL,              -- list of Source as JSON, best first
    size         INTEGER,                    -- as announced
    checksum     TEXT,                       -- as announced, multihash
    integrity    TEXT NOT NULL,
    version      TEXT NOT NULL,              -- names this wish for bytes; written to the object's metadata
    state        TEXT NOT NULL,
    reason       TEXT NOT NULL DEFAULT '',
    payer        TEXT REFERENCES orders (id),
    upload_id    TEXT,
    part_bytes   INTEGER NOT NULL DEFAULT 0,
    source       TEXT,                       -- the Source in use, as JSON
    validator    TEXT,                       -- its ETag or Last-Modified
    total        INTEGER,                    -- as the source told
    done         INTEGER NOT NULL DEFAULT 0, -- confirmed by the store
    hash_state   BLOB,                       -- of the first `done` bytes
    sha256       TEXT,
    attempts     INTEGER NOT NULL DEFAULT 0,
    finished     REAL,
    not_before   REAL NOT NULL DEFAULT 0,
    fence        INTEGER NOT NULL DEFAULT 0,
    claim_until  REAL NOT NULL DEFAULT 0,
    UNIQUE (target, key)
) STRICT;
CREATE INDEX objects_open ON objects (payer, state, id) WHERE state NOT IN ('AVAILABLE', 'BAD', 'NO_SOURCE');
CREATE INDEX objects_busy ON objects (payer, claim_until) WHERE claim_until > 0;
CREATE INDEX objects_deleting ON objects (id) WHERE state = 'DELETING';
CREATE INDEX objects_of_item ON objects (item);

CREATE TABLE parts (
    object       INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    etag         TEXT NOT NULL,
    size         INTEGER NOT NULL,
    PRIMARY KEY (object, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE planned (                       -- what an order wants, before it is spread over objects and items
    order_id     TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    seq          INTEGER NOT NULL,
    doc          TEXT NOT NULL,              -- the item as it was found
    wishes       TEXT NOT NULL,              -- list of Wish as JSON
    objects      INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    PRIMARY KEY (order_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE order_objects (
    order_id     TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    object       INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    estimate     INTEGER NOT NULL DEFAULT 0, -- what the estimate said
    reserved     INTEGER NOT NULL DEFAULT 0, -- what this order has reserved for it
    PRIMARY KEY (order_id, object)
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_of_object ON order_objects (object);

CREATE TABLE order_items (
    order_id     TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    item         INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    PRIMARY KEY (order_id, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_of_item ON order_items (item);

CREATE TABLE skipped (
    order_id     TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    collection   TEXT NOT NULL,
    item_id      TEXT NOT NULL,
    asset        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    PRIMARY KEY (order_id, collection, item_id, asset)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    key          TEXT PRIMARY KEY,           -- of the ledger
    order_id     TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    amount       INTEGER NOT NULL,           -- bytes reserved
    jobs         INTEGER NOT NULL,           -- 1: it holds the order's place among concurrent jobs
    ended        INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX leases_of_order ON leases (order_id);

CREATE TABLE events (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,       -- CloudEvents 1.0: id, type, subject, time, data
    type         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    time         REAL NOT NULL,
    data         TEXT NOT NULL,
    sent         INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX events_unsent ON events (seq) WHERE sent = 0;
