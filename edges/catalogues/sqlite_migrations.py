"""The schema of the embedded catalogue, forward only: ``PRAGMA user_version`` tells how many steps were made."""

import sqlite3
from collections.abc import Callable
from importlib.resources import files

from edges.catalogues.sqlite_rows import row_of
from edges.catalogues.sqlite_store import SQL, transaction

_FOLDER = files("edges.catalogues")
_ROWS_AT_ONCE = 1_000

Step = Callable[[sqlite3.Connection], None]


class TooNew(sqlite3.DatabaseError):
    """The file was written by a later version of this software."""


def _catalogue(connection: sqlite3.Connection) -> None:
    """0001: the tables."""
    script = _FOLDER.joinpath("sqlite_0001_catalogue.sql").read_text(encoding="utf-8")
    for statement in _statements(script):
        connection.execute(statement)


def _statements(script: str) -> list[str]:
    """Return the statements of a script; ``executescript`` would end the transaction that they belong to."""
    found, begun = [], ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            found.append(begun)
            begun = ""
    return found


def _dates_as_instants(connection: sqlite3.Connection) -> None:
    """0002: full dates were kept as text, and stood apart from instants; they stand as their first instant now."""
    last = 0
    while rows := connection.execute(SQL["items_to_redate"], {"after": last, "most": _ROWS_AT_ONCE}).fetchall():
        for number, collection, body in rows:
            row = row_of(body, collection)
            moment, starts, ends, *_, created, updated, _cloud, _platform, _gsd = row.values
            connection.execute(SQL["redate_item"], (moment, starts, ends, created, updated, number))
            widened = {"id": collection, "lead": row.lead, "lag": row.lag, "odd": 0}
            connection.execute(SQL["widen_collection"], widened)
        last = rows[-1][0]
    connection.execute(SQL["look_for_odd_times"])


MIGRATIONS: tuple[Step, ...] = (_catalogue, _dates_as_instants)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, each step in a transaction of its own.

    Raises:
        TooNew: the schema is later than ours.
        sqlite3.Error: the file cannot be written, or is no database.
    """
    applied = _applied(connection)
    if applied > len(MIGRATIONS):
        raise TooNew(f"schema version {applied} is later than {len(MIGRATIONS)}; use a newer release")
    for number, step in enumerate(MIGRATIONS[applied:], start=applied + 1):
        with transaction(connection, write=True):
            if _applied(connection) < number:  # another process may have been first
                step(connection)
                connection.execute(f"PRAGMA user_version = {number}")


def _applied(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
