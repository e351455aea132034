"""The seam of the orders' database: acts on it, each a whole transaction, whichever engine keeps them.

``database_sqlite`` keeps it in a file, for the processes of one machine; ``database_postgres`` for gateways on several.
The schema (``migrations``) and the queries (``queries*.sql``, each with a name) are the same for both.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from harvest.seams import Checkpoint

_T = TypeVar("_T")
_V = TypeVar("_V")


class Row(Protocol):
    """A row of an answer, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a column."""
        ...

    def keys(self) -> Iterable[str]:
        """Return the names of the columns."""
        ...


class Connection(Protocol):
    """Runs named queries. Used inside one :meth:`Database.run` only."""

    def all(self, name: str, **values: Any) -> list[Any]:
        """Run a named query; return its rows (each a :class:`Row`)."""
        ...

    def gathered(self, name: str, **values: Any) -> list[Any]:
        """Run a named query for many rows of whole numbers and texts, and nothing else; return them as :meth:`all`."""
        ...

    def one(self, name: str, **values: Any) -> Any:
        """Run a named query; return its first row, or None."""
        ...

    def change(self, name: str, **values: Any) -> int:
        """Run a named change; return how many rows it touched."""
        ...


Together = Callable[[Connection, Sequence[_V]], Sequence[_T | Exception]]
"""An act for many: a result for each value, or what its caller is told. An exception that stands so undoes nothing."""


class Database(Protocol):
    """Opens with ``async with``; several processes may share what it keeps.

    Guarantees: transactions of all who share it happen one after the other: each takes the right to write first, so
    that what it read still holds when it writes. The schema is brought forward when it is opened.
    """

    async def run(self, act: Callable[[Connection], _T]) -> _T:
        """Run ``act`` in one transaction: all of it or nothing, durable when this returns.

        What is asked at the same time is written with one flush; each succeeds or fails by itself.

        A cancelled caller does not stop a transaction that has begun: it ends as it would have.

        Raises:
            DatabaseUnavailable: it cannot be read or written now. Where the connection broke, the act may have been
                carried out all the same: whoever repeats it must be able to.
        """
        ...

    async def run_together(self, act: "Together[_V, _T]", value: _V) -> _T:
        """Run what many ask for at the same time as one act; ``value`` is ours. Else as :meth:`run`.

        Raises:
            Exception: the one that stands for our value among the results.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Journal:
    """Where work is written down, by which clock (epoch seconds), and who is told of each write."""

    database: Database
    clock: Callable[[], float]
    checkpoint: Checkpoint
