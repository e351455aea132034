"""What a target's catalogue has of items already."""

from collections.abc import Sequence

import msgspec

from edges.errors import NotFound
from edges.model import Json, Members, Query
from edges.seams import WritableCatalogue


async def known_items(catalogue: WritableCatalogue, collection: str, ids: Sequence[str]) -> dict[str, Json]:
    """Return what a catalogue has of these items of one collection, by their ids."""
    query = Query(collections=(collection,), ids=tuple(ids), limit=len(ids))
    found: dict[str, Json] = {}
    position: str | None = None
    while True:
        try:
            page = await catalogue.search(query, limit=len(ids), after=position)
        except NotFound:  # not even the collection is there
            return found
        for item in map(as_json, page.items):
            if item is not None and item.get("id") in ids:
                found[str(item["id"])] = item
        position = page.next
        if position is None or len(found) >= len(ids):
            return found


def as_json(members: Members | None) -> Json | None:
    """Return an item whose members are bytes as plain JSON."""
    if members is None:
        return None
    decoded: Json = msgspec.json.decode(msgspec.json.encode(members))
    return decoded
