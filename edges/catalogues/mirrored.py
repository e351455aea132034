"""One catalogue at several addresses: the first that is well is asked, a mirror where that one is late or fails."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from edges.budget import earned, share, spent
from edges.catalogues.aggregating import aggregate
from edges.catalogues.describing import queryables_of
from edges.errors import SiteMisbehaved, SiteNotAsked, SiteUnavailable
from edges.health import Pulse, asked, failed, succeeded
from edges.hedging import CREDIT, REMEMBERED, SHARE, late_after
from edges.model import Batch, Capabilities, Json, Members, Query
from edges.observing import CallObserver
from edges.seams import WritableCatalogue
from edges.stac.aggregation import Tally, Wanted

T = TypeVar("T")
Ask = Callable[[WritableCatalogue], Awaitable[T]]


class _Replica:
    """One address, how it is, and how long it took of late."""

    def __init__(self, number: int, catalogue: WritableCatalogue) -> None:
        self.number = number
        self.catalogue = catalogue
        self.pulse = Pulse()
        self.seconds: deque[float] = deque(maxlen=REMEMBERED)


class MirroredCatalogue:
    """Reads from whichever address answers first; writes go to the first one alone.

    A mirror is asked where the address before it fails, and, for at most one request in twenty, where it is late: past
    the 95th percentile of its own times. A walk over pages stays with the address that gave its first page. ``clock``
    is one that does not step, in seconds.
    """

    def __init__(
        self,
        *,
        site: str,
        first: WritableCatalogue,
        mirrors: Iterable[WritableCatalogue],
        observer: CallObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site = site
        self._replicas = [_Replica(number, each) for number, each in enumerate((first, *mirrors))]
        self._observer = observer
        self._clock = clock
        self._hedges = share(SHARE, CREDIT)

    async def capabilities(self) -> Capabilities:
        """Tell what whoever answers can do."""
        return (await self._read(lambda catalogue: catalogue.capabilities()))[1]

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        """Search at one of the addresses; positions name the one that gave them."""
        if after is None:
            replica, batch = await self._read(lambda catalogue: catalogue.search(query, limit=limit), hedged=True)
        else:
            replica, position = self._placed(after)
            batch = await self._timed(replica, lambda catalogue: catalogue.search(query, limit=limit, after=position))
        if batch.next is None:
            return batch
        return msgspec.structs.replace(batch, next=f"{replica.number} {batch.next}")

    async def aggregate(self, query: Query, wanted: Wanted) -> Tally:
        """Let one of the addresses count, if it can."""
        return (await self._read(lambda catalogue: aggregate(catalogue, query, wanted)))[1]

    async def queryables(self) -> Json:
        """Return what can be asked for, as one address tells it."""
        return (await self._read(queryables_of))[1]

    async def collections(self) -> list[Json]:
        """Return all collections, as one address tells them."""
        return (await self._read(lambda catalogue: catalogue.collections()))[1]

    async def item(self, collection: str, item_id: str) -> Members | None:
        """Return one item, or None."""
        return (await self._read(lambda catalogue: catalogue.item(collection, item_id), hedged=True))[1]

    async def put_collection(self, collection: Json) -> None:
        """Create or replace a collection at the first address."""
        await self._replicas[0].catalogue.put_collection(collection)

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        """Create or replace items at the first address."""
        await self._replicas[0].catalogue.put_items(collection, items)

    async def delete_item(self, collection: str, item_id: str) -> bool:
        """Delete an item at the first address."""
        return await self._replicas[0].catalogue.delete_item(collection, item_id)

    def _placed(self, after: str) -> tuple[_Replica, str]:
        number, _, position = after.partition(" ")
        if not (number.isascii() and number.isdigit()) or int(number) >= len(self._replicas):
            raise SiteMisbehaved(self._site, "a position names an address that it does not have")
        return self._replicas[int(number)], position

    async def _read(self, ask: Ask[T], *, hedged: bool = False) -> tuple[_Replica, T]:
        """Ask one address after the other until one answers; the late one goes on beside its mirror."""
        self._hedges = earned(self._hedges)
        waiting = self._in_order()
        running: dict[asyncio.Task[T], _Replica] = {}
        failure: SiteUnavailable | None = None
        try:
            while waiting or running:
                if waiting and not running:
                    self._start(waiting.pop(0), ask, running)
                await self._wait(running, patience=self._patience(running) if hedged and waiting else None)
                for task in [task for task in running if task.done()]:
                    replica = running.pop(task)
                    error = task.exception()
                    if error is None:
                        self._won(replica, running)
                        return replica, task.result()
                    if not isinstance(error, SiteUnavailable):
                        raise error
                    failure = failure or error
                if hedged and waiting and len(running) == 1 and self._may_hedge():
                    self._start(waiting.pop(0), ask, running)
        finally:
            await _cancelled(running)
        raise failure or SiteUnavailable(self._site, "has no address")

    def _in_order(self) -> list[_Replica]:
        """Return the addresses that are well, the first one first; all of them where none is."""
        now = self._clock()
        return [each for each in self._replicas if each.pulse.admits(now)] or list(self._replicas)

    def _start(self, replica: _Replica, ask: Ask[T], running: "dict[asyncio.Task[T], _Replica]") -> None:
        replica.pulse = asked(replica.pulse, self._clock())
        task = asyncio.create_task(self._timed(replica, ask), name=f"ask {self._site} address {replica.number}")
        running[task] = replica

    def _patience(self, running: "dict[asyncio.Task[T], _Replica]") -> float | None:
        """Return after how many seconds a mirror is asked beside the one address that runs."""
        if len(running) != 1 or self._hedges.credit < 1.0:
            return None
        (replica,) = running.values()
        return late_after(replica.seconds)

    def _may_hedge(self) -> bool:
        left = spent(self._hedges)
        if left is None:
            return False
        self._hedges = left
        return True

    def _won(self, replica: _Replica, running: "dict[asyncio.Task[T], _Replica]") -> None:
        if replica.number > 0 or running:
            self._observer.hedged(self._site, won=replica.number > 0)

    async def _timed(self, replica: _Replica, ask: Ask[T]) -> T:
        started = self._clock()
        try:
            answer = await ask(replica.catalogue)
        except SiteNotAsked:
            raise
        except SiteUnavailable as error:
            replica.pulse = failed(replica.pulse, error.reason, self._clock())
            raise
        now = self._clock()
        replica.seconds.append(now - started)
        replica.pulse = succeeded(replica.pulse, now)
        return answer

    @staticmethod
    async def _wait(running: "dict[asyncio.Task[T], _Replica]", *, patience: float | None) -> None:
        await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)


async def _cancelled(running: "dict[asyncio.Task[T], _Replica]") -> None:
    for task in running:
        task.cancel()
    if running:
        await asyncio.gather(*running, return_exceptions=True)
