"""One site's answers as a stream of rows in the global order, whatever the site's own order is worth."""

import time
from collections.abc import Callable, Mapping

import msgspec

from edges.errors import SiteMisbehaved
from edges.model import Batch, Members
from edges.registry import Site
from edges.seams import Catalogue
from edges.stac.order import Key
from gateway.search.merge import Row
from gateway.search.page import Tally
from gateway.search.plan import Call
from gateway.search.stages import Disproved

_TEXT = msgspec.json.Decoder(str)
MAX_DRAINED = 10_000
"""Items of one site that are sorted here, where the site cannot sort."""
MAX_PAGES = 1_000
"""Pages of one site within one search: a site that pages for ever ends with an error."""


class OrderViolated(Disproved):
    """The site's rows came in another order than it claims; ``ties`` tells that only equal values were mixed."""

    def __init__(self, site: str, *, ties: bool) -> None:
        super().__init__(f"{site}: {'ties are mixed' if ties else 'the order is not kept'}")
        self.site = site
        self.ties = ties

    def correct(self, sites: Mapping[str, Site]) -> None:
        """Believe the site's order less."""
        sites[self.site].demote(ties=self.ties)


class Reading:
    """How rows are read: the check against the whole query, their keys, and where the last page ended."""

    def __init__(
        self,
        *,
        matches: Callable[[Members], bool],
        key: Callable[[Members], Key],
        after: Key | None,
        prefix: int,
    ) -> None:
        self.matches = matches
        self.key = key
        self.after = after
        self.prefix = prefix


class SiteStream:
    """Reads one call's segments page by page. Counts what it saw."""

    def __init__(self, *, call: Call, catalogue: Catalogue, reading: Reading, max_page: int) -> None:
        self._call = call
        self._catalogue = catalogue
        self._reading = reading
        self._max_page = max_page
        self._segments = list(call.segments)
        self._position: str | None = None
        self._held: list[Row] = []
        self._last: Key | None = None
        self._pages = 0
        self._seen: set[str] = set()
        self._fetched = 0
        self._dropped = 0
        self._matched: int | None = None
        self._milliseconds = 0.0
        self.exhausted = False

    def tally(self) -> Tally:
        """Return what was counted so far."""
        return Tally(
            fetched=self._fetched,
            dropped=self._dropped,
            requests=self._pages,
            milliseconds=self._milliseconds,
            matched=self._matched,
        )

    async def more(self) -> list[Row]:
        """Return the next rows: at least one, unless the stream is exhausted.

        Raises:
            OrderViolated: the site claims an order that it does not keep.
            SiteMisbehaved, SiteUnavailable: the site failed.
        """
        rows: list[Row] = []
        while not rows and not self.exhausted:
            rows = self._released(await self._page()) if self._call.sorted else await self._drained()
        return rows

    async def _page(self) -> list[Row]:
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise SiteMisbehaved(self._call.site, f"more than {MAX_PAGES} pages in one search")
        limit = min(self._max_page, self._call.share)
        started = time.perf_counter()
        try:
            batch = await self._catalogue.search(self._segments[0], limit=limit, after=self._position)
        finally:
            self._milliseconds += (time.perf_counter() - started) * 1e3
        if self._pages == 1:
            self._matched = batch.matched
        self._step(batch)
        return self._read(batch)

    def _step(self, batch: Batch) -> None:
        self._position = batch.next
        if batch.next is not None:
            if batch.next in self._seen:
                raise SiteMisbehaved(self._call.site, "its paging runs in a circle")
            self._seen.add(batch.next)
            return
        self._segments.pop(0)
        self._seen.clear()
        self.exhausted = not self._segments

    def _read(self, batch: Batch) -> list[Row]:
        after = self._reading.after
        rows = []
        self._fetched += len(batch.items)
        for item in batch.items:
            row = self._row(item)
            if row is None:
                self._dropped += 1
                continue
            if self._call.sorted:
                self._verify(row.key)
            if after is None or row.key > after:
                rows.append(row)
        return rows

    def _row(self, item: Members) -> Row | None:
        """Return the item with its key; None where it does not match, is not the site's own, or is no item."""
        call, reading = self._call, self._reading
        try:
            if not reading.matches(item) or (
                call.holds is not None and _TEXT.decode(item["collection"]) not in call.holds
            ):
                return None
            return Row(key=reading.key(item), site=call.site, item=item)
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _verify(self, key: Key) -> None:
        last, self._last = self._last, key
        if last is None or key >= last:
            return
        in_tie = key[: self._reading.prefix] == last[: self._reading.prefix]
        if self._call.ties or not in_tie:
            raise OrderViolated(self._call.site, ties=in_tie)
        self._last = last

    def _released(self, rows: list[Row]) -> list[Row]:
        """Return what can be given on: without ``ties``, the last run of equal values waits for its end."""
        if self._call.ties:
            return rows
        self._held += rows
        if self.exhausted:
            ready, self._held = sorted(self._held, key=_row_key), []
            return ready
        if not self._held:
            return []
        prefix = self._reading.prefix
        open_run = self._held[-1].key[:prefix]
        cut = len(self._held)
        while cut and self._held[cut - 1].key[:prefix] == open_run:
            cut -= 1
        ready, self._held = sorted(self._held[:cut], key=_row_key), self._held[cut:]
        return ready

    async def _drained(self) -> list[Row]:
        """Read everything and sort it here, up to a bound."""
        rows: list[Row] = []
        while not self.exhausted:
            rows += await self._page()
            if self._fetched > MAX_DRAINED:
                raise SiteMisbehaved(
                    self._call.site,
                    f"it cannot sort, and has more than {MAX_DRAINED} matches; narrow the search",
                )
        return sorted(rows, key=_row_key)


def _row_key(row: Row) -> Key:
    return row.key
