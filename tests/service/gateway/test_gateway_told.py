"""What sites tell of themselves, what they are told, and how often: queryables, native words, mirrors, one flight."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from federated_lake import gateway_over, hub, item, site_of
from hostile_sites import Answer, answered, hostile, page

from edges.catalogues.guarded import GuardedCatalogue
from edges.catalogues.stac_api import StacApiCatalogue
from edges.http import Outbound
from edges.model import Query
from edges.settings import CatalogueSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

REL = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
ITEMS = [item(f"x{number}", "bad", day=number) for number in range(1, 6)]


async def give(request: web.Request) -> web.StreamResponse:
    if request.path.endswith("/queryables"):
        return answered({"properties": {"rare:thing": {"type": "number"}, "platform": {"type": "string"}}})
    return page(ITEMS)


async def test_what_a_site_says_can_be_asked_for_is_told_beside_what_was_seen(tmp_path: Path) -> None:
    seen = [item("s", "good", platform="p", gsd=10)]
    async with hostile(give) as site, site_of(seen, tmp_path / "good.db") as good:
        site.links = ({"rel": REL, "href": f"{site.url}/queryables"},)
        async with gateway_over([hub("bad", site.url), hub("good", good)], tmp_path / "g") as client:
            _, told = await client.get("/queryables")
            assert told["properties"]["rare:thing"]["federation:backends"] == ["bad"]
            assert told["properties"]["platform"]["federation:backends"] == ["bad", "good"]
            assert told["properties"]["gsd"]["federation:backends"] == ["good"]
            _, told = await client.get("/collections/good/queryables")
            assert "rare:thing" not in told["properties"]


@pytest.mark.parametrize("href", ["http://other.example/queryables", "file:///etc/passwd", "//x", "\x00"])
async def test_queryables_that_are_elsewhere_are_not_asked_for(tmp_path: Path, href: str) -> None:
    async with hostile(give) as site:
        site.links = ({"rel": REL, "href": href},)
        async with gateway_over([hub("bad", site.url)], tmp_path) as client:
            _, told = await client.get("/queryables")
            assert "rare:thing" not in told["properties"]
            assert not [request for request in site.requests if "queryables" in request.path]


async def test_an_explanation_tells_what_the_site_was_asked_in_its_own_words(tmp_path: Path) -> None:
    async with (
        site_of([item("a", "native"), item("b", "native", day=2)], tmp_path / "a.db") as url,
        gateway_over(
            [hub("renamed", url, collections={"native": "ours"}), hub("plain", url)], tmp_path / "g"
        ) as client,
    ):
        _, told = await client.post({"collections": ["ours", "native"]}, "/search/explain")
        renamed, plain = told["sites"]["renamed"], told["sites"]["plain"]
        assert renamed["asked"]["collections"] == ["ours"]
        assert renamed["native"]["collections"] == ["native"]
        assert renamed["widened"] is False
        assert plain["native"] is None


def late(gate: asyncio.Event, answer: Answer) -> Answer:
    async def wait(request: web.Request) -> web.StreamResponse:
        await gate.wait()
        return await answer(request)

    return wait


async def test_a_mirror_answers_where_the_first_address_fails(tmp_path: Path) -> None:
    async def fail(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async with (
        hostile(give) as first,
        hostile(give) as mirror,
        gateway_over([hub("bad", first.url, mirrors=(mirror.url,))], tmp_path) as client,
    ):
        first.answer = fail
        found = await client.walk(limit=10)
        assert [name for _, name in found] == ["x5", "x4", "x3", "x2", "x1"]
        assert [request.path for request in mirror.requests][-1] == "/search"


async def test_a_mirror_answers_where_the_first_address_is_late(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with hostile(give) as first, hostile(give) as mirror:
        async with gateway_over([hub("bad", first.url, mirrors=(mirror.url,))], tmp_path) as client:
            for _ in range(30):  # so that it is known how long an answer takes, and a hedge is earned
                await client.found(limit=10)
            before = len(mirror.requests)  # a busy machine is late now and then
            first.answer = late(gate, give)
            assert len(await client.found(limit=10)) == len(ITEMS)
            assert len(mirror.requests) > before
        gate.set()


async def test_searches_that_are_the_same_reach_a_site_once_while_they_are_under_way() -> None:
    gate = asyncio.Event()
    async with hostile(late(gate, give)) as site, Outbound(allowed=[site.url]) as outbound:
        api = StacApiCatalogue(site="bad", settings=CatalogueSettings(url=site.url), session=outbound.session)
        catalogue = GuardedCatalogue(api)
        searches = [asyncio.ensure_future(catalogue.search(Query(), limit=7)) for _ in range(12)]
        other = asyncio.ensure_future(catalogue.search(Query(), limit=8))
        await asyncio.sleep(0)  # all of them have begun
        gate.set()
        answers = await asyncio.gather(*searches, other)
        assert {len(answer.items) for answer in answers} == {len(ITEMS)}
        assert len(site.requests) == 2
