"""A whole search as one walk over its pages, the next of which is fetched while the last is being given away.

The walk holds two pages at most, whatever the number of items. It can be taken up again where a page ended.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from edges.model import Frozen, Query
from gateway.search.federation import AllSitesFailed, Federation, PartialRefused
from gateway.search.page import Page
from gateway.search.sight import Sight

PAGE_ITEMS = 500
"""Items of one page of a walk: some ten megabytes where items are large."""
PAUSES_SECONDS = (0.5, 2.0)
"""Before a page is asked for again because a site has failed that had answered so far."""


class Export(Frozen):
    """What to walk over: all matches of ``query`` in ``sight`` after ``resume``, ``most`` of them where it is given."""

    query: Query
    user: str
    strict: bool = False
    require: tuple[str, ...] = ()
    resume: str | None = None
    most: int | None = None
    sight: Sight | None = None


async def walk(federation: Federation, export: Export) -> AsyncIterator[Page]:
    """Yield page after page; close the iterator, and what is being fetched is given up at once.

    Raises:
        InvalidInput: ``resume`` is not for this search.
        AllSitesFailed, PartialRefused: as in a search; what came before stands, and its ``next`` takes it up again.
    """
    left = export.most
    walker = _Walker(federation, export)
    task: asyncio.Task[Page] | None = _asked(walker, export.resume, left)
    try:
        while task is not None:
            page = await task
            left = None if left is None else left - len(page.groups)
            task = None
            if page.next is not None and left != 0:
                task = _asked(walker, page.next, left)
            yield page
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _asked(walker: "_Walker", token: str | None, left: int | None) -> asyncio.Task[Page]:
    limit = PAGE_ITEMS if left is None else min(PAGE_ITEMS, left)
    return asyncio.create_task(walker.page(token, limit), name="export page")


class _Walker:
    """Asks for pages; patient with a site that fails in the middle, whose items would be missed for good."""

    def __init__(self, federation: Federation, export: Export) -> None:
        self._federation = federation
        self._export = export
        self._given_up: set[str] = set()

    async def page(self, token: str | None, limit: int) -> Page:
        export = self._export
        query = msgspec.structs.replace(export.query, limit=limit)
        first = token is None or token == export.resume
        for pause in (*(() if first else PAUSES_SECONDS), None):
            try:
                page = await self._federation.search(
                    query,
                    user=export.user,
                    token=token,
                    strict=export.strict,
                    require=export.require,
                    sight=export.sight,
                )
            except (AllSitesFailed, PartialRefused):
                if pause is None:
                    raise
            else:
                lost = set(page.missing) - self._given_up
                if not lost or pause is None:
                    break
            await asyncio.sleep(pause)
        self._given_up |= lost
        return page
