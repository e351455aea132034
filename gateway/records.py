"""Small durable tables of the gateway's own: a value per id, all in memory for reading, written through to a database.

For what gateways own and must find again after a crash: cluster routes, kernels. One gateway keeps them in a file
(``records_sqlite``), several share them on PostgreSQL (``records_postgres``).
"""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Protocol, TypeVar


class Identified(Protocol):
    """A value with an id."""

    @property
    def id(self) -> str:
        """Return what the value is found by."""
        ...


T = TypeVar("T", bound=Identified)


class RecordsUnavailable(Exception):
    """The records cannot be read or written."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "The gateway's records are not available"


class RecordTable(Protocol[T]):
    """The table of one kind of value.

    Guarantees: reading is synchronous and from memory, and sees what this gateway has written; what others have
    written is seen soon after (``find`` and ``locked`` see it at once). A write is durable when it returns.

    Raises:
        RecordsUnavailable: what is asked of the database cannot be read or written.
    """

    @property
    def changes(self) -> int:
        """Return another number once anything has changed: for what is kept that follows from the values."""
        ...

    def __iter__(self) -> Iterator[T]:
        """Iterate over a copy of all values, so that the table may change meanwhile."""
        ...

    def get(self, record_id: str) -> T | None:
        """Return a value, or None."""
        ...

    async def find(self, record_id: str) -> T | None:
        """Return a value, or None; look in the database where it is not in memory."""
        ...

    def locked(self, record_id: str) -> AbstractAsyncContextManager[T | None]:
        """Hold a value against the other holders of its lock, of all gateways; give it as it is then. Not re-entrant.

        For steps that read, ask an edge and write: between two of them the value could change, or go.
        """
        ...

    async def put(self, value: T) -> None:
        """Write a value, then make it visible."""
        ...

    async def delete(self, record_id: str) -> None:
        """Forget a value. Idempotent."""
        ...
