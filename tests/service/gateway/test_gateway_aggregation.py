"""Aggregation over real sites: the counts are those of the items that a search gives."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from federated_lake import Client, Name, gateway_over, hub, item, site_of
from hostile_sites import answered, hostile

from edges.model import Members
from edges.stac.aggregation import AGGREGATION_CONFORMANCE, AGGREGATIONS, Wanted
from edges.stac.aggregation_count import Counting
from edges.stac.aggregation_document import aggregate_document
from edges.stac.documents import CONFORMANCE
from edges.stac.matching import compile_query
from edges.stac.request import search_from_post
from gateway.settings import LimitSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

Union = Mapping[Name, Members]
NAMES = list(AGGREGATIONS)
PRECISION = {"geometry_geohash_grid_frequency": 3, "centroid_geohash_grid_frequency": 3}
BODIES: dict[str, dict[str, Any]] = {
    "everything of a collection": {"collections": ["landsat-c2-l2"]},
    "a box": {"collections": ["landsat-c2-l2", "sentinel-2-l2a", "naip"], "bbox": [-110, 30, -100, 45]},
    "a time": {"datetime": "2020-01-01T00:00:00Z/2024-12-31T23:59:59Z", "collections": ["sentinel-1-grd", "naip"]},
    "a filter": {"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}, "collections": ["landsat-c2-l2"]},
    "nothing": {"ids": ["no-such-item"]},
}


def counted(union: Union, body: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be told, by looking at each item."""
    match = compile_query(search_from_post(msgspec.json.encode(body), default_limit=1, max_limit=1).query)
    wanted = Wanted(names=tuple(NAMES), precision=PRECISION)
    counting = Counting(wanted)
    for each in union.values():
        if match(each):
            counting.add(each)
    document = msgspec.json.decode(msgspec.json.encode(aggregate_document(counting.tally(), wanted, [])))
    return {one["name"]: one for one in document["aggregations"]}


async def aggregate(client: Client, path: str = "/aggregate", **body: Any) -> dict[str, Any]:
    names = body.pop("aggregations", NAMES)
    precision = {f"{name}_precision": value for name, value in PRECISION.items()}
    status, document = await client.post({"aggregations": names, **precision, **body}, path)
    assert status == 200, document
    return {one["name"]: one for one in document["aggregations"]} | {"document": document}


@pytest.mark.parametrize("name", BODIES)
async def test_the_counts_are_those_of_the_items(lake: Client, union: Union, name: str) -> None:
    told = await aggregate(lake, **BODIES[name])
    document = told.pop("document")
    assert (document["type"], document["exact"], document["federation:missing"]) == ("AggregationCollection", True, [])
    assert told == counted(union, BODIES[name])


async def test_the_whole_lake_is_counted_with_copies_once(lake: Client, union: Union) -> None:
    told = await aggregate(lake, aggregations=["total_count", "collection_frequency", "datetime_min"])
    assert told["total_count"]["value"] == len(union)
    buckets = {each["key"]: each["frequency"] for each in told["collection_frequency"]["buckets"]}
    assert buckets == Counter(collection for collection, _ in union)
    statuses = {each["status"] for each in told["document"]["federation"].values()}
    assert statuses == {"counted", "walked"}  # those that share collections are looked at


async def test_by_get_of_a_collection_and_of_one_catalogue(lake: Client, union: Union) -> None:
    only = sum(1 for collection, _ in union if collection == "naip")
    _, page = await lake.get("/collections/naip/aggregate", aggregations="total_count")
    assert page["aggregations"] == [{"name": "total_count", "data_type": "integer", "value": only}]
    assert page["links"][0]["href"] == f"{lake.url}/collections/naip/aggregate"
    _, page = await lake.get("/catalogs/cdse/aggregate", aggregations="total_count")
    assert list(page["federation"]) == ["cdse"]
    _, page = await lake.get("/collections/naip/aggregations")
    assert {each["name"] for each in page["aggregations"]} == set(NAMES)
    _, landing = await lake.get("/")
    assert {"aggregate", "aggregations"} <= {each["rel"] for each in landing["links"]}
    assert "https://api.stacspec.org/v0.3.0/aggregation" in landing["conformsTo"]


@pytest.mark.parametrize("interval", ["year", "quarter", "month", "week", "day", "hour"])
async def test_a_time_line_of_any_interval_adds_up(lake: Client, interval: str) -> None:
    told = await aggregate(
        lake, aggregations=["total_count", "datetime_frequency"], datetime_frequency_interval=interval,
        collections=["landsat-c2-l2"],
    )  # fmt: skip
    line = told["datetime_frequency"]
    assert line["interval"] == interval
    assert sum(each["frequency"] for each in line["buckets"]) + line["overflow"] == told["total_count"]["value"]


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/aggregate", 400, "aggregations"),
        ("/aggregate?aggregations=beauty", 400, "aggregations"),
        ("/aggregate?aggregations=total_count&bbox=1", 400, "bbox"),
        ("/collections/no-such-collection/aggregate?aggregations=total_count", 404, None),
        ("/collections/no-such-collection/aggregations", 404, None),
    ],
)
async def test_a_wrong_request_is_told(lake: Client, path: str, status: int, field: str | None) -> None:
    found, body = await lake.get(path)
    assert (found, body.get("field")) == (status, field)


