-- 0001: the embedded catalogue.
--
-- Narrow rows for finding (items, bounds), wide ones for giving (bodies): a search touches no JSON that it does not
-- return. Values that are sorted by keep the global order of edges.stac.order in SQLite's own order of types:
-- NULL (last by query), numbers and instants (INTEGER, REAL), booleans (TEXT '0', '1'), text (BLOB 01...),
-- anything else (BLOB 02...).

CREATE TABLE collections (
    id      TEXT PRIMARY KEY,
    body    BLOB NOT NULL,               -- the STAC Collection, JSON
    derived INTEGER NOT NULL,            -- 1: made from its items, to be refreshed; 0: given
    items   INTEGER NOT NULL DEFAULT 0,  -- kept by triggers
    lead    INTEGER NOT NULL DEFAULT 0,  -- most microseconds that an item's datetime lies after its start
    lag     INTEGER NOT NULL DEFAULT 0,  -- most microseconds that an item's end lies after its datetime
    odd     INTEGER NOT NULL DEFAULT 0   -- 1: some time here is text that is no instant
) WITHOUT ROWID;

CREATE TABLE files (
    file    INTEGER PRIMARY KEY,
    path    TEXT NOT NULL UNIQUE,
    size    INTEGER NOT NULL,            -- bytes
    mtime   INTEGER NOT NULL,            -- nanoseconds
    digest  BLOB NOT NULL                -- SHA-256
);

CREATE TABLE items (
    item        INTEGER PRIMARY KEY,
    collection  TEXT NOT NULL REFERENCES collections (id),
    id          TEXT NOT NULL,
    datetime,                            -- as sorted
    starts      INTEGER,                 -- first microsecond covered; NULL: the item has no time
    ends        INTEGER,                 -- last microsecond covered
    west REAL, south REAL, east REAL, north REAL,  -- around all vertices; NULL: no geometry
    created, updated, cloud_cover, platform, gsd,  -- as sorted
    file        INTEGER,                 -- where it was loaded from; NULL: written by a client
    load        INTEGER,                 -- the load that last saw it there
    UNIQUE (collection, id)
);

CREATE INDEX items_by_datetime ON items (datetime DESC, collection, id);
CREATE INDEX items_of_collection_by_datetime ON items (collection, datetime DESC, id);
CREATE INDEX items_by_id ON items (id, collection);
CREATE INDEX items_by_cloud_cover ON items (cloud_cover, collection, id);
CREATE INDEX items_by_created ON items (created, collection, id);
CREATE INDEX items_by_updated ON items (updated, collection, id);

CREATE TABLE bodies (
    item INTEGER PRIMARY KEY,
    body BLOB NOT NULL                   -- the STAC Item, the bytes that came
);

-- Up to two boxes for an item: box / 2 is the item.
CREATE VIRTUAL TABLE bounds USING rtree (box, west, east, south, north);

CREATE TRIGGER item_added AFTER INSERT ON items BEGIN
    UPDATE collections SET items = items + 1 WHERE id = new.collection;
END;

CREATE TRIGGER item_removed AFTER DELETE ON items BEGIN
    UPDATE collections SET items = items - 1 WHERE id = old.collection;
    DELETE FROM bodies WHERE item = old.item;
    DELETE FROM bounds WHERE box IN (2 * old.item, 2 * old.item + 1);
END;
