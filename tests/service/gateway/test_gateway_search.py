"""Searches through the composed gateway over real catalogues: right answers, and errors that say what is wrong."""

import asyncio
import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
import pystac_client
import pytest
from federated_lake import BOBS_TOKEN, TOKEN, Client, Name, expected
from yarl import URL

from edges.model import Members, Query
from edges.stac.request import search_from_post

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

Union = Mapping[Name, Members]
DENVER = [-106.5, 38.5, -104.0, 41.0]
SUMMER = "2024-06-01T00:00:00Z/2024-08-31T23:59:59Z"
CLEAR = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}
BOULDER = {"type": "Point", "coordinates": [-105, 40]}
BY_CLOUD = [{"field": "eo:cloud_cover", "direction": "asc"}]
SEARCHES: dict[str, dict[str, Any]] = {
    "bbox": {"bbox": DENVER},
    "bbox across the antimeridian": {"bbox": [170, -90, -170, 90]},
    "bbox of six numbers": {"bbox": [5, 40, -100, 20, 55, 9000]},
    "intersects": {"intersects": {"type": "Polygon", "coordinates": [[[5, 40], [20, 40], [12, 55], [5, 40]]]}},
    "datetime": {"datetime": SUMMER},
    "an open interval": {"datetime": "2023-01-01T00:00:00Z/.."},
    "collections": {"collections": ["cop-dem-glo-30", "sentinel-2-l2a", "no-such-collection"]},
    "ids": {"ids": ["Copernicus_DSM_COG_10_S90_00_W180_00_DEM", "none"]},
    "a number": {"filter": CLEAR},
    "a negation": {"filter": {"op": "not", "args": [CLEAR]}},
    "an absent property": {
        "filter": {"op": "isNull", "args": [{"property": "eo:cloud_cover"}]}, "collections": ["openaerialmap", "joplin"]
    },
    "text that matches a pattern": {"filter": {"op": "like", "args": [{"property": "id"}, "S2A%"]}},
    "a time": {
        "filter": {"op": "t_after", "args": [{"property": "datetime"}, {"timestamp": "2024-01-01T00:00:00Z"}]}
    },
    "an area in a filter": {
        "filter": {"op": "s_intersects", "args": [{"property": "geometry"}, BOULDER]},
    },
    "either of two": {
        "filter": {"op": "or", "args": [CLEAR, {"op": "=", "args": [{"property": "collection"}, "joplin"]}]}
    },
    "the query extension": {"query": {"eo:cloud_cover": {"gte": 5, "lt": 50}, "platform": {"in": ["Sentinel-2A"]}}},
    "all at once": {"bbox": DENVER, "datetime": SUMMER, "filter": CLEAR, "sortby": [{"field": "eo:cloud_cover"}]},
    "an order by identifier": {
        "collections": ["landsat-8-c2-l2", "landsat-c2-l2"], "sortby": [{"field": "id", "direction": "desc"}]
    },
}  # fmt: skip


def parsed(body: Mapping[str, Any]) -> Query:
    return search_from_post(msgspec.json.encode(body), default_limit=10, max_limit=20_000).query


@pytest.mark.parametrize("body", SEARCHES.values(), ids=SEARCHES.keys())
async def test_a_search_gives_what_looking_at_each_item_gives(lake: Client, union: Union, body: dict[str, Any]) -> None:
    told = expected(union, parsed(body))
    assert told
    assert await lake.walk(**body, limit=1_000) == told


async def test_get_gives_what_post_gives_on_every_page(lake: Client) -> None:
    body = {"bbox": DENVER, "datetime": SUMMER, "filter": CLEAR, "filter-lang": "cql2-json", "limit": 40}
    by_post = await lake.walk(**body, sortby=[{"field": "eo:cloud_cover", "direction": "desc"}])
    parameters = body | {"bbox": ",".join(map(str, DENVER)), "sortby": "-eo:cloud_cover"}
    parameters |= {"filter": "eo:cloud_cover < 20", "filter-lang": "cql2-text"}
    url: str | None = f"{lake.url}/search?{urlencode(parameters)}"
    by_get, pages = [], 0
    while url is not None:
        async with lake.session.get(url) as response:
            page = await response.json(content_type=None)
        by_get += [(item["collection"], item["id"]) for item in page["features"]]
        pages += 1
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
        assert url is None or len(url) < 2_000
    assert by_get == by_post
    assert pages > 2


