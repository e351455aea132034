"""Small items and collections, and walks through catalogues that hold them."""

import msgspec


def point(x, y):
    return {"type": "Point", "coordinates": [x, y]}


def square(west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def item(item_id, collection="c", geometry=None, **properties):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "collection": collection,
        "geometry": geometry,
        "properties": {"datetime": "2020-01-01T00:00:00Z"} | properties,
        "links": [],
        "assets": {},
    }


def collection(name):
    return {
        "type": "Collection",
        "id": name,
        "description": "d",
        "license": "other",
        "extent": {},
        "links": [],
    }


async def fill(catalogue, items):
    by_collection = {}
    for one in items:
        by_collection.setdefault(one["collection"], []).append(one)
    for name, members in by_collection.items():
        await catalogue.put_collection(collection(name))
        await catalogue.put_items(name, members)


def ids(batch):
    return [msgspec.json.decode(one["id"]) for one in batch.items]


async def walk(catalogue, query, limit):
    found, after = [], None
    while True:
        batch = await catalogue.search(query, limit=limit, after=after)
        found += [(msgspec.json.decode(one["collection"]), msgspec.json.decode(one["id"])) for one in batch.items]
        assert len(batch.items) <= limit
        if batch.next is None:
            return found
        assert batch.items, "an empty page must be the last"
        after = batch.next
