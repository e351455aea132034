"""Load files of items into the embedded catalogue: incremental, idempotent, a transaction each. Blocking."""

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from edges.catalogues.sources import Entry, UnreadableInput, collection_of, find_files, read_entries
from edges.catalogues.sqlite_rows import row_of
from edges.catalogues.sqlite_store import SQL, transaction
from edges.catalogues.sqlite_write import Stored, derive_collection, refresh_derived, write_items
from edges.catalogues.writing import checked_collection
from edges.errors import EdgeError, InvalidInput
from edges.model import Frozen, Json, Members

MAX_TOLD = 100
"""Most bad entries that are told one by one; all are counted."""

_MEMBERS = msgspec.json.Decoder(Members)
_STEP = 1_000


class Progress(Frozen):
    """How far a load is."""

    file: str
    files_done: int
    files: int
    bytes_done: int
    bytes: int
    items: int


class LoadReport(Frozen):
    """What a load did. ``replaced`` counts items that were there before, or came more than once."""

    files: int
    unchanged: int
    items: int
    added: int
    replaced: int
    collections: int
    bad: int
    told: tuple[str, ...] = ()


class LoadStopped(EdgeError):
    """The load was given up; the files before are loaded, the one at work is not."""

    status = 503
    title = "Load stopped"


class _Tally:
    """What is counted while loading."""

    def __init__(self) -> None:
        self.files = self.unchanged = self.items = self.collections = self.bad = 0
        self.told: list[str] = []


class Loader:
    """One load, on the writing connection."""

    def __init__(
        self, connection: sqlite3.Connection, *, strict: bool, progress: Callable[[Progress], None] | None
    ) -> None:
        self._connection = connection
        self._strict = strict
        self._progress = progress
        self._tally = _Tally()
        self._stopped = threading.Event()
        self._known: set[str] = set()
        self._sizes: list[int] = []
        self._file = ""

    def stop(self) -> None:
        """Make the load end soon, from any thread."""
        self._stopped.set()

    def load(self, paths: Sequence[Path]) -> LoadReport:
        """Load everything below the paths; see :meth:`edges.catalogues.sqlite.SqliteCatalogue.load`.

        Raises:
            UnreadableInput: a path or, if strict, an entry cannot be loaded.
            LoadStopped: :meth:`stop` was called.
            sqlite3.Error: the database cannot be written.
        """
        files = find_files(paths)
        self._sizes = [path.stat().st_size for path in files]
        before = self._count()
        for path in files:
            self._file = str(path)
            self._tell()
            self._load_file(path)
            self._tally.files += 1
        with transaction(self._connection, write=True):
            refresh_derived(self._connection)
        self._connection.execute("PRAGMA optimize")
        self._tell()
        tally, added = self._tally, self._count() - before
        return LoadReport(
            files=tally.files,
            unchanged=tally.unchanged,
            items=tally.items,
            added=added,
            replaced=max(0, tally.items - added),
            collections=tally.collections,
            bad=tally.bad,
            told=tuple(tally.told),
        )

    def _count(self) -> int:
        return int(self._connection.execute(SQL["count_items"]).fetchone()[0])

    def _load_file(self, path: Path) -> None:
        state = path.stat()
        name = str(path.resolve())
        known = self._connection.execute(SQL["file"], {"path": name}).fetchone()
        if known is not None and known[1:3] == (state.st_size, state.st_mtime_ns):
            self._tally.unchanged += 1
            return
        digest = _digest(path)
        same = known is not None and known[3] == digest
        entry = {"path": name, "size": state.st_size, "mtime": state.st_mtime_ns, "digest": digest}
        self._tally.unchanged += same
        bad = self._tally.bad
        with transaction(self._connection, write=True):
            file = self._connection.execute(SQL["put_file"], entry).fetchone()[0]
            if not same:
                load = self._connection.execute(SQL["next_load"]).fetchone()[0]
                stored = self._stored(path)
                self._tally.items += write_items(self._connection, stored, file=file, load=load)
                if known is not None and self._tally.bad == bad:
                    # Only where all of the file could be read is an absent item known to be gone.
                    self._connection.execute(SQL["delete_vanished"], {"file": file, "load": load})
        self._known.clear()  # collections of a rolled-back file would not be there

    def _stored(self, path: Path) -> Iterator[Stored]:
        home = collection_of(path)
        for number, entry in enumerate(read_entries(path), start=1):
            if not number % _STEP:
                self._tell(number)
            if self._stopped.is_set():
                raise LoadStopped("the load was given up")
            stored = self._taken(entry, home)
            if stored is not None:
                yield stored

    def _taken(self, entry: Entry, home: str) -> Stored | None:
        """Store a collection, take an item apart, or count what is bad."""
        try:
            if entry.item is not None:
                return self._item(entry.item, home)
            if entry.collection is not None:
                self._collection(entry.collection)
                return None
            wrong = entry.wrong
        except InvalidInput as error:
            wrong = str(error)
        if self._strict:
            raise UnreadableInput(f"{entry.where}: {wrong}")
        self._tally.bad += 1
        if len(self._tally.told) < MAX_TOLD:
            self._tally.told.append(f"{entry.where}: {wrong}")
        return None

    def _item(self, body: bytes, home: str) -> Stored:
        row = row_of(body, home)
        members = _MEMBERS.decode(body)
        if bytes(members.get("collection", b"null")) == b"null":
            members["collection"] = msgspec.Raw(msgspec.json.encode(row.collection))
            body = msgspec.json.encode(members)
        if row.collection not in self._known:
            derive_collection(self._connection, row.collection)
            self._known.add(row.collection)
        return row, body

    def _collection(self, collection: Json) -> None:
        checked_collection(collection)
        values = {"id": collection["id"], "body": msgspec.json.encode(collection)}
        self._connection.execute(SQL["put_collection"], values)
        self._tally.collections += 1

    def _tell(self, in_file: int = 0) -> None:
        if self._progress is None:
            return
        done = self._tally.files
        self._progress(
            Progress(
                file=self._file,
                files_done=done,
                files=len(self._sizes),
                bytes_done=sum(self._sizes[:done]),
                bytes=sum(self._sizes),
                items=self._tally.items + in_file,
            )
        )


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
