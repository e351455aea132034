"""The embedded catalogue: one SQLite file, for an edge's items or a replica index.

Readers never wait for the writer (WAL). No database work runs on the event loop: each reader thread has its
own connection, and one writer thread has the only writing one.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from edges.catalogues.sqlite_load import Loader, LoadReport, Progress
from edges.catalogues.sqlite_migrations import migrate
from edges.catalogues.sqlite_rows import row_of
from edges.catalogues.sqlite_search import Searcher
from edges.catalogues.sqlite_store import SQL, connect, transaction
from edges.catalogues.sqlite_write import write_items
from edges.catalogues.writing import checked_collection, checked_item
from edges.errors import NotFound, SiteUnavailable
from edges.model import Batch, Capabilities, Json, Members, Query
from edges.stac.aggregation import AGGREGATIONS, Tally, Wanted

T = TypeVar("T")
_MEMBERS = msgspec.json.Decoder(Members)


class _GivenUp(Exception):
    """The search is not wanted any longer."""


class _Patience:
    """How long a search may take: until its deadline, or until nobody waits for it."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self.abandoned = threading.Event()

    def over(self) -> bool:
        return self.abandoned.is_set() or time.monotonic() > self._deadline

    def check(self) -> None:
        if self.over():
            raise _GivenUp


class SqliteCatalogue:
    """Implements :class:`edges.seams.WritableCatalogue` on one SQLite file; an async context manager.

    ``readers`` searches run at once; one that takes longer than ``search_seconds`` is given up. Besides what
    the seam says, :class:`edges.errors.SiteUnavailable` is raised where the file cannot be read or written.
    """

    def __init__(self, path: Path, *, name: str = "catalogue", readers: int = 4, search_seconds: float = 30.0) -> None:
        self._path = path
        self._name = name
        self._search_seconds = search_seconds
        self._count = readers
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix=f"{name}-read")
        self._writers = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-write")
        self._idle: queue.SimpleQueue[Searcher] = queue.SimpleQueue()
        self._writer: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._run(self._writers, self._open)
        except BaseException:  # nobody will call __aexit__: leave no threads behind
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = connect(self._path, writer=True)
        migrate(self._writer)
        for _ in range(self._count):
            self._idle.put(Searcher(connect(self._path, writer=False)))

    async def _close(self) -> None:
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._writers.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get_nowait().connection.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def capabilities(self) -> Capabilities:
        return Capabilities(
            filter=True, text=True, sort=True, fields=False, transaction=True, aggregates=frozenset(AGGREGATIONS)
        )

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        """Return one page; see :class:`edges.seams.Catalogue`.

        Raises:
            edges.errors.InvalidInput: ``after`` is no position of this query.
            SiteUnavailable: the file cannot be read, or the search takes too long.
        """
        return await self._searched(lambda searcher, check: searcher.search(query, limit, after, check))

    async def aggregate(self, query: Query, wanted: Wanted) -> Tally:
        """Count what matches; see :class:`edges.catalogues.aggregating.Aggregating`.

        Raises:
            SiteUnavailable: the file cannot be read, or counting takes too long.
        """
        return await self._searched(lambda searcher, _: searcher.aggregate(query, wanted))

    async def _searched(self, search: Callable[[Searcher, Callable[[], None]], T]) -> T:
        patience = _Patience(self._search_seconds)

        def job(searcher: Searcher) -> T:
            searcher.connection.set_progress_handler(patience.over, 20_000)
            try:
                return search(searcher, patience.check)
            finally:
                searcher.connection.set_progress_handler(None, 0)

        try:
            return await self._read(job)
        except _GivenUp as error:
            raise SiteUnavailable(self._name, f"the search took longer than {self._search_seconds:g} s") from error
        finally:
            patience.abandoned.set()

    async def collections(self) -> list[Json]:
        return await self._read(
            lambda searcher: [msgspec.json.decode(body) for (body,) in searcher.connection.execute(SQL["collections"])]
        )

    async def item(self, collection: str, item_id: str) -> Members | None:
        names = {"collection": collection, "id": item_id}
        row = await self._read(lambda searcher: searcher.connection.execute(SQL["item_body"], names).fetchone())
        return None if row is None else _MEMBERS.decode(row[0])

    async def put_collection(self, collection: Json) -> None:
        checked_collection(collection)
        names = {"id": collection["id"], "body": msgspec.json.encode(collection)}
        await self._write(lambda connection: connection.execute(SQL["put_collection"], names))

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        """Create or replace items: all or none.

        Raises:
            edges.errors.InvalidInput: an item cannot be stored.
            NotFound: the collection does not exist.
        """
        bodies = [msgspec.json.encode(checked_item(collection, item)) for item in items]

        def job(connection: sqlite3.Connection) -> None:
            if connection.execute(SQL["has_collection"], {"id": collection}).fetchone() is None:
                raise NotFound(f"collection {collection!r} does not exist; create it first")
            write_items(connection, [(row_of(body, collection), body) for body in bodies])

        await self._write(job)

    async def delete_item(self, collection: str, item_id: str) -> bool:
        names = {"collection": collection, "id": item_id}
        return await self._write(lambda connection: connection.execute(SQL["delete_item"], names).rowcount > 0)

    async def delete_collection(self, collection: str) -> bool:
        """Remove a collection and its items; see :class:`edges.catalogues.removing.Removing`."""

        def job(connection: sqlite3.Connection) -> bool:
            connection.execute(SQL["delete_items_of"], {"id": collection})
            return connection.execute(SQL["delete_collection"], {"id": collection}).rowcount > 0

        return await self._write(job)

    async def load(
        self,
        paths: Sequence[Path],
        *,
        strict: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> LoadReport:
        """Load files and folders of items; what has not changed since the last load is skipped.

        Each file is taken whole or not at all. Where items repeat, the last wins. ``progress`` is called from
        another thread.

        Raises:
            edges.catalogues.sources.UnreadableInput: a path does not exist or cannot be read; with
            ``strict``,
                at the first bad entry, which is named by file and line.
        """
        loader = Loader(self._opened(), strict=strict, progress=progress)
        try:
            return await self._run(self._writers, lambda: loader.load(paths))
        finally:
            loader.stop()

    async def _read(self, job: Callable[[Searcher], T]) -> T:
        self._opened()

        def work() -> T:
            searcher = self._idle.get()
            try:
                return job(searcher)
            finally:
                self._idle.put(searcher)

        return await self._run(self._readers, work)

    async def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        writer = self._opened()

        def work() -> T:
            with transaction(writer, write=True):
                return job(writer)

        return await self._run(self._writers, work)

    def _opened(self) -> sqlite3.Connection:
        if self._writer is None:
            raise SiteUnavailable(self._name, "the catalogue is closed")
        return self._writer

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise _GivenUp from error
            raise SiteUnavailable(self._name, f"{self._path}: {error}") from error
        except sqlite3.Error as error:
            raise SiteUnavailable(self._name, f"{self._path}: {error}") from error
