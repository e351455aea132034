"""A catalogue that speaks other words, as a wrapper of the same seam: asked in native words, answered in ours."""

import functools
from collections.abc import Awaitable, Sequence

import msgspec

from edges.catalogues.aggregating import CannotAggregate, aggregate
from edges.catalogues.describing import queryables_of
from edges.catalogues.removing import delete_collection
from edges.model import Batch, Capabilities, Json, Members, Query
from edges.profiles.items import ItemWords
from edges.profiles.model import Profile
from edges.profiles.queries import QueryWords
from edges.seams import WritableCatalogue
from edges.stac.aggregation import AGGREGATIONS, Tally, Wanted
from edges.stac.item_pages import ChangedItems

PROVENANCE = "federation:provenance"
"""The property that tells what was changed, where a query asks for it."""

_MEMBERS = msgspec.json.Decoder(Members)


class HarmonisedCatalogue:
    """Maps collection ids, properties and asset keys both ways, by a profile.

    A filter, or a part of one, that has no exact native words is left out, and the caller evaluates it as ever.
    """

    def __init__(self, inner: WritableCatalogue, profile: Profile, *, site: str) -> None:
        self._inner = inner
        self._site = site
        self._profile = profile
        self._queries = QueryWords(profile)
        self._ids = self._queries.ids
        self._items = ItemWords(profile, self._ids)
        self._changes = bool(profile.collections or profile.properties or profile.assets or profile.bands == "common")

    async def capabilities(self) -> Capabilities:
        """Tell the inner capabilities, less the order of what has other names or values there."""
        inner = await self._inner.capabilities()
        return msgspec.structs.replace(
            inner,
            text=inner.text and not self._changes,
            aggregates=frozenset(name for name in inner.aggregates if self._counts_alike(name)),
            ties=inner.ties and not self._ids.renamed,
            unsortable=inner.unsortable | self._queries.unsortable,
        )

    def search(self, query: Query, *, limit: int, after: str | None = None) -> Awaitable[Batch]:
        """Search in the site's words."""
        if not self._changes and not query.provenance and query.collections != () and query.ids != ():
            return self._inner.search(query, limit=limit, after=after)
        return self._translated(query, limit, after)

    async def _translated(self, query: Query, limit: int, after: str | None) -> Batch:
        native = self._queries.native(query)
        if native.query.collections == () or native.query.ids == ():
            return Batch(items=[])  # many servers take an empty list for none
        batch = await self._inner.search(native.query, limit=limit, after=after)
        changed = self._changes or query.provenance
        told = functools.partial(self._told, provenance=query.provenance)
        return msgspec.structs.replace(
            batch,
            items=ChangedItems(batch.items, told) if changed else batch.items,
            matched=batch.matched if native.exact else None,
            exact=batch.exact and native.exact,
        )

    async def aggregate(self, query: Query, wanted: Wanted) -> Tally:
        """Let the site count, where its words for what is counted are ours, and the query can be said in its words.

        Raises:
            CannotAggregate: its counts would be of its own names and values, or it cannot count.
        """
        native = self._queries.native(query)
        sayable = native.exact and native.query.collections != () and not (query.text and self._changes)
        if not sayable or not all(map(self._counts_alike, wanted.names)):
            raise CannotAggregate(f"{self._site} has other words for this")
        return await aggregate(self._inner, native.query, wanted)

    async def queryables(self) -> Json:
        """Return what can be asked for in harmonised words; what has values of another type here is left out."""
        told = await queryables_of(self._inner)
        names = {rule.native: "" if rule.text is not None else rule.target for rule in self._profile.properties}
        found = {names.get(name, name): schema for name, schema in told.items()}
        return {name: schema | {"title": name} for name, schema in found.items() if name}

    def said(self, query: Query) -> tuple[Query, bool]:
        """Return a query in the site's words; see :class:`edges.catalogues.describing.Translating`."""
        native = self._queries.native(query)
        return native.query, native.exact

    def _counts_alike(self, name: str) -> bool:
        told = AGGREGATIONS.get(name)
        return told is not None and not self._queries.changes(told.field)

    async def collections(self) -> list[Json]:
        return [self._items.collection(collection) for collection in await self._inner.collections()]

    async def item(self, collection: str, item_id: str) -> Members | None:
        for native in self._ids.native(collection):
            found = await self._inner.item(native, item_id)
            if found is not None:
                return self._told(found, provenance=False)
        return None

    async def put_collection(self, collection: Json) -> None:
        await self._inner.put_collection(collection | {"id": self._writable(collection["id"])})

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        native = self._writable(collection)
        await self._inner.put_items(native, [self._items.native(item, native) for item in items])

    async def delete_item(self, collection: str, item_id: str) -> bool:
        gone = [await self._inner.delete_item(native, item_id) for native in self._ids.native(collection)]
        return any(gone)

    async def delete_collection(self, collection: str) -> bool:
        gone = [await delete_collection(self._inner, native) for native in self._ids.native(collection)]
        return any(gone)

    def _writable(self, collection: str) -> str:
        """Return the native id to write to: the first, where several share a harmonised one."""
        return next(iter(self._ids.native(collection)), collection)

    def _told(self, item: Members, *, provenance: bool) -> Members:
        said = self._items.harmonised(item) if self._changes else item
        return self._with_provenance(item, said) if provenance else said

    def _with_provenance(self, native: Members, said: Members) -> Members:
        try:
            changes = self._items.changes(native)
            properties = _MEMBERS.decode(said["properties"])
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return said  # no item: there is nothing to tell
        told = {
            "source": self._site,
            "profile": self._profile.name or None,
            "harmonized": bool(changes),
            "changes": changes,
        }
        properties[PROVENANCE] = msgspec.Raw(msgspec.json.encode(told))
        return said | {"properties": msgspec.Raw(msgspec.json.encode(properties))}
