"""Asks the sites at once: feeds a merge from its streams until it has what is wanted or the deadline passes."""

import asyncio
from collections.abc import Mapping

from edges.errors import EdgeError
from gateway.search.merge import Group, Merge, Row
from gateway.search.stream import SiteStream


class Fanout:
    """Feeds a merge, all starved streams at once. ``end`` is the event loop's time at which late sites are given up."""

    def __init__(self, streams: Mapping[str, SiteStream], merge: Merge, *, end: float, seconds: float) -> None:
        self._streams = streams
        self._merge = merge
        self._end = end
        self._seconds = seconds
        self.failures: dict[str, str] = {}
        self.codes: dict[str, str] = {}

    async def following(self, count: int) -> list[Group]:
        """Return the next groups in the global order: ``count`` of them, or fewer at the end."""
        while starved := self._merge.advance(count):
            await self._feed(starved)
        return self._merge.taken()

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

    def _take(self, site: str, task: "asyncio.Task[list[Row]]") -> None:
        error = task.exception()
        if error is None:
            self._merge.feed(site, task.result(), exhausted=self._streams[site].exhausted)
        elif isinstance(error, EdgeError):
            self._fail(site, str(error), code=getattr(error, "code", "failed"))
        else:
            raise error

    def _fail(self, site: str, reason: str, *, code: str) -> None:
        self.failures[site] = reason
        self.codes[site] = code
        self._merge.close(site)


async def _cancelled(tasks: "dict[asyncio.Task[list[Row]], str]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
