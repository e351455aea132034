"""Sites that fail, lie or attack: the others' answer is right, the report names the site, nothing leaves the house."""

import asyncio
import gzip
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pystac_client
import pytest
from aiohttp import web
from federated_lake import Client, gateway_over, hub, item
from hostile_sites import LIMITS, Answer, HostileSite, answered, hostile, page

from edges.settings import Secret

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

GOOD_NAMES = [("good", f"good-{n}") for n in (5, 4, 3, 2, 1)]


@asynccontextmanager
async def beside(
    good: str, state: Path, answer: Answer, *, collections: tuple[str, ...] = ("bad",), **catalogue: Any
) -> AsyncIterator[tuple[Client, HostileSite]]:
    """Run a gateway over a good site and a hostile one."""
    async with hostile(answer, collections=collections) as site:
        settings = {"timeout_seconds": 5.0, "max_page_bytes": 200_000, **catalogue}
        async with gateway_over([hub("good", good), hub("bad", site.url, **settings)], state, limits=LIMITS) as client:
            yield client, site


def names(answer: Any) -> list[tuple[str, str]]:
    return [(each["collection"], each["id"]) for each in answer["features"]]


BOMB = gzip.compress(b" " * 50_000_000, compresslevel=1)
_numbers = itertools.count()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    raise AssertionError


async def never_ending(request: web.Request) -> web.Response:
    return page([], {"rel": "next", "href": str(request.url), "method": "POST", "body": {"token": "same"}})


async def without_end(request: web.Request) -> web.Response:
    link = {"rel": "next", "href": str(request.url), "method": "POST", "body": {"token": str(next(_numbers))}}
    return page([], link)


async def huge(request: web.Request) -> web.Response:
    return page([item("x", "bad", padding="x" * 300_000)])


async def bomb(request: web.Request) -> web.Response:
    return web.Response(body=BOMB, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})


async def broken_json(request: web.Request) -> web.Response:
    return web.Response(body=b'{"features": [{', content_type="application/json")


async def a_list(request: web.Request) -> web.Response:
    return answered([1, 2])


async def deep(request: web.Request) -> web.Response:
    return web.Response(body=b'{"features":' + b"[" * 50_000 + b"]" * 50_000 + b"}", content_type="application/json")


