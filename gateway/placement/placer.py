"""Gathers what ranking needs: holdings by search, headroom from the ledger, health from the registry."""

from collections.abc import Sequence

from edges.model import Query
from edges.registry import Registry, Site
from gateway.placement.holdings import Holdings, Sizes, sizes_of, weigh
from gateway.placement.rank import EdgeFacts, Placement, rank
from gateway.placement.seam import ComputeNeed, PlacementDecision
from gateway.principal import Principal
from gateway.search.federation import Federation
from quotas.ledger import Ledger
from quotas.model import Line

MAX_WEIGHED = 10_000
"""Items that one placement looks at; beyond, it says so."""
_PAGE = 500


class FederatedPlacer:
    """Chooses edges by what they hold. Implements :class:`gateway.placement.seam.Placer`."""

    def __init__(self, *, federation: Federation, registry: Registry, ledger: Ledger) -> None:
        self._federation = federation
        self._registry = registry
        self._ledger = ledger

    async def place(self, need: ComputeNeed, principal: Principal) -> PlacementDecision:
        """Choose an edge for a cluster."""
        lines = _lines(need)
        placement = await self.rank(_queries(need), principal, wish=need.edge, lines=lines)
        if placement.edge is None:
            return PlacementDecision(edge=None, reasons=placement.advice)
        return PlacementDecision(edge=placement.edge, reasons=placement.candidates[0].reasons)

    async def rank(
        self, queries: Sequence[Query], principal: Principal, *, wish: str | None, lines: Sequence[Line] = ()
    ) -> Placement:
        """Rank all edges for what the queries match; no query means that no data is needed."""
        holdings, missing = await self._weighed(queries, principal)
        edges = [
            await self._facts(site, principal, lines, missing)
            for site in self._registry.sites()
            if site.settings.kind == "edge"
        ]
        return rank(holdings, tuple(edges), wish=wish, about_data=bool(queries))

    async def _weighed(self, queries: Sequence[Query], principal: Principal) -> tuple[Holdings, frozenset[str]]:
        """Return what the sites hold, and those that did not answer: a lost edge must not stop the others' work."""
        measured: list[Sizes] = []
        missing: set[str] = set()
        for query in queries:
            async for page in self._federation.pages(query, user=principal.user, strict=False):
                measured += [sizes_of(group) for group in page.groups]
                missing.update(page.missing)
                if len(measured) > MAX_WEIGHED:
                    break
        return weigh(measured, limit=MAX_WEIGHED), frozenset(missing)

    async def _facts(
        self, site: Site, principal: Principal, lines: Sequence[Line], missing: frozenset[str]
    ) -> EdgeFacts:
        at_edge = [Line(resource=line.resource, amount=line.amount, edge=site.id) for line in lines]
        refusal = await self._ledger.check(principal.charge, at_edge) if at_edge else None
        return EdgeFacts(
            id=site.id,
            computes=site.settings.dask is not None or site.settings.kernels is not None,
            available=site.pulse.available and site.id not in missing,
            priority=site.settings.priority,
            trouble=site.pulse.reason,
            refusal=refusal.sentence() if refusal is not None else "",
        )


def _queries(need: ComputeNeed) -> list[Query]:
    by_item = [
        Query(collections=(collection,), ids=tuple(ids), limit=_PAGE) for collection, ids in sorted(need.items.items())
    ]
    rest = tuple(name for name in need.collections if name not in need.items)
    return by_item + ([Query(collections=rest, limit=_PAGE)] if rest else [])


def _lines(need: ComputeNeed) -> list[Line]:
    asked = (("cores", need.cores), ("memory", float(need.memory)))
    return [
        Line(resource="clusters", amount=1),
        *(Line(resource=name, amount=amount) for name, amount in asked if amount),
    ]
