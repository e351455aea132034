"""HOOK's Tutorial, step by step, by its own clients: requests and boto3."""

import asyncio
import io
import zipfile

import pytest
from hook_outside import COLLECTION, DESP_PASSWORD, FILES, SCENE
from hook_scene import external, listed, order, own_bucket

pytestmark = pytest.mark.service


async def test_the_workflow_is_found_with_its_options(world):
    async with world.gateway() as hook:
        all_of_them = (await hook.get("Workflows?$orderby=Id asc")).json()
        assert [each["Name"] for each in all_of_them["value"]] == ["data-harvest"]
        assert "WorkflowOptions" not in all_of_them["value"][0]
        asked = "Workflows?$expand=WorkflowOptions&$filter=(Name eq 'data-harvest')"
        workflow = (await hook.get(asked)).json()["value"][0]
        names = {option["Name"] for option in workflow["WorkflowOptions"]}
        assert {"output_storage", "source_type", "desp_source_collection", "source_token_url"} <= names
        assert set(workflow["WorkflowOptions"][0]) == {"Name", "Description", "Type", "Default", "Value", "Required"}


async def test_a_temporary_order_ends_in_an_archive(world):
    async with world.gateway() as hook:
        made = await hook.post("BatchOrder/OData.CSC.Order", order())
        assert made.status_code == 201
        told = made.json()
        number = told["value"]["Id"]
        assert told["@odata.context"] == "#metadata/Odata.CSC.BatchOrder"
        assert (type(number), told["value"]["Status"]) == (int, "queued")
        assert told["value"]["WorkflowDisplayName"] == "Data harvest"
        assert DESP_PASSWORD not in made.text

        ended = await hook.ended(number)
        assert (ended["Id"], ended["Status"]) == (str(number), "completed")
        assert ended["StatusMessage"] == "requested output product is available"
        assert ended["InputProductReference"] == {"Reference": SCENE, "ContentDate": None}
        assert "desp_source_password" not in str(ended)

        product = (await hook.products(number))[0]
        assert product["Status"] == "completed"
        assert (product["ProcessedName"], product["ProcessedSize"]) == (SCENE, sum(map(len, FILES.values())))
        by_token = await hook.get(f"BatchOrder({number})/Product({product['Id']})/$value")
        link = product["DownloadLink"]
        by_link = await asyncio.to_thread(hook.other("nobody").session.get, link, headers={"Authorization": None})
        for answer in (by_token, by_link):
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
            assert int(answer.headers["Content-Length"]) == len(answer.content)
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                assert archive.testzip() is None
                assert {name: archive.read(name) for name in archive.namelist()} == {
                    f"{SCENE}/{name}": body for name, body in FILES.items()
                }


async def test_a_private_order_ends_in_the_users_own_bucket(world):
    async with world.gateway() as hook:
        number = await hook.order(output=own_bucket(world))
        assert (await hook.ended(number))["Status"] == "completed"
        product = (await hook.products(number))[0]
        assert product["DownloadLink"] is None
        there = await asyncio.to_thread(listed, world.s3, f"{world.bucket}-own", "mine/2023/")
        found = {key.rsplit("/", 1)[-1]: size for key, size in there.items()}
        assert found == {name: len(body) for name, body in FILES.items()}
        assert all(key.startswith(f"mine/2023/{SCENE}/") for key in there)
        absent = await hook.get(f"BatchOrder({number})/Product({product['Id']})/$value")
        assert absent.status_code == 410
        assert f"s3://{world.bucket}-own/mine/2023" in absent.json()["error"]["message"]


async def test_a_private_order_without_keys_goes_to_the_bucket_that_the_group_has_set_up(world):
    output = {"output_storage": "PRIVATE", "output_s3_path": f"s3://{world.bucket}-team/inbox"}
    async with world.gateway() as hook:
        assert (await hook.ended(await hook.order(output=output)))["Status"] == "completed"
        there = await asyncio.to_thread(listed, world.s3, f"{world.bucket}-team")
        assert len(there) == len(FILES)
        refused = await hook.other("eve").post("BatchOrder/OData.CSC.Order", order(output=output))
        assert refused.json()["error"]["target"] == "output_s3_access_key"


@pytest.mark.parametrize("grant", ["PASSWORD", "CLIENT_CREDENTIALS"])
async def test_a_catalogue_outside_is_harvested_with_the_orders_own_credentials(world, outside, grant):
    async with world.gateway() as hook:
        number = await hook.order(source=external(outside, source_grant_type=grant))
        ended = await hook.ended(number)
        assert ended["Status"] == "completed", ended
        assert (await hook.products(number))[0]["ProcessedSize"] == sum(map(len, FILES.values()))
        assert {form["grant_type"] for form in outside.grants} == {grant.lower()}
        assert len(outside.grants) == 1, "one token for all files"


async def test_an_odata_catalogue_outside_is_harvested_and_its_checksum_held_to(world, outside):
    async with world.gateway() as hook:
        number = await hook.order(source=external(outside, "ODATA"), output=own_bucket(world))
        ended = await hook.ended(number)
        assert ended["Status"] == "completed", ended
        there = await asyncio.to_thread(listed, world.s3, f"{world.bucket}-own", "mine/2023/")
        assert [key.rsplit("/", 1)[-1] for key in there] == [f"{SCENE}.zip"]


async def test_an_order_in_the_spelling_of_2024_05_for_this_gateway_needs_no_password(world):
    async with world.gateway() as hook:
        source = {
            "brand": "dedl", "platform": "creodias", "version": "0.0.1", "input_catalogue_type": "STAC",
            "input_catalogue_url": f"{hook.url}/stac", "input_catalogue_collection": COLLECTION,
            "source_client_id": "hda-public", "source_client_secret": "", "source_username": "ann",
            "source_password": DESP_PASSWORD, "source_realm": "desp", "source_server_url": "https://identity.example",
        }  # fmt: skip
        assert (await hook.ended(await hook.order(source=source)))["Status"] == "completed"


async def test_a_production_order_is_one_product(world):
    async with world.gateway() as hook:
        body = order() | {"InputProductReference": {"Reference": SCENE.removesuffix(".SAFE")}}
        del body["IdentifierList"]
        made = await hook.post("ProductionOrder/OData.CSC.Order", body)
        assert (made.status_code, type(made.json()["value"]["Id"])) == (201, str)
        number = int(made.json()["value"]["Id"])
        assert (await hook.ended(number))["Status"] == "completed", "the suffix makes no difference"
        archive = await hook.get(f"ProductionOrder({number})/Product/$value")
        assert archive.content.startswith(b"PK")
        assert (await hook.get(f"ProductionOrders('{number}')")).json()["value"]["Status"] == "completed"


async def test_an_estimate_tells_files_and_bytes_and_orders_nothing(world):
    async with world.gateway() as hook:
        told = (await hook.post("BatchOrder/OData.CSC.EstimateCost", order())).json()
        assert told["tokens"] == 1
        assert (told["value"]["Files"], told["value"]["Size"]) == (len(FILES), sum(map(len, FILES.values())))
        assert (await hook.get("BatchOrder")).json()["value"] == []


async def test_a_product_that_is_not_there_fails_and_says_so(world):
    async with world.gateway() as hook:
        ended = await hook.ended(await hook.order(identifiers=("NO_SUCH_SCENE", SCENE)))
        assert ended["Status"] == "failed"
        assert "there is no product 'NO_SUCH_SCENE'" in ended["StatusMessage"]
        products = await hook.products(int(ended["Id"]))
        assert [each["Status"] for each in products] == ["failed", "completed"]
