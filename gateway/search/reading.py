"""How a site's items are read to rows: checked against the whole query, keyed, and its claims with them. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from edges.model import Batch, Members
from edges.registry import Site
from edges.stac.matching import Match
from edges.stac.order import Key, stands_last
from gateway.search.merge import Row
from gateway.search.plan import Call
from gateway.search.stages import Disproved

_TEXT = msgspec.json.Decoder(str)
_UNREADABLE = (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)
MISSHAPEN, FOREIGN, DUPLICATES = "misshapen", "foreign", "duplicates"


class OrderViolated(Disproved):
    """The site's rows came in another order than it claims; ``ties`` tells that only equal values were mixed."""

    def __init__(self, site: str, *, ties: bool) -> None:
        super().__init__(f"{site}: {'ties are mixed' if ties else 'the order is not kept'}")
        self.site = site
        self.ties = ties

    def correct(self, sites: Mapping[str, Site]) -> None:
        """Believe the site's order less."""
        sites[self.site].demote(ties=self.ties)


class FilterIgnored(Disproved):
    """The site was asked to go on from a place, by a filter that it claims to evaluate, and did not."""

    def __init__(self, site: str) -> None:
        super().__init__(f"{site}: the filter is ignored")
        self.site = site

    def correct(self, sites: Mapping[str, Site]) -> None:
        """Rely on no filter of the site any more."""
        sites[self.site].caught("filter")
        sites[self.site].ignores("filter")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What rows of all sites are read by.

    ``parts`` are the tests of the whole query, by the name of what they test. ``key`` is an item's place in the global
    order, ``after`` where the last page ended, ``prefix`` how many of a key's members stand before its tie-breaks.
    ``closed``: the copies of the item where it ended are wanted again.
    """

    parts: tuple[tuple[str, Match], ...]
    key: Callable[[Members], Key]
    after: Key | None
    prefix: int
    closed: bool = False


class RowReader:
    """Reads one site's items, and counts what is wrong with them: ``faults``, by kind, out of ``seen`` items.

    ``overfull`` counts the pages that were larger than asked for.
    """

    def __init__(self, call: Call, reading: Reading) -> None:
        self._call = call
        self._reading = reading
        self._tests = tuple(test for _, test in reading.parts)
        self._last: Key | None = None
        self._bounded = min(reading.prefix, call.bounded)
        self._split = _split(reading.after) if len(call.segments) > 1 else None
        self.seen = 0
        self.passed_over = 0
        self.overfull = 0
        self.faults: Counter[str] = Counter()
        self.foreign: set[str] = set()

    @property
    def dropped(self) -> int:
        """Return how many items were no rows."""
        return sum(self.faults.values())

    def rows(self, batch: Batch, *, segment: int) -> Iterator[Row]:
        """Yield the rows of a batch, each read when it is asked for; what is given before the last page's end is not.

        Raises:
            OrderViolated: the site claims an order that it does not keep.
            FilterIgnored: it was asked by a filter that it ignores.
            SiteMisbehaved: what came is no JSON.
        """
        site, key_of, after, holds = self._call.site, self._reading.key, self._reading.after, self._call.holds
        tests, closed = self._tests, self._reading.closed
        for item in batch.items:
            self.seen += 1
            key = None
            try:
                for test in tests:  # not any(): this runs once for each item of each site
                    if not test(item):
                        break
                else:
                    own = holds is None or _TEXT.decode(item["collection"]) in holds
                    key = key_of(item) if own else None
            except _UNREADABLE:
                self.faults[MISSHAPEN] += 1
                continue
            if key is None:
                self._note(item, exact=batch.exact)
            elif self._follows(key, segment) and (after is None or key > after or (closed and key == after)):
                yield Row(key, site, item)

    def _note(self, item: Members, *, exact: bool) -> None:
        """Count why an item is dropped."""
        for name, test in self._reading.parts:
            if not test(item):
                told = exact or name not in ("filter", "text")
                self.faults[name if told else f"{name}, not asked"] += 1
                return
        self.faults[FOREIGN] += 1
        self.foreign.add(_TEXT.decode(item["collection"]))

    def _follows(self, key: Key, segment: int) -> bool:
        """Check a key against what was asked and what came before; tell whether it is a new one."""
        after = self._reading.after
        if after is not None and self._call.resumed:
            self._check_place(key, after, segment)
        if not self._call.sorted:
            return True
        last, self._last = self._last, key
        if last is None or key > last:
            return True
        if key == last:
            self.faults[DUPLICATES] += 1
            return False
        prefix = self._reading.prefix
        in_tie = key[:prefix] == last[:prefix]
        if self._call.ties or not in_tie:
            raise OrderViolated(self._call.site, ties=in_tie)
        return True

    def _check_place(self, key: Key, after: Key, segment: int) -> None:
        """Tell a site that ignores the filter by which it was asked to go on, before its rows are relied on."""
        if self._split is not None and stands_last(key[self._split]) is not (segment == 1):
            raise FilterIgnored(self._call.site)
        if key < after and key[: self._bounded] != after[: self._bounded]:
            self.passed_over += 1
            # Some sites compare times less exactly than they tell them; one that ignores the filter starts anew.
            if self.passed_over * 2 > max(self.seen, _FEW):
                raise FilterIgnored(self._call.site)


_FEW = 8
"""Rows before the place asked for that say nothing yet."""


def _split(after: Key | None) -> int | None:
    """Return the place in the key whose nulls are asked for apart: the first that is not null where the page ended."""
    return next((place for place, part in enumerate(after or ()) if not stands_last(part)), None)
