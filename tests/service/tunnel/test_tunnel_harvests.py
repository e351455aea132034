"""Harvests from an edge that nobody can dial: by the addresses that its items name, and by no other."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from free_ports import free_port
from s3_bucket import ACCESS, SECRET, rclone
from tunnel_files import CONTENT, FILES, behind, files, secret
from tunnel_scene import edge_end
from waiting import until

from edges.catalogues.sqlite import SqliteCatalogue
from edges.settings import StorageSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.settings import ApiTokenSettings, AuthSettings, LimitSettings, ServerSettings, Settings
from harvest.settings import HarvestSettings, PrivateBucket

pytestmark = pytest.mark.service


def item(item_id: str, hrefs: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": item_id, "collection": "c", "geometry": None, "links": [],
        "properties": {"datetime": "2026-01-01T00:00:00Z"},
        "assets": {name: {"href": href} for name, href in hrefs.items()},
    }  # fmt: skip


def settings(folder: Path, ports: dict[str, int]) -> Settings:
    site = behind(folder, ports)
    assert site.storage is not None
    team = StorageSettings(
        endpoint=site.storage.endpoint,
        bucket="team",
        access_key=secret(folder, "team-access", ACCESS),
        secret_key=secret(folder, "team-secret", SECRET),
    )
    token = secret(folder, "ada", "token-of-ada")
    return Settings(
        sites=(site,),
        server=ServerSettings(port=free_port(), state=str(folder / "state"), shutdown_seconds=1.0),
        auth=AuthSettings(tokens=(ApiTokenSettings(user="ada", token=token, groups=("eo",)),)),
        limits=LimitSettings(probe_seconds=0.5),
        harvest=HarvestSettings(
            buckets=(PrivateBucket(name="team", group="eo", storage=team),),
            idle_seconds=0.1, attempts=2, pause_seconds=0.1,
        ),
    )  # fmt: skip


async def brought(session: aiohttp.ClientSession, item_id: str) -> dict[str, Any]:
    """Harvest an item into the group's own bucket; return the results of the job."""
    wish = {"inputs": {"target": "~team", "collections": ["c"], "ids": [item_id]}}
    async with session.post("/processes/harvest/execution", json=wish) as response:
        assert response.status == 201, await response.text()
        job = response.headers["Location"].rpartition("/")[2]

    async def ended() -> bool:
        async with session.get(f"/jobs/{job}") as response:
            return (await response.json())["status"] in ("successful", "failed")

    await until(ended, seconds=20)
    async with session.get(f"/jobs/{job}/results") as response:
        return await response.json()


async def test_an_edge_that_dials_out_only_is_harvested_through_the_tunnel_by_its_own_addresses(tmp_path: Path) -> None:
    (tmp_path / "s3" / "data").mkdir(parents=True)
    (tmp_path / "s3" / "team").mkdir()
    (tmp_path / "s3" / "data" / "x.tif").write_bytes(b"stored" + CONTENT)
    async with AsyncExitStack() as stack:
        held = await stack.enter_async_context(SqliteCatalogue(tmp_path / "edge.db", readers=2))
        url = await stack.enter_async_context(serving(held, SiteServerSettings(shutdown_seconds=1.0)))
        services = {
            "catalogue": int(url.rpartition(":")[2]),
            "files": await stack.enter_async_context(files()),
            "store": int(stack.enter_context(rclone(tmp_path / "s3")).rpartition(":")[2]),
        }
        ports = {name: free_port() for name in services}
        await held.put_collection({"type": "Collection", "id": "c", "extent": {}, "links": []})
        good = {"file": f"{FILES}/in/B%2001.tif?version=1", "stored": "s3://data/x.tif"}
        bad = {"end": f"http://127.0.0.1:{ports['files']}/in/B%2001.tif?version=1"}
        await held.put_items("c", [item("far", good), item("sly", bad)])
        gateway = await stack.enter_async_context(running_gateway(settings(tmp_path, ports)))
        ends = {name: f"127.0.0.1:{port}" for name, port in services.items()}
        await stack.enter_async_context(edge_end(gateway, ends).running())
        headers = {"Authorization": "Bearer token-of-ada"}
        session = await stack.enter_async_context(aiohttp.ClientSession(gateway, headers=headers))

        async def reached() -> bool:
            async with session.get("/collections/c/items/far") as response:
                return response.status == 200

        await until(reached)
        await brought(session, "far")
        copies = {path.name: path.read_bytes() for path in (tmp_path / "s3" / "team").rglob("*") if path.is_file()}
        assert sorted(copies.values()) == sorted([CONTENT, b"stored" + CONTENT])
        refused = await brought(session, "sly")
        assert "not allowed" in str(refused) or "private" in str(refused), refused
        assert len([path for path in (tmp_path / "s3" / "team").rglob("*") if path.is_file()]) == 2
