"""A site's catalogue as the searches see it: what is asked twice at the same time reaches the site once."""

from collections.abc import Awaitable, Sequence
from functools import partial

import msgspec

from edges.catalogues.aggregating import aggregate
from edges.catalogues.describing import queryables_of
from edges.catalogues.removing import delete_collection
from edges.hops import hops
from edges.model import Batch, Capabilities, Json, Members, Query
from edges.seams import WritableCatalogue
from edges.single_flight import SingleFlight
from edges.stac.aggregation import Tally, Wanted
from edges.stac.item_pages import ChangedItems
from edges.tracing import note_shared

_QUERY = msgspec.msgpack.Encoder(order="deterministic")


MAX_NAME_BYTES = 1_024
"""Longest id and collection of an item, as JSON text: both stand in addresses."""
MAX_GEOMETRY_BYTES = 1 << 20
"""Largest geometry of an item, as JSON text: about 30,000 positions. What is larger costs more than it tells."""
_NOTHING = msgspec.Raw(b"")
Way = tuple[str, ...]
"""The gateways that a request came through."""


def is_oversized(item: Members) -> bool:
    """Tell whether an item has a name or a geometry that no honest one has."""
    get = item.get
    return (
        len(get("id", _NOTHING)) > MAX_NAME_BYTES
        or len(get("geometry", _NOTHING)) > MAX_GEOMETRY_BYTES
        or len(get("collection", _NOTHING)) > MAX_NAME_BYTES
    )


def _measured(item: Members) -> Members:
    # an item without members counts as misshapen where it is read, and is told as such
    return {} if is_oversized(item) else item


class GuardedCatalogue:
    """Shares the answers of identical searches and reads under way; keeps none of them.

    What it is asked holds no user: so an answer may be shared between users, but not between requests that came
    through other gateways, which a site that is a gateway answers otherwise. Answers are not to be changed in place.
    ``site`` is whose they are, for who wants searches explained.
    """

    def __init__(self, inner: WritableCatalogue, *, site: str = "") -> None:
        self._inner = inner
        self._site = site
        self._searches: SingleFlight[tuple[bytes, int, str | None, Way], Batch] = SingleFlight()
        self._items: SingleFlight[tuple[str, str, Way], Members | None] = SingleFlight()
        self._lists: SingleFlight[str, list[Json]] = SingleFlight()

    async def capabilities(self) -> Capabilities:
        """Tell what can be pushed down."""
        return await self._inner.capabilities()

    def search(self, query: Query, *, limit: int, after: str | None = None) -> Awaitable[Batch]:
        """Return a page, perhaps the one that another search is waiting for. It is asked for at once."""
        key = (_QUERY.encode(query), limit, after, hops().names)
        if key in self._searches:
            note_shared(self._site)
        return self._searches.run(key, partial(self._searched, query, limit, after))

    async def aggregate(self, query: Query, wanted: Wanted) -> Tally:
        """Let the site count, if it can."""
        return await aggregate(self._inner, query, wanted)

    async def queryables(self) -> Json:
        """Return what can be asked for, where the site tells."""
        return await queryables_of(self._inner)

    async def collections(self) -> list[Json]:
        """Return all collections."""
        return await self._lists.run("collections", self._inner.collections)

    async def item(self, collection: str, item_id: str) -> Members | None:
        """Return one item, or None."""
        key = (collection, item_id, hops().names)
        return await self._items.run(key, lambda: self._inner.item(collection, item_id))

    async def put_collection(self, collection: Json) -> None:
        """Create or replace a collection."""
        await self._inner.put_collection(collection)
        self._outdated()

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        """Create or replace items."""
        await self._inner.put_items(collection, items)
        self._outdated()

    async def delete_item(self, collection: str, item_id: str) -> bool:
        """Delete an item."""
        was_there = await self._inner.delete_item(collection, item_id)
        self._outdated()
        return was_there

    async def delete_collection(self, collection: str) -> bool:
        """Remove a collection, if the site can."""
        was_there = await delete_collection(self._inner, collection)
        self._outdated()
        return was_there

    async def _searched(self, query: Query, limit: int, after: str | None) -> Batch:
        batch = await self._inner.search(query, limit=limit, after=after)
        return msgspec.structs.replace(batch, items=ChangedItems(batch.items, _measured))

    def _outdated(self) -> None:
        """Let reads that begin after a write see it."""
        self._searches.clear()
        self._items.clear()
        self._lists.clear()
