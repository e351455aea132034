"""A dashboard as a browser uses it: its page, and Bokeh's websocket, which carries its token as a subprotocol."""

import html
import json
import re

import aiohttp
import pytest
from compute_clients import client, ended

pytestmark = pytest.mark.service

AUTH = {"Authorization": "Bearer t-alice"}


def token_of(page: str) -> str:
    """Return the token that Bokeh put into a page for the websocket of its session."""
    found = re.search(r'"token":"([^"]+)"', html.unescape(page))
    assert found is not None, page[:2000]
    return found.group(1)


@pytest.mark.parametrize("compress", [0, 15])
async def test_plots_are_drawn_over_a_websocket_with_and_without_compression(dask_edges, serve_dask, compress) -> None:
    async with serve_dask(dask_edges) as running, ended(client(running.url)) as gateway:
        cluster = await gateway.new_cluster(edge="edge-a")
        async with cluster, aiohttp.ClientSession(headers=AUTH) as browser:
            async with browser.get(cluster.dashboard_link) as page:
                assert page.status == 200
                token = token_of(await page.text())
            async with browser.ws_connect(
                cluster.dashboard_link + "/ws", protocols=["bokeh", token], origin="http://localhost", compress=compress
            ) as socket:
                assert socket.protocol == "bokeh"
                header = json.loads(await socket.receive_str(timeout=20))
                assert header["msgtype"] == "ACK"