async def test_the_items_of_a_collection_page_on_their_own_address(lake: Client, union: Union) -> None:
    url: str | None = f"{lake.url}/collections/landsat-c2-l2/items?limit=50"
    found = []
    while url is not None:
        assert url.startswith(f"{lake.url}/collections/landsat-c2-l2/items?")
        async with lake.session.get(url) as response:
            page = await response.json(content_type=None)
        found += [(item["collection"], item["id"]) for item in page["features"]]
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert found == expected(union, Query(collections=("landsat-c2-l2",)))


async def test_copies_of_one_item_are_told_as_one_with_both_sites(lake: Client) -> None:
    name = "Copernicus_DSM_COG_10_S90_00_W180_00_DEM"
    _, page = await lake.post({"ids": [name], "collections": ["cop-dem-glo-30"]})
    (found,) = page["features"]
    assert found["properties"]["federation:backends"] == ["earth-search", "planetary-computer"]
    assert {each["alternate:name"] for each in found["assets"]["data"]["alternate"].values()} == {"planetary-computer"}
    _, one = await lake.get(f"/collections/cop-dem-glo-30/items/{name}")
    assert one["properties"]["federation:backends"] == ["earth-search", "planetary-computer"]


async def test_an_unmodified_client_sees_collections_searches_and_items(lake: Client, union: Union) -> None:
    def use() -> None:
        client = pystac_client.Client.open(lake.url, headers={"Authorization": f"Bearer {TOKEN}"})
        assert {each.id for each in client.get_collections()} == {collection for collection, _ in union}
        search = client.search(
            bbox=DENVER,
            datetime="2024-06-01/2024-08-31",
            filter=CLEAR,
            sortby=[{"field": "properties.eo:cloud_cover", "direction": "asc"}],
            max_items=120,
            limit=50,
        )
        told = expected(union, parsed({"bbox": DENVER, "datetime": SUMMER, "filter": CLEAR, "sortby": BY_CLOUD}))
        assert [(str(each.collection_id), each.id) for each in search.items()] == told[:120]
        text = client.search(filter="eo:cloud_cover < 20", bbox=DENVER, datetime=SUMMER, sortby="+eo:cloud_cover")
        assert [each.id for each in text.items()] == [name for _, name in told]
        collection, name = told[0]
        item = client.get_collection(collection).get_item(name)
        assert item is not None
        assert item.get_self_href() == f"{lake.url}/collections/{collection}/items/{name}"
        assert client.search(ids=[name], collections=[collection]).item_collection()[0].id == name

    await asyncio.to_thread(use)


async def test_fields_include_and_exclude_what_is_asked(lake: Client) -> None:
    fields = {"include": ["id", "properties.eo:cloud_cover"], "exclude": ["geometry", "assets"]}
    _, page = await lake.post({"collections": ["landsat-c2-l2"], "fields": fields, "limit": 5})
    assert len(page["features"]) == 5
    for item in page["features"]:
        assert set(item["properties"]) == {"eo:cloud_cover"}
        assert not {"geometry", "assets"} & set(item)
    _, page = await lake.get("/search", collections="landsat-c2-l2", fields="-assets,-links", limit="3")
    assert all("assets" not in item and "geometry" in item for item in page["features"])


async def test_a_limit_beyond_ours_is_clamped_and_never_exceeded(lake: Client) -> None:
    status, page = await lake.post({"collections": ["joplin"], "limit": 10**9})
    assert (status, len(page["features"])) == (200, 30)
    _, page = await lake.post({"limit": 7})
    assert len(page["features"]) == 7


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/search?limit=0", 400, "limit"),
        ("/search?limit=many", 400, "limit"),
        ("/search?bbox=1,2,3", 400, "bbox"),
        ("/search?bbox=0,50,10,40", 400, "bbox"),
        ("/search?datetime=yesterday", 400, "datetime"),
        ("/search?datetime=../..", 400, "datetime"),
        ("/search?datetime=2024-02-01T00:00:00Z/2024-01-01T00:00:00Z", 400, "datetime"),
        ("/search?filter=eo:cloud_cover%20%3C", 400, "filter"),
        ("/search?filter=nothing(1)", 400, "filter"),
        ("/search?filter-lang=sql&filter=a=1", 400, "filter-lang"),
        ("/search?intersects=%7B%7D", 400, "intersects"),
        ("/search?token=made-up", 400, "token"),
        ("/search?strict=perhaps", 400, "strict"),
        ("/collections/no-such-collection", 404, None),
        ("/collections/no-such-collection/items", 404, None),
        ("/collections/no-such-collection/queryables", 404, None),
        ("/collections/naip/items/no-such-item", 404, None),
        ("/collections/no-such-collection/items/no-such-item", 404, None),
        ("/no/such/path", 404, None),
    ],
)
async def test_an_error_is_a_problem_that_names_the_field(
    lake: Client, path: str, status: int, field: str | None
) -> None:
    async with lake.session.get(URL(lake.url + path, encoded=True)) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        body = await response.json()
    assert body["status"] == status
    assert body["detail"]
    assert body.get("field") == field
    assert field is None or (body["wrong"] and body["expected"])


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff\xfe", b'{"limit": NaN}', b'{"filter": ' + b'{"op":' * 10_000])
async def test_a_body_that_is_no_search_is_a_problem(lake: Client, body: bytes) -> None:
    async with lake.session.post(f"{lake.url}/search", data=body) as response:
        assert response.status == 400
        assert (await response.json())["field"] in ("body", "limit", "filter")


