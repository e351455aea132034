"""The room of users' own collections."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edges.seams import ObjectStore
from edges.storage.s3 import S3Store
from gateway.answers import Handler
from gateway.contributed.book import Book
from gateway.contributed.bulk_face import BulkFace
from gateway.contributed.collections import CollectionWriting
from gateway.contributed.face import ContributedFace, Writing
from gateway.contributed.following import Following
from gateway.contributed.ground import Ground
from gateway.contributed.items import ItemWriting
from gateway.contributed.model import Collection
from gateway.contributed.recounting import Recounting
from gateway.contributed.storage import StorageCharge
from gateway.contributed.tree_data import OpenTree, Origin, TreeData
from gateway.contributed.tree_words import Known
from gateway.contributed.trees import Tree, TreeReading
from gateway.contributed.trees_face import TreesFace
from gateway.house.adapters import records_of
from gateway.house.house import House
from gateway.settings import TreeSettings


@dataclass(frozen=True, kw_only=True)
class Contributed:
    """What other rooms need of users' collections.

    ``create`` makes one, ``tag`` gives one's entity tag; ``data`` is what the keys of trees open.
    """

    create: Handler
    tag: Callable[[str], str | None]
    data: TreeData | None


async def add_contributed(house: House) -> Contributed:
    """Add what changes users' collections, and let searches see of them what each principal may."""
    book = await _book(house)
    writing = None if book is None else await _writing(house, book)
    face = ContributedFace(writing=writing, base=house.base)
    limits = house.settings.limits
    bulk = BulkFace(
        writing=writing,
        most_bytes=house.settings.contributed.bulk_bytes,
        pause_seconds=limits.body_seconds,
        folder=house.state / "loads",
    )
    data = None if book is None else await _tree_data(house, book)
    reading = None if writing is None or data is None else await _trees(house, writing, data)
    trees = TreesFace(reading=reading, writing=writing)
    house.routes += [*face.routes(), *bulk.routes(), *trees.routes()]
    return Contributed(create=face.create_collection, tag=partial(_tag, book), data=data)


async def _book(house: House) -> Book | None:
    """Open the book; from then on searches see what it says."""
    site = house.settings.contributed.site
    if not site:
        return None
    records = await house.stack.enter_async_context(records_of(house.settings, "contributed", Collection))
    book = Book(site=site, records=records)
    house.access.keep(book)
    return book


async def _writing(house: House, book: Book) -> Writing:
    settings = house.settings.contributed
    ground = Ground(book=book, registry=house.registry, access=house.access)
    await house.stack.enter_async_context(Following(ground=ground).running())
    lease = house.settings.quotas.lease_seconds
    storage = StorageCharge(ledger=house.ledger, edge=settings.site, lease_seconds=lease)
    recounting = Recounting(ground=ground, storage=storage)
    await house.stack.enter_async_context(recounting.running())
    return Writing(
        collections=CollectionWriting(ground=ground, storage=storage, settings=settings),
        items=ItemWriting(ground=ground, storage=storage, doubt=recounting.soon),
        charging=house.charging,
        body_bytes=settings.body_bytes,
    )


async def _tree_data(house: House, book: Book) -> TreeData:
    origins = await house.stack.enter_async_context(records_of(house.settings, "contributed_origins", Origin))
    told = house.settings.contributed.trees
    trees = [OpenTree(name=one.name, bucket=one.storage.bucket, prefix=one.prefix) for one in told if one.data]
    return TreeData(trees=trees, origins=origins, book=book)


async def _trees(house: House, writing: Writing, data: TreeData) -> TreeReading:
    known = await house.stack.enter_async_context(records_of(house.settings, "contributed_trees", Known))
    return TreeReading(
        trees=[await _tree(house, told) for told in house.settings.contributed.trees],
        known=known,
        collections=writing.collections,
        items=writing.items,
        data=data,
    )


async def _tree(house: House, told: TreeSettings) -> tuple[Tree, ObjectStore]:
    store = S3Store(site=told.name, settings=told.storage, lines=house.outbound.lines)
    address = told.address or f"s3://{told.storage.bucket}/"
    tree = Tree(name=told.name, group=told.group, prefix=told.prefix, address=address)
    return tree, await house.stack.enter_async_context(store)


def _tag(book: Book | None, name: str) -> str | None:
    record = None if book is None else book.get(name)
    return None if record is None else record.tag
