"""A site that answers in time and in form, and poisons what it gives: what of it reaches a client, and what is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from federated_lake import Client, gateway_over, hub, item
from hostile_sites import GOOD, LIMITS, Answer, HostileSite, answered, hostile, page

from gateway.settings import LimitSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

GOOD_NAMES = [f"good-{n}" for n in (5, 4, 3, 2, 1)]


@asynccontextmanager
async def beside(
    good: str,
    state: Path,
    answer: Answer,
    *,
    collections: tuple[str, ...] = ("bad",),
    unknown: tuple[str, ...] = (),
    **catalogue: Any,
) -> AsyncIterator[tuple[Client, HostileSite]]:
    async with hostile(answer, collections=collections) as site:
        sites = [hub("good", good), hub("bad", site.url, **catalogue)]
        async with gateway_over(sites, state, limits=LIMITS, unknown=unknown) as client:
            yield client, site


def giving(*items: Any, **members: Any) -> Answer:
    async def give(request: web.Request) -> web.Response:
        return answered(items[0]) if "/items/" in request.path else page(list(items), **members)

    return give


def raw(body: bytes) -> Answer:
    async def give(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return give


def from_good(found: Any) -> list[str]:
    return [each["id"] for each in found["features"] if each["collection"] == "good"]


POISON = ["javascript:alert(1)", "JAVA\tSCRIPT:x", "data:text/html,x", "file:///etc/passwd", " vbscript:x"]


async def test_scripts_and_files_in_assets_and_alternates_are_left_out_and_told(good: str, tmp_path: Path) -> None:
    assets = {f"a{n}": {"href": href} for n, href in enumerate(POISON)}
    fine = {"href": "https://x.example/a.tif", "alternate": {"s3": {"href": "s3://b/k"}, "evil": {"href": POISON[0]}}}
    evil = item("x", "bad") | {"assets": {**assets, "fine": fine}}
    async with beside(good, tmp_path, giving(evil)) as (client, _):
        status, found = await client.post({"limit": 10})
        assert status == 200
        (one,) = [each for each in found["features"] if each["collection"] == "bad"]
        assert list(one["assets"]) == ["fine"]
        assert list(one["assets"]["fine"]["alternate"]) == ["s3"]
        assert found["federation:unsafe"] == {"bad": len(POISON) + 1}
        _, alone = await client.get("/collections/bad/items/x")
        assert list(alone["assets"]) == ["fine"]
        _, told = await client.get("/sites/bad")
        assert [each["count"] for each in told["caught"] if each["kind"] == "unsafe"] == [2 * (len(POISON) + 1)]


async def test_escapes_do_not_smuggle_a_script(good: str, tmp_path: Path) -> None:
    body = msgspec.json.encode({"features": [item("x", "bad") | {"assets": {"a": {"href": "MARK"}}}], "links": []})
    for smuggled in (b"\\u006aavascript:x", b"java\\u0073cript\\u003ax", b"java\\nscript:x", b"\\u0001javascript:x"):
        async with beside(good, tmp_path, raw(body.replace(b"MARK", smuggled))) as (client, _):
            _, found = await client.post({"collections": ["bad"]})
            assert [each["assets"] for each in found["features"]] == [{}], smuggled


async def test_an_export_gives_no_address_that_no_client_should_open(good: str, tmp_path: Path) -> None:
    assets = {"script": {"href": "javascript:alert(1)"}, "data": {"href": "https://data.example/x.tif"}}
    async with beside(good, tmp_path, giving(item("x", "bad") | {"assets": assets})) as (client, _):
        async with client.session.get(f"{client.url}/search/export", params={"records": "items"}) as response:
            lines = [msgspec.json.decode(line) for line in (await response.read()).splitlines()]
        assert len(lines) == len(GOOD) + 1
        (poisoned,) = [one for one in lines if one["collection"] == "bad"]
        assert list(poisoned["assets"]) == ["data"]
        _, told = await client.get("/sites/bad")
        assert "unsafe" in {each["kind"] for each in told["caught"]}


async def test_an_error_of_a_site_reaches_users_as_a_short_excerpt_without_addresses(good: str, tmp_path: Path) -> None:
    async def refuse(request: web.Request) -> web.Response:
        detail = "no such field\x1b[2J https://bad.example/a?sig=SENTINEL " + "x" * 5_000
        return web.Response(status=400, body=msgspec.json.encode({"detail": detail}), content_type="application/json")

    async with beside(good, tmp_path, refuse) as (client, _):
        _, found = await client.post({"limit": 10})
        reason = found["federation"]["bad"]["reason"]
        assert "no such field" in reason
        assert "SENTINEL" not in reason
        assert "\x1b" not in reason
        assert len(reason) < 250


SHAPES: dict[str, Any] = {
    "an id of a megabyte": item("x" * 1_000_000, "bad"),
    "a geometry of a million vertices": item("x", "bad")
    | {"geometry": {"type": "MultiPoint", "coordinates": [[0.5, 0.5]] * 300_000}},
    "a collection of a megabyte": item("x", "b" * 1_000_000),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_no_honest_item_has_is_dropped_and_told(good: str, tmp_path: Path, shape: str) -> None:
    async with beside(good, tmp_path, giving(SHAPES[shape])) as (client, _):
        for body in ({"limit": 10}, {"limit": 10, "bbox": [0, 0, 5, 5]}):
            status, found = await client.post(body)
            assert (status, from_good(found)) == (200, GOOD_NAMES)
            assert len(found["features"]) == len(GOOD)
            assert found["federation"]["bad"]["dropped"] >= 1
        _, told = await client.get("/sites/bad")
        assert "misshapen" in {each["kind"] for each in told["caught"]}


async def test_a_page_larger_than_asked_is_used_up_to_what_was_asked_and_told(good: str, tmp_path: Path) -> None:
    many = [item(f"x{n:04}", "bad", day=20) for n in range(500)]
    async with beside(good, tmp_path, giving(*many)) as (client, _):
        status, found = await client.post({"limit": 3})
        assert (status, len(found["features"])) == (200, 3)
        _, told = await client.get("/sites/bad")
        assert "limit" in {each["kind"] for each in told["caught"]}


NUMBERS = [b"1e999", b"-1e999", b"1" * 400, b"0." + b"1" * 100_000]


@pytest.mark.parametrize("number", NUMBERS)
async def test_numbers_beyond_all_measure_break_no_search(good: str, tmp_path: Path, number: bytes) -> None:
    body = msgspec.json.encode({"features": [item("x", "bad", n="MARK")], "links": []}).replace(b'"MARK"', number)
    async with beside(good, tmp_path, raw(body)) as (client, _):
        sort = [{"field": "n", "direction": "desc"}]
        limit = {"op": ">", "args": [{"property": "n"}, 5]}
        for search in ({"limit": 2}, {"limit": 2, "sortby": sort}, {"filter": limit, "filter-lang": "cql2-json"}):
            status, found = await client.post(search)
            assert status == 200, found


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b"0x10"])
async def test_numbers_that_are_no_json_fail_the_site_alone(good: str, tmp_path: Path, number: bytes) -> None:
    body = msgspec.json.encode({"features": [item("x", "bad", n="MARK")], "links": []}).replace(b'"MARK"', number)
    async with beside(good, tmp_path, raw(body)) as (client, _):
        status, found = await client.post({"limit": 10})
        assert (status, from_good(found), found["federation:missing"]) == (200, GOOD_NAMES, ["bad"])


async def test_nesting_that_some_decoders_take_and_others_do_not_fails_no_search(good: str, tmp_path: Path) -> None:
    depths = iter(range(890, 1_000, 2))
    whole = msgspec.json.encode({"features": [item("x", "bad", n="MARK")], "links": []})

    async def answer(request: web.Request) -> web.StreamResponse:
        deep = next(depths, 0)
        return web.Response(body=whole.replace(b'"MARK"', b"[" * deep + b"]" * deep), content_type="application/json")

    async with beside(good, tmp_path, answer) as (client, _):
        searches: list[dict[str, Any]] = [
            {},
            {"dedup": "observation"},
            {"sortby": [{"field": "n"}]},
            {"bbox": [0, 0, 9, 9]},
        ]
        for search in searches * 6:
            status, found = await client.post({"limit": 10} | search)
            assert (status, sorted(from_good(found))) == (200, sorted(GOOD_NAMES))


@pytest.mark.parametrize("deep", [60, 300, 900, 5_000, 100_000])
async def test_nesting_within_an_item_reaches_no_client_that_it_would_break(
    good: str, tmp_path: Path, deep: int
) -> None:
    nested = b"[" * deep + b"]" * deep
    body = msgspec.json.encode({"features": [item("x", "bad", n="MARK")], "links": []}).replace(b'"MARK"', nested)
    async with beside(good, tmp_path, raw(body)) as (client, _):
        async with client.session.post(f"{client.url}/search", json={"limit": 10}) as response:
            assert response.status == 200
            found = await response.json(content_type=None)  # the recursive decoder of the standard library
        assert from_good(found) == GOOD_NAMES


async def test_of_members_told_twice_one_is_given_and_it_is_the_one_that_was_checked(good: str, tmp_path: Path) -> None:
    body = msgspec.json.encode({"features": [item("honest", "bad")], "links": []})
    body = body.replace(b'"id":"honest"', b'"id":"forged","id":"honest"')
    body = body.replace(b'"collection":"bad"', b'"collection":"good","collection":"bad"')
    async with beside(good, tmp_path, raw(body)) as (client, _):
        async with client.session.post(f"{client.url}/search", json={"collections": ["bad"]}) as response:
            text = await response.read()
        assert b"forged" not in text
        (one,) = msgspec.json.decode(text)["features"]
        assert (one["id"], one["collection"]) == ("honest", "bad")


async def test_an_item_of_anothers_collection_is_never_given_as_theirs(good: str, tmp_path: Path) -> None:
    forged = item("good-5", "good", day=5) | {"assets": {"data": {"href": "https://evil.example/x"}}}
    async with beside(good, tmp_path, giving(forged, item("x", "bad"))) as (client, _):
        _, found = await client.post({"limit": 10})
        assert "evil.example" not in str(found)
        assert from_good(found) == GOOD_NAMES
        _, one = await client.get("/collections/good/items/good-5")
        assert "evil.example" not in str(one)


NEXT = [
    "http://169.254.169.254/latest/meta-data/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/x",
    "ftp://127.0.0.1/x",
    "//evil.example/search",
    "http://[::ffff:169.254.169.254]/search",
    "http://[bad",
    "http://user:secret@{host}/search",
    "http://{host}@evil.example/search",
    "http://{host}.evil.example/search",
    "http://{host}:99999/search",
    "http://{host}\\@evil.example/search",
    "javascript:alert(1)",
    "\x00",
]


@pytest.mark.parametrize("href", NEXT)
async def test_a_next_link_that_leads_away_fails_the_site_and_is_not_followed(
    good: str, tmp_path: Path, href: str
) -> None:
    async def leading(request: web.Request) -> web.Response:
        link = {"rel": "next", "href": href.replace("{host}", request.host), "method": "POST", "body": {"token": "1"}}
        return page([item("x", "bad")] if b"token" not in await request.read() else [], link)

    async with beside(good, tmp_path, leading) as (client, site):
        status, found = await client.post({"limit": 10})
        assert (status, from_good(found)) == (200, GOOD_NAMES)
        report = found["federation"]["bad"]
        assert report["status"] in ("failed", "skipped"), report
        assert all("evil" not in request.host for request in site.requests)


@pytest.mark.parametrize("path", ["/v10/search", "/v1/../admin", "/v1/%2e%2e/admin", "/v1/..%2fadmin", "/other"])
async def test_a_next_link_stays_below_the_address_of_the_catalogue(good: str, tmp_path: Path, path: str) -> None:
    asked: list[str] = []

    async def leading(request: web.Request) -> web.Response:
        asked.append(request.rel_url.raw_path)
        if request.path == "/v1":
            return answered({"type": "Catalog", "id": "b", "conformsTo": [], "links": []})
        if request.path == "/v1/collections":
            return answered({"collections": [{"id": "bad"}], "links": []})
        link = {"rel": "next", "href": f"http://{request.host}{path}", "method": "POST", "body": {"token": "1"}}
        return page([item("x", "bad")], link)

    async with hostile(leading) as site:
        sites = [hub("good", good), hub("bad", f"{site.url}/v1")]
        async with gateway_over(sites, tmp_path, limits=LIMITS) as client:
            _, found = await client.post({"limit": 10})
            assert found["federation:missing"] == ["bad"]
            assert {each for each in asked if each not in ("/v1", "/v1/collections", "/v1/search")} == set()


async def test_thousands_of_collections_are_refused_and_odd_ones_left_out(good: str, tmp_path: Path) -> None:
    names = tuple(f"c{n}" for n in range(20_001))
    async with beside(good, tmp_path, giving(), collections=names, unknown=("bad",)) as (client, _):
        _, found = await client.get("/collections")
        assert [each["id"] for each in found["collections"]] == ["good"]
        assert found["federation:missing"] == ["bad"]


async def test_a_flood_of_items_is_bounded_by_the_page_and_by_the_deadline(good: str, tmp_path: Path) -> None:
    async def flooding(request: web.Request) -> web.Response:
        body = await request.read()
        token = msgspec.json.decode(body).get("token", 0) + 1 if body else 1
        wrong = [item(f"x{token}-{n}", "good", day=1) for n in range(50)]  # all of them dropped: never a full page
        link = {"rel": "next", "href": str(request.url), "method": "POST", "body": {"token": token}}
        return page(wrong, link)

    limits = LimitSettings(deadline_seconds=1.5, probe_seconds=3600.0)
    async with (
        hostile(flooding) as site,
        gateway_over([hub("good", good), hub("bad", site.url)], tmp_path, limits=limits) as client,
    ):
        async with asyncio.timeout(20):
            status, found = await client.post({"limit": 10})
        assert (status, from_good(found), found["federation:missing"]) == (200, GOOD_NAMES, ["bad"])
