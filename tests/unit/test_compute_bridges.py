import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.dask.bridges import Bridge, Bridges


@pytest.mark.parametrize(
    ("base", "proxy"),
    [
        ("https://lake.example.org", "tcp://lake.example.org:443"),
        ("http://lake.example.org:8400", "tcp://lake.example.org:8400"),
    ],
)
async def test_each_edge_is_a_site_with_an_address_here(base: str, proxy: str) -> None:
    bridges = {"edge-a": Bridge(edge="edge-a", title="Edge A", most_workers=3)}
    app = web.Application()
    app.add_routes(Bridges(bridges=bridges, base=base).routes())
    async with TestClient(TestServer(app)) as client, client.get("/bridges.json") as response:
        assert json.loads(await response.read()) == {
            "edge-a": {
                "name": "Edge A",
                "address": f"{base}/dask/edge-a",
                "proxy_address": proxy,
                "default_config": {"min": 2, "max": 3},
            }
        }
