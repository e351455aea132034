"""Searches in all forms in which notebooks and clients of HDA send them."""

from typing import Any

import aiohttp
import pytest
from hda_lake import BOBS_TOKEN, OLCI, S2, Client

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]


def next_of(page: Any) -> Any:
    return next((link for link in page["links"] if link["rel"] == "next"), None)


async def test_the_search_of_the_quick_start_gives_the_latest_first(lake: Client) -> None:
    status, page = await lake.post(
        {
            "collections": [OLCI],
            "datetime": "2024-09-08T00:00:00Z/2024-09-09T23:59:59Z",
            "bbox": [-11, 35, 50, 72],
            "sortby": [{"field": "datetime", "direction": "desc"}],
            "limit": 3,
        }
    )
    assert status == 200
    assert [each["id"] for each in page["features"]] == ["S3A_09", "S3B_09", "S3A_08"]
    assert {"type", "features", "links", "numberReturned"} <= set(page)


async def test_every_item_tells_its_state_its_backend_and_where_its_product_is(lake: Client) -> None:
    _, page = await lake.post({"collections": [OLCI], "ids": ["S3A_05"]})
    (found,) = page["features"]
    properties, whole = found["properties"], found["assets"]["downloadLink"]
    assert properties["order:status"] == "succeeded"
    assert properties["storage:tier"] == "online"
    assert properties["federation:backends"] == ["eumetsat"]
    assert whole["href"] == f"{lake.url}/data/west/{OLCI}/S3A_05/product"
    assert whole["type"] == "application/zip"
    assert whole["alternate"]["origin"]["href"] == "https://data.example/S3A_05.zip"
    assert found["assets"]["quicklook.jpg"]["href"].endswith("/S3A_05/quicklook.jpg")
    assert [link["rel"] for link in found["links"]] == ["collection", "self"]
    assert found["links"][0]["title"] == "OLCI Level 2 Water"


@pytest.mark.parametrize(
    "pin",
    [
        {"query": {"federation:backends": {"eq": "eumetsat"}}},
        {"query": {"federation:backends": {"in": ["west"]}}},
        {"filter": "federation:backends='eumetsat'", "filter-lang": "cql2-text"},
        {"filter": {"op": "=", "args": [{"property": "federation:backends"}, "eumetsat"]}},
        {"provider": "eumetsat"},
    ],
)
async def test_a_search_can_be_pinned_to_a_backend(lake: Client, pin: Any) -> None:
    found = await lake.found(collections=[OLCI], datetime="2024-09-09", **pin)
    assert found == ["S3A_09"]


async def test_a_pin_beside_other_conditions_leaves_these(lake: Client) -> None:
    text = "federation:backends='eumetsat' AND eo:cloud_cover<3"
    assert await lake.found(filter=text) == ["S3A_02", "S3A_01"]


async def test_a_backend_that_nobody_knows_is_refused_with_those_that_are_known(lake: Client) -> None:
    status, error = await lake.post({"query": {"federation:backends": {"eq": "nowhere"}}})
    assert status == 400
    assert "eumetsat" in error["errors"][0]["message"]


async def test_lists_compare_with_any_of_their_values(lake: Client) -> None:
    found = await lake.found(collections=[S2], query={"eo:cloud_cover": {"eq": [2.0, 4.0]}})
    assert found == ["S2A_04", "S2A_02"]


@pytest.mark.parametrize(
    "moment",
    ["2024-09-03T12:00Z", "2024-09-03", "2024-09-03T00:00:00Z/2024-09-03T23:59:59.999999Z", "2024-09-03T12:00:00.000Z"],
)
async def test_times_are_read_as_clients_write_them(lake: Client, moment: str) -> None:
    assert await lake.found(collections=[S2], datetime=moment) == ["S2A_03"]


async def test_a_member_that_nobody_knows_is_refused_by_name(lake: Client) -> None:
    status, error = await lake.post({"collections": [OLCI], "BBox": [0, 0, 1, 1]})
    assert status == 400
    assert error["code"] == "400"
    assert error["ticket"]
    assert "BBox: extra inputs are not permitted" in error["errors"][0]["message"]


async def test_a_walk_by_tokens_alone_keeps_the_pin(lake: Client) -> None:
    """EODAG sends its own parameters and the token, and nothing else of a next link's body."""
    own = {"collections": [OLCI], "limit": 10, "sortby": [{"field": "id", "direction": "asc"}]}
    _, page = await lake.post({**own, "query": {"federation:backends": {"eq": "eumetsat"}}})
    ids = [each["id"] for each in page["features"]]
    sizes = [len(ids)]
    while (link := next_of(page)) is not None:
        assert link["method"] == "POST"
        assert link["body"]["collections"] == [OLCI]
        _, page = await lake.post({**own, "token": link["body"]["token"]})
        ids += [each["id"] for each in page["features"]]
        sizes.append(len(page["features"]))
    assert ids == [f"S3A_{day:02}" for day in range(1, 26)]
    assert sizes == [10, 10, 5]


