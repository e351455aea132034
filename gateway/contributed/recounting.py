"""Sets right what the book says of collections, where a gateway was killed between writing items and counting them.

Or where the site failed in between, so that it is not known which were written.

How many items a collection has is a cheap question; only where the answer is another one are they looked at.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from edges.errors import EdgeError
from edges.model import Query
from edges.stac.tags import size_of
from gateway.background import beside
from gateway.contributed.ground import Ground
from gateway.contributed.model import Collection
from gateway.contributed.storage import StorageCharge
from quotas.errors import QuotaError

_log = logging.getLogger(__name__)

_PAGE = 1_000
AGAIN_SECONDS = 3_600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class Recounting:
    """Compares all collections with their site, at the start and every ``again_seconds``."""

    def __init__(self, *, ground: Ground, storage: StorageCharge, again_seconds: float = AGAIN_SECONDS) -> None:
        self._ground = ground
        self._storage = storage
        self._again = again_seconds
        self._doubted: set[str] = set()
        self._doubt = asyncio.Event()

    def soon(self, name: str) -> None:
        """Compare a collection soon: nobody knows what became of a write."""
        self._doubted.add(name)
        self._doubt.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compare while the context lasts."""
        async with (
            beside(self._compare_for_ever(), name="recount users' collections"),
            beside(self._settle_doubts(), name="recount after failed writes"),
        ):
            yield

    async def _compare_for_ever(self) -> None:
        while True:
            for record in list(self._ground.book.shared()):
                await self._compare(record.id)
            await asyncio.sleep(self._again)

    async def _settle_doubts(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            await self._doubt.wait()
            await asyncio.sleep(pause)  # its site has just failed
            self._doubt.clear()
            doubted, self._doubted = self._doubted, set()
            for name in doubted:
                if not await self._compare(name, whole=True):
                    self.soon(name)
            pause = min(2 * pause, _LONGEST_PAUSE) if self._doubted else _FIRST_PAUSE

    async def _compare(self, name: str, *, whole: bool = False) -> bool:
        """Set a collection right where it is wrong, or ``whole`` (also its bytes); tell whether that could be done."""
        record = self._ground.book.get(name)
        try:
            if record is not None and (whole or await self._differs(record)):
                await self.recount(name)
        except (EdgeError, QuotaError) as error:
            _log.warning("a collection could not be recounted", extra={"collection": name, "reason": str(error)[:300]})
            return isinstance(error, QuotaError)
        return True

    async def _differs(self, record: Collection) -> bool:
        query = Query(collections=(record.id,), limit=1)
        batch = await self._ground.catalogue.search(query, limit=1)
        return batch.matched is not None and batch.matched != record.items

    async def recount(self, name: str) -> None:
        """Look at all items of a collection, and let the book and the quota say what is there.

        Raises:
            QuotaExceeded: more is there than there is room for; the book then says what is there, and was paid for.
        """
        async with self._ground.book.locked(name) as record:
            if record is None:
                return
            items, size = await self._measured(name)
            counted = msgspec.structs.replace(record, items=items)
            await self._ground.book.put(counted)
            async with self._storage.changing(record.payer, size - record.bytes, why=f"collection {name}, recounted"):
                await self._ground.book.put(msgspec.structs.replace(counted, bytes=size))
        _log.info("a collection was recounted", extra={"collection": name, "items": items, "bytes": size})

    async def _measured(self, name: str) -> tuple[int, int]:
        items = size = 0
        position: str | None = None
        while True:
            query = Query(collections=(name,), limit=_PAGE)
            batch = await self._ground.catalogue.search(query, limit=_PAGE, after=position)
            for item in batch.items:
                items += 1
                size += size_of(item)
            position = batch.next
            if position is None:
                return items, size
