"""The database file of the embedded catalogue: its statements, its connections, its transactions."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

_FOLDER = files("edges.catalogues")
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def _named_statements(text: str) -> dict[str, str]:
    _, *parts = _NAME.split(text)
    return {name: sql.strip().rstrip(";") for name, sql in zip(parts[::2], parts[1::2], strict=True)}


SQL = _named_statements(_FOLDER.joinpath("sqlite_queries.sql").read_text(encoding="utf-8"))
"""The fixed statements, by name."""


def connect(path: Path, *, writer: bool) -> sqlite3.Connection:
    """Open the file; a reader cannot write.

    Raises:
        sqlite3.Error: the file cannot be opened, or is no database.
    """
    # One thread at a time uses a connection; the owner sees to that.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA busy_timeout = 10000")  # milliseconds: another process may be loading
    connection.execute("PRAGMA cache_size = -32768")  # KiB for each connection
    connection.execute("PRAGMA mmap_size = 8589934592")
    if writer:
        connection.execute("PRAGMA page_size = 8192")  # bytes, of a new file: an item is some kilobytes
        connection.execute("PRAGMA wal_autocheckpoint = 8192")  # pages: a load writes much at once
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    else:
        connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, *, write: bool = False) -> Iterator[None]:
    """Run in one transaction: all of it or nothing, and for a reader one state of the file."""
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
    except BaseException:  # whatever ended the work, the transaction must not stay open
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
