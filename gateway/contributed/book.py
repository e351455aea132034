"""The book of users' collections: the records, and the site that holds what they tell of."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

from gateway.contributed.model import Collection, Sharing
from gateway.records import RecordTable


class Book:
    """Implements :class:`gateway.search.access.SharedBook` over a table of records."""

    def __init__(self, *, site: str, records: RecordTable[Collection]) -> None:
        self._site = site
        self._records = records
        self._looked_at = -1
        self._epoch = 0
        self._shared: dict[str, tuple[str, Sharing]] = {}

    @property
    def site(self) -> str:
        """Return the id of the site that holds the collections."""
        return self._site

    @property
    def changes(self) -> int:
        """Return another number once somebody sees more or less than before: not with each item that is written."""
        writes = self._records.changes
        if writes != self._looked_at:
            self._looked_at = writes
            shared = {record.id: (record.owner, record.sharing) for record in self._records}
            if shared != self._shared:
                self._shared = shared
                self._epoch += 1
        return self._epoch

    @property
    def writes(self) -> int:
        """Return another number once anything has changed."""
        return self._records.changes

    def shared(self) -> Iterable[Collection]:
        """Return all collections."""
        return self._records

    def get(self, name: str) -> Collection | None:
        """Return a collection, or None."""
        return self._records.get(name)

    async def find(self, name: str) -> Collection | None:
        """Return a collection, or None; look in the database where it is not in memory."""
        return await self._records.find(name)

    def locked(self, name: str) -> AbstractAsyncContextManager[Collection | None]:
        """Hold a collection against whoever else would change it, at any gateway; give it as it is then."""
        return self._records.locked(name)

    async def put(self, record: Collection) -> None:
        """Write a collection, then make it visible."""
        await self._records.put(record)

    async def forget(self, name: str) -> None:
        """Forget a collection. Idempotent."""
        await self._records.delete(name)