ITEMS = [item(f"i{n:03}", "c" if n % 2 else "d", day=1 + n % 28, platform="p") for n in range(120)]


@asynccontextmanager
async def two_sites(folder: Path, **limits: Any) -> AsyncIterator[Client]:
    """Run a gateway over a site of all items and one of some of collection c."""
    copies = [each for each in ITEMS if each["collection"] == "c"][::2]
    async with (
        site_of(ITEMS, folder / "a.db") as whole,
        site_of(copies, folder / "b.db") as part,
        gateway_over(
            [hub("a", whole), hub("b", part)], folder / "g", limits=LimitSettings(probe_seconds=3600.0, **limits)
        ) as client,
    ):
        yield client


async def test_copies_are_counted_once_or_as_often_as_asked(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as client:
        told = await aggregate(client, aggregations=["total_count"])
        assert (told["total_count"]["value"], told["document"]["exact"]) == (120, True)
        sites = told["document"]["federation"]
        assert (sites["a"]["status"], sites["a"]["reason"]) == ("walked", "other sites may hold copies")
        told = await aggregate(client, aggregations=["total_count"], dedup="none")
        assert told["total_count"]["value"] == 150
        assert {each["status"] for each in told["document"]["federation"].values()} == {"counted"}
        told = await aggregate(client, aggregations=["total_count"], collections=["d"])
        assert told["total_count"]["value"] == 60
        assert told["document"]["federation"]["a"]["status"] == "counted"


async def test_more_than_may_be_walked_over_is_a_lower_bound_and_a_refusal_where_that_is_not_enough(
    tmp_path: Path,
) -> None:
    async with two_sites(tmp_path, aggregate_items=25) as client:
        told = await aggregate(client, aggregations=["total_count", "datetime_min"])
        assert told["document"]["exact"] is False
        assert told["total_count"] == {
            "name": "total_count", "data_type": "integer", "value": 85, "exact": False, "bound": "lower",
        }  # fmt: skip
        assert told["datetime_min"]["bound"] == "upper"
        status, problem = await client.post({"aggregations": ["total_count"], "strict": True}, "/aggregate")
        assert status == 422
        assert "in c; narrow collections, bbox or datetime" in problem["detail"]


CLAIMS = (*CONFORMANCE, *AGGREGATION_CONFORMANCE)
LIES: dict[str, Any] = {
    "too few buckets": {"collection_frequency": {"overflow": 5, "buckets": []}},
    "no answer": {"collection_frequency": None},
    "nonsense": {"total_count": {"value": "many"}},
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_site_whose_counts_do_not_add_up_is_counted_here(tmp_path: Path, lie: str) -> None:
    told = {"total_count": {"value": 1}, "collection_frequency": {"overflow": 0, "buckets": []}} | LIES[lie]

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/aggregate":
            listed = [{"name": name, **one} for name, one in told.items() if one is not None]
            return answered({"type": "AggregationCollection", "aggregations": listed})
        return answered({"type": "FeatureCollection", "features": [item("x", "bad"), item("y", "bad", day=2)]})

    async with hostile(answer, claims=CLAIMS) as site, gateway_over([hub("h", site.url)], tmp_path) as client:
        found = await aggregate(client, aggregations=["total_count", "collection_frequency"])
        assert "/aggregate" in [request.path for request in site.requests]
    assert found["document"]["federation"]["h"]["status"] == "walked"
    assert found["collection_frequency"]["buckets"] == [{"key": "bad", "data_type": "string", "frequency": 2}]


async def test_a_site_that_is_missing_makes_a_lower_bound(tmp_path: Path) -> None:
    async with site_of(ITEMS, tmp_path / "a.db") as whole:
        sites = [hub("a", whole), hub("gone", "http://127.0.0.1:9")]
        async with gateway_over(sites, tmp_path / "g") as client:
            told = await aggregate(client, aggregations=["total_count"])
            assert told["document"]["exact"] is False
            assert told["document"]["federation:missing"] == ["gone"]
            assert told["total_count"]["value"] == 120
            status, _ = await client.post({"aggregations": ["total_count"], "strict": True}, "/aggregate")
            assert status == 502
            status, _ = await client.post({"aggregations": ["total_count"], "require": ["gone"]}, "/aggregate")
            assert status == 502
