"""Records in an SQLite file, for one gateway.

One thread per file runs the statements one after another, off the event loop; a write is durable when it returns
(WAL, synchronous FULL).
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar
from weakref import WeakValueDictionary

import msgspec

from gateway.records import Identified, RecordsUnavailable

T = TypeVar("T", bound=Identified)
R = TypeVar("R")


class SqliteRecordTable(Generic[T]):
    """A :class:`gateway.records.RecordTable` in one file; an async context manager.

    Reading is synchronous and from memory. Only one process may have the file open.

    Raises:
        RecordsUnavailable: the file cannot be opened, read or written.
    """

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._path = path
        self._kind = kind
        self._values: dict[str, T] = {}
        self.changes = 0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"records-{path.stem}")
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        self._values = await self._run(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._run(self._close)
        self._thread.shutdown(wait=False)

    def __iter__(self) -> Iterator[T]:
        """Iterate over a copy of all values, so that the table may change meanwhile."""
        return iter(list(self._values.values()))

    def get(self, record_id: str) -> T | None:
        """Return a value, or None."""
        return self._values.get(record_id)

    @asynccontextmanager
    async def locked(self, record_id: str) -> AsyncIterator[T | None]:
        """Hold a value against the other holders of its lock; give it as it is then. Not re-entrant.

        For steps that read, ask an edge and write: between two of them the value could change, or go.
        """
        lock = self._locks.get(record_id)
        if lock is None:
            lock = self._locks[record_id] = asyncio.Lock()
        async with lock:
            yield self._values.get(record_id)

    async def find(self, record_id: str) -> T | None:
        """Return a value, or None: nobody else writes to the file."""
        return self._values.get(record_id)

    async def put(self, value: T) -> None:
        """Write a value, then make it visible."""
        body = msgspec.json.encode(value)
        await self._run(self._execute, "INSERT OR REPLACE INTO records (id, body) VALUES (?, ?)", (value.id, body))
        self._values[value.id] = value
        self.changes += 1

    async def delete(self, record_id: str) -> None:
        """Forget a value. Idempotent."""
        await self._run(self._execute, "DELETE FROM records WHERE id = ?", (record_id,))
        self._values.pop(record_id, None)
        self.changes += 1

    async def _run(self, function: Callable[..., R], *arguments: object) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
            raise RecordsUnavailable(f"{self._path.name}: {error}") from error

    def _open(self) -> dict[str, T]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(files("gateway").joinpath("records.sql").read_text(encoding="utf-8"))
        rows = self._connection.execute("SELECT id, body FROM records").fetchall()
        return {str(record_id): msgspec.json.decode(body, type=self._kind) for record_id, body in rows}

    def _execute(self, statement: str, parameters: tuple[object, ...]) -> None:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the table is not open")
        self._connection.execute(statement, parameters)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
