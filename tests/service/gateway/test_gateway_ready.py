"""Whether to restart the gateway, whether to send it requests, and how it goes."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from federated_lake import gateway_over, hub, item
from free_ports import free_port
from hostile_sites import hostile, page
from served_app import served

from gateway.app import serve_gateway
from gateway.readiness import Readiness
from gateway.settings import AuthSettings, ServerSettings, Settings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]


async def test_a_gateway_that_has_asked_its_sites_is_ready_whatever_they_said(tmp_path: Path) -> None:
    async with gateway_over([hub("dead", "http://127.0.0.1:9")], tmp_path, anonymous="none") as client:
        for path in ("/livez", "/readyz"):
            async with aiohttp.request("GET", client.url + path) as response:  # a load balancer has no token
                assert response.status == 200
                assert response.headers["Cache-Control"] == "no-store"
        assert (await client.get("/readyz"))[1] == {"status": "pass", "checks": {"state": "pass", "sites": "pass"}}


@pytest.mark.parametrize("fault", [OSError("disk"), TimeoutError()])
async def test_one_that_cannot_read_its_state_is_alive_and_not_ready(fault: Exception) -> None:
    async def broken() -> str:
        raise fault

    async def fine() -> str:
        return ""

    readiness = Readiness({"state": broken, "sites": fine}, draining=asyncio.Event())
    app = web.Application()
    app.add_routes(readiness.routes())
    async with served(app) as url:
        async with aiohttp.request("GET", f"{url}/readyz") as response:
            assert response.status == 503
            checks = (await response.json())["checks"]
            assert checks["sites"] == "pass"
            assert checks["state"] != "pass"
        async with aiohttp.request("GET", f"{url}/livez") as response:
            assert response.status == 200


async def test_at_sigterm_it_says_so_first_and_finishes_what_is_under_way(tmp_path: Path) -> None:
    reached, let_go = asyncio.Event(), asyncio.Event()
    slow = False

    async def held(request: web.Request) -> web.Response:
        if slow:
            reached.set()
            await let_go.wait()
        return page([item("x", "bad")])

    async with hostile(held) as site:
        settings = Settings(
            sites=(hub("bad", site.url),),
            server=ServerSettings(port=free_port(), state=str(tmp_path), drain_seconds=1.0),
            auth=AuthSettings(),
        )
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve_gateway(settings, ready=url.set_result))
        base = await url
        slow = True
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/livez") as response:
                assert "Connection" not in response.headers
            under_way = asyncio.create_task(session.get(f"{base}/search?limit=1"))
            await reached.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(10):
                while True:
                    async with session.get(f"{base}/readyz") as response:
                        if response.status == 503:
                            assert "draining" in (await response.json())["checks"]
                            break
            async with session.get(f"{base}/livez") as response:
                assert response.status == 200
                assert response.headers["Connection"] == "close"  # who keeps connections finds another gateway
            let_go.set()
            async with await under_way as answer:
                assert (answer.status, answer.headers["Connection"]) == (200, "close")
                assert len((await answer.json(content_type=None))["features"]) == 1
        async with asyncio.timeout(20):
            await serving
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
