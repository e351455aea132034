"""The federated aggregation: sites count what they alone hold, the rest is walked over and counted here, bounded."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from edges.catalogues.aggregating import Aggregating, CannotAggregate, aggregate
from edges.errors import EdgeError, SiteUnavailable
from edges.hops import came_around
from edges.model import Frozen, Query
from edges.registry import Registry, Site
from edges.stac.aggregation import Tally, Wanted, united
from edges.stac.aggregation_count import Counting
from gateway.search.aggregation_plan import CountingSite, Share, shares, walked_instead
from gateway.search.federation import Federation
from gateway.search.sight import Sight

_log = logging.getLogger(__name__)

_PAGE_ITEMS = 1_000
_PUSHED_SHARE = 0.5
"""How much of the deadline sites have to count; what they have not by then is walked over in the other half."""

Pay = Callable[[int], Awaitable[None]]
"""Told of items before they are counted here; raises where they cannot be afforded."""


class NotExact(EdgeError):
    """The client wants exact counts only, and there are none."""

    status = 422
    title = "No exact count"


class SiteCount(Frozen):
    """How a site took part: ``counted`` by itself, ``walked`` over here, or ``failed``; ``reason`` says why so."""

    status: str
    items: int = 0
    reason: str = ""


class Aggregated(Frozen):
    """The counts; not ``exact`` means a lower bound: sites are missing, or there was more than could be walked over."""

    tally: Tally
    exact: bool
    sites: dict[str, SiteCount]
    walked: tuple[str, ...]
    """The collections whose items were walked over; narrowing these makes an answer exact."""

    @property
    def missing(self) -> list[str]:
        """Return the sites whose part is missing."""
        return sorted(site for site, count in self.sites.items() if count.status == "failed")


class FederatedAggregation:
    """Aggregates over all sites of a registry, within ``deadline_seconds`` and at most ``items`` looked at here."""

    def __init__(self, *, federation: Federation, registry: Registry, deadline_seconds: float, items: int) -> None:
        self._federation = federation
        self._registry = registry
        self._deadline = deadline_seconds
        self._items = items

    async def aggregate(
        self, query: Query, wanted: Wanted, *, user: str, pay: Pay, sight: Sight | None = None
    ) -> Aggregated:
        """Count all matches that are seen, or as many as the bounds allow.

        Raises:
            AllSitesFailed: no site that could hold matches has answered.
            Exception: whatever ``pay`` raises.
        """
        end = asyncio.get_running_loop().time() + self._deadline
        sight = sight or self._federation.sight(None)
        query = msgspec.structs.replace(query, sortby=(), fields=None)
        registered = () if came_around() else [site for site in self._registry.sites() if sight.present(site.id)]
        sites = {site.id: site for site in registered if query.sites is None or site.id in query.sites}
        chosen = shares(query, wanted, tuple(_view(site, sight) for site in sites.values()))
        answers = await asyncio.gather(*(self._pushed(sites[share.site], share, wanted) for share in chosen.pushed))
        told = dict(zip((share.site for share in chosen.pushed), answers, strict=True))
        counts = {site.id: _down(site) for site in sites.values() if not site.pulse.available}
        tallies = [answer for answer in answers if isinstance(answer, Tally)]
        for site, answer in told.items():
            if isinstance(answer, Tally):
                counts[site] = SiteCount(status="counted", items=answer.total, reason=chosen.why.get(site, ""))
        failed = tuple(share for share in chosen.pushed if isinstance(told[share.site], str))
        rest = walked_instead(chosen.rest, failed)
        whole = True
        if rest is not None:
            walk = _Walk(self._federation, rest, wanted, most=self._items, sight=sight)
            await walk.run(user=user, pay=pay, end=end)
            tallies.append(walk.tally)
            whole = walk.whole
            why = chosen.why | {site: answer for site, answer in told.items() if isinstance(answer, str)}
            counts |= walk.reports(why, counts)
        missing = any(count.status == "failed" for count in counts.values())
        walked = tuple(rest.collections or ()) if rest is not None else ()
        return Aggregated(tally=united(tallies), exact=whole and not missing, sites=counts, walked=walked)

    async def _pushed(self, site: Site, share: Share, wanted: Wanted) -> Tally | str:
        """Return a site's counts, or why it has none: then its items are walked over."""
        try:
            async with asyncio.timeout(self._deadline * _PUSHED_SHARE):
                return await aggregate(site.catalogue, share.query, wanted)
        except CannotAggregate as error:
            reason = str(error)
        except TimeoutError:
            reason = "it took too long to count"
        except EdgeError as error:
            reason = str(error)
        _log.info("site did not aggregate", extra={"site": site.id, "reason": reason[:300]})
        return reason


class _Walk:
    """Counts items page by page, up to ``most`` of them."""

    def __init__(self, federation: Federation, query: Query, wanted: Wanted, *, most: int, sight: Sight) -> None:
        self._federation = federation
        self._query = query
        self._counting = Counting(wanted)
        self._left = most
        self._sight = sight
        self._statuses: dict[str, tuple[str, int, str]] = {}
        self.whole = False

    @property
    def tally(self) -> Tally:
        """Return the counts so far."""
        return self._counting.tally()

    async def run(self, *, user: str, pay: Pay, end: float) -> None:
        """Walk to the end, or to a bound."""
        token: str | None = None
        loop = asyncio.get_running_loop()
        while self._left > 0:
            try:
                async with asyncio.timeout_at(end if token is not None else None):
                    token = await self._page(token, user, pay)
            except TimeoutError:
                return
            if token is None:
                self.whole = True
                return
            if loop.time() >= end:
                return

    async def _page(self, token: str | None, user: str, pay: Pay) -> str | None:
        query = msgspec.structs.replace(self._query, limit=min(_PAGE_ITEMS, self._left))
        page = await self._federation.search(query, user=user, token=token, sight=self._sight)
        await pay(len(page.groups))
        self._left -= len(page.groups)
        for group in page.groups:
            with contextlib.suppress(KeyError, msgspec.DecodeError, UnicodeDecodeError):  # no item, and so not counted
                self._counting.add(group[0].item)
        for report in page.reports:
            self._note(report.site, report.status, report.items, report.reason)
        return page.next

    def _note(self, site: str, status: str, items: int, reason: str) -> None:
        """Add a page's report; a failure on any page stays told."""
        before, count, why = self._statuses.get(site, (status, 0, reason))
        kept = (before, why) if before == "failed" else (status, reason)
        self._statuses[site] = (kept[0], count + items, kept[1])

    def reports(self, why: dict[str, str], counted: dict[str, SiteCount]) -> dict[str, SiteCount]:
        """Return what is to be told of each site; of one that has counted only if it failed since."""
        told = {}
        for site, (status, items, reason) in self._statuses.items():
            if status == "failed":
                told[site] = SiteCount(status="failed", items=items, reason=reason)
            elif status == "answered":
                before = counted[site].items if site in counted else 0
                told[site] = SiteCount(status="walked", items=before + items, reason=why.get(site, ""))
        return told


def _down(site: Site) -> SiteCount:
    return SiteCount(status="failed", reason=SiteUnavailable(site.id, site.pulse.reason or "left out").reason)


def _view(site: Site, sight: Sight) -> CountingSite:
    can = site.capabilities
    return CountingSite(
        id=site.id,
        collections=sight.seen(site.id, site.collection_ids),
        available=site.pulse.available,
        counts=can.aggregates if isinstance(site.catalogue, Aggregating) else frozenset(),
        filter=can.filter,
    )
