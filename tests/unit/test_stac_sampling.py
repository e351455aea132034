"""Queryables and sortables of what items have: looked at once, by one, and never a reason to fail."""

import asyncio
from typing import Any

import msgspec

from edges.catalogues.memory import MemoryCatalogue
from edges.errors import SiteUnavailable
from edges.model import Batch, Query
from edges.registry import Registry, Site
from edges.settings import CatalogueSettings, SiteSettings
from gateway.search.cursor import Cursors
from gateway.search.federation import Federation
from gateway.stac.sampling import Sampling
from gateway.stac.schemas import all_observed, observed, queryables, sortables
from gateway.stac.scope import Scope

WHOLE = Scope(base="http://gate.example")


class Counted(MemoryCatalogue):
    """A catalogue that counts its searches; it can be down."""

    def __init__(self) -> None:
        super().__init__()
        self.searches = 0
        self.down = False

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        if query.collections == ("c",):
            self.searches += 1
            await asyncio.sleep(0)  # others get their turn: who asks meanwhile must wait for this look
            if self.down:
                raise SiteUnavailable("s", "down")
        return await super().search(query, limit=limit, after=after)


def item(number: int, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"i{number}", "collection": "c", "geometry": None,
        "properties": {"datetime": "2020-01-01T00:00:00Z", **properties}, "assets": {}, "links": [],
    }  # fmt: skip


async def lake(*items: dict[str, Any]) -> tuple[Counted, Federation]:
    catalogue = Counted()
    await catalogue.put_collection({"id": "c"})
    await catalogue.put_items("c", list(items))
    site = Site(SiteSettings(id="s", kind="hub", catalogue=CatalogueSettings(url="http://x.example")), catalogue)
    registry = Registry([site], probe_seconds=60)
    await registry.probe()
    cursors = Cursors(key=b"k" * 32, lifetime_seconds=60)
    return catalogue, Federation(registry=registry, cursors=cursors, deadline_seconds=5.0)


async def test_of_many_who_ask_at_once_one_looks_and_the_look_counts_for_a_while() -> None:
    now = [0.0]
    catalogue, federation = await lake(item(1, gsd=10), item(2, gsd=20.5, created="2020-01-01T00:00:00Z"))
    sampling = Sampling(federation=federation, fresh_seconds=10.0, clock=lambda: now[0])
    told = await asyncio.gather(*(sampling.properties(WHOLE, "c") for _ in range(5)))
    assert all(each == told[0] for each in told)
    assert told[0]["gsd"] == {"title": "gsd", "type": "number", "federation:backends": ["s"]}
    assert told[0]["created"]["format"] == "date-time"
    assert catalogue.searches == 1
    now[0] = 11.0
    await sampling.properties(WHOLE, "c")
    assert catalogue.searches == 2


async def test_a_site_that_is_down_is_no_reason_to_fail_and_is_asked_again() -> None:
    catalogue, federation = await lake(item(1, gsd=10))
    sampling = Sampling(federation=federation)
    catalogue.down = True
    assert await sampling.properties(WHOLE, "c") == {}
    catalogue.down = False
    assert set(await sampling.properties(WHOLE, "c")) == {"gsd"}


def test_what_is_seen_and_what_is_summarised_are_told_together() -> None:
    def seen(site: str, **properties: Any) -> Any:
        return observed(
            [(site, msgspec.json.decode(msgspec.json.encode(item(1, **properties)), type=dict[str, msgspec.Raw]))]
        )

    both = all_observed([seen("a", gsd=1, tags=["x"], odd=1), seen("b", gsd=2, odd="one", gone=None)])
    assert both["odd"]["type"] == ["number", "string"]
    assert both["gsd"]["federation:backends"] == ["a", "b"]
    assert "gone" not in both
    collection = {
        "id": "c",
        "summaries": {"gsd": {"minimum": 1, "maximum": 2}, "platform": ["x"]},
        "federation:backends": ["c"],
    }
    document = queryables([collection], both, "http://x.example/queryables")
    assert document["properties"]["gsd"]["federation:backends"] == ["a", "b", "c"]
    assert document["properties"]["platform"]["examples"] == ["x"]
    assert "tags" not in sortables([collection], both, "http://x.example/sortables")["properties"]
