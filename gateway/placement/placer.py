"""Gathers what ranking needs: holdings by search, headroom from the ledger, health, and how the edges' compute is."""

from collections.abc import Mapping, Sequence

import msgspec

from edges.model import Query
from edges.registry import Registry, Site
from gateway.placement.holdings import Holding, Holdings, added, weigh
from gateway.placement.rank import Demand, EdgeFacts, Moving, Placement, harvest_targets, rank
from gateway.placement.requests import harvest_requests, read_prefix
from gateway.placement.seam import Buckets, ComputeFacts, ComputeNeed, ComputeView, PlacementDecision, Taken
from gateway.placement.sizing import Averages, Scene, scene_of
from gateway.principal import Principal
from gateway.quota.holders import all_with_holders
from gateway.quota.problem import detail_of
from gateway.search.federation import Federation
from quotas.ledger import Ledger
from quotas.model import Line, Refusal

MAX_WEIGHED = 10_000
"""Items that one placement looks at; beyond, it says so."""
_PAGE = 500


class FederatedPlacer:
    """Chooses edges by what they hold. Implements :class:`gateway.placement.seam.Placer`.

    Without ``view`` an edge is taken to be as healthy as its catalogue; without ``buckets`` no prefix is looked into.
    """

    def __init__(
        self,
        *,
        federation: Federation,
        registry: Registry,
        ledger: Ledger,
        buckets: Buckets | None = None,
        moving: Moving | None = None,
    ) -> None:
        self._federation = federation
        self._registry = registry
        self._ledger = ledger
        self._buckets = buckets
        self._moving = moving or Moving()
        self._averages = Averages()
        self._views: list[ComputeView] = []

    def watch(self, view: ComputeView) -> None:
        """Ask one more room how the compute of the edges is."""
        self._views.append(view)

    async def place(self, need: ComputeNeed, principal: Principal) -> PlacementDecision:
        """Choose an edge."""
        placement = await self.rank(need, principal)
        if placement.edge is None:
            return PlacementDecision(
                edge=None, reasons=placement.advice, harvest=placement.harvest, refusal=placement.refused
            )
        best = placement.candidates[0]
        return PlacementDecision(edge=best.edge, reasons=best.reasons, waits=best.waits)

    async def rank(self, need: ComputeNeed, principal: Principal) -> Placement:
        """Rank all edges for a need; without any data named, no data is needed.

        Raises:
            InvalidInput: ``prefix`` is no bucket prefix.
        """
        queries = _queries(need)
        holdings, missing = await self._held(need, queries, principal)
        facts = await self._facts(need, principal, missing)
        placement = rank(
            holdings,
            facts,
            wish=need.edge,
            about_data=bool(queries or need.prefix),
            demand=_demand(need),
            moving=self._moving,
        )
        if not queries or not holdings.items or (placement.edge and not placement.candidates[0].missing_items):
            return placement
        targets = harvest_targets(placement, facts, need.edge)[:1]
        return msgspec.structs.replace(placement, harvest=harvest_requests(queries, targets))

    async def _held(
        self, need: ComputeNeed, queries: Sequence[Query], principal: Principal
    ) -> tuple[Holdings, frozenset[str]]:
        """Return what the sites hold, and those that did not answer: a lost edge must not stop the others' work."""
        scenes: list[Scene] = []
        missing: set[str] = set()
        for query in queries:
            sight = self._federation.sight(principal)
            async for page in self._federation.pages(query, user=principal.user, strict=False, sight=sight):
                scenes += [scene_of(group) for group in page.groups]
                missing.update(page.missing)
                if len(scenes) > MAX_WEIGHED:
                    break
        averages = self._averages.with_scenes(scenes)
        self._averages = averages.halved() if averages.heavy else averages
        found = weigh(scenes, limit=MAX_WEIGHED, averages=averages)
        objects = await self._objects(need.prefix)
        return (added([found, objects]) if objects is not None else found), frozenset(missing)

    async def _objects(self, prefix: str) -> Holdings | None:
        place = read_prefix(prefix)
        if place is None:
            return None
        listed = [] if self._buckets is None else await self._buckets.listed(*place)
        sites = tuple(
            Holding(site=one.site, items=one.objects, bytes=one.bytes)
            for one in sorted(listed, key=lambda each: each.site)
        )
        # buckets of one name at two sites are taken to be mirrors of each other
        return Holdings(
            items=max((one.objects for one in listed), default=0),
            bytes=max((one.bytes for one in listed), default=0),
            sites=sites,
            cut=any(one.cut for one in listed),
        )

    async def _facts(self, need: ComputeNeed, principal: Principal, missing: frozenset[str]) -> tuple[EdgeFacts, ...]:
        seen: dict[str, ComputeFacts] = {}
        for view in self._views:
            seen |= await view.facts(principal, need.kind)
        edges = [site for site in self._registry.sites() if site.settings.kind == "edge"]
        refusals = await self._refusals(edges, need, principal)
        return tuple(
            _edge(site, need, refusals.get(site.id), missing=missing, compute=seen.get(site.id)) for site in edges
        )

    async def _refusals(self, edges: Sequence[Site], need: ComputeNeed, principal: Principal) -> dict[str, Refusal]:
        """Return what the quota has against the need, by the edges where it has."""
        found: dict[str, Refusal] = {}
        for site in edges:
            at_edge = [msgspec.structs.replace(line, edge=site.id) for line in _lines(need)]
            refusal = await self._ledger.check(principal.charge, at_edge) if at_edge else None
            if refusal is not None:
                found[site.id] = refusal
        named = await all_with_holders(list(found.values()), principal, self._ledger)
        return dict(zip(found, named, strict=True))


