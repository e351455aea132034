import asyncio
import io
import re

import pystac_client
import pytest
from running_site import running_site

from edges.site.openapi import openapi_document

pytestmark = pytest.mark.service


async def fill(site, make_collection, items):
    for name in {item["collection"] for item in items}:
        await site.catalogue.put_collection(make_collection(name))
    for item in items:
        await site.catalogue.put_items(item["collection"], [item])


async def test_every_link_is_below_the_address_that_was_bound(site, make_item, make_collection):
    await fill(site, make_collection, [make_item("a b/c", "C 1")])
    async with site.session.get(site.url + "/", headers={"Host": "evil.example"}) as response:
        landing = await response.json()
    _, page = await site.get("/search")
    _, collections = await site.get("/collections")
    links = [*landing["links"], *page["links"], *collections["links"], *collections["collections"][0]["links"]]
    own = [link for link in page["features"][0]["links"] if link["rel"] != "license"]
    for link in [*links, *own]:
        assert link["href"].startswith(site.url)
        if link["rel"] not in ("service-doc", "aggregate"):  # no JSON; nothing is counted unless it is named
            status, _ = await site.get(link["href"].removeprefix(site.url))
            assert status == 200, link
    assert {"rel": "license", "href": "l"} in page["features"][0]["links"]


async def test_a_public_url_is_what_links_are_built_from(tmp_path, free_port):
    async with running_site(tmp_path, public_url="https://lake.example/stac/", port=free_port) as site:
        assert site.url == "https://lake.example/stac"
        async with site.session.get(f"http://127.0.0.1:{free_port}/") as response:
            landing = await response.json()
    assert all(link["href"].startswith("https://lake.example/stac") for link in landing["links"])


async def test_pages_follow_each_other_by_get_and_by_post(site, make_item, make_collection):
    items = [make_item(f"i{n:02}", datetime=f"2024-01-{n + 1:02}T00:00:00Z") for n in range(25)]
    await fill(site, make_collection, items)
    expected = [f"i{n:02}" for n in reversed(range(25))]
    for start in (("GET", "/search?limit=10&collections=c", None), ("POST", "/search", {"limit": 10})):
        method, path, body = start
        found, pages = [], 0
        while path is not None:
            async with site.session.request(method, site.url + path, json=body) as response:
                page = await response.json()
            found += [item["id"] for item in page["features"]]
            pages += 1
            assert page["numberMatched"] == 25
            following = [link for link in page["links"] if link["rel"] == "next"]
            path = following[0]["href"].removeprefix(site.url) if following else None
            if following and method == "POST":
                assert following[0]["merge"] is False
                body = following[0]["body"]
        assert (found, pages) == (expected, 3)


async def test_a_collections_items_page_on_their_own_address(site, make_item, make_collection):
    await fill(site, make_collection, [make_item("a"), make_item("b"), make_item("x", "other")])
    _, page = await site.get("/collections/c/items", limit=1)
    following = next(link["href"] for link in page["links"] if link["rel"] == "next")
    assert following.startswith(f"{site.url}/collections/c/items?")
    _, rest = await site.get(following.removeprefix(site.url))
    assert [item["id"] for item in page["features"] + rest["features"]] == ["a", "b"]
    assert (await site.get("/collections/nowhere/items"))[0] == 404


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/search?bbox=1,2", 400, "bbox"),
        ("/search?limit=0", 400, "limit"),
        ("/search?token=nonsense", 400, "token"),
        ("/search?filter=a%20%3D%3D%201", 400, "filter"),
        ("/search?datetime=yesterday", 400, "datetime"),
        ("/collections/none", 404, None),
        ("/collections/none/items/none", 404, None),
        ("/collections/none/queryables", 404, None),
        ("/nothing/here", 404, None),
    ],
)
async def test_an_error_is_a_problem_that_names_the_field(site, path, status, field):
    async with site.session.get(f"{site.url}{path}") as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        body = await response.json()
    assert body["status"] == status
    assert body.get("field") == field


async def test_a_search_body_beyond_a_mebibyte_is_refused(site):
    async with site.session.post(f"{site.url}/search", data=io.BytesIO(b" " * ((1 << 20) + 1))) as response:
        assert response.status == 413


async def test_head_and_preflight_are_answered(site):
    async with site.session.head(f"{site.url}/search") as response:
        assert response.status == 200
        assert await response.read() == b""
    preflight = {"Origin": "https://browser.example", "Access-Control-Request-Method": "POST"}
    async with site.session.options(f"{site.url}/search", headers=preflight) as response:
        assert response.status == 204
        assert "POST" in response.headers["Access-Control-Allow-Methods"]


async def test_health_is_up(site):
    assert await site.get("/health") == (200, {"status": "up"})


