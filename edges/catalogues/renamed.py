"""A catalogue whose collections go by other names: the first piece of harmonisation, as a wrapper of the same seam."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edges.model import Batch, Capabilities, Json, Members, Query
from edges.seams import WritableCatalogue
from edges.stac.cql2 import compile_filter, property_names

_COLLECTION = {"property": "collection"}


class _NoNativeWords(Exception):
    """A predicate sets a collection's id against other properties: no filter of the site says the same."""


class RenamedCatalogue:
    """Maps collection ids both ways: queries reach the site in its own words, answers come back in ours.

    ``names`` maps the site's own id to the harmonised one; ids that it does not name stay as they are. Two native
    collections may share one harmonised id.
    """

    def __init__(self, inner: WritableCatalogue, names: Mapping[str, str]) -> None:
        self._inner = inner
        self._ours = dict(names)
        self._natives: dict[str, list[str]] = {}
        for native, ours in names.items():
            self._natives.setdefault(ours, []).append(native)

    async def capabilities(self) -> Capabilities:
        """Tell the inner capabilities; its ties are by native names, and so is its free text: they are not ours."""
        return msgspec.structs.replace(await self._inner.capabilities(), ties=False, text=False)

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        """Search in the site's words; a filter that has none is left out, and evaluated by the caller as ever."""
        asked = self._native_query(query)
        batch = await self._inner.search(asked, limit=limit, after=after)
        return msgspec.structs.replace(
            batch,
            items=[self._renamed(item) for item in batch.items],
            matched=batch.matched if (asked.filter is None) is (query.filter is None) else None,
        )

    async def collections(self) -> list[Json]:
        return [
            collection | {"id": self._ours.get(collection.get("id", ""), collection.get("id"))}
            for collection in await self._inner.collections()
        ]

    async def item(self, collection: str, item_id: str) -> Members | None:
        for native in self._native(collection):
            found = await self._inner.item(native, item_id)
            if found is not None:
                return self._renamed(found)
        return None

    async def put_collection(self, collection: Json) -> None:
        await self._inner.put_collection(collection | {"id": self._native(collection["id"])[0]})

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        native = self._native(collection)[0]
        await self._inner.put_items(native, [item | {"collection": native} for item in items])

    async def delete_item(self, collection: str, item_id: str) -> bool:
        gone = [await self._inner.delete_item(native, item_id) for native in self._native(collection)]
        return any(gone)

    def _native(self, collection: str) -> list[str]:
        return self._natives.get(collection, [collection])

    def _native_query(self, query: Query) -> Query:
        collections = query.collections
        if collections is not None:
            collections = tuple(native for ours in collections for native in self._native(ours))
        return msgspec.structs.replace(
            query,
            collections=collections,
            filter=self._native_filter(query.filter),
        )

    def _native_filter(self, filter_: Json | None) -> Json | None:
        try:
            return None if filter_ is None else self._rewritten(filter_)
        except _NoNativeWords:
            return None

    def _rewritten(self, node: Any) -> Any:
        if not isinstance(node, dict) or "op" not in node:
            return node
        if node["op"] in ("and", "or", "not"):
            return {"op": node["op"], "args": [self._rewritten(arg) for arg in node["args"]]}
        properties = property_names(node)
        if "collection" not in properties:
            return node
        args = node["args"]
        if node["op"] in ("=", "in") and args[0] == _COLLECTION and _are_texts(args[1]):
            wanted = args[1] if isinstance(args[1], list) else [args[1]]
            return _one_of([native for ours in wanted for native in self._native(ours)])
        if properties != {"collection"}:
            raise _NoNativeWords
        return self._by_cases(node)

    def _by_cases(self, predicate: Json) -> Json:
        """Say what holds of a collection's harmonised id in native ids: case by case of those that have another."""
        holds = compile_filter(predicate)
        true = [native for native, ours in self._ours.items() if holds({"collection": ours}) is True]
        others = {"op": "and", "args": [{"op": "not", "args": [_one_of(list(self._ours))]}, predicate]}
        return {"op": "or", "args": [_one_of(true), others]} if true else others

    def _renamed(self, item: Members) -> Members:
        native = msgspec.json.decode(item["collection"]) if "collection" in item else None
        ours = self._ours.get(native) if isinstance(native, str) else None
        if ours is None:
            return item
        return item | {"collection": msgspec.Raw(msgspec.json.encode(ours))}


def _one_of(natives: list[str]) -> Json:
    return {"op": "in", "args": [_COLLECTION, natives]}


def _are_texts(value: Any) -> bool:
    return all(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))
