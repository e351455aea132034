"""Data is given to who may have it, also where it was found for somebody else a moment ago."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from data_scene import BOB, Lake, Origin, lake_of, scene

from edges.settings import AccessRule
from gateway.data.hrefs import data_path
from gateway.settings import ContributedSettings

pytestmark = pytest.mark.service

PATH = data_path(site="hub", collection="scenes", item="one", asset="B01")


async def statuses(lake: Lake, path: str) -> tuple[int, int]:
    """Return what bob and alice get, each of them twice: what one was told must not become the other's."""
    both = [((await lake.body(path, token=BOB))[0], (await lake.body(path))[0]) for _ in range(2)]
    assert both[0] == both[1]
    return both[0]


@pytest.mark.parametrize(("without", "status"), [("nothing", 404), ("metadata", 403)])
async def test_data_that_asks_for_a_role_is_given_to_who_has_it(
    tmp_path: Path, origin: Origin, without: Any, status: int
) -> None:
    origin.files["B01.tif"] = b"bytes"
    rule = AccessRule(collections=("scenes",), role="readers", without=without)
    site = {"hub": {"asset_origins": (origin.url,), "access": (rule,)}}
    items = {"hub": [scene("one", {"B01": f"{origin.url}/B01.tif"})]}
    async with lake_of(tmp_path, items, more=site) as lake:
        assert await statuses(lake, PATH) == (200, status)
        assert origin.asked("B01.tif") == 2
        _, body, _ = await lake.body(PATH)
        assert (b"readers" in body) is (without == "metadata")


async def test_the_data_of_a_users_own_collection_is_not_there_for_others(tmp_path: Path, origin: Origin) -> None:
    contributed = ContributedSettings(site="users")
    async with lake_of(tmp_path, {"hub": []}, contributed=contributed) as lake:
        collection = {
            "type": "Collection",
            "stac_version": "1.1.0",
            "id": "mine",
            "description": "mine",
            "license": "other",
            "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
            "links": [],
        }
        await written(lake, "/collections", collection)
        item = scene("one", {"B01": f"{origin.url}/B01.tif", "far": "ftp://data.example/x"}) | {"collection": "mine"}
        await written(lake, "/collections/mine/items", item)
        path = data_path(site="users", collection="mine", item="one", asset="B01")
        # its owner is told that no user can lead the gateway to a private address; others, that there is nothing
        assert await statuses(lake, path) == (404, 403)
        assert origin.requests == []
        _, body, _ = await lake.body(path, token=BOB)
        assert b"B01" not in body


async def written(lake: Lake, path: str, body: Any) -> None:
    headers = {"Content-Type": "application/json"}
    status, answer, _ = await lake.body(path, method="POST", data=msgspec.json.encode(body), headers=headers)
    assert status == 201, answer