async def test_a_body_beyond_the_bound_is_refused(lake: Client) -> None:
    async with lake.session.post(f"{lake.url}/search", data=io.BytesIO(b" " * ((1 << 20) + 1))) as response:
        assert response.status == 413
        assert response.content_type == "application/problem+json"


async def test_a_token_counts_for_its_own_search_and_user_only(lake: Client) -> None:
    _, page = await lake.post({"collections": ["joplin"], "limit": 5})
    token = next(link["body"]["token"] for link in page["links"] if link["rel"] == "next")
    status, problem = await lake.post({"collections": ["naip"], "limit": 5, "token": token})
    assert (status, problem["field"]) == (400, "token")
    headers = {"Authorization": f"Bearer {BOBS_TOKEN}"}
    status, problem = await lake.post({"collections": ["joplin"], "limit": 5, "token": token}, headers=headers)
    assert (status, problem["field"]) == (400, "token")
    status, page = await lake.post({"collections": ["joplin"], "limit": 11, "token": token})
    assert (status, len(page["features"])) == (200, 11)


async def test_head_options_and_foreign_pages_are_answered(lake: Client) -> None:
    origin = {"Origin": "https://browser.example"}
    for path in ("/", "/search?limit=1", "/collections", "/collections/naip", "/conformance", "/queryables", "/api"):
        async with lake.session.head(f"{lake.url}{path}", headers=origin) as response:
            assert (response.status, await response.read()) == (200, b"")
            assert response.headers["Access-Control-Allow-Origin"] == "*"
        preflight = origin | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        async with aiohttp.request("OPTIONS", f"{lake.url}{path}", headers=preflight) as response:
            assert response.status == 204
            assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
    async with lake.session.get(f"{lake.url}/search?limit=0", headers=origin) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    async with lake.session.put(f"{lake.url}/search") as response:
        assert response.status == 405
        assert response.content_type == "application/problem+json"


async def test_pages_are_compressed_for_those_who_accept_it(lake: Client) -> None:
    for accepted, coding in (("gzip", "gzip"), ("identity", None)):
        headers = {"Accept-Encoding": accepted}
        async with lake.session.get(f"{lake.url}/search?limit=20", headers=headers) as response:
            assert response.headers.get("Content-Encoding") == coding
            assert len((await response.json(content_type=None))["features"]) == 20


async def test_a_forged_host_changes_no_link(lake: Client) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    for path in ("/", "/search?limit=3", "/collections", "/collections/naip/items?limit=2", "/queryables"):
        async with lake.session.get(f"{lake.url}{path}", headers=forged) as response:
            assert response.status == 200
            assert "evil.example" not in await response.text()


async def test_two_users_and_fifty_searches_at_once_are_all_right(lake: Client, union: Union) -> None:
    bodies = [{**body, "limit": 60} for body in SEARCHES.values()] * 3
    told = [expected(union, parsed(body))[:60] for body in bodies[: len(SEARCHES)]] * 3

    async def asked(number: int, body: dict[str, Any]) -> list[Name]:
        headers = {"Authorization": f"Bearer {(TOKEN, BOBS_TOKEN)[number % 2]}"}
        status, page = await lake.post(body, headers=headers)
        assert (status, page["federation:missing"]) == (200, [])
        return [(item["collection"], item["id"]) for item in page["features"]]

    assert len(bodies) > 50
    assert await asyncio.gather(*(asked(*each) for each in enumerate(bodies))) == told
