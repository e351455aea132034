"""Downloads from an edge that nobody can dial: from its own store, and from addresses that only it knows."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from free_ports import free_port
from s3_bucket import rclone
from tunnel_files import CONTENT, FILES, behind, files, secret
from tunnel_scene import SECRET as TUNNEL_SECRET
from tunnel_scene import edge_end
from waiting import until

from edges.catalogues.sqlite import SqliteCatalogue
from edges.settings import DirectSettings, TunnelSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.settings import ApiTokenSettings, AuthSettings, LimitSettings, ServerSettings, Settings

pytestmark = pytest.mark.service


@asynccontextmanager
async def catalogue(folder: Path) -> AsyncIterator[int]:
    """Serve the edge's catalogue; yield the port."""
    hrefs = {"file": f"{FILES}/in/B%2001.tif?version=1", "stored": "s3://data/x.tif", "other": "http://127.0.0.1:9/x"}
    item: dict[str, Any] = {
        "type": "Feature", "stac_version": "1.0.0", "id": "far", "collection": "c", "geometry": None, "links": [],
        "properties": {"datetime": "2026-01-01T00:00:00Z"},
        "assets": {name: {"href": href} for name, href in hrefs.items()},
    }  # fmt: skip
    async with SqliteCatalogue(folder / "edge.db", readers=2) as held:
        await held.put_collection({"type": "Collection", "id": "c", "extent": {}, "links": []})
        await held.put_items("c", [item])
        async with serving(held, SiteServerSettings(shutdown_seconds=1.0)) as url:
            yield int(url.rpartition(":")[2])


@asynccontextmanager
async def scene(folder: Path, **downloads: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a gateway, and an edge behind a tunnel; yield a session of a user at the gateway."""
    bucket = folder / "s3" / "data"
    bucket.mkdir(parents=True)
    (bucket / "x.tif").write_bytes(CONTENT)
    async with AsyncExitStack() as stack:
        services = {
            "catalogue": await stack.enter_async_context(catalogue(folder)),
            "files": await stack.enter_async_context(files()),
            "store": int(stack.enter_context(rclone(bucket.parent)).rpartition(":")[2]),
        }
        settings = Settings(
            sites=(behind(folder, {name: free_port() for name in services}, **downloads),),
            server=ServerSettings(port=free_port(), state=str(folder / "state"), shutdown_seconds=1.0),
            auth=AuthSettings(tokens=(ApiTokenSettings(user="ada", token=secret(folder, "ada", "token-of-ada")),)),
            limits=LimitSettings(probe_seconds=0.5),
        )
        url = await stack.enter_async_context(running_gateway(settings))
        ends = {name: f"127.0.0.1:{port}" for name, port in services.items()}
        await stack.enter_async_context(edge_end(url, ends).running())
        headers = {"Authorization": "Bearer token-of-ada"}
        session = await stack.enter_async_context(aiohttp.ClientSession(url, headers=headers))

        async def found() -> bool:
            async with session.get("/data/edge-t/c/far/stored", allow_redirects=False) as response:
                return response.status < 400

        await until(found)
        yield session


async def taken(session: aiohttp.ClientSession, asset: str, **headers: str) -> tuple[int, bytes]:
    async with session.get(f"/data/edge-t/c/far/{asset}", headers=headers, allow_redirects=False) as response:
        return response.status, await response.read()


async def test_an_edge_that_dials_out_only_gives_its_data_through_the_tunnel(tmp_path: Path) -> None:
    async with scene(tmp_path) as session:
        for asset in ("file", "stored"):
            assert await taken(session, asset) == (200, CONTENT)
            assert await taken(session, asset, Range="bytes=250-259") == (206, CONTENT[250:260])
        assert (await taken(session, "other"))[0] >= 400  # the gateway's own loopback is nobody's to name


async def test_what_only_the_gateway_reaches_is_streamed_and_what_others_reach_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path, give="redirect", public_endpoint="https://s3.edge-t.example") as session:
        assert await taken(session, "file") == (200, CONTENT)
        async with session.get("/data/edge-t/c/far/stored", allow_redirects=False) as response:
            assert response.status == 307
            assert response.headers["Location"].startswith("https://s3.edge-t.example/data/x.tif?")


@pytest.mark.parametrize("downloads", [{"give": "redirect"}, {"direct": DirectSettings(groups=("eo",))}])
def test_no_address_of_our_end_of_a_tunnel_can_be_given_away(tmp_path: Path, downloads: Any) -> None:
    with pytest.raises(ValueError, match="public_endpoint"):
        behind(tmp_path, {"catalogue": 9101, "files": 9102, "store": 9103}, **downloads)


@pytest.mark.parametrize("addresses", [{"none": FILES}, {"files": "ftp://x"}, {"files": f"{FILES}/in"}, {"files": ""}])
def test_addresses_that_no_tunnel_leads_to_are_refused(tmp_path: Path, addresses: Any) -> None:
    with pytest.raises(ValueError, match="addresses must name"):
        TunnelSettings(secret=secret(tmp_path, "s", TUNNEL_SECRET), ports={"files": 9102}, addresses=addresses)