async def test_a_page_can_be_asked_for_by_its_number(lake: Client) -> None:
    body = {"collections": [OLCI], "limit": 10, "sortby": [{"field": "id", "direction": "asc"}]}
    assert await lake.found(**body, page=3) == ["S3A_21", "S3A_22", "S3A_23", "S3A_24", "S3A_25", "S3B_03", "S3B_09"]
    assert await lake.found(**body, page=9) == []
    status, _ = await lake.post({**body, "page": 100_000})
    assert status == 400


async def test_the_items_of_a_collection_page_by_get(lake: Client) -> None:
    status, page = await lake.get(
        f"/stac/v2/collections/{S2}/items", limit="4", sortby="+id", datetime="2024-09-01T00:00:00Z/.."
    )
    assert status == 200
    ids = [each["id"] for each in page["features"]]
    async with lake.session.get(next_of(page)["href"]) as response:
        ids += [each["id"] for each in (await response.json(content_type=None))["features"]]
    assert ids == [f"S2A_{day:02}" for day in range(1, 8)]


async def test_an_item_is_found_by_its_id_and_one_that_is_not_there_is_told_in_their_words(lake: Client) -> None:
    status, found = await lake.get(f"/stac/v2/collections/{S2}/items/S2A_03")
    assert (status, found["id"]) == (200, "S2A_03")
    status, error = await lake.get(f"/stac/v2/collections/{S2}/items/none")
    assert (status, error["code"]) == (404, 404)
    assert error["description"] == f"Could not find any item in {S2} collection for backend None."


async def test_what_describes_the_catalogue_needs_no_credentials_and_items_do(lake: Client) -> None:
    async with aiohttp.ClientSession() as nobody:
        for path in ("/stac", "/stac/v2", "/stac/v2/", "/stac/v2/conformance", "/stac/v2/collections", "/services"):
            async with nobody.get(lake.url + path) as response:
                assert response.status == 200, path
        async with nobody.post(f"{lake.url}/stac/v2/search", json={}) as response:
            error = await response.json(content_type=None)
            assert (response.status, error["code"]) == (401, 401)
            assert any(told.startswith("Bearer") for told in response.headers.getall("WWW-Authenticate"))


async def test_collections_stand_on_one_page_and_are_found_by_words_ids_and_backends(lake: Client) -> None:
    async def ids(**parameters: str) -> list[str]:
        status, page = await lake.get("/stac/v2/collections", **parameters)
        assert status == 200, page
        return [each["id"] for each in page["collections"]]

    assert await ids() == [S2, OLCI]
    assert await ids(q="EO.EUM", limit="100") == [OLCI]
    assert await ids(q='"OLCI" AND "level 2"') == [OLCI]
    assert await ids(q="nothing,ocean colour") == [OLCI]
    assert await ids(query='{"federation:backends":{"eq":"eumetsat"}}') == [OLCI]
    assert await ids(provider="EODC") == [S2, OLCI]
    assert await ids(datetime="2015-01-01/2015-12-31") == []


async def test_a_collection_tells_its_backends_and_its_own_links(lake: Client) -> None:
    _, found = await lake.get(f"/stac/v2/collections/{OLCI}")
    assert found["federation:backends"] == ["EODC", "eumetsat"]
    assert found["summaries"]["federation:backends"] == ["EODC", "eumetsat"]
    assert found["dedl:short_description"]
    links = {link["rel"]: link["href"] for link in found["links"]}
    assert links["items"] == f"{lake.url}/stac/v2/collections/{OLCI}/items"
    assert "retrieve" not in links
    status, error = await lake.get("/stac/v2/collections/NONE")
    assert (status, error["code"]) == (404, 404)


async def test_a_token_of_one_user_is_of_no_use_to_another(lake: Client) -> None:
    _, page = await lake.post({"limit": 1})
    body = next_of(page)["body"]
    status, _ = await lake.post(body, headers={"Authorization": f"Bearer {BOBS_TOKEN}"})
    assert status == 400


async def test_services_tell_what_is_offered(lake: Client) -> None:
    _, page = await lake.get("/services")
    assert "dedl-hda" in [each["id"] for each in page["features"]]
    _, found = await lake.get("/services", q="harvests")
    assert [each["id"] for each in found["features"]] == ["dedl-hook"]
    status, one = await lake.get("/services/dedl-hda")
    assert (status, one["links"][4]["rel"]) == (200, "describes")
    status, _ = await lake.get("/services/none")
    assert status == 404