async def test_what_is_described_is_what_is_served(site):
    described = openapi_document(site.url, "t", writable=True, counts=True)["paths"]
    _, served = await site.get("/api")
    assert served["paths"] == described
    for path, operations in described.items():
        address = re.sub(r"\{\w+\}", "none", path)
        for method in operations:
            async with site.session.request(method, site.url + address) as response:
                declared = operations[method]["responses"]
                assert str(response.status) in declared, (method, path, response.status)
    _, landing = await site.get("/")
    assert "https://api.stacspec.org/v1.0.0/ogcapi-features/extensions/transaction" in landing["conformsTo"]


async def test_without_a_write_token_nothing_can_be_written(tmp_path, make_collection):
    async with running_site(tmp_path) as site:
        status, _ = await site.send("POST", "/collections", make_collection("c"))
        assert status == 405
        _, landing = await site.get("/")
        assert not [uri for uri in landing["conformsTo"] if "transaction" in uri]
        assert "post" not in (await site.get("/api"))[1]["paths"]["/collections"]


@pytest.mark.parametrize("token", [None, "wrong", ""])
async def test_the_wrong_token_is_refused(site, make_collection, token):
    status, problem = await site.send("POST", "/collections", make_collection("c"), token=token)
    assert (status, problem["status"]) == (401, 401)


async def test_items_are_created_replaced_and_deleted(site, make_item, make_collection):
    assert (await site.send("POST", "/collections", make_collection("c")))[0] == 201
    assert (await site.send("POST", "/collections", make_collection("c")))[0] == 409
    assert (await site.send("PUT", "/collections/c", make_collection("c") | {"title": "T"}))[0] == 200
    one = make_item("i/1")
    assert (await site.send("POST", "/collections/c/items", one))[0] == 201
    assert (await site.send("POST", "/collections/c/items", one))[0] == 409
    assert (await site.send("PUT", "/collections/c/items/i%2F1", one | {"bbox": [0, 0, 0, 0]}))[0] == 200
    assert (await site.send("PUT", "/collections/c/items/other", make_item("other")))[0] == 404
    assert (await site.send("PUT", "/collections/c/items/other", one))[0] == 400
    _, served = await site.get("/collections/c/items/i%2F1")
    assert served["bbox"] == [0, 0, 0, 0]
    assert (await site.send("DELETE", "/collections/c/items/i%2F1", None))[0] == 204
    assert (await site.send("DELETE", "/collections/c/items/i%2F1", None))[0] == 404
    assert (await site.send("POST", "/collections/nowhere/items", make_item("i", "nowhere")))[0] == 404


async def test_of_an_item_collection_all_or_none_are_taken(site, make_item, make_collection):
    await site.send("POST", "/collections", make_collection("c"))
    good, bad = make_item("good"), make_item("bad") | {"geometry": 5}
    page = {"type": "FeatureCollection", "features": [good, bad]}
    status, problem = await site.send("POST", "/collections/c/items", page)
    assert (status, problem["field"]) == (400, "geometry")
    assert (await site.get("/collections/c/items/good"))[0] == 404
    page["features"] = [good]
    assert (await site.send("POST", "/collections/c/items", page))[0] == 201
    assert (await site.get("/collections/c/items/good"))[0] == 200


async def test_queryables_are_read_off_the_items(site, make_item, make_collection):
    await fill(site, make_collection, [make_item("a", **{"eo:cloud_cover": 5, "tags": ["x"]})])
    for path in ("/queryables", "/collections/c/queryables"):
        _, schema = await site.get(path)
        assert schema["properties"]["eo:cloud_cover"]["type"] == "number"
        assert schema["additionalProperties"] is True
    _, schema = await site.get("/collections/c/sortables")
    assert "eo:cloud_cover" in schema["properties"]
    assert "tags" not in schema["properties"]


async def test_an_unmodified_client_searches_filters_and_sorts(site, make_item, make_collection):
    items = [make_item(f"i{n}", "cd"[n % 2], **{"eo:cloud_cover": n}) for n in range(12)]
    await fill(site, make_collection, items)

    def use():
        client = pystac_client.Client.open(site.url)
        assert {one.id for one in client.get_collections()} == {"c", "d"}
        search = client.search(
            collections=["c", "d"],
            bbox=[0, 0, 5, 5],
            datetime="2023-01-01/2025-01-01",
            filter="eo:cloud_cover >= 4",
            sortby="-properties.eo:cloud_cover",
            limit=3,
        )
        found = [one.id for one in search.items()]
        assert found == [f"i{n}" for n in reversed(range(4, 12))]
        assert client.search(query={"eo:cloud_cover": {"lt": 2}}).matched() == 2
        by_get = client.search(method="GET", filter="eo:cloud_cover < 3", filter_lang="cql2-text", sortby="+id")
        assert [one.id for one in by_get.items()] == ["i0", "i1", "i2"]
        assert client.get_collection("c").get_item("i0").get_self_href() == f"{site.url}/collections/c/items/i0"
        assert len(list(client.get_collection("c").get_items())) == 6

    await asyncio.to_thread(use)
