"""Orders: given, shared, durable, told, withdrawn."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from free_ports import free_port
from hda_lake import OLCI, Client, gateway_over
from hda_ordering import BOB, ORDER, item, link_of, orderable, ordering, ordering_site
from order_provider import ERA5, order_provider
from served_app import served
from waiting import until

from edges.settings import CatalogueSettings, Secret, SiteSettings
from harvest.settings import HarvestSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]


async def test_what_has_to_be_staged_is_found_as_one_item_that_says_how_it_is_ordered(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (_, client):
        found = await orderable(client)
        assert "_ORDERABLE_" in found["id"]
        assert found["assets"] == {}
        assert found["properties"]["order:status"] == "orderable"
        assert found["properties"]["storage:tier"] == "offline"
        assert found["properties"]["federation:backends"] == ["cop_cds"]
        retrieve = link_of(found, "retrieve")
        assert (retrieve["method"], retrieve["href"]) == ("POST", client.url + ORDER)
        assert retrieve["body"] == {
            "variable": ["t2m", "sst"],
            "year": ["2020"],
            "data_format": "grib",
            "federation:backends": ["cop_cds"],
        }
        _, collection = await client.get(f"/stac/v2/collections/{ERA5}")
        assert link_of(collection, "retrieve")["href"] == client.url + ORDER


async def test_an_order_goes_from_ordered_over_shipping_to_its_product(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (provider, client):
        retrieve = link_of(await orderable(client), "retrieve")
        status, order = await client.post(retrieve["body"], ORDER)
        assert status == 200
        assert order["properties"]["order:status"] == "ordered"
        assert order["properties"]["storage:tier"] == "offline"
        assert order["properties"]["federation:backends"] == ["cop_cds"]
        assert len(order["id"]) == 36
        assert provider.placed == [{"variable": ["t2m", "sst"], "year": ["2020"], "data_format": "grib"}]
        provider.move("shipping")
        await until(lambda: _is(client, order["id"], "shipping"))
        assert (await item(client, order["id"]))["properties"]["storage:tier"] == "offline"
        provider.move("succeeded")
        await until(lambda: _is(client, order["id"], "succeeded"))
        done = await item(client, order["id"])
        assert done["properties"]["storage:tier"] == "online"
        whole = done["assets"]["downloadLink"]
        assert whole["href"] == f"{client.url}/data/cds/{ERA5}/{order['id']}/downloadLink"
        assert whole["type"] == "application/x-grib"
        async with client.session.head(link_of(done, "self")["href"]) as response:
            assert response.status == 200


async def _is(client: Client, name: str, status: str) -> bool:
    found = await item(client, name)
    assert found["properties"]["storage:tier"] in ("offline", "online")
    return bool(found["properties"]["order:status"] == status)


async def test_parameters_are_taken_with_the_prefix_of_their_properties_and_without(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (provider, client):
        _, plain = await client.post({"variable": ["t2m"]}, ORDER)
        _, prefixed = await client.post({"ecmwf:variable": ["t2m"], "federation:backends": ["cop_cds"]}, ORDER)
        assert plain["id"] == prefixed["id"]
        assert provider.placed == [{"variable": ["t2m"]}]


async def test_users_share_one_order_and_each_sees_the_own_view_of_it(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (provider, client):
        (_, mine), (_, theirs) = await asyncio.gather(
            client.post({"variable": ["sst"]}, ORDER), client.post({"variable": ["sst"]}, ORDER, headers=BOB)
        )
        assert mine["id"] != theirs["id"]
        assert len(provider.placed) == 1
        assert (await item(client, theirs["id"]))["code"] == 404
        assert (await item(client, theirs["id"], headers=BOB))["id"] == theirs["id"]
        _, page = await client.get("/stac/v2/orders")
        assert [each["id"] for each in page["features"]] == [mine["id"]]
        async with client.session.delete(f"{client.url}/stac/v2/orders/{mine['id']}") as response:
            assert (await response.json(content_type=None))["properties"]["order:status"] == "canceled"
        assert [order["status"] for order in provider.orders.values()] == ["ordered"]
        async with client.session.delete(f"{client.url}/stac/v2/orders/{theirs['id']}", headers=BOB) as response:
            assert response.status == 200
        assert [order["status"] for order in provider.orders.values()] == ["canceled"]


async def test_a_refusal_is_told_in_the_words_of_the_provider_and_leaves_no_order(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (provider, client):
        provider.refusal = "Requested data is not available"
        status, error = await client.post({"variable": ["none"]}, ORDER)
        assert (status, error["code"]) == (400, "400")
        assert error["errors"][0]["provider"] == "cds"
        assert "Requested data is not available" in error["errors"][0]["message"]
        assert (await client.get("/stac/v2/orders"))[1]["features"] == []
        provider.refusal = ""
        assert (await client.post({"variable": ["none"]}, ORDER))[0] == 200


async def test_what_fails_at_the_provider_is_told_on_the_item_and_can_be_ordered_anew(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (provider, client):
        _, order = await client.post({"variable": ["t2m"]}, ORDER)
        provider.move("failed", "tape broken")
        await until(lambda: _is(client, order["id"], "failed"))
        assert (await item(client, order["id"]))["properties"]["order:message"] == "tape broken"
        _, again = await client.post({"variable": ["t2m"]}, ORDER)
        assert again["id"] != order["id"]
        assert len(provider.placed) == 2


async def test_a_provider_that_is_down_gets_the_order_once_it_is_back(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (provider, client):
        provider.broken = True
        status, order = await client.post({"variable": ["t2m"]}, ORDER)
        assert (status, order["properties"]["order:status"]) == (200, "ordered")
        provider.broken = False

        async def placed() -> bool:
            return len(provider.placed) == 1

        await until(placed)
        provider.move("succeeded")
        await until(lambda: _is(client, order["id"], "succeeded"))


async def test_orders_outlive_the_gateway(tmp_path: Path) -> None:
    async with order_provider(free_port()) as provider:
        site = ordering_site(provider, tmp_path)
        async with gateway_over([site], tmp_path / "state") as client:
            _, order = await client.post({"variable": ["t2m"]}, ORDER)
        provider.move("succeeded")
        async with gateway_over([site], tmp_path / "state") as client:
            await until(lambda: _is(client, order["id"], "succeeded"))
        assert len(provider.placed) == 1


async def test_who_wants_to_know_is_told_by_a_signed_event(tmp_path: Path) -> None:
    told: list[tuple[Any, Any]] = []

    async def receive(request: web.Request) -> web.Response:
        told.append((dict(request.headers), await request.json()))
        return web.Response(status=204)

    app = web.Application()
    app.add_routes([web.post("/hook", receive)])
    key = tmp_path / "key"
    key.write_text("webhook key")

    async def heard() -> bool:
        return bool(told)

    async with served(app) as receiver:
        harvest = HarvestSettings(
            callback_hosts=(receiver.removeprefix("http://"),),
            allowed_origins=(receiver,),
            webhook_keys={"mine": Secret(file=str(key))},
        )
        async with ordering(tmp_path, harvest=harvest) as (provider, client):
            notify = {"url": f"{receiver}/hook", "secret": "mine"}
            _, order = await client.post({"variable": ["t2m"], "order:notify": notify}, ORDER)
            assert provider.placed == [{"variable": ["t2m"]}]
            provider.move("succeeded")
            await until(heard)
            headers, event = told[0]
            assert event["type"] == "org.lakegate.order.succeeded"
            assert event["subject"] == order["id"]
            assert event["data"]["assets"]["downloadLink"]["href"].startswith(client.url)
            assert headers["webhook-signature"].startswith("v1,")
            elsewhere = {"variable": ["sst"], "order:notify": {"url": "http://169.254.169.254/x"}}
            status, error = await client.post(elsewhere, ORDER)
            assert (status, "order:notify.url" in error["errors"][0]["message"]) == (400, True)


async def test_a_collection_that_nobody_stages_takes_no_orders(tmp_path: Path) -> None:
    async with order_provider(free_port()) as provider:
        site = SiteSettings(id="cds", kind="hub", catalogue=CatalogueSettings(url=f"{provider.url}/stac"))
        async with gateway_over([site], tmp_path / "state") as client:
            status, error = await client.post({"variable": ["t2m"]}, ORDER)
            assert (status, error["description"]) == (404, f"No backend takes orders of {ERA5}.")
            found = await orderable(client)
            assert [link["rel"] for link in found["links"]] == ["collection", "self"]


async def test_a_download_of_version_1_orders_and_tells_where_to_ask_again(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (provider, client):
        qs = "%7B%22variable%22%3A+%5B%22t2m%22%5D%7D"  # encoded twice on the wire
        path = f"{client.url}/stac/collections/{ERA5}/items/ERA5_ORDERABLE_x/download"
        async with client.session.get(path, params={"_dc_qs": qs, "provider": "cop_cds"}) as response:
            told = await response.json()
            assert (response.status, told["status"]) == (202, "accepted")
        assert provider.placed == [{"variable": ["t2m"]}]
        provider.move("succeeded")

        async def redirected() -> str:
            async with client.session.get(told["location"], allow_redirects=False) as answer:
                assert answer.status in (202, 307)
                return answer.headers.get("Location", "")

        assert (await until(redirected)).endswith("/downloadLink")


async def test_a_download_of_version_1_of_what_is_online_is_redirected(lake: Client) -> None:
    path = f"{lake.url}/stac/collections/{OLCI}/items/S3A_05/download"
    async with lake.session.get(path, params={"provider": "eumetsat"}, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (307, f"{lake.url}/data/west/{OLCI}/S3A_05/product")


async def test_an_order_whose_answer_was_lost_is_given_again_under_the_same_key(tmp_path: Path) -> None:
    async with ordering(tmp_path) as (provider, client):
        provider.drops = 2
        status, order = await client.post({"variable": ["t2m"]}, ORDER)
        assert (status, order["properties"]["order:status"]) == (200, "ordered")

        async def taken() -> bool:
            return provider.looks > 0

        await until(taken)
        assert (len(provider.keys), len(set(provider.keys)), len(provider.placed)) == (3, 1, 1)
        await client.post({"variable": ["sst"]}, ORDER)
        assert len(set(provider.keys)) == 2
