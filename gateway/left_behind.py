"""What a gateway that kept its state in files would leave behind where it is told to share a database.

A database begins empty: orders, standing rules, clusters and collections that are in the files of the state folder
would be forgotten in silence, and what they hold (quota, copies, machines) with them. So the gateway does not start.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from edges.model import Frozen, Json
from gateway.settings import Settings

HARVEST = "harvest.sqlite"
_SECONDS = 5.0


class LeftBehind(Exception):
    """There is work in the state folder that the database does not know."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "Work would be left behind"


class Rows(Frozen):
    """What to count in a file of harvests, in words; ``column`` is by what releases know the condition's table."""

    words: str
    table: str
    column: str
    condition: str


HARVESTS: tuple[Rows, ...] = (
    Rows(words="harvest orders that are not done", table="orders", column="settled", condition="settled = 0"),
    Rows(
        words="harvest orders whose copies have an end",
        table="orders",
        column="copies_until",
        condition="settled = 1 AND released = 0 AND copies_until IS NOT NULL",
    ),
    Rows(
        words="standing harvest rules",
        table="rules",
        column="state",
        condition="state NOT IN ('EXPIRED', 'CANCELLED') AND json_extract(request, '$.mode') <> 'once'",
    ),
)
RECORDS: dict[str, tuple[str, Callable[[Json], bool]]] = {
    "clusters": ("Dask clusters", lambda record: record.get("state") != "ended"),
    "kernels": ("kernels", lambda record: record.get("state") != "ended"),
    "stagings": ("orders of data", lambda record: record.get("status", "ordered") in {"ordered", "shipping"}),
    "hook_orders": ("HOOK orders", lambda record: record.get("ended") is None),
    "contributed": ("collections of users", lambda _: True),
}
"""By the name of the file: what is in it, and which of its records still matter."""


def check_nothing_left_behind(settings: Settings) -> None:
    """Look at the state folder, where gateways share a database.

    Raises:
        LeftBehind: something in it would be forgotten; the message tells what, and the ways out.
    """
    if settings.quotas.database is None:
        return
    folder = Path(settings.server.state)
    found = left_behind(folder)
    if found:
        raise LeftBehind(
            f"$.quotas.database: {folder} holds what this database does not know: {'; '.join(found)}. Start once more "
            "without quotas.database until they are done or withdrawn, or move these files away to give them up"
        )


def left_behind(folder: Path) -> list[str]:
    """Return what is in the files of a state folder and still matters, each as ``file: how many of what``."""
    found = [(HARVEST, words, count) for words, count in _harvests(folder / HARVEST)]
    for name, (words, matters) in RECORDS.items():
        file = folder / f"{name}.sqlite"
        found.append((file.name, words, sum(map(matters, _records(file)))))
    return [f"{file}: {count} {words}" for file, words, count in found if count]


def _harvests(file: Path) -> list[tuple[str, int]]:
    """Count what is in a file of harvests, of whichever release it is."""
    return [
        (each.words, int(_read(file, f"SELECT count(*) FROM {each.table} WHERE {each.condition}")[0][0]))  # noqa: S608 - of the table above
        for each in HARVESTS
        if _read(file, f"SELECT 1 FROM pragma_table_info('{each.table}') WHERE name = '{each.column}'")  # noqa: S608 - as above
    ]


def _records(file: Path) -> list[Json]:
    if not _read(file, "SELECT 1 FROM sqlite_master WHERE name = 'records'"):
        return []
    return [json.loads(row[0]) for row in _read(file, "SELECT body FROM records")]


def _read(file: Path, query: str) -> list[tuple[Any, ...]]:
    """Run a query on a file; nothing where there is none. What was written last is read, after a crash, too."""
    if not file.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=_SECONDS)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.Error as error:
        raise LeftBehind(f"{file}: it cannot be read, and may hold what would be forgotten: {error}") from error
