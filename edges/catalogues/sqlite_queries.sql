-- The fixed statements of the embedded catalogue, by name. Searches are composed in sqlite_plan.py.

-- name: collection_facts
-- What planning knows of the collections.
SELECT id, items, lead, lag, odd FROM collections;

-- name: collections
SELECT body FROM collections ORDER BY id;

-- name: has_collection
SELECT 1 FROM collections WHERE id = :id;

-- name: put_collection
-- A given collection takes the place of a derived one; its items stay.
INSERT INTO collections (id, body, derived) VALUES (:id, :body, 0)
ON CONFLICT (id) DO UPDATE SET body = excluded.body, derived = 0;

-- name: derive_collection
-- Every item needs its collection: make one where none is, to be filled in by refresh_collection.
INSERT INTO collections (id, body, derived) VALUES (:id, :body, 1) ON CONFLICT (id) DO NOTHING;

-- name: derived_collections
SELECT id FROM collections WHERE derived = 1;

-- name: collection_extent
SELECT min(west), min(south), max(east), max(north), min(starts), max(ends) FROM items WHERE collection = :id;

-- name: refresh_collection
UPDATE collections SET body = :body WHERE id = :id AND derived = 1;

-- name: widen_collection
-- Times of new items: the bounds only grow, so that they stay true for what is there.
UPDATE collections SET lead = max(lead, :lead), lag = max(lag, :lag), odd = max(odd, :odd) WHERE id = :id;

-- name: item_body
SELECT b.body FROM items i JOIN bodies b ON b.item = i.item WHERE i.collection = :collection AND i.id = :id;

-- name: body
SELECT body FROM bodies WHERE item = ?;

-- name: last_item
SELECT coalesce(max(item), 0) FROM items;

-- name: put_item
INSERT INTO items (
    collection, id, datetime, starts, ends, west, south, east, north,
    created, updated, cloud_cover, platform, gsd, file, load
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (collection, id) DO UPDATE SET
    datetime = excluded.datetime, starts = excluded.starts, ends = excluded.ends,
    west = excluded.west, south = excluded.south, east = excluded.east, north = excluded.north,
    created = excluded.created, updated = excluded.updated, cloud_cover = excluded.cloud_cover,
    platform = excluded.platform, gsd = excluded.gsd, file = excluded.file, load = excluded.load
RETURNING item;

-- name: put_body
INSERT INTO bodies (item, body) VALUES (?, ?) ON CONFLICT (item) DO UPDATE SET body = excluded.body;

-- name: put_box
INSERT INTO bounds (box, west, east, south, north) VALUES (?, ?, ?, ?, ?);

-- name: delete_boxes
DELETE FROM bounds WHERE box IN (2 * :item, 2 * :item + 1);

-- name: delete_item
DELETE FROM items WHERE collection = :collection AND id = :id;

-- name: delete_items_of
DELETE FROM items WHERE collection = :id;

-- name: delete_collection
DELETE FROM collections WHERE id = :id;

-- name: file
SELECT file, size, mtime, digest FROM files WHERE path = :path;

-- name: put_file
INSERT INTO files (path, size, mtime, digest) VALUES (:path, :size, :mtime, :digest)
ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime = excluded.mtime, digest = excluded.digest
RETURNING file;

-- name: next_load
SELECT coalesce(max(load), 0) + 1 FROM items;

-- name: delete_vanished
-- Items that the file held when it was loaded before, and no longer.
DELETE FROM items WHERE file = :file AND load <> :load;

-- name: count_items
SELECT coalesce(sum(items), 0) FROM collections;

-- name: items_to_redate
-- Items whose times may be told as full dates; in pieces.
SELECT i.item, i.collection, b.body FROM items i JOIN bodies b ON b.item = i.item
WHERE i.item > :after AND (
    i.datetime IS NULL OR typeof(i.datetime) = 'blob' OR typeof(i.created) = 'blob' OR typeof(i.updated) = 'blob'
)
ORDER BY i.item LIMIT :most;

-- name: redate_item
UPDATE items SET datetime = ?, starts = ?, ends = ?, created = ?, updated = ? WHERE item = ?;

-- name: look_for_odd_times
UPDATE collections SET odd = EXISTS (
    SELECT 1 FROM items i WHERE i.collection = collections.id AND (
        typeof(i.datetime) IN ('blob', 'text') OR typeof(i.created) IN ('blob', 'text')
        OR typeof(i.updated) IN ('blob', 'text')
    )
);
