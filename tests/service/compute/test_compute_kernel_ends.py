"""How kernels end without their user: culled when idle, gone with their edge; and what a Jupyter server says of it."""

import contextlib
import os

import pytest
from compute_edges import TOKENS, RealKernelEdge, answers, process, wait_until
from free_ports import free_port
from kernel_clients import ALICE, call, execute, jupyter_server, user
from waiting import until

from edges.site.kernel_gateway import kernel_gateway_command, kernel_gateway_environment

pytestmark = pytest.mark.service


async def test_an_idle_kernel_is_culled_by_its_edge_and_gives_back_what_it_held(tmp_path, serve_kernels) -> None:
    edge = RealKernelEdge("edge-c", tmp_path, free_port())
    command = kernel_gateway_command(host="127.0.0.1", port=edge.port, cull_idle_seconds=2)
    env = os.environ | kernel_gateway_environment(token=edge.token) | {"JUPYTER_RUNTIME_DIR": str(tmp_path / "run")}
    headers = {"Authorization": f"token {edge.token}"}
    with process(command, env=env, log=tmp_path / "server.log"):
        wait_until(lambda: answers(edge.url + "/api/kernelspecs", headers), what="the edge to start")
        async with serve_kernels({"edge-c": edge}, reconcile_seconds=0.5) as running, user(ALICE) as session:
            kernels = running.url + "/api/kernels"
            model = await call(session, "POST", kernels, json={"name": "python3"}, status=201)
            (lease,) = await running.ledger.leases()
            assert f"t-{lease.key}" in TOKENS
            await until(lambda: list(running.records) == [], seconds=60)
            assert await running.ledger.leases() == []
            assert f"t-{lease.key}" not in TOKENS  # what it knew opens nothing any more
            await call(session, "GET", f"{kernels}/{model['id']}", status=404)


async def test_a_notebook_whose_edge_was_lost_and_is_back_is_told_that_its_kernel_is_gone(
    serve_kernels, lost_kernel_edge, tmp_path
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        edge = stack.enter_context(contextlib.ExitStack())
        server = edge.enter_context(lost_kernel_edge.running())
        running = await stack.enter_async_context(serve_kernels({"edge-c": lost_kernel_edge}))
        address = await stack.enter_async_context(jupyter_server(running.url, tmp_path))
        session = await stack.enter_async_context(user({"Authorization": "token local"}))
        asked = {"path": "n.ipynb", "name": "n", "type": "notebook", "kernel": {"name": "python3.edge-c"}}
        made = await call(session, "POST", address + "/api/sessions", json=asked, status=201)
        os.killpg(server.pid, 9)
        server.wait()
        await call(session, "GET", address + "/api/kernels", status=200)  # as Jupyter's pages do again and again
        (listed,) = await call(session, "GET", address + "/api/sessions", status=200)
        assert (listed["id"], listed["kernel"]["execution_state"]) == (made["id"], "unknown")  # it may come back
        stack.enter_context(lost_kernel_edge.running())
        await until(lambda: list(running.records) == [])
        assert await call(session, "GET", address + "/api/kernels", status=200) == []
        assert await call(session, "GET", address + "/api/sessions", status=200) == []
        anew = await call(session, "POST", address + "/api/sessions", json=asked, status=201)
        assert anew["kernel"]["id"] != made["kernel"]["id"]
        await call(session, "DELETE", f"{address}/api/sessions/{anew['id']}", status=204)
        assert await running.ledger.leases() == []


async def test_why_a_kernel_was_refused_is_in_the_jupyter_servers_log_and_not_in_its_dialogue(
    kernel_edges, serve_kernels, tmp_path
) -> None:
    """Jupyter Server 2.21 leaves its template unfilled; what the documentation says of it is so."""
    async with (
        serve_kernels(kernel_edges) as running,
        jupyter_server(running.url, tmp_path) as address,
        user({"Authorization": "token local"}) as session,
    ):
        for number in range(2):
            await call(session, "POST", address + "/api/kernels", json={"name": "python3.edge-a"}, status=201)
            assert len(await running.ledger.leases()) == number + 1
        shown = await call(session, "POST", address + "/api/kernels", json={"name": "python3.edge-a"}, status=429)
        assert "%s" in shown["message"]
        assert "'team-kernels'" in (tmp_path / "jupyter.log").read_text()
        for model in await call(session, "GET", address + "/api/kernels", status=200):
            await call(session, "DELETE", f"{address}/api/kernels/{model['id']}", status=204)


async def test_a_users_token_in_the_address_does_not_travel_to_the_edge(kernel_edges, serve_kernels) -> None:
    async with serve_kernels(kernel_edges) as running, user({}) as session:
        kernels, mine = running.url + "/api/kernels", {"token": "t-alice"}
        model = await call(session, "POST", kernels, json={"name": "python3.edge-a"}, params=mine, status=201)
        seen = kernel_edges["edge-a"].folder / "server.log"
        async with session.ws_connect(f"{kernels}/{model['id']}/channels?token=t-alice&session_id=s") as socket:
            assert await execute(socket, "print(1)") == "1\n"
        assert "t-alice" not in seen.read_text()
        await call(session, "DELETE", f"{kernels}/{model['id']}", params=mine, status=204)
