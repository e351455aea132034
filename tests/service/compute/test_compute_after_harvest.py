"""Copies count at once: compute goes to where a harvest has just brought its data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from s3_bucket import ACCESS, SECRET, served_bucket
from served_app import served
from waiting import until
from whole_lake import COLLECTION, TOKEN, WRITE_TOKEN, whole_lake, written

from edges.settings import Secret, SiteSettings, StorageSettings
from gateway.settings import Settings
from harvest.settings import HarvestSettings

pytestmark = pytest.mark.service

BODY = b"pixels" * 1000


async def file(request: web.Request) -> web.Response:
    return web.Response(body=BODY, headers={"ETag": '"1"'})


def with_room(folder: Path, files: str, endpoint: str) -> Callable[[Settings], Settings]:
    """Return what makes edge-a's files readable, and gives edge-b a bucket and a catalogue to write to."""

    def secret(name: str, value: str) -> Secret:
        return Secret(file=str(written(folder / name, value)))

    storage = StorageSettings(
        endpoint=endpoint, bucket="near", access_key=secret("access", ACCESS), secret_key=secret("secret", SECRET)
    )

    def changed(site: SiteSettings) -> SiteSettings:
        if site.id == "edge-a":
            return msgspec.structs.replace(site, asset_origins=(files,))
        assert site.catalogue is not None
        catalogue = msgspec.structs.replace(site.catalogue, write_token=secret("write", WRITE_TOKEN))
        return msgspec.structs.replace(site, catalogue=catalogue, storage=storage)

    harvest = HarvestSettings(idle_seconds=0.1, attempts=2, pause_seconds=0.1)
    return lambda settings: msgspec.structs.replace(
        settings, sites=tuple(map(changed, settings.sites)), harvest=harvest
    )


async def test_the_harvest_that_a_placement_offers_makes_its_edge_one_that_holds_the_data(
    dask_edges, tmp_path: Path
) -> None:
    app = web.Application()
    app.router.add_get("/{name}", file)
    (tmp_path / "s3").mkdir()
    async with served(app) as files, aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        held = {"edge-a": [1, 2], "edge-b": []}
        assets = {"x": {"href": f"{files}/x.tif", "file:size": len(BODY)}}
        with served_bucket(tmp_path / "s3", "near") as endpoint:
            changed = with_room(tmp_path, files, endpoint)
            async with whole_lake(dask_edges, held, tmp_path, assets=assets, changed=changed) as url:

                async def placed(edge: str) -> dict[str, Any]:
                    wish = {"collections": [COLLECTION], "kind": "cluster", "edge": edge}
                    async with session.post(f"{url}/placement", json=wish) as response:
                        assert response.status == 200, await response.text()
                        return await response.json()

                before = await placed("edge-b")
                assert before["edge"] is None
                (offered,) = before["harvest"]
                async with session.request(offered["method"], url + offered["path"], json=offered["body"]) as response:
                    assert response.status == 201, await response.text()
                    job = response.headers["Location"].rpartition("/")[2]

                async def ended() -> str:
                    async with session.get(f"{url}/jobs/{job}") as response:
                        status = (await response.json())["status"]
                        return status if status in ("successful", "failed") else ""

                assert await until(ended, seconds=20) == "successful"
                after = await placed("edge-b")
                assert (after["edge"], after["harvest"]) == ("edge-b", [])
                best = after["candidates"][0]
                assert (best["edge"], best["items"], best["missing_items"], best["bytes"]) == (
                    *("edge-b", 2, 0),
                    2 * len(BODY),
                )
