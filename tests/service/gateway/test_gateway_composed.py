"""Gateways over gateways, over sites with other names for things, over a served command; and who may come in."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from federated_lake import TOKEN, Client, Name, expected, gateway_over, hub, item, site_of
from lakegate_process import lakegate_beside

from edges.model import Members, Query

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

Union = Mapping[Name, Members]


async def test_a_gateway_over_a_gateway_gives_the_same_walk(lake: Client, union: Union, tmp_path: Path) -> None:
    async with gateway_over([hub("lake", lake.url, max_page=2_000)], tmp_path) as outer:
        for body in (
            {"collections": ["sentinel-2-l2a", "landsat-c2-l2"], "limit": 300},
            {
                "sortby": [{"field": "eo:cloud_cover", "direction": "asc"}],
                "collections": ["landsat-c2-l2", "joplin"],
                "limit": 60,
            },
            {"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 1]}, "limit": 100},
        ):
            assert await outer.walk(**body) == await lake.walk(**body)
        walked = await outer.walk(collections=["sentinel-2-l2a"], limit=500)
        assert walked == expected(union, Query(collections=("sentinel-2-l2a",)))
        _, one = await outer.get("/collections/{}/items/{}".format(*walked[0]))
        assert one["properties"]["federation:backends"] == ["lake"]
        own = next(link["href"] for link in one["links"] if link["rel"] == "self")
        assert own.startswith(outer.url)


NATIVE = [item(f"n{n}", "S2MSI2A", day=n, **{"eo:cloud_cover": n}) for n in range(1, 8)]
OURS = [item(f"o{n}", "sentinel-2-l2a", day=n, **{"eo:cloud_cover": n}) for n in range(1, 8)]
OTHER = [item(f"z{n}", "modis", day=n) for n in range(1, 4)]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def renaming(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """Return a gateway over a site with names of its own, and one that has ours."""
    folder = tmp_path_factory.mktemp("renaming")
    async with site_of([*NATIVE, *OTHER], folder / "native.db") as native, site_of(OURS, folder / "ours.db") as ours:
        sites = [hub("native", native, collections={"S2MSI2A": "sentinel-2-l2a"}), hub("ours", ours)]
        async with gateway_over(sites, folder / "state") as client:
            yield client


BOTH = [("sentinel-2-l2a", f"{kind}{n}") for n in range(7, 0, -1) for kind in "no"]
NAMED: dict[str, dict[str, Any]] = {
    "collections": {"collections": ["sentinel-2-l2a"]},
    "a comparison": {"filter": {"op": "=", "args": [{"property": "collection"}, "sentinel-2-l2a"]}},
    "a list": {"filter": {"op": "in", "args": [{"property": "collection"}, ["sentinel-2-l2a", "x"]]}},
    "a negation": {"filter": {"op": "<>", "args": [{"property": "collection"}, "modis"]}},
    "a comparison of order": {"filter": {"op": ">", "args": [{"property": "collection"}, "o"]}},
    "a pattern": {"filter": {"op": "like", "args": [{"property": "collection"}, "sentinel%"]}},
    "what it is not": {"filter": {"op": "not", "args": [{"op": "like", "args": [{"property": "collection"}, "m%"]}]}},
    "another property": {
        "filter": {
            "op": "or",
            "args": [
                {"op": "=", "args": [{"property": "collection"}, {"property": "id"}]},
                {"op": ">=", "args": [{"property": "eo:cloud_cover"}, 1]},
            ],
        }
    },
    "a value before its property": {"filter": {"op": "=", "args": ["sentinel-2-l2a", {"property": "collection"}]}},
}


@pytest.mark.parametrize("way", NAMED)
@pytest.mark.parametrize("limit", [3, 100])
async def test_the_harmonised_name_reaches_both_sites_by(renaming: Client, way: str, limit: int) -> None:
    assert await renaming.walk(**NAMED[way], limit=limit) == BOTH


async def test_the_native_name_is_unknown_outside(renaming: Client) -> None:
    assert await renaming.found(collections=["S2MSI2A"]) == []
    assert await renaming.walk(filter={"op": "=", "args": [{"property": "collection"}, "S2MSI2A"]}) == []
    assert (await renaming.get("/collections/S2MSI2A"))[0] == 404
    assert (await renaming.get("/collections/S2MSI2A/items/n1"))[0] == 404
    _, told = await renaming.get("/collections")
    assert [each["id"] for each in told["collections"]] == ["modis", "sentinel-2-l2a"]
    assert told["collections"][1]["federation:backends"] == ["native", "ours"]


async def test_an_item_is_found_by_its_harmonised_name(renaming: Client) -> None:
    status, found = await renaming.get("/collections/sentinel-2-l2a/items/n3")
    assert (status, found["collection"], found["id"]) == (200, "sentinel-2-l2a", "n3")


@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_an_order_by_collection_is_that_of_the_harmonised_names(renaming: Client, direction: str) -> None:
    walked = await renaming.walk(sortby=[{"field": "collection", "direction": direction}], limit=4)
    assert [name for name, _ in walked] == sorted((name for name, _ in walked), reverse=direction == "desc")
    assert len(walked) == len(set(walked)) == len(BOTH) + len(OTHER)


async def test_a_site_served_by_its_command_is_federated(tmp_path: Path) -> None:
    items = tmp_path / "items.ndjson"
    items.write_text("\n".join(json.dumps(each) for each in OURS))
    async with lakegate_beside("site", "serve", "--items", items, "--port", "0", "--json") as process:
        assert process.stdout is not None
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        async with gateway_over([hub("served", ready["url"])], tmp_path / "state") as client:
            assert await client.walk(limit=2) == [("sentinel-2-l2a", f"o{n}") for n in range(7, 0, -1)]
            process.send_signal(signal.SIGKILL)
            await process.wait()
            status, problem = await client.post({})
            assert (status, problem["title"]) == (502, "No site answered")
            assert "served" in problem["detail"]


async def test_without_anonymous_access_a_token_is_needed_everywhere(tmp_path: Path) -> None:
    async with (
        site_of(OURS, tmp_path / "site.db") as url,
        gateway_over([hub("site", url)], tmp_path / "state", anonymous="none") as client,
        aiohttp.ClientSession() as nobody,
    ):
        for path in ("/", "/search", "/collections", "/collections/sentinel-2-l2a", "/sites", "/quotas/me"):
            async with nobody.get(client.url + path) as response:
                assert response.status == 401, path
                assert response.content_type == "application/problem+json"
                assert "WWW-Authenticate" in response.headers
            assert (await client.get(path))[0] == 200
        for header in (f"Bearer {TOKEN}", f"token {TOKEN}", aiohttp.encode_basic_auth("alice", TOKEN)):
            async with nobody.get(f"{client.url}/search", headers={"Authorization": header}) as response:
                assert response.status == 200


async def test_a_wrong_token_is_never_served_as_anonymous(lake: Client) -> None:
    for header in ("Bearer wrong", "Bearer", "Digest x", "Basic !!"):
        async with aiohttp.request("GET", f"{lake.url}/search", headers={"Authorization": header}) as response:
            assert response.status == 401
            assert response.content_type == "application/problem+json"
    async with aiohttp.request("GET", f"{lake.url}/search?limit=1") as response:
        assert response.status == 200
