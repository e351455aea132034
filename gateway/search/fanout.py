"""Asks the sites at once: feeds a merge from its streams until it has what is wanted or the deadline passes."""

import asyncio
from collections.abc import Mapping

from edges.errors import EdgeError, SiteMisbehaved
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
        loop = asyncio.get_running_loop()
        tasks = {asyncio.create_task(self._streams[site].more(), name=f"search {site}"): site for site in starved}
        try:
            done, late = await asyncio.wait(tasks, timeout=max(0.0, self._end - loop.time()))
            for task in done:
                self._take(tasks[task], task)
            for task in late:
                self._fail(tasks[task], f"no answer within the deadline of {self._seconds:g} s", code="timeout")
        finally:
            await _cancelled(tasks)

    def _take(self, site: str, task: "asyncio.Task[None]") -> None:
        error = task.exception()
        if isinstance(error, EdgeError):
            self._fail(site, str(error), code=getattr(error, "code", "failed"))
        elif error is not None:
            raise error

    def _fail(self, site: str, reason: str, *, code: str) -> None:
        self.failures[site] = reason
        self.codes[site] = code
        self._merge.close(site)


async def _cancelled(tasks: "dict[asyncio.Task[None], str]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
