"""Who is there and how they are: the sites, what they hold, what they can, and whether they may be asked."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager

import msgspec

from edges.audit import OrderTrust, audit_order, ranked_keys
from edges.catalogues.describing import queryables_of
from edges.errors import EdgeError, SiteNotAsked
from edges.health import Pulse, asked, failed, succeeded
from edges.model import Capabilities, Health, Json, SortKey
from edges.quirks import TOLD, Quirk, QuirkKind, noted
from edges.seams import WritableCatalogue
from edges.settings import SiteSettings
from edges.stac.collections import safe_collections
from edges.stac.order import field_path, total_order

_log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 30.0
"""How long a site is not asked again for collections that it gives items of but does not tell of."""
_SOON_SECONDS = 1.0
"""When a site of which nothing is known is asked again, out of turn; then after twice as long each time."""
_QUERYABLES_SECONDS = 900.0
"""How long a site's own queryables are good: they change with its software, not with its items."""
_MAX_AUDITED = 256
"""Orders remembered per site; users choose them, so there must be a bound."""


class Site:
    """One site at run time: its settings, its catalogue, and what was last learnt of it."""

    def __init__(self, settings: SiteSettings, catalogue: WritableCatalogue) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.clock: Callable[[], float] = time.time
        self.pulse = Pulse()
        self.collections: tuple[Json, ...] | None = None
        self.learnt_at: float | None = None
        self.queryables: Json = {}
        self.queryables_at: float | None = None
        self._named: tuple[tuple[Json, ...] | None, frozenset[str] | None] = (None, None)
        self._quirks: Mapping[QuirkKind, Quirk] = {}
        self._claimed = Capabilities()
        self._demoted = OrderTrust(sort=True, ties=True)
        self._trust: dict[tuple[SortKey, ...], OrderTrust] = {}
        self._ignored: set[str] = set()
        self._kinds: dict[str, frozenset[str]] = {}
        self._able: dict[tuple[SortKey, ...], Capabilities] = {}

    @property
    def id(self) -> str:
        """Return the site's id."""
        return self.settings.id

    @property
    def health(self) -> Health:
        """Return how the site is."""
        return self.pulse.health()

    @property
    def admitted(self) -> bool:
        """Tell whether a request may go to the site now: not while it is left out, but for one trial at a time."""
        return self.pulse.admits(self.clock())

    @property
    def claimed(self) -> Capabilities:
        """Return what the site claims to do."""
        return self._claimed

    @property
    def quirks(self) -> list[str]:
        """Return what the site was caught at, in words."""
        return [quirk.text for quirk in self.quirk_report]

    @property
    def quirk_report(self) -> tuple[Quirk, ...]:
        """Return what the site was caught at: since when, how often, by which request."""
        return tuple(self._quirks.values())

    def caught(self, kind: QuirkKind, *, count: int = 1, example: Json | None = None) -> None:
        """Note that the site did what it should not (``edges.quirks.example_request`` makes the example)."""
        if kind not in self._quirks:
            _log.warning("a site was caught", extra={"site": self.id, "quirk": TOLD[kind]})
        self._quirks = noted(self._quirks, kind, self.clock(), count=count, example=example)

    @property
    def capabilities(self) -> Capabilities:
        """Return what the site can do: what it claims, less what it was caught not to do."""
        return self._less(self._demoted)

    def capabilities_for(self, order: tuple[SortKey, ...]) -> Capabilities:
        """Return what the site can do where an order is wanted; kept until something of it is learnt."""
        able = self._able.get(order)
        if able is None:
            if len(self._able) >= _MAX_AUDITED:
                self._able.clear()
            able = self._able[order] = self._able_for(order)
        return able

    def _able_for(self, order: tuple[SortKey, ...]) -> Capabilities:
        trust = self._trust.get(order, OrderTrust(sort=True, ties=True))
        if not self._has_words_for(order):
            trust = OrderTrust(sort=False, ties=False)
        return self._less(OrderTrust(sort=trust.sort and self._demoted.sort, ties=trust.ties and self._demoted.ties))

    def _has_words_for(self, order: tuple[SortKey, ...]) -> bool:
        """Tell whether the site's own names and values have this order."""
        claimed = self._claimed
        fields = {field_path(key.field) for key in order[: ranked_keys(order)]}
        return not fields & claimed.unsortable and (claimed.sortable is None or fields <= claimed.sortable)

    def _less(self, trust: OrderTrust) -> Capabilities:
        claimed = self._claimed
        return msgspec.structs.replace(
            claimed,
            sort=claimed.sort and trust.sort,
            ties=claimed.ties and trust.ties,
            filter=claimed.filter and "filter" not in self._ignored,
        )

    @property
    def ignored(self) -> frozenset[str]:
        """Return the parts of a query that the site was caught to ignore, by the name of the parameter."""
        return frozenset(self._ignored)

    @property
    def kinds(self) -> Mapping[str, frozenset[str]]:
        """Return the kinds of values that fields have here, of those by which an order was tried."""
        return self._kinds

    def ignores(self, part: str) -> None:
        """Rely no more on the site's evaluating a part of a query; all of it is evaluated here as well."""
        self._ignored.add(part)
        self._able.clear()

    @property
    def collection_ids(self) -> frozenset[str] | None:
        """Return the ids of its collections in harmonised words; None while they are not known."""
        if self._named[0] is not self.collections:
            names = None if self.collections is None else frozenset(str(each.get("id")) for each in self.collections)
            self._named = (self.collections, names)
        return self._named[1]

    def demote(self, *, ties: bool) -> None:
        """Believe the site's order less from now on, and tell of it."""
        self._tell(ties=ties)
        self._demoted = OrderTrust(sort=self._demoted.sort and ties, ties=False)
        self._able.clear()

    def _tell(self, *, ties: bool) -> None:
        self.caught("ties" if ties else "order")

    def tried(self, order: tuple[SortKey, ...]) -> bool:
        """Tell whether nothing is left to try of an order."""
        return not self._claimed.sort or order in self._trust or not self._has_words_for(order)

    async def audit(self, order: tuple[SortKey, ...]) -> None:
        """Try an order, once, before it is relied on; a site that does not answer is tried again next time.

        Raises:
            EdgeError: the site does not answer.
        """
        if self.tried(order):
            return
        trust = await audit_order(self.catalogue, order)
        if not trust.ties and self._claimed.ties:
            self._tell(ties=trust.sort)
        if len(self._trust) >= _MAX_AUDITED:
            self._trust.clear()
            self._kinds.clear()
        self._trust[order] = trust
        self._able.clear()
        self._kinds |= trust.kinds

    def learn(self, capabilities: Capabilities, collections: Iterable[Json]) -> None:
        """Take over what a probe found."""
        self._claimed = capabilities
        self._able.clear()
        self.collections = safe_collections(collections)
        self.learnt_at = self.clock()


