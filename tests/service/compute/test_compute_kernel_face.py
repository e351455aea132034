"""The Jupyter face before real kernel gateways: kernels, their channels, and Jupyter servers."""

import asyncio
import contextlib
import json
import os
import struct
import time
import uuid

import aiohttp
import pytest
from free_ports import free_port
from kernel_clients import ALICE, BOB, call, execute, is_idle, jupyter_server, send_cell, user
from waiting import until

from gateway.kernels.model import KernelRecord
from gateway.records_sqlite import SqliteRecordTable as RecordTable
from quotas.memory import MemoryLedger

pytestmark = pytest.mark.service

COMM = (
    "from ipykernel.comm import Comm\n"
    "c = Comm(target_name='t', buffers=[b'\\xff\\xfe' * 8], data={'n': 1})\n"
    "print('done')"
)
"""A cell that sends a binary comm message."""


async def test_kernelspecs_of_all_edges_are_offered_with_and_without_their_edge(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user(ALICE) as session:
        offered = await call(session, "GET", running.url + "/api/kernelspecs", status=200)
        assert {"python3", "python3.edge-a", "python3.edge-b"} <= set(offered["kernelspecs"])
        assert offered["default"] == "python3"
        spec = await call(session, "GET", running.url + "/api/kernelspecs/python3.edge-b", status=200)
        assert spec["spec"]["display_name"].endswith("@ edge-b")
        logo = spec["resources"]["logo-64x64"]
        async with session.get(running.url + logo) as response:
            assert (response.status, response.content_type) == (200, "image/png")
            assert (await response.read()).startswith(b"\x89PNG")
        await call(session, "GET", running.url + "/api/kernelspecs/nothing", status=404)


async def test_a_kernel_runs_at_the_chosen_edge_and_is_told_who_it_is(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user(ALICE) as session:
        asked = {
            "name": "python3.edge-b",
            "env": {
                "KERNEL_USERNAME": "root",
                "KERNEL_WORKING_DIR": "/nowhere",
                "KERNEL_NOTE": "kept",
                "PATH": "/evil",
            },
        }
        model = await call(session, "POST", running.url + "/api/kernels", json=asked, status=201)
        assert model["name"] == "python3.edge-b"
        url = f"{running.url}/api/kernels/{model['id']}"
        async with session.ws_connect(url + "/channels") as socket:
            said = await execute(socket, "import os; print({k: v for k, v in os.environ.items() if '_' in k})")
            assert "'KERNEL_USERNAME': 'alice'" in said
            assert "'KERNEL_NOTE': 'kept'" in said
            assert "'DASK_GATEWAY__CLUSTER__OPTIONS__EDGE': 'edge-b'" in said
            assert "'DASK_GATEWAY__AUTH__KWARGS__USERNAME': 'alice'" in said
            assert "KERNEL_WORKING_DIR" not in said
            assert "KG_AUTH_TOKEN" not in said
            await execute(socket, "x = 1")
            await call(session, "POST", url + "/interrupt", json={}, status=204)
            await call(session, "POST", url + "/restart", json={}, status=200)
        async with session.ws_connect(url + "/channels") as socket:
            assert "NameError" in await execute(socket, "print(x)")
        assert len(await running.ledger.leases()) == 1
        await call(session, "DELETE", url, status=204)
        assert await running.ledger.leases() == []
        await call(session, "GET", url, status=404)


async def test_a_kernel_is_its_owners_alone(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user(ALICE) as alice, user(BOB) as bob:
        model = await call(alice, "POST", running.url + "/api/kernels", json={"name": "python3"}, status=201)
        url = f"{running.url}/api/kernels/{model['id']}"
        assert await call(bob, "GET", running.url + "/api/kernels", status=200) == []
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/interrupt"), ("POST", "/restart")):
            await call(bob, method, url + path, status=404)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            await bob.ws_connect(url + "/channels")
        async with aiohttp.ClientSession() as nobody:
            problem = await call(nobody, "GET", running.url + "/api/kernels", status=401)
            assert set(problem) == {"reason", "message"}
        await call(alice, "DELETE", url, status=204)


async def test_pages_of_other_origins_cannot_use_kernels(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user(ALICE) as session:
        evil = {"Origin": "http://evil.example"}
        await call(session, "POST", running.url + "/api/kernels", json={}, headers=evil, status=403)
        model = await call(session, "POST", running.url + "/api/kernels", json={}, status=201)
        url = f"{running.url}/api/kernels/{model['id']}"
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(url + "/channels", origin="http://evil.example")
        async with session.ws_connect(url + "/channels", origin="http://localhost") as socket:
            assert await execute(socket, "print(1)") == "1\n"
        await call(session, "DELETE", url, status=204)


async def test_the_quota_of_kernels_is_told_and_given_back(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user(ALICE) as session:
        url = running.url + "/api/kernels"
        models = [await call(session, "POST", url, json={"name": "python3.edge-a"}, status=201) for _ in range(2)]
        refused = await call(session, "POST", url, json={"name": "python3.edge-a"}, status=429)
        assert "'team-kernels'" in refused["message"]
        await call(session, "DELETE", f"{url}/{models[0]['id']}", status=204)
        models.append(await call(session, "POST", url, json={"name": "python3.edge-a"}, status=201))
        for model in models[1:]:
            await call(session, "DELETE", f"{url}/{model['id']}", status=204)


async def test_kernels_survive_a_restart_of_the_gateway_with_their_state(kernel_edges, serve_kernels, tmp_path) -> None:
    async with serve_kernels(kernel_edges, state=tmp_path) as running, user(ALICE) as session:
        model = await call(session, "POST", running.url + "/api/kernels", json={"name": "python3"}, status=201)
        async with session.ws_connect(f"{running.url}/api/kernels/{model['id']}/channels") as socket:
            await execute(socket, "x = 41")
        ledger = running.ledger
    async with serve_kernels(kernel_edges, state=tmp_path, ledger=ledger) as running, user(ALICE) as session:
        (listed,) = await call(session, "GET", running.url + "/api/kernels", status=200)
        assert listed["id"] == model["id"]
        url = f"{running.url}/api/kernels/{model['id']}"
        async with session.ws_connect(url + "/channels") as socket:
            assert await execute(socket, "print(x + 1)") == "42\n"
        await call(session, "DELETE", url, status=204)


async def test_a_kernel_that_ended_by_itself_gives_its_lease_back(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user(ALICE) as session:
        model = await call(session, "POST", running.url + "/api/kernels", json={"name": "python3.edge-a"}, status=201)
        edge = kernel_edges["edge-a"]
        headers = {"Authorization": f"token {edge.token}"}
        await call(session, "DELETE", f"{edge.url}/api/kernels/{model['id']}", headers=headers, status=204)
        await until(lambda: list(running.records) == [])
        assert await running.ledger.leases() == []


async def test_a_tornado_client_gets_text_where_others_get_binary_buffers(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user(ALICE) as session:
        model = await call(session, "POST", running.url + "/api/kernels", json={"name": "python3.edge-a"}, status=201)
        url = f"{running.url}/api/kernels/{model['id']}"
        kinds: dict[str, set[str]] = {}
        for agent in ("Tornado/6.6.1", "other"):
            async with session.ws_connect(url + "/channels", headers={"User-Agent": agent}) as socket:
                await execute(socket, "1")
                kinds[agent] = await frames_of(socket, COMM)
        assert kinds["Tornado/6.6.1"] == {"TEXT"}
        assert kinds["other"] == {"TEXT", "BINARY"}
        await call(session, "DELETE", url, status=204)


async def frames_of(socket: aiohttp.ClientWebSocketResponse, code: str) -> set[str]:
    kinds: set[str] = set()
    cell = await send_cell(socket, code)
    async with asyncio.timeout(20):
        async for message in socket:
            kinds.add(message.type.name)
            if message.type is aiohttp.WSMsgType.BINARY:
                (count,) = struct.unpack_from("!I", message.data)
                assert count == 2
                continue
            said = json.loads(message.data)
            if is_idle(said) and said["parent_header"].get("msg_id") == cell:
                return kinds
    raise AssertionError("the websocket ended before the cell did")


async def test_the_v1_subprotocol_passes_and_large_messages_too(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user(ALICE) as session:
        model = await call(session, "POST", running.url + "/api/kernels", json={"name": "python3.edge-a"}, status=201)
        url = f"{running.url}/api/kernels/{model['id']}"
        name = "v1.kernel.websocket.jupyter.org"
        async with session.ws_connect(url + "/channels", protocols=[name]) as socket:
            assert socket.protocol == name
        async with session.ws_connect(url + "/channels", max_msg_size=0) as socket:
            assert await execute(socket, f"y = {'x' * 12_000_000!r}; print(len(y))") == "12000000\n"
        await call(session, "DELETE", url, status=204)


async def test_a_real_jupyter_server_works_through_the_gateway(kernel_edges, serve_kernels, tmp_path) -> None:
    async with (
        serve_kernels(kernel_edges) as running,
        jupyter_server(running.url, tmp_path) as address,
        user({"Authorization": "token local"}) as session,
    ):
        offered = await call(session, "GET", address + "/api/kernelspecs", status=200)
        assert "python3.edge-b" in offered["kernelspecs"]
        asked = {"path": "n.ipynb", "name": "n", "type": "notebook", "kernel": {"name": "python3.edge-b"}}
        made = await call(session, "POST", address + "/api/sessions", json=asked, status=201)
        url = f"{address}/api/kernels/{made['kernel']['id']}"
        async with session.ws_connect(url + "/channels", max_msg_size=0) as socket:
            assert await execute(socket, "import os; print(os.environ['KERNEL_USERNAME'])") == "alice\n"
            assert await execute(socket, f"y = {'x' * 12_000_000!r}; print(len(y))") == "12000000\n"
            large = "from IPython.display import display, HTML; display(HTML(y))"
            assert "12.0 MB was left out" in await execute(socket, large)
            assert "done\n" in await execute(socket, COMM)  # its buffers are lost, the connection is not
            assert await execute(socket, "print(len(y))") == "12000000\n"
        await call(session, "POST", url + "/interrupt", status=204)
        await call(session, "POST", url + "/restart", status=200)
        (listed,) = await call(session, "GET", address + "/api/sessions", status=200)
        assert listed["kernel"]["id"] == made["kernel"]["id"]
        await call(session, "DELETE", f"{address}/api/sessions/{made['id']}", status=204)
        assert await running.ledger.leases() == []


async def test_a_real_jupyter_server_goes_on_after_the_gateway_was_away(
    serve_kernels, lost_kernel_edge, tmp_path
) -> None:
    edges, port = {"edge-c": lost_kernel_edge}, free_port()
    with contextlib.ExitStack() as edge:
        server = edge.enter_context(lost_kernel_edge.running())
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(user({"Authorization": "token local"}))
            async with serve_kernels(edges, state=tmp_path / "state", port=port) as running:
                address = await stack.enter_async_context(jupyter_server(running.url, tmp_path))
                asked = {"path": "n.ipynb", "name": "n", "type": "notebook", "kernel": {"name": "python3.edge-c"}}
                made = await call(session, "POST", address + "/api/sessions", json=asked, status=201)
                url = f"{address}/api/kernels/{made['kernel']['id']}"
                async with session.ws_connect(url + "/channels") as socket:
                    await execute(socket, "x = 41")
                ledger = running.ledger
            async with serve_kernels(edges, state=tmp_path / "state", port=port, ledger=ledger):
                async with session.ws_connect(url + "/channels") as socket:
                    assert await execute(socket, "print(x + 1)") == "42\n"
                os.killpg(server.pid, 9)
                server.wait()
                shown = await call(session, "GET", url, status=200)  # a lost edge's kernel is not forgotten
                assert shown["id"] == made["kernel"]["id"]


async def test_kernels_of_a_lost_edge_stay_listed_as_unknown(serve_kernels, kernel_edges, lost_kernel_edge) -> None:
    edges = {"edge-a": kernel_edges["edge-a"], "edge-c": lost_kernel_edge}
    with lost_kernel_edge.running() as server:
        async with serve_kernels(edges) as running, user(ALICE) as session:
            url = running.url + "/api/kernels"
            model = await call(session, "POST", url, json={"name": "python3.edge-c"}, status=201)
            os.killpg(server.pid, 9)
            server.wait()
            (listed,) = await call(session, "GET", url, status=200)
            assert (listed["id"], listed["execution_state"]) == (model["id"], "unknown")
            shown = await call(session, "GET", f"{url}/{model['id']}", status=200)
            assert shown["execution_state"] == "unknown"
            offered = await call(session, "GET", running.url + "/api/kernelspecs", status=200)
            assert "python3.edge-c" not in offered["kernelspecs"]
            assert "python3.edge-a" in offered["kernelspecs"]
            refused = await call(session, "POST", url, json={"name": "python3.edge-c"}, status=503)
            assert "edge-c does not answer" in refused["message"]
            automatic = await call(session, "POST", url, json={"name": "python3"}, status=201)
            assert automatic["name"] == "python3.edge-a"
            await call(session, "DELETE", f"{url}/{automatic['id']}", status=204)
            await call(session, "DELETE", f"{url}/{model['id']}", status=204)
            assert len(await running.ledger.leases()) == 1  # the edge has not said that it has ended
            with lost_kernel_edge.running():
                await until(lambda: list(running.records) == [])
            assert await running.ledger.leases() == []


async def test_after_a_crash_the_kernel_of_an_interrupted_start_is_ended(kernel_edges, serve_kernels, tmp_path) -> None:
    edge = kernel_edges["edge-a"]
    headers = {"Authorization": f"token {edge.token}"}
    record = KernelRecord(
        id=str(uuid.uuid4()),
        user="alice",
        charging_group="eo/team",
        edge="edge-a",
        spec="python3",
        lease="k-crashed",
        created_at=time.time(),
    )
    async with RecordTable(tmp_path / "kernels.sqlite", KernelRecord) as records:
        await records.put(record)
    ledger = MemoryLedger(())
    await ledger.reserve(record.lease, record.charge, record.lines, ttl=3600, why="test")
    async with user(headers) as session:
        left = await call(session, "POST", edge.url + "/api/kernels", json={"name": "python3"}, status=201)
        async with serve_kernels(kernel_edges, state=tmp_path, ledger=ledger) as running:
            await until(lambda: list(running.records) == [])
            assert await ledger.leases() == []
        await call(session, "GET", f"{edge.url}/api/kernels/{left['id']}", status=404)
