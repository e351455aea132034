"""Asks the sites at once: feeds a merge from its streams until it has what is wanted or the deadline passes."""

import asyncio
from collections.abc import Mapping
from functools import partial

from edges.errors import EdgeError, SiteMisbehaved
from edges.model import Batch
from gateway.search.merge import Group, Merge
from gateway.search.stream import SiteStream


class Fanout:
    """Reads on all starved streams of a merge at once.

    ``end`` is the event loop's time at which late sites are given up.
    """

    def __init__(self, streams: Mapping[str, SiteStream], merge: Merge, *, end: float, seconds: float) -> None:
        self._streams = streams
        self._merge = merge
        self._end = end
        self._seconds = seconds
        self.failures: dict[str, str] = {}
        self.codes: dict[str, str] = {}
        self._asked: dict[str, asyncio.Future[Batch]] = {}
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def following(self, count: int) -> list[Group]:
        """Return the next groups in the global order: ``count`` of them, or fewer at the end."""
        while starved := self._advance(count):
            await self._feed(starved)
        return self._merge.taken()

    def _advance(self, count: int) -> list[str]:
        while True:
            try:
                return self._merge.advance(count)
            except SiteMisbehaved as error:  # a row could not be read
                self._fail(error.site, str(error), code=error.code)

    async def _feed(self, starved: list[str]) -> None:
        """Ask these sites on; return once each has answered or failed, or is late."""
        loop = asyncio.get_running_loop()
        over = self._over = loop.create_future()
        for site in starved:
            self._ask(site)
        if not self._asked:
            return
        timer = loop.call_at(self._end, self._give_up)
        try:
            await over
        finally:
            timer.cancel()
            if self._asked:
                await self._cancel()

    def _ask(self, site: str) -> None:
        try:
            asked = asyncio.ensure_future(self._streams[site].ask())
        except EdgeError as error:
            self._fail(site, str(error), code=getattr(error, "code", "failed"))
            return
        self._asked[site] = asked
        asked.add_done_callback(partial(self._answered, site))

    def _answered(self, site: str, asked: "asyncio.Future[Batch]") -> None:
        """Take what came while slower sites are still waited for."""
        if self._asked.get(site) is not asked or self._over.done():
            return
        del self._asked[site]
        try:
            if self._streams[site].take(asked.result()):
                self._ask(site)
        except EdgeError as error:
            self._fail(site, str(error), code=getattr(error, "code", "failed"))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised where the search waits
            self._over.set_exception(error)
            return
        if not self._asked:
            self._over.set_result(None)

    def _give_up(self) -> None:
        for site in self._asked:
            self._fail(site, f"no answer within the deadline of {self._seconds:g} s", code="timeout")
        if not self._over.done():
            self._over.set_result(None)

    async def _cancel(self) -> None:
        left, self._asked = list(self._asked.values()), {}
        for asked in left:
            asked.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _fail(self, site: str, reason: str, *, code: str) -> None:
        self._streams[site].give_up()
        self.failures[site] = reason
        self.codes[site] = code
        self._merge.close(site)