class Registry:
    """All sites, probed in the background."""

    def __init__(self, sites: Iterable[Site], *, probe_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._sites = {site.id: site for site in sites}
        self._ranked = tuple(sorted(self._sites.values(), key=lambda site: (site.settings.priority, site.id)))
        self._probe_seconds = probe_seconds
        self._clock = clock
        for site in self._sites.values():
            site.clock = clock
        self.probed = False
        self._looked_at: dict[str, float] = {}

    def sites(self) -> tuple[Site, ...]:
        """Return all sites, best priority first."""
        return self._ranked

    def get(self, site_id: str) -> Site | None:
        """Return one site, or None."""
        return self._sites.get(site_id)

    def succeeded(self, site_id: str) -> None:
        """Note an answer."""
        site = self._sites[site_id]
        site.pulse = succeeded(site.pulse, self._clock())

    def failed(self, site_id: str, reason: str) -> None:
        """Note a failure; too many leave the site out, until one request is let through and succeeds."""
        site = self._sites[site_id]
        # not a secret: spreads the moments at which several gateways try a site again
        site.pulse = failed(site.pulse, reason, self._clock(), jitter=random.random())  # noqa: S311

    def asking(self, site_id: str) -> None:
        """Note that a request goes to the site: where it was left out, this is its one trial."""
        site = self._sites[site_id]
        site.pulse = asked(site.pulse, self._clock())

    async def probe(self) -> None:
        """Ask every site that may be asked what it can and what it holds."""
        await asyncio.gather(*(self._probe(site) for site in self._sites.values() if site.admitted))
        self.probed = True

    async def _probe(self, site: Site) -> None:
        self.asking(site.id)
        try:
            await self._learn(site)
        except SiteNotAsked as error:
            _log.info("site probe put off", extra={"site": site.id, "reason": str(error)[:300]})
        except EdgeError as error:
            self._missed(site, str(error))
        except Exception as error:  # noqa: BLE001 - the boundary of what a site can do
            # it must not end the probing of the others
            _log.exception("site probe failed", extra={"site": site.id})
            self._missed(site, f"its answer could not be read ({type(error).__name__})")
        else:
            self.succeeded(site.id)

    async def _learn(self, site: Site) -> None:
        capabilities = await site.catalogue.capabilities()
        age = None if site.learnt_at is None else self._clock() - site.learnt_at
        if site.collections is None or age is None or not 0 <= age < site.settings.catalogue.collections_seconds:
            site.learn(capabilities, await site.catalogue.collections())
        await self._learn_queryables(site)
        await site.audit(total_order(()))

    async def _learn_queryables(self, site: Site) -> None:
        """Take over what the site says that items can be asked for; where it fails at that, it is none the worse."""
        now = self._clock()
        fresh = site.queryables_at is not None and 0 <= now - site.queryables_at < _QUERYABLES_SECONDS
        if fresh or not site.claimed.filter:
            return
        site.queryables_at = now
        try:
            site.queryables = await queryables_of(site.catalogue)
        except EdgeError as error:
            _log.info("queryables not learnt", extra={"site": site.id, "reason": str(error)[:300]})

    async def look_again(self, site_id: str, names: Collection[str]) -> bool:
        """Ask a site for its collections, where it gave items of others; tell whether it holds one of these now.

        It is not asked again at once: a site may give what it does not tell of for ever.
        """
        site, now = self._sites[site_id], self._clock()
        asked = self._looked_at.get(site_id)
        if asked is not None and 0 <= now - asked < _LOOK_AGAIN_SECONDS:
            return False
        self._looked_at[site_id] = now
        try:
            site.learn(site.claimed, await site.catalogue.collections())
        except EdgeError as error:
            _log.info("collections not learnt", extra={"site": site_id, "reason": str(error)[:300]})
        return not frozenset(names).isdisjoint(site.collection_ids or ())

    def _missed(self, site: Site, reason: str) -> None:
        if site.pulse.failures == 0:
            _log.warning("site probe failed", extra={"site": site.id, "reason": reason[:300]})
        self.failed(site.id, reason)

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
        left, soon = self._probe_seconds, _SOON_SECONDS
        while True:
            unknown = any(site.collections is None for site in self._sites.values())
            pause = min(left, soon) if unknown else left
            await asyncio.sleep(pause)
            left -= pause
            if left <= 0:
                await self.probe()
                left, soon = self._probe_seconds, _SOON_SECONDS
            else:
                await self._meet()
                soon *= 2

    async def _meet(self) -> None:
        """Try sites of which nothing is known yet, out of turn; one that still does not answer is not blamed again."""
        unknown = [site for site in self._sites.values() if site.collections is None and site.admitted]
        answers = await asyncio.gather(*(self._learn(site) for site in unknown), return_exceptions=True)
        for site, error in zip(unknown, answers, strict=True):
            if error is None:
                self.succeeded(site.id)
