"""Memory stays flat, however many searches there were and however they differ: nothing grows by the query."""

import gc

from prometheus_client import CollectorRegistry

from edges.catalogues.guarded import GuardedCatalogue
from edges.catalogues.memory import MemoryCatalogue
from edges.errors import SiteUnavailable
from edges.model import Batch, Query, SortKey
from edges.registry import Registry, Site
from edges.settings import CatalogueSettings, SiteSettings
from edges.stac.matching import compile_query
from edges.stac.order import compile_key, total_order
from gateway.search.cursor import Cursors
from gateway.search.federation import Federation
from gateway.site_metrics import SiteMetrics

ROUND = 256
"""Searches in a round: as many as are needed to fill what is remembered of queries."""
GROWTH = ROUND
"""Objects that may come on top, since the last search may have failed: one kept search is some fifty of them."""


class Faulty(MemoryCatalogue):
    """Fails one time in four, in ever different words."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        self.calls += 1
        if self.calls % 4 == 0:
            raise SiteUnavailable("faulty", f"trouble number {self.calls}")
        return await super().search(query, limit=limit, after=after)


def collection(name: str) -> dict[str, object]:
    return {"type": "Collection", "id": name, "links": []}


async def filled(catalogue: MemoryCatalogue, name: str) -> MemoryCatalogue:
    await catalogue.put_collection(collection(name))
    items = [
        {
            "type": "Feature",
            "id": f"{name}-{n}",
            "collection": name,
            "geometry": None,
            "properties": {"datetime": f"2024-01-{n + 1:02}T00:00:00Z"},
            "assets": {},
            "links": [],
        }
        for n in range(8)
    ]
    await catalogue.put_items(name, items)
    return catalogue


def different(number: int) -> Query:
    """Return a search unlike all others, in each thing that something could be kept by."""
    name = f"field-{number}"  # orders are few here: each new one is tried at the sites first
    return Query(
        ids=(*(f"a-{n}" for n in range(8)), f"none-{number}"),
        sortby=(SortKey(field=f"order-{number % 8}", descending=number % 2 == 0),),
        filter={"op": "or", "args": [{"op": "isNull", "args": [{"property": name}]}, _is(name, number)]},
        limit=2 + number % 5,
    )


def _is(name: str, number: int) -> dict[str, object]:
    return {"op": "like", "args": [{"property": name}, f"%{number}%"]}


async def test_memory_is_flat_over_searches_that_are_all_different() -> None:
    sites = [
        Site(
            SiteSettings(id=name, kind="hub", catalogue=CatalogueSettings(url=f"http://{name}.example")),
            GuardedCatalogue(await filled(catalogue, name)),
        )
        for name, catalogue in (("a", MemoryCatalogue()), ("faulty", Faulty()))
    ]
    registry = Registry(sites, probe_seconds=3600.0)
    await registry.probe()
    federation = Federation(
        registry=registry,
        cursors=Cursors(key=b"k" * 32, lifetime_seconds=60.0),
        deadline_seconds=10.0,
        observe=SiteMetrics(CollectorRegistry()).given,
    )

    async def search(number: int) -> None:
        query = different(number)
        page = await federation.search(query, user=f"user-{number}")
        if page.next is not None:
            await federation.search(query, user=f"user-{number}", token=page.next)

    for number in range(-2 * ROUND, 0):  # what is compiled is remembered for a few hundred queries
        compile_key(total_order(different(number).sortby))
        compile_query(different(number))
    counts = []
    for turn in range(3):
        for number in range(turn * ROUND, (turn + 1) * ROUND):
            await search(number)
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert counts[2] - counts[1] <= GROWTH, counts


async def test_orders_that_users_choose_are_remembered_up_to_a_bound() -> None:
    settings = SiteSettings(id="a", kind="hub", catalogue=CatalogueSettings(url="http://a.example"))
    site = Site(settings, await filled(MemoryCatalogue(), "a"))
    await Registry([site], probe_seconds=3600.0).probe()
    for number in range(600):
        await site.audit(total_order((SortKey(field=f"field-{number}"),)))
    assert len(site._trust) <= 256
