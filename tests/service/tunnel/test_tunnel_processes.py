"""A gateway, and an edge that only dials out, as processes: found, lost and back."""

import json
from asyncio.subprocess import DEVNULL
from contextlib import AsyncExitStack

import aiohttp
import pytest
from free_ports import free_port
from lakegate_process import lakegate_beside
from tunnel_scene import SECRET
from waiting import until

pytestmark = pytest.mark.service

ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "far-away",
    "collection": "scenes",
    "geometry": {"type": "Point", "coordinates": [10, 50]},
    "bbox": [10, 50, 10, 50],
    "properties": {"datetime": "2026-07-01T00:00:00Z"},
    "links": [],
    "assets": {},
}


def process(*arguments):
    return lakegate_beside(*arguments, out=DEVNULL, err=DEVNULL)


async def finds(session, url, *expected):
    """Tell whether a search finds just these; a gateway that does not answer yet finds nothing, and not that either."""
    try:
        async with session.get(f"{url}/search?limit=5") as response:
            page = await response.json()
    except aiohttp.ClientError:
        return False
    return [item["id"] for item in page.get("features", [])] == list(expected)


def write(folder, name, value):
    file = folder / name
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return file


async def test_a_site_that_nobody_can_dial_is_searched_lost_and_back(tmp_path):
    front, near, far = free_port(), free_port(), free_port()
    secret = {"file": str(write(tmp_path, "secret", SECRET))}
    catalogue = {"url": f"http://127.0.0.1:{near}"}
    site = {"id": "edge-t", "kind": "edge", "catalogue": catalogue}
    site |= {"tunnel": {"secret": secret, "ports": {"catalogue": near}}}
    server = {"port": front, "state": str(tmp_path / "state")}
    config = write(tmp_path, "gateway.yaml", {"server": server, "sites": [site], "limits": {"probe_seconds": 1.0}})
    url = f"http://127.0.0.1:{front}"
    tunnel = {"gateways": [url], "edge": "edge-t", "secret": secret, "services": {"catalogue": f"127.0.0.1:{far}"}}
    tunnel_file = write(tmp_path, "tunnel.yaml", tunnel)
    items = write(tmp_path, "item.json", ITEM)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await stack.enter_async_context(process("serve", "--config", config))
        await stack.enter_async_context(process("site", "serve", "--items", items, "--port", far))
        await until(lambda: finds(session, url))
        async with process("site", "tunnel", tunnel_file) as dialling:
            await until(lambda: finds(session, url, "far-away"))
            dialling.kill()
            await until(lambda: finds(session, url))
        async with process("site", "tunnel", tunnel_file):
            await until(lambda: finds(session, url, "far-away"))
