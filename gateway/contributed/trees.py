"""Reading a bucket tree of user-generated data into a collection: what is new or changed, and what is gone.

It can be repeated and broken off at any place: items come in batches, and what is not noted as read is read again.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from edges.errors import InvalidInput, NotFound
from edges.model import Frozen, Json, ObjectInfo
from edges.seams import ObjectStore
from edges.stac.limits import decode_object
from gateway.contributed.checks import item_checked
from gateway.contributed.collections import CollectionWriting, Conditions
from gateway.contributed.items import ItemWriting
from gateway.contributed.loading import MAX_TOLD
from gateway.contributed.model import Collection, Forbidden, check_name, check_writable, in_group
from gateway.contributed.tree_data import TreeData
from gateway.contributed.tree_words import Known, Seen, collection_key, home_of, is_item, with_addresses
from gateway.principal import Principal
from gateway.records import RecordTable

_AT_ONCE = 16
_BATCH = 200
_NOTED_EACH = 20
"""Batches after which it is noted what was read."""
MAX_ITEMS = 200_000
MAX_DOCUMENT_BYTES = 16 << 20


class Tree(Frozen):
    """A bucket's trees: who may have them read (``group``), and where their objects are for users (``address``)."""

    name: str
    group: str
    prefix: str
    address: str


class BadObject(Frozen):
    """An object that is no item of its collection, and what is wrong with it."""

    key: str
    detail: str


class TreeReport(Frozen):
    """What reading a tree did. ``read`` items came anew or changed, ``gone`` ones were removed with their objects."""

    collection: str
    tree: str
    created: bool
    read: int
    unchanged: int
    gone: int
    bad: int
    told: tuple[BadObject, ...] = ()


class _Count:
    def __init__(self) -> None:
        self.read = self.bad = self.gone = 0
        self.told: list[BadObject] = []

    def wrong(self, key: str, error: Exception) -> None:
        self.bad += 1
        if len(self.told) < MAX_TOLD:
            self.told.append(BadObject(key=key, detail=str(error)))


class TreeReading:
    """Reads the trees of some buckets; ``known`` is what was read of each collection."""

    def __init__(
        self,
        *,
        trees: Sequence[tuple[Tree, ObjectStore]],
        known: RecordTable[Known],
        collections: CollectionWriting,
        items: ItemWriting,
        data: TreeData,
    ) -> None:
        self._data = data
        self._trees = {tree.name: (tree, store) for tree, store in trees}
        self._known = known
        self._collections = collections
        self._items = items

    async def read(self, principal: Principal, collection: str, name: str) -> TreeReport:
        """Read a collection's tree; where there is no such collection, make it, as the principal's own.

        Raises:
            NotFound: there is no tree of this name, or it has no such collection.
            Forbidden: the tree is not the principal's group's, or the collection not theirs to fill.
            InvalidInput: the collection's own document is none.
        """
        check_name(collection)
        tree, store = self._tree(principal, name)
        async with self._known.locked(collection) as before:
            known = before if before is not None and before.tree == name else Known(id=collection, tree=name)
            report = await _Reading(self._collections, self._items, self._known, store, tree).run(principal, known)
        await self._data.note(principal, collection, name)
        return report

    def _tree(self, principal: Principal, name: str) -> tuple[Tree, ObjectStore]:
        found = self._trees.get(name)
        if found is None:
            raise NotFound(f"no tree {name[:80]!r}; trees: {', '.join(sorted(self._trees)) or 'none'}")
        if not principal.admin and not in_group(principal, found[0].group):
            raise Forbidden(f"the tree {name!r} is of the group {found[0].group!r}, which you are not in")
        return found


