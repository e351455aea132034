"""One site's answers as a stream of rows in the global order, whatever the site's own order is worth."""

import itertools
import time
from collections.abc import Awaitable, Iterator

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
        self._asked_at: float | None = None
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

    def ask(self) -> Awaitable[Batch]:
        """Ask the site on; what comes belongs into :meth:`take`, and that nothing comes is told by :meth:`give_up`.

        Raises:
            SiteMisbehaved: it pages for ever.
        """
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise SiteMisbehaved(self._call.site, f"more than {MAX_PAGES} pages in one search")
        self._asked_at = time.perf_counter()
        return self._catalogue.search(self._call.segments[self._segment], limit=self._limit, after=self._position)

    def give_up(self) -> None:
        """Note that the site does not answer."""
        if self._asked_at is not None:
            self._milliseconds += (time.perf_counter() - self._asked_at) * 1e3
            self._asked_at = None

    def take(self, batch: Batch) -> bool:
        """Take what came; tell whether the site is to be asked on before any of it can be pulled.

        Raises:
            Disproved: the site does not do what it claims.
            SiteMisbehaved: the site failed.
        """
        self.give_up()
        rows = self._read(batch)
        if not self._call.sorted:
            return self._drained(rows)
        if self._call.ties:
            self._ready = _begun(rows, self._call.share // _READ_AHEAD)
        else:
            self._ready = iter(self._released(list(rows)))
        return False

    @property
    def _limit(self) -> int:
        # What is read to its end is read in the site's largest pages.
        return min(self._max_page, self._call.share) if self._call.sorted else self._max_page

    def _read(self, batch: Batch) -> Iterator[Row]:
        """Count a page, and step on; its rows are read as they are asked for."""
        segment = self._segment
        if self._pages == 1:
            self._matched = batch.matched
        self._exact = self._exact and batch.exact
        self._fetched += len(batch.items)
        self.reader.overfull += len(batch.items) > self._limit
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

    def _drained(self, rows: Iterator[Row]) -> bool:
        """Hold what came until all is there, up to a bound, and sort it here; tell whether there is more."""
        self._held += rows
        if self._fetched > MAX_DRAINED:
            raise SiteMisbehaved(
                self._call.site,
                f"it cannot sort, and has more than {MAX_DRAINED} matches; narrow the search",
            )
        if self._exhausted:
            self._ready, self._held = iter(sorted(self._held, key=_row_key)), []
        return not self._exhausted


def _begun(rows: Iterator[Row], count: int) -> Iterator[Row]:
    """Return rows of which the first ones are read now, not when they are asked for."""
    return itertools.chain(list(itertools.islice(rows, count)), rows)


def _row_key(row: Row) -> Key:
    return row.key
