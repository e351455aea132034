"""Clients as they are: pystac-client, rustac, eodag, stac-api-validator, and what a browser of catalogues needs."""

import asyncio
import json
import sys
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac_client
import pytest
import pytest_asyncio
import rustac
from federated_lake import Client
from pystac_client import ConformanceClasses
from small_lake import NORTH, SOUTH, small_lake

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

NEWEST = [f"s{number}" for number in range(12, 0, -1)]
CLEAR = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 40]}
SECONDS = 120


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with small_lake(tmp_path_factory.mktemp("small")) as client:
        yield client


async def run_client(script: str, url: str) -> Any:
    """Run a client in a process of its own, and return what it tells."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", str(Path(__file__).parent / "clients" / script), url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()[-2_000:]
    return json.loads(out.splitlines()[-1])


async def test_pystac_client_searches_in_every_dialect(small: Client) -> None:
    def use() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it warns of conformance classes that it misses
            client = pystac_client.Client.open(small.url)
            missing = {each.name for each in ConformanceClasses if not client.conforms_to(each)}
            assert missing == {"CONTEXT", "TRANSACTION"}  # deprecated, and not offered

            def found(**asked: Any) -> list[str]:
                return [item.id for item in client.search(collections=["sentinel-2-l2a"], limit=3, **asked).items()]

            for method in ("GET", "POST"):
                assert found(method=method) == NEWEST
                assert found(method=method, max_items=5) == NEWEST[:5]
                assert found(method=method, sortby="+datetime") == NEWEST[::-1]
                assert found(method=method, sortby=[{"field": "id", "direction": "asc"}])[:2] == ["s1", "s10"]
                assert found(method=method, query={"eo:cloud_cover": {"lt": 20}}) == ["s3", "s2", "s1"]
                assert found(method=method, query=["eo:cloud_cover<20"]) == ["s3", "s2", "s1"]
                assert found(method=method, datetime="2024-01-03/2024-01-04") == ["s4", "s3"]
                assert found(method=method, datetime=[datetime(2024, 1, 11, tzinfo=UTC), None]) == ["s12", "s11"]
                assert found(method=method, bbox=[0, 0, 5, 5], ids=["s3", "s9"]) == ["s9", "s3"]
                assert found(method=method, intersects={"type": "Point", "coordinates": [1, 2]}) == NEWEST
            assert found(filter=CLEAR) == NEWEST[5:]
            assert found(filter='"eo:cloud_cover" < 40', filter_lang="cql2-text", method="GET") == NEWEST[5:]
            chosen = client.search(ids=["s3"], fields=["id", "properties.eo:cloud_cover", "-assets"])
            (item,) = chosen.items_as_dicts()
            assert (item["properties"], "assets" in item) == ({"eo:cloud_cover": 15.0}, False)

    await asyncio.to_thread(use)


async def test_pystac_client_counts_what_is_counted_exactly(small: Client) -> None:
    def use() -> None:
        client = pystac_client.Client.open(small.url)
        assert client.search(collections=["sea-ice"]).matched() == 4
        assert client.search(collections=["sea-ice", "dem"], limit=2).matched() == 7
        assert client.search(collections=["sea-ice"], max_items=3).item_collection().items[0].id == "ice4"

    await asyncio.to_thread(use)


async def test_pystac_client_finds_collections(small: Client) -> None:
    def use() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client = pystac_client.Client.open(small.url)

            def found(**asked: Any) -> list[str]:
                return [one.id for one in client.collection_search(**asked).collections()]

            assert found() == ["dem", "sea-ice", "sentinel-2-l2a"]
            assert found(limit=1, sortby="-title") == ["sentinel-2-l2a", "sea-ice", "dem"]
            assert found(q="polar OR terrain") == ["dem", "sea-ice"]
            assert found(bbox=[-5, 40, 5, 45], datetime="2016-01-01/..") == ["sentinel-2-l2a"]
            assert found(filter="license = 'CC-BY-4.0'") == ["dem", "sea-ice"]
            assert found(query={"license": {"eq": "CC-BY-4.0"}}) == ["dem", "sea-ice"]
            assert client.collection_search(q="land").matched() == 2
            one = client.get_collection("sentinel-2-l2a")
            assert [item.id for item in one.get_items()] == NEWEST
            assert one.get_queryables()["properties"].keys() >= {"eo:cloud_cover", "platform"}
            assert client.get_merged_queryables(["sea-ice", "dem"])["properties"].keys() >= {"platform"}
            assert {one.id for one in client.get_children()} == {"north", "south", "dem", "sea-ice", "sentinel-2-l2a"}

    await asyncio.to_thread(use)


async def test_rustac_walks_filters_and_sorts(small: Client) -> None:
    async def found(**asked: Any) -> list[str]:
        return [item["id"] for item in await rustac.search(small.url, limit=2, **asked)]

    assert await found(collections=["sentinel-2-l2a"]) == NEWEST
    assert await found(collections=["sentinel-2-l2a"], max_items=3) == NEWEST[:3]
    assert await found(filter=CLEAR, sortby="+eo:cloud_cover") == NEWEST[5:][::-1]
    assert await found(filter='"eo:cloud_cover" < 40', sortby="-eo:cloud_cover") == NEWEST[5:]
    assert await found(ids=["s3", "ice1"], datetime="2024-01-02T00:00:00Z/..") == ["s3"]
    assert await found(query={"eo:cloud_cover": {"lt": 20}}, bbox=[0, 0, 3, 3]) == ["s3", "s2", "s1"]
    point = {"type": "Point", "coordinates": [1, 2]}
    assert len(await found(intersects=point)) == len({each["id"] for each in (*NORTH, *SOUTH)})
    collections = await rustac.ApiClient(small.url).get_collections()
    assert [each["id"] for each in collections] == ["dem", "sea-ice", "sentinel-2-l2a"]


async def test_eodag_searches_lists_and_walks(small: Client) -> None:
    told = await run_client("use_eodag.py", small.url)
    assert told["page"] == NEWEST[:5]
    assert told["clear"] == ["s4", "s3", "s2", "s1"]
    assert told["whole"] == NEWEST[3:11]
    assert told["other"] == [4, ["ice4", "ice3", "ice2", "ice1"]]
    assert told["collections"] == ["dem", "sea-ice", "sentinel-2-l2a"]
    assert "eo_cloud_cover" in told["queryables"]


OF_THE_VALIDATOR = (
    "schemas.stacspec.org",  # it fetches schemas, which a test does not
    # It wants the default fields where `include` is empty beside an `exclude`; pystac-client always sends it so.
    "{'fields': {'exclude': ['geometry'], 'include': []}}",
    "{'fields': {'exclude': ['geometry'], 'include': None}}",
    '{"in": ["s", "e"]}',  # it looks for the values among the letters of a text
)
"""What its errors hold that say nothing of us."""


async def test_stac_api_validator_finds_nothing_wrong(small: Client) -> None:
    errors = await run_client("use_validator.py", small.url)
    assert [each for each in errors if not any(known in each for known in OF_THE_VALIDATOR)] == []


async def test_a_browser_of_catalogues_reads_everything_from_another_page(small: Client) -> None:
    page = {"Origin": "https://browser.example"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,if-none-match"}
    pending, seen = [small.url], set()
    while pending:
        url = pending.pop()
        if url in seen:
            continue
        seen.add(url)
        async with small.session.get(url, headers=page) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, "*"), url
            assert "ETag" in response.headers["Access-Control-Expose-Headers"]
            document = await response.json(content_type=None)
        async with small.session.options(url, headers=page | asked) as response:
            assert response.status == 204
            allowed = response.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
            assert {"content-type", "if-none-match"} <= set(allowed)
        wanted = ("child", "data", "children", "catalogs", "items", "collection", "parent", "root", "conformance")
        pending += [each["href"] for each in document.get("links", []) if each["rel"] in wanted]
    assert len(seen) > 20
