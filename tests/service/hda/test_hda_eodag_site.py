"""A site that EODAG speaks to and that stages on order: found, narrowed, ordered, asked by the library's plug-ins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from hda_lake import Client, gateway_over
from hda_ordering import BOB, link_of
from order_provider import ERA5, SECRET, OrderProvider, order_provider

from edges.settings import CatalogueSettings, EodagSettings, OrderSettings, Secret, SiteSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

ORDER = "/stac/v2/collections/ERA5_SL/order"
SEARCH = {
    "collections": ["ERA5_SL"],
    "query": {"ecmwf:variable": {"eq": ["t2m", "sst"]}, "ecmwf:year": {"eq": ["2020"]}},
}
STATUS = '{$.properties."order:status"#get_group_name((?P<succeeded>succeeded)|(?P<orderable>orderable))}'
ORDER_LINK = "{_order_href}?{{{_order_body#replace_str(\"'\", '\"')}}}"


def definition_of(url: str) -> dict[str, Any]:
    """Return how EODAG is told of a provider that speaks as HDA does."""
    return {
        "search": {
            "type": "StacSearch",
            "api_endpoint": f"{url}/stac/search",
            "need_auth": False,
            "metadata_mapping": {"order:status": STATUS},
            "pagination": {"max_limit": 100, "next_page_token_key": "token"},
            "discover_queryables": {
                "fetch_url": None,
                "collection_fetch_url": f"{url}/stac/collections/{{provider_collection}}/queryables",
            },
        },
        "download": {
            "type": "HTTPDownload",
            "auth_error_code": 401,
            "order_enabled": True,
            "order_method": "POST",
            "order_on_response": {
                "metadata_mapping": {
                    "eodag:status_link": '$.json.links[?rel=="self"].href',
                    "eodag:order_status": '$.json.properties."order:status"',
                }
            },
            "order_status": {
                "request": {"method": "GET"},
                "metadata_mapping": {
                    "eodag:order_status": '$.json.properties."order:status"',
                    "eodag:order_message": '$.json.properties."order:message"',
                },
                "success": {"eodag:order_status": "succeeded"},
                "on_success": {"metadata_mapping": {"eodag:download_link": "$.json.assets.downloadLink.href"}},
            },
        },
        "auth": {
            "type": "HTTPHeaderAuth",
            "matching_url": "http://127.0.0.1",
            "headers": {"Authorization": "Bearer {apikey}"},
        },
        "products": {
            "ERA5_SL": {
                "_collection": ERA5,
                "metadata_mapping": {
                    "_order_href": '$.links[?rel=="retrieve"].href',
                    "_order_body": '$.links[?rel=="retrieve"].body',
                    "eodag:order_link": ORDER_LINK,
                    "eodag:download_link": "$.null",
                    "assets": "$.null",
                },
            }
        },
    }


@asynccontextmanager
async def staging(folder: Path) -> AsyncIterator[tuple[OrderProvider, Client]]:
    key = folder / "key"
    key.write_text(SECRET)
    async with order_provider(free_port()) as provider:
        eodag = EodagSettings(
            provider="local",
            definition=definition_of(provider.url),
            collections=("ERA5_SL",),
            credentials={"apikey": Secret(file=str(key))},
        )
        site = SiteSettings(
            id="cds", kind="hub", catalogue=CatalogueSettings(eodag=eodag), orders=OrderSettings(timeout_seconds=30.0)
        )
        async with gateway_over([site], folder / "state") as client:
            yield provider, client


async def until_told(client: Client, name: str, status: str) -> Any:
    async with asyncio.timeout(20):
        while True:
            _, found = await client.get(f"/stac/v2/collections/ERA5_SL/items/{name}")
            if found["properties"]["order:status"] == status:
                return found
            await asyncio.sleep(0.05)


async def test_a_product_of_eodag_is_found_ordered_and_asked_for_until_it_is_there(tmp_path: Path) -> None:
    async with staging(tmp_path) as (provider, client):
        status, page = await client.post(SEARCH)
        assert status == 200, page
        (found,) = page["features"]
        assert found["properties"]["order:status"] == "orderable"
        assert found["properties"]["ecmwf:variable"] == ["t2m", "sst"]
        body = {"variable": ["t2m", "sst"], "year": ["2020"], "federation:backends": ["cds"]}
        status, order = await client.post(body, link_of(found, "retrieve")["href"].removeprefix(client.url))
        assert (status, order["properties"]["order:status"]) == (200, "ordered"), order
        assert provider.placed == [{"variable": ["t2m", "sst"], "year": ["2020"]}]
        _, theirs = await client.post(body, ORDER, headers=BOB)
        assert len(provider.placed) == 1
        provider.move("shipping")
        await until_told(client, order["id"], "shipping")
        provider.move("succeeded")
        done = await until_told(client, order["id"], "succeeded")
        whole = done["assets"]["downloadLink"]
        assert whole["alternate"]["origin"]["href"].startswith(f"{provider.url}/stac/files/")
        assert theirs["id"] != order["id"]


async def test_the_body_that_an_item_of_eodag_offers_can_be_ordered(tmp_path: Path) -> None:
    async with staging(tmp_path) as (provider, client):
        (found,) = (await client.post(SEARCH))[1]["features"]
        retrieve = link_of(found, "retrieve")
        status, order = await client.post(retrieve["body"], ORDER)
        assert (status, order["properties"]["order:status"]) == (200, "ordered"), order
        assert provider.placed == [{"variable": ["t2m", "sst"], "year": ["2020"]}]


async def test_a_failure_and_a_refusal_of_the_provider_are_told(tmp_path: Path) -> None:
    async with staging(tmp_path) as (provider, client):
        _, order = await client.post({"variable": ["t2m"]}, ORDER)
        provider.move("failed", "tape broken")
        failed = await until_told(client, order["id"], "failed")
        assert failed["properties"]["order:message"] == "tape broken"
        provider.refusal = "no such year"
        status, error = await client.post({"variable": ["t2m"], "year": ["1000"]}, ORDER)
        assert (status, error["errors"][0]["provider"]) == (400, "cds")


async def test_an_order_whose_answer_is_lost_is_told_as_unknown_and_not_given_again(tmp_path: Path) -> None:
    async with staging(tmp_path) as (provider, client):
        provider.drops = 1
        status, order = await client.post({"variable": ["t2m"]}, ORDER)
        told = order["properties"]
        assert (status, told["order:status"]) == (200, "failed"), order
        assert "may have taken the order" in told["order:message"]
        assert len(provider.placed) == 1
        status, again = await client.post({"variable": ["t2m"]}, ORDER)  # who knows better may order anew
        assert (status, again["properties"]["order:status"]) == (200, "ordered")
        assert again["id"] != order["id"]
        assert len(provider.placed) == 2


async def test_queryables_come_from_eodag_and_narrow(tmp_path: Path) -> None:
    async with staging(tmp_path) as (_, client):
        _, told = await client.get("/stac/v2/collections/ERA5_SL/queryables", **{"ecmwf:year": "2020"})
        assert "ecmwf:month" in told["properties"], told
