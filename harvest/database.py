"""The orders' database: one SQLite file, one thread that owns the connection, named queries, migrations."""

import asyncio
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from harvest.seams import Checkpoint

_T = TypeVar("_T")

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def _load_queries() -> dict[str, str]:
    """Read all named queries, of every ``queries*.sql``."""
    folder = resources.files("harvest")
    queries: dict[str, str] = {}
    for each in folder.iterdir():
        if each.name.startswith("queries") and each.name.endswith(".sql"):
            pieces = _NAME.split(each.read_text(encoding="utf-8"))[1:]
            queries |= {name: sql.strip().rstrip(";") for name, sql in zip(pieces[::2], pieces[1::2], strict=True)}
    return queries


class Connection:
    """A connection that knows the named queries. Used inside one :meth:`Database.run` only."""

    def __init__(self, connection: sqlite3.Connection, queries: dict[str, str]) -> None:
        self.raw = connection
        self._queries = queries

    def all(self, name: str, **values: Any) -> list[sqlite3.Row]:
        """Run a named query; return its rows."""
        return self.raw.execute(self._queries[name], values).fetchall()

    def one(self, name: str, **values: Any) -> sqlite3.Row | None:
        """Run a named query; return its first row, or None."""
        rows = self.all(name, **values)
        return rows[0] if rows else None

    def change(self, name: str, **values: Any) -> int:
        """Run a named change; return how many rows it touched."""
        return self.raw.execute(self._queries[name], values).rowcount


class Database:
    """Opens with ``async with``; several processes may share the file.

    Each transaction takes the write lock first, so that what it read still holds when it writes.
    """

    def __init__(self, path: Path, *, busy_seconds: float = 10.0) -> None:
        self._path = path
        self._busy = busy_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="harvest-db")
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await self._in_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._in_thread(self._connection.raw.close)
            self._connection = None
        self._thread.shutdown(wait=True)

    async def run(self, act: Callable[[Connection], _T]) -> _T:
        """Run ``act`` in one transaction: all of it or nothing, on disk when this returns.

        A cancelled caller does not stop a transaction that has begun: it ends as it would have.
        """
        connection = self._connection
        if connection is None:
            raise RuntimeError("the database is not open: enter it with `async with`")
        return await self._in_thread(lambda: _transact(connection, act))

    async def _in_thread(self, act: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def _open(self) -> Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        raw = sqlite3.connect(self._path, timeout=self._busy, isolation_level=None, check_same_thread=False)
        raw.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            raw.execute(f"PRAGMA {pragma}")
        _migrate(raw)
        return Connection(raw, _load_queries())


@dataclass(frozen=True, kw_only=True)
class Journal:
    """Where work is written down, by which clock (epoch seconds), and who is told of each write."""

    database: Database
    clock: Callable[[], float]
    checkpoint: Checkpoint


def _transact(connection: Connection, act: Callable[[Connection], _T]) -> _T:
    connection.raw.execute("BEGIN IMMEDIATE")
    try:
        result = act(connection)
    except BaseException:
        connection.raw.execute("ROLLBACK")
        raise
    connection.raw.execute("COMMIT")
    return result


def _migrate(raw: sqlite3.Connection) -> None:
    """Bring the schema forward; ``user_version`` counts the migrations that have run."""
    folder = resources.files("harvest").joinpath("migrations")
    scripts = sorted((each for each in folder.iterdir() if each.name.endswith(".sql")), key=lambda each: each.name)
    raw.execute("BEGIN IMMEDIATE")
    try:
        done = raw.execute("PRAGMA user_version").fetchone()[0]
        for script in scripts[_schema(done, len(scripts)) :]:
            for statement in _statements(script.read_text(encoding="utf-8")):
                raw.execute(statement)
        raw.execute(f"PRAGMA user_version = {len(scripts)}")
        raw.execute("COMMIT")
    except BaseException:
        raw.execute("ROLLBACK")
        raise


def _schema(done: int, known: int) -> int:
    if done > known:
        raise RuntimeError(f"the orders' database is of a newer release (schema {done}, known {known})")
    return done


def _statements(script: str) -> list[str]:
    """Split a script into statements (``executescript`` would commit on its own)."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
