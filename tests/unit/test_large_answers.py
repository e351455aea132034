"""Answers that are sent piece by piece arrive as they are, whatever is asked of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from served_app import served

from gateway.compression import compression_middleware
from gateway.sending import LargeAnswer

LARGE = bytes(range(256)) * 20_000
BODIES = {"small": b"{}", "large": LARGE, "changeable": bytearray(LARGE)}


@asynccontextmanager
async def answering() -> AsyncIterator[str]:
    async def give(request: web.Request) -> web.Response:
        return LargeAnswer(body=BODIES[request.match_info["name"]], content_type="application/geo+json")

    app = web.Application(middlewares=[compression_middleware])
    app.add_routes([web.get("/{name}", give)])
    async with served(app) as url:
        yield url


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_body_arrives_whole_and_the_connection_can_be_used_again(name: str, coding: str) -> None:
    async with answering() as url, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as client:
        for _ in range(3):
            async with client.get(f"{url}/{name}", headers={"Accept-Encoding": coding}) as response:
                assert await response.read() == BODIES[name]
            async with client.head(f"{url}/{name}", headers={"Accept-Encoding": "identity"}) as response:
                assert await response.read() == b""
                assert response.headers["Content-Length"] == str(len(BODIES[name]))


async def test_a_client_that_goes_away_meanwhile_ends_the_answer() -> None:
    async with answering() as url, aiohttp.ClientSession(read_bufsize=1_024) as client:
        async with client.get(f"{url}/large", headers={"Accept-Encoding": "identity"}) as response:
            assert await response.content.readexactly(10) == BODIES["large"][:10]
            response.close()
        async with client.get(f"{url}/small") as response:
            assert await response.read() == BODIES["small"]