class _Reading:
    """One reading of one tree."""

    def __init__(
        self,
        collections: CollectionWriting,
        items: ItemWriting,
        table: RecordTable[Known],
        store: ObjectStore,
        tree: Tree,
    ) -> None:
        self._collections = collections
        self._items = items
        self._table = table
        self._store = store
        self._tree = tree
        self._count = _Count()

    async def run(self, principal: Principal, known: Known) -> TreeReport:
        home = home_of(self._tree.prefix, known.id)
        listed = await self._listed(home)
        created, seen = await self._collection(principal, known, listed.get(collection_key(home)), home)
        found = {key: told for key, told in listed.items() if is_item(home, key)}
        changed = [key for key, told in found.items() if seen.get(key, _NONE).etag != told.etag]
        seen = await self._gone(principal, known.id, seen, found)
        await self._table.put(msgspec.structs.replace(known, seen=seen))
        for place, start in enumerate(range(0, len(changed), _BATCH), start=1):
            seen |= await self._batch(principal, known.id, [found[key] for key in changed[start : start + _BATCH]])
            if place % _NOTED_EACH == 0:
                await self._table.put(msgspec.structs.replace(known, seen=dict(seen)))
        await self._table.put(msgspec.structs.replace(known, seen=seen))
        count = self._count
        return TreeReport(
            collection=known.id,
            tree=self._tree.name,
            created=created,
            read=count.read,
            unchanged=len(found) - len(changed),
            gone=count.gone,
            bad=count.bad,
            told=tuple(count.told),
        )

    async def _listed(self, home: str) -> dict[str, ObjectInfo]:
        found: dict[str, ObjectInfo] = {}
        async for told in self._store.list_objects(f"{home}metadata/"):
            found[told.key] = told
            if len(found) > MAX_ITEMS:
                raise InvalidInput("tree", f"more than {MAX_ITEMS} objects below {home}metadata/", "a smaller one")
        return found

    async def _collection(
        self, principal: Principal, known: Known, told: ObjectInfo | None, home: str
    ) -> tuple[bool, dict[str, Seen]]:
        """Make the collection, or bring it up to date; tell whether it was made, and what counts as seen of it."""
        if told is None:
            raise NotFound(f"the tree {self._tree.name!r} has no {collection_key(home)}")
        seen = dict(known.seen)
        record = self._mine(principal, known.id)
        if record is not None and seen.get(told.key, _NONE).etag == told.etag:
            return False, seen
        document = await self._document(told)
        if document.get("id") != known.id:
            raise InvalidInput("id", repr(document.get("id"))[:80], f"{known.id!r}, as the folder")
        if record is None:
            await self._collections.create(principal, document)
            return True, {told.key: Seen(etag=told.etag)}  # a former one of this name was removed, with its items
        await self._collections.replace(principal, known.id, document, Conditions())
        return False, seen | {told.key: Seen(etag=told.etag)}

    def _mine(self, principal: Principal, name: str) -> Collection | None:
        """Return the collection where it is there; whoever may not fill it is refused."""
        try:
            record = self._collections.sharing(principal, name)
        except NotFound:
            return None  # where it is somebody else's, making it will be a conflict
        check_writable(record, principal)
        return record

    async def _gone(
        self, principal: Principal, home: str, seen: dict[str, Seen], found: dict[str, ObjectInfo]
    ) -> dict[str, Seen]:
        """Remove the items whose objects are gone, unless another object tells of them; return what is left."""
        left = {key: one for key, one in seen.items() if key in found or not one.item}
        told = {one.item for one in left.values()}
        names = [one.item for key, one in seen.items() if key not in left and one.item not in told]
        for start in range(0, len(names), _BATCH):
            self._count.gone += await self._items.drop(principal, home, names[start : start + _BATCH])
        return left

    async def _batch(self, principal: Principal, home: str, objects: Sequence[ObjectInfo]) -> dict[str, Seen]:
        """Read some items and write them; return what counts as seen then."""
        turns = asyncio.Semaphore(_AT_ONCE)
        items = await asyncio.gather(*(self._item(told, home, turns) for told in objects))
        good = {told.key: (told, item) for told, item in zip(objects, items, strict=True) if item is not None}
        by_name = {str(item["id"]): item for _, item in good.values()}
        if by_name:
            await self._items.load(principal, home, list(by_name.values()))
        self._count.read += len(by_name)
        return {key: Seen(etag=told.etag, item=str(item["id"])) for key, (told, item) in good.items()}

    async def _item(self, told: ObjectInfo, home: str, turns: asyncio.Semaphore) -> Json | None:
        base = self._tree.address + home_of(self._tree.prefix, home)
        try:
            async with turns:
                return item_checked(with_addresses(await self._document(told), base), home)
        except (InvalidInput, NotFound) as error:
            self._count.wrong(told.key, error)
        return None

    async def _document(self, told: ObjectInfo) -> Json:
        if told.size > MAX_DOCUMENT_BYTES:
            raise InvalidInput("size", f"{told.size} bytes", f"at most {MAX_DOCUMENT_BYTES}")
        body = bytearray()
        async for piece in self._store.get(told.key, stop=MAX_DOCUMENT_BYTES + 1):
            body += piece
        return decode_object("document", bytes(body))


_NONE = Seen(etag="")
