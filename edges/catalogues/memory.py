"""A catalogue in memory: small and obvious. It defines what every other catalogue must answer."""

from collections.abc import Iterable, Sequence

import msgspec

from edges.catalogues.position import decode_position, encode_position
from edges.catalogues.writing import checked_collection, checked_item
from edges.errors import NotFound
from edges.model import Batch, Capabilities, Json, Members, Query
from edges.stac.aggregation import AGGREGATIONS, Tally, Wanted
from edges.stac.aggregation_count import Counting
from edges.stac.free_text import texts_of_collections
from edges.stac.matching import compile_query
from edges.stac.order import compile_values, key_of_values, total_order

_MEMBERS = msgspec.json.Decoder(Members)


class MemoryCatalogue:
    """Implements :class:`edges.seams.WritableCatalogue`; for tests, demonstrations, small fixed catalogues."""

    def __init__(self, *, collections: Iterable[Json] = ()) -> None:
        self._collections = {str(one["id"]): checked_collection(one) for one in collections}
        self._items: dict[tuple[str, str], Members] = {}

    async def capabilities(self) -> Capabilities:
        return Capabilities(
            filter=True, text=True, sort=True, fields=False, transaction=True, aggregates=frozenset(AGGREGATIONS)
        )

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        """Sort everything that matches, and cut out the page.

        Raises:
            edges.errors.InvalidInput: ``after`` is no position of this query.
        """
        order = total_order(query.sortby)
        values = compile_values(order)
        about = texts_of_collections(self._collections.values()) if query.text is not None else {}
        match = compile_query(query, about)
        found = [(key_of_values(order, values(item)), item) for item in self._candidates(query) if match(item)]
        found.sort(key=lambda pair: pair[0])
        matched = len(found)
        if after is not None:
            last = key_of_values(order, decode_position(order, after))
            found = [pair for pair in found if pair[0] > last]
        items = [item for _, item in found[:limit]]
        following = encode_position(order, values(items[-1])) if items and len(found) > limit else None
        return Batch(items=items, next=following, matched=matched)

    def _candidates(self, query: Query) -> Iterable[Members]:
        """Return what can match: where items are named, those alone are looked at."""
        if query.ids is None or query.collections is None:
            return self._items.values()
        named = {(collection, item) for collection in query.collections for item in query.ids}
        return [self._items[key] for key in named if key in self._items]

    async def aggregate(self, query: Query, wanted: Wanted) -> Tally:
        """Count what matches, item by item."""
        match = compile_query(query, texts_of_collections(self._collections.values()))
        counting = Counting(wanted)
        for item in filter(match, self._items.values()):
            counting.add(item)
        return counting.tally()

    async def collections(self) -> list[Json]:
        return [self._collections[name] for name in sorted(self._collections)]

    async def item(self, collection: str, item_id: str) -> Members | None:
        return self._items.get((collection, item_id))

    async def put_collection(self, collection: Json) -> None:
        self._collections[str(collection.get("id"))] = checked_collection(collection)

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        if collection not in self._collections:
            raise NotFound(f"collection {collection!r} does not exist; create it first")
        checked = [checked_item(collection, item) for item in items]
        self._items |= {(collection, str(item["id"])): _MEMBERS.decode(msgspec.json.encode(item)) for item in checked}

    async def delete_item(self, collection: str, item_id: str) -> bool:
        return self._items.pop((collection, item_id), None) is not None
