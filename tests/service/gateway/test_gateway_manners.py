"""What a client may keep, accept and send; words in items; and parameters that nobody knows."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from federated_lake import Client, gateway_over, hub
from small_lake import NORTH, SOUTH, small_lake

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

KEPT = [
    "/", "/conformance", "/api", "/api.html", "/collections", "/collections?q=ice", "/collections/dem", "/queryables",
    "/sortables", "/collections/dem/queryables", "/catalogs", "/catalogs/north", "/catalogs/north/collections",
    "/children", "/collections-queryables",
]  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with small_lake(tmp_path_factory.mktemp("small")) as client:
        yield client


@pytest.mark.parametrize("path", KEPT)
async def test_what_a_client_has_already_is_not_sent_again(small: Client, path: str) -> None:
    async with small.session.get(small.url + path) as response:
        tag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "max-age=60"
        assert await response.read()
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        async with small.session.get(small.url + path, headers={"If-None-Match": known}) as response:
            assert (response.status, await response.read()) == (304, b"")
            assert response.headers["ETag"] == tag
    async with small.session.get(small.url + path, headers={"If-None-Match": '"other"'}) as response:
        assert response.status == 200


@pytest.mark.parametrize("path", [*KEPT, "/search", "/collections/dem/items", "/collections/dem/items/dem1"])
async def test_head_and_options_are_answered_on(small: Client, path: str) -> None:
    async with small.session.head(small.url + path) as response:
        assert (response.status, await response.read()) == (200, b"")
    async with small.session.options(small.url + path) as response:
        assert response.status == 204
        assert {"GET", "HEAD", "OPTIONS"} <= set(response.headers["Allow"].replace(" ", "").split(","))
        assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/search", "application/geo+json", 200),
        ("/search", "application/json;q=0.9, text/html", 200),
        ("/search", "*/*", 200),
        ("/search", "text/html, application/xhtml+xml, */*;q=0.8", 200),
        ("/search", "text/html", 406),
        ("/search", "application/geo+json;q=0, image/png", 406),
        ("/collections", "application/xml", 406),
        ("/api", "application/vnd.oai.openapi+json;version=3.0", 200),
        ("/api.html", "text/*", 200),
        ("/api.html", "application/json", 406),
        ("/queryables", "application/schema+json", 200),
    ],
)
async def test_a_client_gets_what_it_accepts_or_is_told(small: Client, path: str, accept: str, status: int) -> None:
    async with small.session.get(small.url + path, headers={"Accept": accept}) as response:
        assert response.status == status
        if status == 406:
            assert response.content_type == "application/problem+json"
            assert (await response.json())["title"] == "Not acceptable"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/geo+json", 200),
        ("text/plain", 200),
        ("application/octet-stream", 200),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/xml", 415),
        ("text/html", 415),
    ],
)
@pytest.mark.parametrize("path", ["/search", "/collections", "/catalogs/north/search"])
async def test_a_body_of_another_kind_is_refused(small: Client, path: str, kind: str, status: int) -> None:
    async with small.session.post(small.url + path, data=b"{}", headers={"Content-Type": kind}) as response:
        assert response.status == status
        if status == 415:
            assert "application/json" in (await response.json(content_type=None))["detail"]


async def test_a_next_link_stands_in_the_header_too(small: Client) -> None:
    async with small.session.get(f"{small.url}/search?limit=2") as response:
        page = await response.json(content_type=None)
        assert str(response.links["next"]["url"]) == page["links"][-1]["href"]
    async with small.session.get(f"{small.url}/search?limit=200") as response:
        assert "next" not in response.links


async def test_a_post_is_taken_up_with_its_whole_body(small: Client) -> None:
    body = {"limit": 3, "q": ["chart", "alps"], "filter": {"op": "isNull", "args": [{"property": "none"}]}, "x": [1]}
    _, page = await small.post(body)
    (link,) = [each for each in page["links"] if each["rel"] == "next"]
    assert (link["method"], link["merge"]) == ("POST", False)
    assert link["body"] == body | {"token": link["body"]["token"]}


async def test_parameters_that_nobody_knows_change_nothing(small: Client) -> None:
    for path in ("/search", "/collections", "/collections/dem/items", "/queryables", "/conformance"):
        status, plain = await small.get(path, limit=50)
        assert (status, await small.get(path, limit=50, client="x", _="1"))[0] == 200
        _, other = await small.get(path, limit=50, client="x", _="1")
        for page in (plain, other):
            page.pop("federation", None)
        assert other == plain


@pytest.mark.parametrize("path", ["/search/x/y", "/collections/dem/items/a/b", "/catalogs/north/nothing"])
async def test_what_is_not_there_is_a_problem(small: Client, path: str) -> None:
    status, problem = await small.get(path)
    assert (status, problem["status"]) == (404, 404)


async def test_a_method_that_is_not_served_is_a_problem_with_those_that_are(small: Client) -> None:
    for path in ("/", "/collections", "/queryables", "/catalogs/north"):
        async with small.session.delete(small.url + path) as response:
            assert (response.status, response.content_type) == (405, "application/problem+json")
            assert "GET" in response.headers["Allow"]


ICE = [f"ice{n}" for n in range(4, 0, -1)]
SCENES = {each["id"] for each in (*NORTH, *SOUTH) if each["collection"] == "sentinel-2-l2a"}
DEM = [f"dem{n}" for n in range(3, 0, -1)]
WORDS: dict[str, tuple[Any, set[str]]] = {
    "words of its title": ("barents sea", set(ICE)),
    "words of its keywords": ("glacier", set(DEM)),
    "words of its collection": ("microwave", set(ICE)),
    "its id": ("s7", {"s7"}),
    "words of a collection at both sites": ("optical AND reflectance", SCENES),
    "one of several": (["alps", "barents"], {*ICE, *DEM}),
    "all of several": ("chart AND 2", {"ice2"}),
    "what is not there": ("terrain -alps", set()),
    "what is there without something": ("ice -3", set(ICE) - {"ice3"}),
    "the beginning of a word": ("glac*", set(DEM)),
}  # fmt: skip


@pytest.mark.parametrize(("q", "told"), WORDS.values(), ids=WORDS.keys())
async def test_items_are_found_by(small: Client, q: Any, told: set[str]) -> None:
    by_post = await small.walk(q=q, limit=3)
    assert {name for _, name in by_post} == told
    by_get, url = [], f"{small.url}/search"
    parameters: dict[str, str] = {"q": q if isinstance(q, str) else ",".join(q), "limit": "50"}
    async with small.session.get(url, params=parameters) as response:
        by_get = [(each["collection"], each["id"]) for each in (await response.json(content_type=None))["features"]]
    assert by_get == by_post
    for collection in ("sea-ice", "dem"):
        _, page = await small.get(f"/collections/{collection}/items", q=parameters["q"], limit=50)
        assert [each["id"] for each in page["features"]] == [name for of, name in by_post if of == collection]


async def test_a_gateway_over_a_gateway_finds_the_same_words(small: Client, tmp_path: Path) -> None:
    async with gateway_over([hub("inner", small.url)], tmp_path) as outer:
        for q, _ in WORDS.values():
            assert await outer.walk(q=q, limit=3) == await small.walk(q=q, limit=3)
        _, page = await outer.post({"q": ["barents"]})
        assert page["federation"]["inner"]["filter"] == "pushed"


@pytest.mark.parametrize("q", ["(", "a AND", "!!!", '"', "a" * 5_000])
async def test_words_that_cannot_be_read_are_a_problem(small: Client, q: str) -> None:
    for path in ("/search", "/collections", "/collections/dem/items"):
        status, problem = await small.get(path, q=q)
        assert (status, problem["field"]) == (400, "q")
    assert (await small.post({"q": 5}))[0] == 400
