"""One site's answers as a stream of rows in the global order, whatever the site's own order is worth."""

import itertools
import time
from collections.abc import Iterator

from edges.errors import SiteMisbehaved
from edges.model import Batch
from edges.seams import Catalogue
from edges.stac.order import Key
from gateway.search.merge import Row
from gateway.search.page import Tally
from gateway.search.plan import Call
from gateway.search.reading import Reading, RowReader

MAX_DRAINED = 10_000
"""Items of one site that are sorted here, where the site cannot sort."""
MAX_PAGES = 1_000
"""Pages of one site within one search: a site that pages for ever ends with an error."""
_READ_AHEAD = 2
"""The part of a share, as its divisor, that is read as soon as it comes, while slower sites are still waited for.

A share is 1.6 times what is expected of the site, so that hardly anything is read which the merge would not ask for.
"""


class SiteStream:
    """Reads one call's segments page by page. Counts what it saw. Implements :class:`gateway.search.merge.Source`."""

    def __init__(self, *, call: Call, catalogue: Catalogue, reading: Reading, max_page: int) -> None:
        self._call = call
        self._catalogue = catalogue
        self._prefix = reading.prefix
        self._max_page = max_page
        self._segment = 0
        self._position: str | None = None
        self._ready: Iterator[Row] = iter(())
        self._held: list[Row] = []
        self._pages = 0
        self._seen: set[str] = set()
        self._fetched = 0
        self._matched: int | None = None
        self._milliseconds = 0.0
        self._exhausted = False
        self._exact = True
        self.reader = RowReader(call, reading)

    def tally(self) -> Tally:
        """Return what was counted so far."""
        return Tally(
            fetched=self._fetched,
            dropped=self.reader.dropped,
            requests=self._pages,
            milliseconds=self._milliseconds,
            matched=self._matched,
            exact=self._exact,
        )

    @property
    def exhausted(self) -> bool:
        """Tell whether the site has no more than can be pulled now."""
        return self._exhausted

    def pull(self) -> Row | None:
        """Return the next row that has come; it is read and checked now, see :meth:`RowReader.rows`."""
        return next(self._ready, None)

    async def more(self) -> None:
        """Ask the site on; what comes can be pulled then.

        Raises:
            Disproved: the site does not do what it claims.
            SiteMisbehaved, SiteUnavailable: the site failed.
        """
        if not self._call.sorted:
            self._ready = iter(await self._drained())
        elif self._call.ties:
            self._ready = _begun(await self._page(), self._call.share // _READ_AHEAD)
        else:
            self._ready = iter(self._released(list(await self._page())))

    async def _page(self) -> Iterator[Row]:
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise SiteMisbehaved(self._call.site, f"more than {MAX_PAGES} pages in one search")
        # What is read to its end is read in the site's largest pages.
        limit = min(self._max_page, self._call.share) if self._call.sorted else self._max_page
        segment = self._segment
        started = time.perf_counter()
        try:
            batch = await self._catalogue.search(self._call.segments[segment], limit=limit, after=self._position)
        finally:
            self._milliseconds += (time.perf_counter() - started) * 1e3
        if self._pages == 1:
            self._matched = batch.matched
        self._exact = self._exact and batch.exact
        self._fetched += len(batch.items)
        self.reader.overfull += len(batch.items) > limit
        self._step(batch)
        return self.reader.rows(batch, segment=segment)

    def _step(self, batch: Batch) -> None:
        self._position = batch.next
        if batch.next is not None:
            if batch.next in self._seen:
                raise SiteMisbehaved(self._call.site, "its paging runs in a circle")
            self._seen.add(batch.next)
            return
        self._segment += 1
        self._seen.clear()
        self._exhausted = self._segment == len(self._call.segments)

    def _released(self, rows: list[Row]) -> list[Row]:
        """Return what can be given on where ties are mixed: the last run of equal values waits for its end."""
        self._held += rows
        if self._exhausted:
            ready, self._held = sorted(self._held, key=_row_key), []
            return ready
        if not self._held:
            return []
        open_run = self._held[-1].key[: self._prefix]
        cut = len(self._held)
        while cut and self._held[cut - 1].key[: self._prefix] == open_run:
            cut -= 1
        ready, self._held = sorted(self._held[:cut], key=_row_key), self._held[cut:]
        return ready

    async def _drained(self) -> list[Row]:
        """Read everything and sort it here, up to a bound."""
        rows: list[Row] = []
        while not self._exhausted:
            rows += await self._page()
            if self._fetched > MAX_DRAINED:
                raise SiteMisbehaved(
                    self._call.site,
                    f"it cannot sort, and has more than {MAX_DRAINED} matches; narrow the search",
                )
        return sorted(rows, key=_row_key)


def _begun(rows: Iterator[Row], count: int) -> Iterator[Row]:
    """Return rows of which the first ones are read now, not when they are asked for."""
    return itertools.chain(list(itertools.islice(rows, count)), rows)


def _row_key(row: Row) -> Key:
    return row.key
