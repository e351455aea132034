"""What a person sees in a notebook when things happen: endless cells, restarts of the kernel and of the gateway."""

import asyncio
import contextlib
import json
from collections.abc import Mapping

import aiohttp
import pytest
from free_ports import free_port
from kernel_clients import ALICE, BOB, call, execute, jupyter_server, user
from waiting import until

from edges.compute.model import KernelModel
from edges.seams import KernelBackend

pytestmark = pytest.mark.service

ENDLESS = "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.05)"


async def interrupted(session: aiohttp.ClientSession, url: str) -> str:
    """Run an endless cell and interrupt it once it runs; return what came of it."""
    async with session.ws_connect(url + "/channels", max_msg_size=0) as socket:
        running = asyncio.create_task(execute(socket, ENDLESS))
        async with asyncio.timeout(30):
            while (await call(session, "GET", url, status=200))["execution_state"] != "busy":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await call(session, "POST", url + "/interrupt", json={}, status=204)
        return await asyncio.wait_for(running, 30)


async def test_an_endless_cell_is_interrupted_and_a_restart_forgets(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user(ALICE) as session:
        model = await call(session, "POST", running.url + "/api/kernels", json={"name": "python3.edge-a"}, status=201)
        url = f"{running.url}/api/kernels/{model['id']}"
        assert "KeyboardInterrupt" in await interrupted(session, url)
        async with session.ws_connect(url + "/channels") as socket:
            assert await execute(socket, "x = 7; print(x)") == "7\n"
        await call(session, "POST", url + "/restart", json={}, status=200)
        async with session.ws_connect(url + "/channels") as socket:
            assert "NameError" in await execute(socket, "print(x)")
        await call(session, "DELETE", url, status=204)


async def test_a_notebook_server_outlives_a_restart_of_the_gateway_and_its_kernel_too(
    kernel_edges, serve_kernels, tmp_path
) -> None:
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        first = contextlib.AsyncExitStack()
        running = await first.enter_async_context(serve_kernels(kernel_edges, state=tmp_path / "state", port=port))
        address = await stack.enter_async_context(jupyter_server(f"http://127.0.0.1:{port}", tmp_path))
        session = await stack.enter_async_context(user({"Authorization": "token local"}))
        asked = {"path": "n.ipynb", "name": "n", "type": "notebook", "kernel": {"name": "python3.edge-b"}}
        made = await call(session, "POST", address + "/api/sessions", json=asked, status=201)
        url = f"{address}/api/kernels/{made['kernel']['id']}"
        async with session.ws_connect(url + "/channels", max_msg_size=0) as socket:
            await execute(socket, "x = 41")
        await first.aclose()
        async with serve_kernels(kernel_edges, state=tmp_path / "state", port=port, ledger=running.ledger) as running:
            (listed,) = await call(session, "GET", address + "/api/sessions", status=200)
            assert listed["kernel"]["id"] == made["kernel"]["id"]
            async with session.ws_connect(url + "/channels", max_msg_size=0) as socket:
                assert await execute(socket, "print(x + 1)") == "42\n"
            await call(session, "DELETE", f"{address}/api/sessions/{made['id']}", status=204)
            assert await running.ledger.leases() == []


async def test_a_kernel_is_told_the_router_of_comms_at_its_edge(kernel_edges, serve_kernels) -> None:
    proxies = {"edge-a": "10.0.0.5:8787"}
    async with serve_kernels(kernel_edges, dask_proxies=proxies) as running, user(ALICE) as session:
        said = {}
        for edge in ("edge-a", "edge-b"):
            asked = {"name": f"python3.{edge}"}
            model = await call(session, "POST", running.url + "/api/kernels", json=asked, status=201)
            url = f"{running.url}/api/kernels/{model['id']}"
            async with session.ws_connect(url + "/channels") as socket:
                said[edge] = json.loads(
                    await execute(
                        socket, "import json, os; print(json.dumps(os.environ.get('DASK_GATEWAY__PROXY_ADDRESS')))"
                    )
                )
            await call(session, "DELETE", url, status=204)
        assert said == {"edge-a": "10.0.0.5:8787", "edge-b": None}


class GivesOneId:
    """An edge that says of each kernel that it is the first one; all else is the real edge's."""

    first: KernelModel | None = None

    def __init__(self, inner: KernelBackend) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def start(self, spec: str, env: Mapping[str, str]) -> KernelModel:
        if GivesOneId.first is not None:
            return GivesOneId.first
        GivesOneId.first = await self.inner.start(spec, env)
        return GivesOneId.first


async def test_an_edge_cannot_pass_its_kernel_off_as_one_that_is_elsewhere(
    kernel_edges, serve_kernels, monkeypatch
) -> None:
    monkeypatch.setattr(GivesOneId, "first", None)
    async with serve_kernels(kernel_edges, wrap=lambda _, backend: GivesOneId(backend)) as running:
        kernels = f"{running.url}/api/kernels"
        async with user(ALICE) as alice, user(BOB) as bob:
            model = await call(alice, "POST", kernels, json={"name": "python3.edge-a"}, status=201)
            for session in (alice, bob):  # whoever it is for, what is sent to the first one goes to its own edge
                refused = await call(session, "POST", kernels, json={"name": "python3.edge-b"}, status=502)
                assert "gave a kernel an id that is taken" in refused["message"]
            assert await call(bob, "GET", kernels, status=200) == []
            async with alice.ws_connect(f"{kernels}/{model['id']}/channels") as socket:
                assert (
                    await execute(socket, "import os; print(os.environ['DASK_GATEWAY__CLUSTER__OPTIONS__EDGE'])")
                    == "edge-a\n"
                )
            await call(alice, "DELETE", f"{kernels}/{model['id']}", status=204)
            await until(lambda: list(running.records) == [])
            assert await running.ledger.leases() == []
