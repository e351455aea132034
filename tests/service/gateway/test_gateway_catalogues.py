"""Each site as a catalogue of its own, children, and collections that can be searched."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pystac_client
import pytest
import pytest_asyncio
from federated_lake import TOKEN, Client
from small_lake import DESCRIBED, NORTH, SOUTH, small_lake

from edges.stac.links import QUERYABLES_REL
from gateway.stac.openapi import openapi_document

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

DOCUMENT = openapi_document("http://gate.example")
ALL = sorted(DESCRIBED)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with small_lake(tmp_path_factory.mktemp("small")) as client:
        yield client


def names(page: Any) -> list[str]:
    return [each["id"] for each in page["collections"]]


def rel(document: Any, name: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == name]


async def test_the_landing_page_leads_to_catalogues_and_children(small: Client) -> None:
    _, landing = await small.get("/")
    assert rel(landing, "catalogs") == [f"{small.url}/catalogs"]
    assert rel(landing, "children") == [f"{small.url}/children"]
    _, told = await small.get("/children")
    fetched = [(await small.get(href.removeprefix(small.url)))[1] for href in rel(landing, "child")]
    assert fetched == told["children"]
    assert [each["type"] for each in told["children"]] == ["Catalog"] * 2 + ["Collection"] * 3
    for kind in ("Catalog", "Collection"):
        _, some = await small.get("/children", type=kind)
        assert some["children"] == [each for each in told["children"] if each["type"] == kind]
    status, problem = await small.get("/children", type="Item")
    assert (status, problem["field"]) == (400, "type")


async def test_a_catalogue_holds_its_site_only(small: Client) -> None:
    _, told = await small.get("/catalogs")
    assert [each["id"] for each in told["catalogs"]] == ["north", "south"]
    _, one = await small.get("/catalogs/north")
    assert one == told["catalogs"][0]
    assert rel(one, "root") == rel(one, "parent") == [small.url]
    _, page = await small.get("/catalogs/north/collections")
    assert names(page) == ["sea-ice", "sentinel-2-l2a"]
    assert rel(one, "child") == [rel(each, "self")[0] for each in page["collections"]]
    _, scoped = await small.get("/catalogs/north/collections/sea-ice")
    assert rel(scoped, "parent") == [f"{small.url}/catalogs/north"]
    assert rel(scoped, "canonical") == [f"{small.url}/collections/sea-ice"]
    assert (await small.get("/catalogs/north/collections/dem"))[0] == 404
    assert (await small.get("/catalogs/north/collections/dem/items"))[0] == 404
    assert (await small.get("/catalogs/nowhere"))[0] == 404
    assert (await small.get("/catalogs/nowhere/search"))[0] == 404
    assert (await small.get("/catalogs/north/catalogs"))[1]["catalogs"] == []


async def test_a_scoped_search_asks_that_site_only_by_get_and_post_on_all_pages(small: Client) -> None:
    wanted = {each["id"] for each in SOUTH}
    for method in ("GET", "POST"):
        url, body, found = f"{small.url}/catalogs/south/search", {"limit": 4}, []
        while True:
            options = {"json": body} if method == "POST" else {"params": {"limit": 4} if "?" not in url else None}
            async with small.session.request(method, url, **options) as response:
                page = await response.json(content_type=None)
            found += [each["id"] for each in page["features"]]
            assert set(page["federation"]) == {"south"}
            assert all(each["properties"]["federation:backends"] == ["south"] for each in page["features"])
            assert rel(page["features"][0], "self")[0].startswith(f"{small.url}/catalogs/south/collections/")
            following = next((link for link in page["links"] if link["rel"] == "next"), None)
            if following is None:
                break
            assert following["href"].startswith(f"{small.url}/catalogs/south/search")
            url, body = following["href"], following.get("body", {})
        assert (len(found), set(found)) == (len(wanted), wanted)


async def test_a_token_of_one_scope_is_none_of_another(small: Client) -> None:
    _, page = await small.post({"limit": 2}, "/catalogs/south/search")
    token = next(link["body"]["token"] for link in page["links"] if link["rel"] == "next")
    for path in ("/search", "/catalogs/north/search"):
        status, problem = await small.post({"limit": 2, "token": token}, path)
        assert (status, problem["field"]) == (400, "token")


async def test_an_item_of_a_catalogue_is_the_copy_of_its_site(small: Client) -> None:
    _, both = await small.get("/collections/sentinel-2-l2a/items/s6")
    assert both["properties"]["federation:backends"] == ["north", "south"]
    _, one = await small.get("/catalogs/south/collections/sentinel-2-l2a/items/s6")
    assert one["properties"]["federation:backends"] == ["south"]
    assert (await small.get("/catalogs/south/collections/sentinel-2-l2a/items/s1"))[0] == 404
    assert (await small.get("/collections/sentinel-2-l2a/items/s1"))[0] == 200


SEARCHES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing asked": ({}, ALL),
    "a word": ({"q": "ice"}, ["sea-ice"]),
    "one of two words": ({"q": "polar,terrain"}, ["dem", "sea-ice"]),
    "both words": ({"q": "land AND optical"}, ["sentinel-2-l2a"]),
    "a word and not another": ({"q": "land -optical"}, ["dem"]),
    "a phrase": ({"q": '"of the land"'}, ["dem", "sentinel-2-l2a"]),
    "a box": ({"bbox": "-5,40,5,45"}, ["dem", "sentinel-2-l2a"]),
    "a box across the antimeridian": ({"bbox": "170,70,-170,80"}, ["dem", "sea-ice"]),
    "a box that touches none but the world": ({"bbox": "0,-60,10,-50"}, ["dem"]),
    "a time": ({"datetime": "2016-01-01T00:00:00Z/.."}, ["sea-ice", "sentinel-2-l2a"]),
    "an early time": ({"datetime": "../1990-01-01T00:00:00Z"}, ["sea-ice"]),
    "a filter": ({"filter": "license = 'CC-BY-4.0'"}, ["dem", "sea-ice"]),
    "a filter on words": ({"filter": "a_contains(keywords, ('polar', 'ice'))"}, ["sea-ice"]),
    "a filter on summaries": ({"filter": '"summaries.eo:cloud_cover.maximum" > 50'}, ["sentinel-2-l2a"]),
    "a filter on the area": ({"filter": "S_INTERSECTS(geometry, POINT(170 75))"}, ["dem", "sea-ice"]),
    "a filter on time": ({"filter": "start_datetime > TIMESTAMP('2011-01-01T00:00:00Z')"}, ["sentinel-2-l2a"]),
    "the query extension": ({"query": '{"title": {"startsWith": "Se"}}'}, ["sea-ice", "sentinel-2-l2a"]),
    "an order": ({"sortby": "-title"}, ["sentinel-2-l2a", "sea-ice", "dem"]),
    "an order with nulls last": ({"sortby": "end_datetime"}, ["dem", "sea-ice", "sentinel-2-l2a"]),
    "ids": ({"ids": "dem,none"}, ["dem"]),
}


@pytest.mark.parametrize(("parameters", "told"), SEARCHES.values(), ids=SEARCHES.keys())
async def test_collections_are_found_by(small: Client, parameters: dict[str, str], told: list[str]) -> None:
    status, page = await small.get("/collections", **parameters)
    assert (status, names(page)) == (200, told)
    assert (page["numberMatched"], page["numberReturned"]) == (len(told), len(told))
    if all(each in ("q", "datetime", "filter") for each in parameters):
        body: dict[str, Any] = parameters | ({"filter-lang": "cql2-text"} if "filter" in parameters else {})
        assert names((await small.post(body, "/collections"))[1]) == told


async def test_a_combined_collection_carries_the_words_and_sites_of_all(small: Client) -> None:
    _, one = await small.get("/collections/sentinel-2-l2a")
    assert one["federation:backends"] == ["north", "south"]
    assert one["summaries"]["platform"] == ["sentinel-2a"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_collections_page_forth_and_back(small: Client, method: str) -> None:
    url, body = f"{small.url}/collections", {"limit": 1, "sortby": [{"field": "title", "direction": "desc"}]}
    options: dict[str, Any] = {"json": body} if method == "POST" else {"params": {"limit": 1, "sortby": "-title"}}
    seen: list[list[str]] = []
    for way in ("next", "next", "prev", "prev", "prev"):
        async with small.session.request(method, url, **options) as response:
            page = await response.json(content_type=None)
        seen.append(names(page))
        assert page["numberMatched"] == 3
        following = next((link for link in page["links"] if link["rel"] == way), None)
        if following is None:
            break
        url, options = following["href"], {"json": following["body"]} if method == "POST" else {}
    assert seen == [["sentinel-2-l2a"], ["sea-ice"], ["dem"], ["sea-ice"], ["sentinel-2-l2a"]]
    assert not rel(page, "prev")


async def test_a_token_of_other_collections_is_refused(small: Client) -> None:
    _, page = await small.get("/collections", limit=1)
    token = rel(page, "next")[0].partition("token=")[2]
    for parameters in ({"q": "ice", "token": token}, {"token": "made-up"}, {"token": "k"}):
        status, problem = await small.get("/collections", **parameters)
        assert (status, problem["field"]) == (400, "token")


async def test_members_of_collections_are_chosen(small: Client) -> None:
    _, page = await small.get("/collections", fields="title,summaries.platform")
    assert page["collections"][1] == {
        "type": "Collection", "stac_version": "1.0.0", "id": "sea-ice", "title": "Sea ice concentration",
        "summaries": {"platform": ["dmsp-f17"]},
    }  # fmt: skip
    _, page = await small.get("/collections", fields="-links,-extent.temporal")
    assert all("links" not in each and set(each["extent"]) == {"spatial"} for each in page["collections"])


async def test_queryables_are_told_for_all_for_some_and_for_one(small: Client) -> None:
    _, whole = await small.get("/queryables")
    _, some = await small.get("/queryables", collections="sea-ice,dem")
    _, one = await small.get("/collections/sea-ice/queryables")
    _, bare = await small.get("/collections/dem/queryables")
    for document in (whole, some, one, bare):
        jsonschema.Draft202012Validator.check_schema(document)
    assert whole["properties"]["eo:cloud_cover"]["federation:backends"] == ["north", "south"]
    always = {"id", "collection", "datetime", "geometry"}
    assert set(one["properties"]) == always | {"platform", "title"}
    assert set(bare["properties"]) == always | {"keywords"}
    assert set(some["properties"]) == always | {"platform", "title", "keywords"}
    assert one["properties"]["title"] == {"title": "title", "type": "string", "federation:backends": ["north"]}
    _, sorts = await small.get("/collections/dem/sortables")
    assert set(sorts["properties"]) == always - {"geometry"}
    assert (await small.get("/queryables", collections="sea-ice,none"))[0] == 404
    _, scoped = await small.get("/catalogs/north/queryables")
    assert scoped["properties"]["platform"]["federation:backends"] == ["north"]
    _, told = await small.get("/collections")
    (href,) = rel(told, QUERYABLES_REL)
    _, document = await small.get(href.removeprefix(small.url))
    assert {"title", "license", "keywords"} < set(document["properties"])


ANSWERS = {
    "/": "Catalog", "/conformance": "Conformance", "/collections": "Collections", "/collections/dem": "Collection",
    "/catalogs": "Catalogs", "/catalogs/north": "Catalog", "/children": "Children", "/search": "ItemCollection",
    "/collections/dem/items": "ItemCollection", "/collections/dem/items/dem1": "Item", "/queryables": "Properties",
    "/collections/dem/sortables": "Properties", "/catalogs/south/collections/dem": "Collection",
    "/collections-queryables": "Properties", "/search?fields=id": "ItemCollection", "/search?limit=0": "Problem",
    "/collections?fields=title": "Collections", "/catalogs/south/search": "ItemCollection", "/collections/x": "Problem",
    "/catalogs/south/children": "Children",
}  # fmt: skip


@pytest.mark.parametrize(("path", "schema"), ANSWERS.items())
async def test_an_answer_has_the_shape_that_is_described(small: Client, path: str, schema: str) -> None:
    _, answer = await small.get(path)
    described = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(described).validate(answer)


async def test_an_unmodified_client_takes_a_catalogue_for_its_root(small: Client) -> None:
    def use() -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        client = pystac_client.Client.open(f"{small.url}/catalogs/north", headers=headers)
        assert {each.id for each in client.get_collections()} == {"sea-ice", "sentinel-2-l2a"}
        assert {each.id for each in client.search(limit=3).items()} == {each["id"] for each in NORTH}
        assert {each.id for each in client.get_collection("sea-ice").get_items()} == {f"ice{n}" for n in range(1, 5)}
        found = client.collection_search(q="polar", max_collections=5)
        assert [each.id for each in found.collections()] == ["sea-ice"]

    await asyncio.to_thread(use)
