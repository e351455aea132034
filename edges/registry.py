"""Who is there and how they are: the sites, what they hold, what they can, and whether they may be asked."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec

from edges.audit import OrderTrust, audit_order
from edges.errors import EdgeError
from edges.health import Pulse, failed, succeeded
from edges.model import Capabilities, Health, Json, SortKey
from edges.seams import WritableCatalogue
from edges.settings import SiteSettings
from edges.stac.order import total_order

_log = logging.getLogger(__name__)

_MAX_AUDITED = 256
"""Orders remembered per site; users choose them, so there must be a bound."""


class Site:
    """One site at run time: its settings, its catalogue, and what was last learnt of it."""

    def __init__(self, settings: SiteSettings, catalogue: WritableCatalogue) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.pulse = Pulse()
        self.collections: tuple[Json, ...] | None = None
        self.quirks: list[str] = []
        self._claimed = Capabilities()
        self._demoted = OrderTrust(sort=True, ties=True)
        self._trust: dict[tuple[SortKey, ...], OrderTrust] = {}

    @property
    def id(self) -> str:
        """Return the site's id."""
        return self.settings.id

    @property
    def health(self) -> Health:
        """Return how the site is."""
        return self.pulse.health()

    @property
    def capabilities(self) -> Capabilities:
        """Return what the site can do: what it claims, less what it was caught not to do."""
        return self._less(self._demoted)

    def capabilities_for(self, order: tuple[SortKey, ...]) -> Capabilities:
        """Return what the site can do where an order is wanted."""
        trust = self._trust.get(order, OrderTrust(sort=True, ties=True))
        return self._less(OrderTrust(sort=trust.sort and self._demoted.sort, ties=trust.ties and self._demoted.ties))

    def _less(self, trust: OrderTrust) -> Capabilities:
        claimed = self._claimed
        return msgspec.structs.replace(claimed, sort=claimed.sort and trust.sort, ties=claimed.ties and trust.ties)

    @property
    def collection_ids(self) -> frozenset[str] | None:
        """Return the ids of its collections in harmonised words; None while they are not known."""
        return None if self.collections is None else frozenset(str(each.get("id")) for each in self.collections)

    def demote(self, *, ties: bool) -> None:
        """Believe the site's order less from now on, and tell of it."""
        self._tell(ties=ties)
        self._demoted = OrderTrust(sort=self._demoted.sort and ties, ties=False)

    def _tell(self, *, ties: bool) -> None:
        quirk = "mixes items with equal sort values" if ties else "does not keep the order it was asked for"
        if quirk not in self.quirks:
            self.quirks.append(quirk)

    async def audit(self, order: tuple[SortKey, ...]) -> None:
        """Try an order, once, before it is relied on; a site that does not answer is tried again next time.

        Raises:
            EdgeError: the site does not answer.
        """
        if not self._claimed.sort or order in self._trust:
            return
        trust = await audit_order(self.catalogue, order)
        if not trust.ties and self._claimed.ties:
            self._tell(ties=trust.sort)
        if len(self._trust) >= _MAX_AUDITED:
            self._trust.clear()
        self._trust[order] = trust

    def learn(self, capabilities: Capabilities, collections: Iterable[Json]) -> None:
        """Take over what a probe found."""
        self._claimed = capabilities
        self.collections = tuple(collections)


class Registry:
    """All sites, probed in the background."""

    def __init__(self, sites: Iterable[Site], *, probe_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._sites = {site.id: site for site in sites}
        self._probe_seconds = probe_seconds
        self._clock = clock

    def sites(self) -> tuple[Site, ...]:
        """Return all sites, best priority first."""
        return tuple(sorted(self._sites.values(), key=lambda site: (site.settings.priority, site.id)))

    def get(self, site_id: str) -> Site | None:
        """Return one site, or None."""
        return self._sites.get(site_id)

    def succeeded(self, site_id: str) -> None:
        """Note an answer."""
        site = self._sites[site_id]
        site.pulse = succeeded(site.pulse, self._clock())

    def failed(self, site_id: str, reason: str) -> None:
        """Note a failure; too many in a row leave the site out until a probe succeeds."""
        site = self._sites[site_id]
        site.pulse = failed(site.pulse, reason, self._clock())

    async def probe(self) -> None:
        """Ask every site once what it can and what it holds."""
        await asyncio.gather(*(self._probe(site) for site in self._sites.values()))

    async def _probe(self, site: Site) -> None:
        try:
            capabilities = await site.catalogue.capabilities()
            collections = await site.catalogue.collections()
        except EdgeError as error:
            if site.pulse.failures == 0:
                _log.warning("site probe failed", extra={"site": site.id, "reason": str(error)[:300]})
            self.failed(site.id, str(error))
            return
        site.learn(capabilities, collections)
        try:
            await site.audit(total_order(()))
        except EdgeError as error:
            self.failed(site.id, str(error))
            return
        self.succeeded(site.id)

    @asynccontextmanager
    async def probing(self) -> AsyncIterator[None]:
        """Probe once, then again and again while the context lasts."""
        await self.probe()
        task = asyncio.create_task(self._probe_for_ever(), name="probe sites")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _probe_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._probe_seconds)
            await self.probe()
