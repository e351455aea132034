"""Explain: what a search asked of whom, and why, without a secret in it."""

import json
from pathlib import Path

import pytest
from aiohttp import web
from federated_lake import Client, gateway_over, hub, item, site_of
from hostile_sites import answered, hostile

from edges.settings import Secret

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

CLEAR = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}


async def test_a_search_is_explained_site_by_site_and_request_by_request(lake: Client) -> None:
    body = {"collections": ["sentinel-2-l2a"], "filter": CLEAR, "limit": 20}
    _, page = await lake.post(body)
    status, told = await lake.post(body, "/search/explain")
    assert status == 200
    assert told["query"]["collections"] == ["sentinel-2-l2a"]
    assert [key["field"] for key in told["order"]] == ["datetime", "collection", "id"]
    assert told["page"]["items"] == len(page["features"])
    assert told["page"]["next"] is True
    assert set(told["sites"]) == set(page["federation"])
    asked = {site: said for site, said in told["sites"].items() if said["status"] == "answered"}
    skipped = {said["reason"] for said in told["sites"].values() if said["status"] == "skipped"}
    assert skipped == {"holds none of the collections"}
    for site, said in asked.items():
        assert said["pushed"] == ["collections", "filter", "sortby"]
        assert said["residual"] == {}
        assert said["order"] == "trusted"
        assert said["fetched"] == said["kept"] + said["dropped"]
        requests = [request for request in told["requests"] if request["site"] == site]
        assert requests
        assert requests[0]["method"] == "POST"
        assert requests[0]["path"] == "/search"
        assert requests[0]["parameters"]["filter"] == CLEAR
        assert requests[0]["status"] == 200
        assert said["received"] == sum(request["received"] for request in requests) > 0
    assert sum(said["items"] for said in asked.values()) == told["page"]["items"] + told["page"]["copies"]


async def test_by_get_and_by_post_tell_the_same_plan(lake: Client) -> None:
    _, by_get = await lake.get("/search/explain", collections="joplin", limit=3)
    _, by_post = await lake.post({"collections": ["joplin"], "limit": 3}, "/search/explain")
    for one in (by_get, by_post):
        for said in one["sites"].values():
            said.pop("milliseconds")
        one.pop("milliseconds")
        one.pop("requests")
    assert by_get == by_post


async def test_what_a_site_cannot_do_is_told_as_residual_with_a_reason(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return answered({"type": "FeatureCollection", "features": [item("x", "bad", **{"eo:cloud_cover": 5})]})

    async with hostile(answer, claims=()) as site, gateway_over([hub("plain", site.url)], tmp_path) as client:
        _, told = await client.post({"filter": CLEAR, "collections": ["bad"]}, "/search/explain")
    said = told["sites"]["plain"]
    assert said["pushed"] == ["collections"]
    assert "does not declare it" in said["residual"]["filter"]
    assert said["order"] == "not trusted: read to the end and sorted here"


async def test_no_secret_and_no_address_of_a_site_is_told(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the-sites-own-token")

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("token"):
            return answered({"type": "FeatureCollection", "features": []})
        following = {"rel": "next", "href": f"{site.url}/search?token=signed-by-the-site&sig=abc"}
        return answered({"type": "FeatureCollection", "features": [item("x", "bad")], "links": [following]})

    async with (
        hostile(answer) as site,
        gateway_over([hub("h", site.url, token=Secret(file=str(secret)))], tmp_path / "g") as client,
    ):
        _, told = await client.post({}, "/search/explain")
        text = json.dumps(told)
        assert {"token": "(hidden)", "sig": "(hidden)"} in [request["parameters"] for request in told["requests"]]
        for word in ("the-sites-own-token", "signed-by-the-site", "abc", site.url.removeprefix("http://")):
            assert word not in text


async def test_a_failure_is_explained_and_a_wrong_value_named(tmp_path: Path) -> None:
    async with (
        site_of([item("a")], tmp_path / "a.db") as url,
        gateway_over([hub("a", url), hub("gone", "http://127.0.0.1:9")], tmp_path / "g") as client,
    ):
        status, told = await client.post({}, "/search/explain")
        assert (status, told["page"]["missing"]) == (200, ["gone"])
        assert told["sites"]["gone"]["reason"]
        status, problem = await client.get("/search/explain", bbox="1")
        assert (status, problem["field"]) == (400, "bbox")


async def test_the_search_of_one_catalogue_is_explained_and_exported_below_it(lake: Client) -> None:
    _, page = await lake.get("/search", collections="sentinel-2-l2a", limit=5)
    site = min(name for name, said in page["federation"].items() if said["items"])
    _, told = await lake.get(f"/catalogs/{site}/search/explain", collections="sentinel-2-l2a", limit=5)
    assert set(told["sites"]) == {site}
    assert {request["site"] for request in told["requests"]} == {site}
    body = {"collections": ["sentinel-2-l2a"], "limit": 5}
    _, by_post = await lake.post(body, f"/catalogs/{site}/search/explain")
    assert by_post["page"] == told["page"]
    async with lake.session.get(
        f"{lake.url}/catalogs/{site}/search/export", params={"collections": "sentinel-2-l2a", "max_items": "3"}
    ) as answer:
        *items, record = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert len(items) == record["items"] == min(3, told["page"]["items"])
    for each in items:
        assert each["properties"]["federation:backends"] == [site]
        own = next(link["href"] for link in each["links"] if link["rel"] == "self")
        assert f"/catalogs/{site}/collections/" in own
    async with lake.session.get(f"{lake.url}/catalogs/nowhere/search/export") as answer:
        assert answer.status == 404
