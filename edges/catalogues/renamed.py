"""A catalogue whose collections go by other names: the first piece of harmonisation, as a wrapper of the same seam."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edges.model import Batch, Capabilities, Json, Members, Query
from edges.seams import WritableCatalogue


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
        """Tell the inner capabilities; its ties are by native names, which is not our order."""
        return msgspec.structs.replace(await self._inner.capabilities(), ties=False)

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        batch = await self._inner.search(self._native_query(query), limit=limit, after=after)
        return msgspec.structs.replace(batch, items=[self._renamed(item) for item in batch.items])

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
            filter=_rewritten(query.filter, self._natives) if query.filter else None,
        )

    def _renamed(self, item: Members) -> Members:
        native = msgspec.json.decode(item["collection"]) if "collection" in item else None
        ours = self._ours.get(native) if isinstance(native, str) else None
        if ours is None:
            return item
        return item | {"collection": msgspec.Raw(msgspec.json.encode(ours))}


def _rewritten(node: Any, natives: Mapping[str, list[str]]) -> Any:
    """Rewrite ``collection = "ours"`` and ``collection in (...)`` to the site's own ids."""
    if isinstance(node, list):
        return [_rewritten(each, natives) for each in node]
    if not isinstance(node, dict):
        return node
    args = node.get("args")
    if node.get("op") in ("=", "in") and isinstance(args, list) and len(args) == 2 and _names_collection(args[0]):
        wanted = args[1] if isinstance(args[1], list) else [args[1]]
        return {
            "op": "in",
            "args": [args[0], [native for ours in wanted for native in natives.get(ours, [ours])]],
        }
    return {key: _rewritten(value, natives) for key, value in node.items()}


def _names_collection(node: Any) -> bool:
    return isinstance(node, dict) and node.get("property") == "collection"
