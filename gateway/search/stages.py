"""Where merged groups pass before they stand on a page: each stage may drop groups, and the page is filled up again.

A stage must be stateless over pages: what it drops follows from the query and the sites alone, so that any replica of
the gateway drops the same on any page.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from edges.model import Frozen, Members, Query
from edges.registry import Site
from edges.stac.matching import Match
from edges.stac.order import Key
from gateway.search.merge import Group
from gateway.search.plan import Plan


class Making(Frozen):
    """A page in the making, as a stage sees it.

    ``matches`` checks an item against the whole query, of which ``parts`` are the tests by name; ``key`` is its place
    in the global order, ``after`` where the last page ended, and ``within`` the site of the last copy given of that
    item. ``end`` is the moment of the event loop's clock by which the page must be done. A stage that could not ask a
    site notes the reason in ``failures``: the page then tells that this site's part is missing. Its own requests it
    counts in ``probes``, by site. What a stage must
    remember of the groups that it saw before, on this page, it keeps in ``memory`` under its own name.
    """

    query: Query
    plan: Plan
    parts: tuple[tuple[str, Match], ...]
    matches: Match
    key: Callable[[Members], Key]
    after: Key | None
    within: str
    sites: Mapping[str, Site]
    end: float
    failures: dict[str, str] = msgspec.field(default_factory=dict)
    probes: Counter[str] = msgspec.field(default_factory=Counter)
    memory: dict[str, Any] = msgspec.field(default_factory=dict)


class Stage(Protocol):
    """Decides which groups stand."""

    async def kept(self, groups: Sequence[Group], making: Making) -> list[Group]:
        """Return those of the groups that stand, in the same order.

        Called several times for one page, each time with the groups that follow.

        Raises:
            Disproved: something that the search relied on proved wrong.
        """
        ...


class Disproved(Exception, ABC):
    """Something that a search relied on proved wrong: it is corrected, and the page is made again.

    Each correction must hold for good, so that corrections end.
    """

    @abstractmethod
    def correct(self, sites: Mapping[str, Site]) -> None:
        """Note what was learnt."""
