"""The orders' database: one SQLite file, one thread that owns the connection, named queries, migrations."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from harvest.seams import Checkpoint

_T = TypeVar("_T")

GROUP = 256
"""Acts that are committed together, at most."""

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
        self._lock = threading.Lock()
        self._waiting: list[_Turn] = []
        self._busy = False

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

        What is asked at the same time is written with one flush; each succeeds or fails by itself.

        A cancelled caller does not stop a transaction that has begun: it ends as it would have.
        """
        if self._connection is None:
            raise RuntimeError("the database is not open: enter it with `async with`")
        turn = _Turn(act, asyncio.get_running_loop().create_future())
        with self._lock:
            self._waiting.append(turn)
            idle, self._busy = not self._busy, True
        if idle:
            self._thread.submit(self._work, self._connection, turn.answer.get_loop())
        result: _T = await turn.answer
        return result

    def _work(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Carry out all that waits, many in one commit, until nothing does (in the thread)."""
        while True:
            with self._lock:
                turns, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                self._busy = bool(turns)
            if not turns:
                return
            outcomes = _together(connection, [turn.act for turn in turns])
            loop.call_soon_threadsafe(_tell, turns, outcomes)

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


class _Turn(NamedTuple):
    act: Callable[[Connection], Any]
    answer: "asyncio.Future[Any]"


class _Outcome(NamedTuple):
    result: Any = None
    error: Exception | None = None


def _together(connection: Connection, acts: Sequence[Callable[[Connection], Any]]) -> list[_Outcome]:
    """Carry out several acts in one transaction; where it cannot be committed, all have failed."""
    try:
        connection.raw.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [_apart(connection, act) for act in acts]
            connection.raw.execute("COMMIT")
        except BaseException:
            if connection.raw.in_transaction:
                connection.raw.execute("ROLLBACK")
            raise
    except Exception as error:  # noqa: BLE001 - told to whoever waits
        return [_Outcome(error=error) for _ in acts]
    return outcomes


def _apart(connection: Connection, act: Callable[[Connection], Any]) -> _Outcome:
    """Carry out one act; what it raises undoes it, and not the others."""
    connection.raw.execute("SAVEPOINT act")
    try:
        outcome = _Outcome(result=act(connection))
    except Exception as error:
        if not connection.raw.in_transaction:  # the database itself gave up (full, broken): nothing is left to undo
            raise
        connection.raw.execute("ROLLBACK TO act")
        outcome = _Outcome(error=error)
    connection.raw.execute("RELEASE act")
    return outcome


def _tell(turns: Sequence[_Turn], outcomes: Sequence[_Outcome]) -> None:
    for turn, outcome in zip(turns, outcomes, strict=True):
        if turn.answer.done():
            continue
        if outcome.error is not None:
            turn.answer.set_exception(outcome.error)
        else:
            turn.answer.set_result(outcome.result)


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
