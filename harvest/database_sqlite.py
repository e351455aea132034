"""The orders' database in one SQLite file (WAL), which the processes of one machine may share."""

import sqlite3
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from harvest.database_thread import DatabaseThread
from harvest.errors import DatabaseUnavailable
from harvest.sql import migrations, not_newer, queries

_LOOK_AGAIN = 0.01
"""Seconds between two tries to open a file that another is making."""


class _Gathering(NamedTuple):
    """A query that gives all rows of another as one text, and their columns."""

    sql: str
    columns: tuple[str, ...]


class SqliteConnection:
    """A :class:`harvest.database.Connection`."""

    def __init__(self, raw: sqlite3.Connection, named: Mapping[str, str]) -> None:
        self._raw = raw
        self._named = named
        self._gatherings: dict[str, _Gathering] = {}

    def all(self, name: str, **values: Any) -> list[Any]:
        """Run a named query; return its rows."""
        return self._raw.execute(self._named[name], values).fetchall()

    def gathered(self, name: str, **values: Any) -> list[Any]:
        """Run a named query; return its rows, which come as one text.

        For each row that is fetched by itself, Python's lock is let go and taken again: beside a busy event loop that
        costs both threads more than the row.
        """
        gathering = self._gatherings.get(name) or self._gathering(name, values)
        text = self._raw.execute(gathering.sql, values).fetchone()[0]
        return [dict(zip(gathering.columns, row, strict=True)) for row in msgspec.json.decode(text)]

    def _gathering(self, name: str, values: Mapping[str, Any]) -> _Gathering:
        rows = f"FROM ({self._named[name]})"
        columns = tuple(each[0] for each in self._raw.execute(f"SELECT * {rows} LIMIT 0", values).description)
        gathering = _Gathering(f"SELECT json_group_array(json_array({', '.join(columns)})) {rows}", columns)
        return self._gatherings.setdefault(name, gathering)

    def one(self, name: str, **values: Any) -> Any:
        """Run a named query; return its first row, or None."""
        rows = self.all(name, **values)
        return rows[0] if rows else None

    def change(self, name: str, **values: Any) -> int:
        """Run a named change; return how many rows it touched."""
        return self._raw.execute(self._named[name], values).rowcount


class SqliteSession:
    """A :class:`harvest.database_thread.Session`; making it opens the file and brings its schema forward."""

    def __init__(self, path: Path, *, busy_seconds: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._raw = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        self._raw.row_factory = sqlite3.Row
        self._raw.create_function("fresh_id", 0, lambda: uuid.uuid4().hex)
        _log_ahead(self._raw, busy_seconds)
        for pragma in ("synchronous = FULL", "foreign_keys = ON"):
            self._raw.execute(f"PRAGMA {pragma}")
        _migrate(self._raw)
        self.connection = SqliteConnection(self._raw, queries())

    def begin(self) -> None:
        """Begin with the write lock."""
        self._raw.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Flush to the disk."""
        self._raw.execute("COMMIT")

    def roll_back(self) -> None:
        """Give the transaction up, where the database has not done so itself."""
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def mark(self) -> None:
        """Remember where the transaction is."""
        self._raw.execute("SAVEPOINT act")

    def undo(self) -> bool:
        """Go back to the mark; tell False where the transaction is lost (a full disk ends it)."""
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK TO act")
        return self._raw.in_transaction

    def unmark(self) -> None:
        """Forget the mark."""
        self._raw.execute("RELEASE act")

    def outdated(self, error: Exception) -> bool:
        """Tell that none is: SQLite prepares a statement anew by itself."""
        return False

    def told(self, error: Exception) -> Exception:
        """Translate what the database cannot do now; what is wrong with a statement stays as it is."""
        if isinstance(error, sqlite3.OperationalError):
            unavailable = DatabaseUnavailable(f"the orders' database: {error}")
            unavailable.__cause__ = error
            return unavailable
        return error

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


class SqliteDatabase(DatabaseThread):
    """A :class:`harvest.database.Database` in a file."""

    def __init__(self, path: Path, *, busy_seconds: float = 10.0) -> None:
        super().__init__(lambda: SqliteSession(path, busy_seconds=busy_seconds))


def _log_ahead(raw: sqlite3.Connection, seconds: float) -> None:
    """Let the file be written by its log (SQLite, "Write-Ahead Logging").

    While another makes this change of a new file, SQLite waits for nobody, and tells at once that it is locked.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_LOOK_AGAIN)
        else:
            return


def _migrate(raw: sqlite3.Connection) -> None:
    """Bring the schema forward; ``user_version`` counts the migrations that have run."""
    scripts = migrations()
    raw.execute("BEGIN IMMEDIATE")
    try:
        done = raw.execute("PRAGMA user_version").fetchone()[0]
        not_newer(done, len(scripts))
        for script in scripts[done:]:
            for statement in _statements(script):
                raw.execute(statement)
        raw.execute(f"PRAGMA user_version = {len(scripts)}")
        raw.execute("COMMIT")
    except BaseException:  # whatever ended the migration, it must not be half done
        raw.execute("ROLLBACK")
        raise


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