async def failing(request: web.Request) -> web.Response:
    return web.Response(status=500, text="Traceback: secret internals")


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"features": [')
    assert request.transport is not None
    request.transport.abort()
    return response


async def to_metadata(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data/"})


FAULTS: dict[str, tuple[Answer, dict[str, Any], str]] = {
    "hangs": (hang, {"timeout_seconds": 0.3}, "no answer within 0.3 s"),
    "pages in a circle": (never_ending, {}, "circle"),
    "pages without end": (without_end, {}, ""),
    "is larger than we take": (huge, {}, "larger than 200000 bytes"),
    "is a gzip bomb": (bomb, {}, "larger than 200000 bytes"),
    "is no JSON": (broken_json, {}, "not what STAC says"),
    "is a list": (a_list, {}, "not what STAC says"),
    "is nested without end": (deep, {}, "not what STAC says"),
    "is an error": (failing, {}, "answered 500"),
    "breaks off": (cut_off, {}, ""),
    "leads to a private address": (to_metadata, {}, "answered 302"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_site_costs_only_its_own_part_where_its_answer(good: str, tmp_path: Path, fault: str) -> None:
    answer, settings, reason = FAULTS[fault]
    async with beside(good, tmp_path, answer, **settings) as (client, _):
        status, found = await client.post({"limit": 10})
        assert status == 200
        assert names(found) == GOOD_NAMES
        assert found["federation:missing"] == ["bad"]
        assert found["federation"]["bad"]["status"] == "failed"
        assert reason in found["federation"]["bad"]["reason"]
        assert found["federation"]["good"]["status"] == "answered"
        status, problem = await client.post({"limit": 10, "strict": True})
        assert (status, problem["title"]) == (502, "A site is missing")
        assert (await client.get("/health"))[0] == 200


async def test_a_next_link_to_another_origin_is_never_followed(good: str, tmp_path: Path) -> None:
    async def collecting(request: web.Request) -> web.Response:
        return page([])

    token = tmp_path / "site-token"
    token.write_text("token-of-the-site")
    async with hostile(collecting) as stranger:

        async def elsewhere(request: web.Request) -> web.Response:
            link = {"rel": "next", "href": f"{stranger.url}/search", "method": "POST", "body": {"token": "1"}}
            return page([item("x", "bad")], link)

        async with beside(good, tmp_path, elsewhere, token=Secret(file=str(token))) as (client, site):
            _, found = await client.post({"limit": 10})
            assert found["federation:missing"] == ["bad"]
            assert names(found) == GOOD_NAMES
            assert stranger.requests == []
            assert site.requests
            for request in site.requests:
                assert request.headers["Authorization"] == "Bearer token-of-the-site"
                assert "Cookie" not in request.headers


async def test_a_redirect_to_another_server_is_not_followed(good: str, tmp_path: Path) -> None:
    async with hostile(never_ending) as stranger:

        async def redirecting(request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": f"{stranger.url}/search"})

        async with beside(good, tmp_path, redirecting) as (client, _):
            _, found = await client.post({})
            assert found["federation:missing"] == ["bad"]
            assert stranger.requests == []


async def test_users_credentials_and_cookies_never_reach_a_site(good: str, tmp_path: Path) -> None:
    async def empty(request: web.Request) -> web.Response:
        return page([])

    async with beside(good, tmp_path, empty) as (client, site):
        await client.post({}, headers={"Cookie": "lakegate_other=1", "X-Api-Key": "k"})
        assert site.requests
        for request in site.requests:
            assert not {"Authorization", "Cookie", "X-Api-Key"} & set(request.headers)


MISSHAPEN: dict[str, Any] = {
    "no id": {k: v for k, v in item("x", "bad").items() if k != "id"},
    "a number as id": item("x", "bad") | {"id": 5},
    "no collection": {k: v for k, v in item("x", "bad").items() if k != "collection"},
    "null as collection": item("x", "bad") | {"collection": None},
    "no properties": {k: v for k, v in item("x", "bad").items() if k != "properties"},
    "null as properties": item("x", "bad") | {"properties": None},
    "a list of properties": item("x", "bad") | {"properties": []},
    "another's collection": item("forged", "good"),
    "links that are none": item("x", "bad") | {"links": [5, None, "x"]},
    "links that are text": item("x", "bad") | {"links": "x"},
    "assets that are none": item("x", "bad") | {"assets": [1]},
    "a datetime that is none": item("x", "bad", datetime="yesterday"),
    "a number as datetime": item("x", "bad") | {"properties": {"datetime": 5}},
    "a geometry that is none": item("x", "bad") | {"geometry": {"type": "Polygon", "coordinates": 5}},
}


@pytest.mark.parametrize("shape", MISSHAPEN)
async def test_an_item_breaks_nothing_that_has(good: str, tmp_path: Path, shape: str) -> None:
    async def misshapen(request: web.Request) -> web.Response:
        if "/items/" in request.path:
            return answered(MISSHAPEN[shape])
        return page([MISSHAPEN[shape]])

    async with beside(good, tmp_path, misshapen) as (client, _):
        for body in ({}, {"bbox": [0, 0, 5, 5]}, {"datetime": "2024-01-01T00:00:00Z/.."}, {"sortby": BY_NAME}):
            status, found = await client.post({"limit": 20, **body})
            assert status == 200
            assert [name for name in names(found) if name[0] == "good"] in (GOOD_NAMES, GOOD_NAMES[::-1])
            assert all(isinstance(each["links"], list) for each in found["features"])
            report = found["federation"]["bad"]
            assert report["status"] == "answered"
            assert report["items"] + report["dropped"] == 1
        status, found = await client.get("/collections/bad/items/x")
        assert status in (200, 502)
        assert status == 502 or (found["collection"], found["id"]) == ("bad", "x")


BY_NAME = [{"field": "id", "direction": "asc"}]


async def test_what_is_not_utf_8_is_replaced_not_passed_on(good: str, tmp_path: Path) -> None:
    body = msgspec.json.encode({"features": [item("x", "bad", title="MARK")], "links": []}).replace(b"MARK", b"a\xffb")

    async def not_text(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with beside(good, tmp_path, not_text) as (client, _):
        status, found = await client.post({"limit": 10})
        assert status == 200
        assert [name for name in names(found) if name[0] == "good"] == GOOD_NAMES


async def test_scripts_in_links_are_left_out(good: str, tmp_path: Path) -> None:
    hrefs = ["javascript:alert(1)", "java\tscript:alert(1)", "DATA:text/html,x", "../up", "https://ok.example", 5]
    evil = item("x", "bad") | {"links": [{"rel": "about", "href": href} for href in hrefs]}

    async def attacking(request: web.Request) -> web.Response:
        return page([evil])

    async with beside(good, tmp_path, attacking) as (client, _):
        _, found = await client.post({"collections": ["bad"]})
        (one,) = found["features"]
        assert [link["href"] for link in one["links"] if link["rel"] == "about"] == ["https://ok.example"]


async def test_odd_names_stay_inside_their_links(good: str, tmp_path: Path) -> None:
    odd = "a/../b?c=d#e\r\nSet-Cookie: x\N{SNOWMAN}"

    async def naming(request: web.Request) -> web.Response:
        return page([item(odd, "bad")])

    async with beside(good, tmp_path, naming) as (client, _):
        _, found = await client.post({"collections": ["bad"]})
        (one,) = found["features"]
        own = next(link["href"] for link in one["links"] if link["rel"] == "self")
        assert own.startswith(f"{client.url}/collections/bad/items/")
        assert not set(own.removeprefix(f"{client.url}/collections/bad/items/")) & set("/?#\r\n ")


async def test_an_unmodified_client_can_ask_for_all_or_nothing(good: str, tmp_path: Path) -> None:
    def use(url: str) -> None:
        lenient, strict = (pystac_client.Client.open(url, parameters=asked) for asked in ({}, {"strict": "true"}))
        assert [each.id for each in lenient.search().items()] == [name for _, name in GOOD_NAMES]
        with pytest.raises(pystac_client.exceptions.APIError, match="answered 500"):
            list(strict.search().items())

    async with beside(good, tmp_path, failing) as (client, _):
        await asyncio.to_thread(use, client.url)


async def test_a_site_that_is_dead_from_the_start_stops_nothing(good: str, tmp_path: Path) -> None:
    dead = hub("dead", "http://127.0.0.1:9", timeout_seconds=1.0)
    async with gateway_over([hub("good", good), dead], tmp_path) as client:
        status, found = await client.post({})
        assert (status, names(found), found["federation:missing"]) == (200, GOOD_NAMES, ["dead"])
        _, sites = await client.get("/sites")
        health = {each["id"]: each["health"] for each in sites["sites"]}
        assert health["good"]["status"] == "up"
        assert health["dead"]["status"] == "degraded"
        assert health["dead"]["reason"]
        async with aiohttp.request("GET", f"{client.url}/sites") as response:
            assert "127.0.0.1:9" not in await response.text()
