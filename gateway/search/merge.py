"""The k-way merge, as a machine that pulls: it decides, and whoever runs it asks the sites. Pure.

Rows with equal keys are copies of one item (the key ends with collection and id): they are grouped, whatever their
number, and never split over two pages. A site that gives an item twice in a row has one copy of it.
"""

import heapq
from collections.abc import Mapping
from typing import Protocol

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


class Source(Protocol):
    """A site's rows in the global order, as far as they have come. Rows are read only as they are pulled."""

    @property
    def exhausted(self) -> bool:
        """Tell whether no more rows will come than can be pulled now."""
        ...

    def pull(self) -> Row | None:
        """Return the next row, or None where there is none (yet)."""
        ...


class Merge:
    """Merges sources, by site; their order is the rank of the sites among copies."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sources)
        self._ranks = {site: rank for rank, site in enumerate(sources)}
        self._waiting = set(sources)
        self._heads: list[tuple[Key, int, Row, Source]] = []
        self._groups: list[Group] = []

    def close(self, site: str) -> None:
        """Drop a site that failed, with what was not merged yet."""
        self._waiting.discard(site)
        self._heads = [head for head in self._heads if head[2].site != site]
        heapq.heapify(self._heads)

    def taken(self) -> list[Group]:
        """Return the groups merged since this was last asked; each is complete once :meth:`advance` is done."""
        groups, self._groups = self._groups, []
        return groups

    def advance(self, count: int) -> list[str]:
        """Merge until ``count`` groups wait to be taken; return the sites whose next rows are needed, none if done.

        Raises:
            Exception: whatever reading a row raises; the row is then lost.
        """
        while True:
            for site in sorted(self._waiting, key=self._ranks.__getitem__):
                if self._headed(site):
                    self._waiting.discard(site)
            if self._waiting:
                return sorted(self._waiting, key=self._ranks.__getitem__)
            if not self._merged(count):
                return []

    def _headed(self, site: str) -> bool:
        """Bring a site's next row into the race; tell whether it needs no asking."""
        source = self._sources[site]
        row = source.pull()
        if row is None:
            return source.exhausted
        heapq.heappush(self._heads, (row.key, self._ranks[site], row, source))
        return True

    def _merged(self, count: int) -> bool:
        """Take rows until ``count`` groups are complete or a source runs dry; tell whether there may be more to do."""
        heads, groups, replace = self._heads, self._groups, heapq.heapreplace
        last = groups[-1][0].key if groups else None
        while heads:
            key, rank, row, source = heads[0]
            if key != last:
                if len(groups) == count:
                    return False
                groups.append([row])
                last = key
            elif groups[-1][-1].site != row.site:
                groups[-1].append(row)
            following = source.pull()
            if following is None:
                heapq.heappop(heads)
                if not source.exhausted:
                    self._waiting.add(row.site)
                    return True
            else:
                replace(heads, (following.key, rank, following, source))
        return False
