"""Which data of users' collections the keys of a tree open: what lies in the collection's own folder, and nothing else.

Users write addresses as they like. So keys are used for a collection only where its owner read it from the tree
themselves, as one of the tree's group, and for no object outside its folder.
"""

from collections.abc import Iterable

from edges.model import Frozen
from gateway.contributed.book import Book
from gateway.contributed.tree_words import home_of
from gateway.principal import Principal
from gateway.records import RecordTable


class Origin(Frozen):
    """Which tree a collection (``id``) was read from by its owner.

    ``made_at`` is when that collection was made: another one of its name, made since, is not meant.
    """

    id: str
    tree: str
    made_at: float


class OpenTree(Frozen):
    """A tree whose data is given; ``prefix`` is where the folders of its collections are in its ``bucket``."""

    name: str
    bucket: str
    prefix: str


class TreeData:
    """Tells which tree's keys open an address. ``trees`` are those whose data is given."""

    def __init__(self, *, trees: Iterable[OpenTree], origins: RecordTable[Origin], book: Book) -> None:
        self._trees = {tree.name: tree for tree in trees}
        self._origins = origins
        self._book = book

    async def note(self, principal: Principal, collection: str, tree: str) -> None:
        """Note that somebody read a collection from a tree; where it is not their own, that opens nothing."""
        record = self._book.get(collection)
        if record is None or not record.owned(principal):
            return
        origin = Origin(id=collection, tree=tree, made_at=record.created_at)
        if self._origins.get(collection) != origin:
            await self._origins.put(origin)

    def tree_of(self, collection: str, href: str) -> str | None:
        """Return the tree whose keys open an address of this collection's items; None where none do."""
        origin, record = self._origins.get(collection), self._book.get(collection)
        if origin is None or record is None or origin.made_at != record.created_at:
            return None
        tree = self._trees.get(origin.tree)
        if tree is None or not href.startswith(f"s3://{tree.bucket}/{home_of(tree.prefix, collection)}"):
            return None
        return tree.name