def _edge(
    site: Site,
    need: ComputeNeed,
    refusal: Refusal | None,
    *,
    missing: frozenset[str],
    compute: ComputeFacts | None,
) -> EdgeFacts:
    waits = refusal is not None and refusal.on_exceed == "queue" and not refusal.never
    trims = refusal is not None and refusal.on_exceed == "trim" and all(refusal.admissible.values())
    told = detail_of(refusal) if refusal is not None and not trims else ""
    answers = site.pulse.available and site.id not in missing
    return _edge_facts(
        EdgeFacts(
            id=site.id,
            computes=_computes(site, need),
            available=answers and not (compute is not None and compute.trouble),
            priority=site.settings.priority,
            trouble=site.pulse.reason if not answers or compute is None else compute.trouble,
            refusal="" if waits else told,
            refused=None if waits or trims else refusal,
            waits=told if waits else "",
            unfit=need.unfit.get(site.id, ""),
            harvestable=site.settings.storage is not None,
        ),
        site,
        compute or ComputeFacts(),
    )


def _edge_facts(bare: EdgeFacts, site: Site, compute: ComputeFacts) -> EdgeFacts:
    """Add what the operator, and the edge itself, say of its size and software."""
    dask = site.settings.dask
    if dask is None:
        return bare
    taken = compute.taken
    return msgspec.structs.replace(
        bare,
        cores=dask.cores,
        free_cores=_free(dask.cores, taken.cores),
        memory=dask.memory,
        free_memory=None if dask.memory is None else max(0, dask.memory - taken.memory),
        gpus=float(dask.gpus) if dask.gpus else None,
        free_gpus=_free(float(dask.gpus), taken.gpus) if dask.gpus else None,
        versions={**compute.versions, **dask.versions},
        images=compute.images,
    )


def _free(whole: float | None, taken: float) -> float | None:
    return None if whole is None else max(0.0, whole - taken)


def _computes(site: Site, need: ComputeNeed) -> bool:
    has = {"cluster": site.settings.dask is not None, "kernel": site.settings.kernels is not None}
    return has.get(need.kind, any(has.values()))


def _demand(need: ComputeNeed) -> Demand:
    # the GPUs of an edge's settings are those for clusters; which kernelspecs have some, the edge itself says
    gpus = 0.0 if need.kind == "kernel" else need.gpus
    return Demand(cores=need.cores, memory=need.memory, gpus=gpus, image=need.image, versions=dict(need.versions))


def _queries(need: ComputeNeed) -> list[Query]:
    by_item = [
        Query(collections=(collection,), ids=tuple(ids), limit=_PAGE) for collection, ids in sorted(need.items.items())
    ]
    rest = tuple(name for name in need.collections if name not in need.items)
    return [*need.queries, *by_item, *([Query(collections=rest, limit=_PAGE)] if rest else [])]


def _lines(need: ComputeNeed) -> list[Line]:
    counted: Mapping[str, Sequence[Line]] = {
        "cluster": [Line(resource="clusters", amount=1)],
        "kernel": [Line(resource="kernels", amount=1)],
    }
    taken = Taken(cores=need.cores, memory=need.memory, gpus=need.gpus)
    asked = (("cores", taken.cores), ("memory", float(taken.memory)), ("gpus", taken.gpus))
    if need.kind == "kernel":
        # kernels are counted, not weighed: their edge sets the real limits; GPUs are too dear for that
        gpus = [Line(resource="gpus", amount=need.gpus)] if need.gpus else []
        return [*counted["kernel"], *gpus]
    return [
        *counted.get(need.kind, ()),
        *(Line(resource=name, amount=amount) for name, amount in asked if amount),
    ]
