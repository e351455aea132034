"""The k-way merge, as a machine that is fed: it decides, and whoever runs it asks the sites. Pure.

Rows with equal keys are copies of one item (the key ends with collection and id): they are grouped, whatever their
number, and never split over two pages.
"""

import heapq
from collections.abc import Sequence

import msgspec

from edges.model import Members
from edges.stac.order import Key


class Row(msgspec.Struct, frozen=True, gc=False):
    """One item of one site, with its key in the global order."""

    key: Key
    site: str
    item: Members


Group = list[Row]
"""The copies of one item, by the rank of their sites."""


class Merge:
    """Merges sorted streams. ``ranks`` orders the sites among copies."""

    def __init__(self, *, ranks: dict[str, int]) -> None:
        self._ranks = ranks
        self._rows: dict[str, list[Row]] = {site: [] for site in ranks}
        self._heads: list[tuple[Key, int, str]] = []
        self._open = set(ranks)
        self._groups: list[Group] = []

    def feed(self, site: str, rows: Sequence[Row], *, exhausted: bool) -> None:
        """Give the next rows of a site, in order. ``exhausted``: it has no more."""
        waiting = self._rows[site]
        had_head = bool(waiting)
        waiting[:0] = reversed(rows)  # the next row stands last, where pop() is cheap
        if exhausted:
            self._open.discard(site)
        if waiting and not had_head:
            heapq.heappush(self._heads, (waiting[-1].key, self._ranks[site], site))

    def close(self, site: str) -> None:
        """Drop a site that failed, with what was not merged yet."""
        self._open.discard(site)
        self._rows[site].clear()
        self._heads = [head for head in self._heads if head[2] != site]
        heapq.heapify(self._heads)

    def taken(self) -> list[Group]:
        """Return the groups merged since this was last asked; each is complete once :meth:`advance` is done."""
        groups, self._groups = self._groups, []
        return groups

    def advance(self, count: int) -> list[str]:
        """Merge until ``count`` groups wait to be taken; return the sites whose next rows are needed, none if done."""
        while True:
            starved = [site for site in self._open if not self._rows[site]]
            if starved:
                return starved
            if not self._heads:
                return []
            key, rank, site = self._heads[0]
            new = not self._groups or self._groups[-1][0].key != key
            if new and len(self._groups) == count:
                return []
            self._take(site, rank, new=new)

    def _take(self, site: str, rank: int, *, new: bool) -> None:
        waiting = self._rows[site]
        row = waiting.pop()
        if waiting:
            heapq.heapreplace(self._heads, (waiting[-1].key, rank, site))
        else:
            heapq.heappop(self._heads)
        if new:
            self._groups.append([row])
        else:
            self._groups[-1].append(row)
