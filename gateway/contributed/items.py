"""Writing items into users' collections: whole batches or nothing, under the collection's own lock."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import msgspec

from edges.catalogues.stac_writing import PartlyWritten
from edges.errors import Conflict, InvalidInput, NotFound, SiteMisbehaved, SiteUnavailable
from edges.model import Frozen, Json, Members, Query
from edges.stac.tags import members_of, size_of, tag_of
from gateway.contributed.changes import check_match, replaced_members
from gateway.contributed.checks import item_checked
from gateway.contributed.collections import Conditions
from gateway.contributed.ground import Ground
from gateway.contributed.model import Collection, check_writable
from gateway.contributed.storage import StorageCharge
from gateway.principal import Principal

_IDS_AT_ONCE = 250
_FIXED = ("id", "collection", "type")


class Written(Frozen):
    """What became of a batch: how many items are new, and how many took the place of others."""

    added: int = 0
    replaced: int = 0


class ItemWriting:
    """Writes items; all that it is given has been checked to be items of that collection, or is checked here.

    ``doubt`` is told of a collection where a write failed, so that nobody knows what is there.
    """

    def __init__(self, *, ground: Ground, storage: StorageCharge, doubt: Callable[[str], None]) -> None:
        self._ground = ground
        self._storage = storage
        self._doubt = doubt

    async def add(self, principal: Principal, home: str, bodies: Sequence[Json]) -> list[Json]:
        """Add new items, all or none; return them as they are kept.

        Raises:
            InvalidInput: one is no item.
            Conflict: one is there already.
            NotFound, Forbidden: the collection is not seen, or not theirs to fill.
            QuotaExceeded: there is no room.
        """
        items = [_numbered(place, body, home, len(bodies)) for place, body in enumerate(bodies)]
        async with self._filling(principal, home) as record:
            there = await self._there(home, [str(item["id"]) for item in items])
            if there:
                names = ", ".join(repr(name) for name in sorted(there)[:5])
                raise Conflict(f"items of collection {home!r} exist already: {names}; replace them with PUT")
            await self._write(record, items, {})
        return items

    async def load(self, principal: Principal, home: str, items: Sequence[Json]) -> Written:
        """Add or replace checked items, all or none; see :meth:`add`."""
        async with self._filling(principal, home) as record:
            there = await self._there(home, [str(item["id"]) for item in items])
            await self._write(record, items, there)
        return Written(added=len(items) - len(there), replaced=len(there))

    async def replace(
        self, principal: Principal, home: str, name: str, body: Json, conditions: Conditions
    ) -> tuple[Json, str]:
        """Replace an item; return it and its tag.

        Raises:
            PreconditionFailed: it has changed since it was read.
            NotFound: there is none, or the collection is not seen.
        """
        item = item_checked(body, home, name)
        async with self._filling(principal, home) as record:
            known = await self._known(home, name, conditions)
            await self._write(record, [item], {name: known})
        return item, tag_of(members_of(item))

    async def patch(
        self, principal: Principal, home: str, name: str, patch: Json, conditions: Conditions
    ) -> tuple[Json, str]:
        """Change an item by a JSON Merge Patch (RFC 7396); see :meth:`replace`."""
        async with self._filling(principal, home) as record:
            known = await self._known(home, name, conditions)
            document = {member: msgspec.json.decode(value) for member, value in known.items()}
            item = item_checked(replaced_members(document, patch, _FIXED), home, name)
            await self._write(record, [item], {name: known})
        return item, tag_of(members_of(item))

    async def remove(self, principal: Principal, home: str, name: str, conditions: Conditions) -> None:
        """Remove an item; see :meth:`replace`."""
        async with self._filling(principal, home) as record:
            known = await self._known(home, name, conditions)
            await self._gone(record, {name: known})

    async def drop(self, principal: Principal, home: str, names: Sequence[str]) -> int:
        """Remove items by their ids, where they are there; return how many were."""
        async with self._filling(principal, home) as record:
            there = await self._there(home, names)
            await self._gone(record, there)
        return len(there)

    @asynccontextmanager
    async def _filling(self, principal: Principal, home: str) -> AsyncIterator[Collection]:
        async with self._ground.book.locked(home) as known:
            record = self._ground.seen(known, home, principal)
            check_writable(record, principal)
            yield record

    async def _known(self, home: str, name: str, conditions: Conditions) -> Members:
        known = await self._ground.catalogue.item(home, name)
        check_match(conditions.match, conditions.none_match, None if known is None else tag_of(known))
        if known is None:
            raise NotFound(f"there is no item {name[:256]!r} in collection {home!r}")
        return known

    async def _there(self, home: str, names: Sequence[str]) -> dict[str, Members]:
        """Return those of the items that are there."""
        found: dict[str, Members] = {}
        for start in range(0, len(names), _IDS_AT_ONCE):
            ids = tuple(names[start : start + _IDS_AT_ONCE])
            query = Query(collections=(home,), ids=ids, limit=len(ids))
            batch = await self._ground.catalogue.search(query, limit=len(ids))
            found |= {msgspec.json.decode(item["id"]): item for item in batch.items}
        return found

    async def _write(self, record: Collection, items: Sequence[Json], there: dict[str, Members]) -> None:
        size = sum(size_of(members_of(item)) for item in items) - sum(map(size_of, there.values()))
        why = f"items of collection {record.id}"
        async with self._storage.changing(record.payer, size, why=why):
            with self._doubtful(record.id):
                await self._ground.catalogue.put_items(record.id, items)
            await self._count(record, len(items) - len(there), size)

    async def _gone(self, record: Collection, there: dict[str, Members]) -> None:
        with self._doubtful(record.id):
            for name in there:
                await self._ground.catalogue.delete_item(record.id, name)
        size = sum(map(size_of, there.values()))
        await self._count(record, -len(there), -size)
        await self._storage.give_back(record.payer, size, why=f"items of collection {record.id} were removed")

    @contextmanager
    def _doubtful(self, home: str) -> Iterator[None]:
        try:
            yield
        except (SiteUnavailable, SiteMisbehaved, PartlyWritten):
            self._doubt(home)
            raise

    async def _count(self, record: Collection, items: int, size: int) -> None:
        changed = msgspec.structs.replace(record, items=max(0, record.items + items), bytes=max(0, record.bytes + size))
        await self._ground.book.put(changed)


def _numbered(place: int, body: Json, home: str, count: int) -> Json:
    """Check an item; where there are several, say which one is wrong."""
    try:
        return item_checked(body, home)
    except InvalidInput as error:
        if count == 1:
            raise
        raise InvalidInput(f"features[{place}].{error.field}", error.wrong, error.right) from error
