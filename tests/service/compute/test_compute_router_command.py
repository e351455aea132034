"""``lakegate site router`` as the process that an operator runs at an edge."""

import asyncio
import signal
import socket
from contextlib import AbstractAsyncContextManager

import aiohttp
import pytest
from compute_clients import client, ended, nothing_held
from lakegate_process import ending, lakegate_beside

pytestmark = pytest.mark.service

NOBODY = "127.0.0.1:9"


def router(*arguments: str) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return lakegate_beside("site", "router", *arguments, PYTHONWARNINGS="error", PYTHONUNBUFFERED="1")


async def bound_port(process: asyncio.subprocess.Process) -> int:
    """Return the port that it says it listens at."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = (await process.stdout.readline()).decode()
    assert line.startswith("routing comms at 127.0.0.1:"), line
    return int(line.rpartition(":")[2])


async def test_the_command_keeps_comms_at_its_edge_and_finds_clusters_of_others(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running:
        options = ("--proxy", f"127.0.0.1:{dask_edges['edge-a'].port}", "--centre", f"127.0.0.1:{running.port}")
        async with router("--listen", "127.0.0.1:0", *options) as process:
            port = await bound_port(process)
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/livez") as response:
                assert (response.status, await response.json()) == (200, {"status": "ok"})
            through_the_centre = {}
            async with ended(client(running.url, proxy_address=f"127.0.0.1:{port}")) as gateway:
                for edge in ("edge-a", "edge-b"):
                    cluster = await gateway.new_cluster(edge=edge)
                    async with cluster, await cluster.get_client(set_as_default=False) as dask:
                        scheduler = await dask.run_on_scheduler(lambda dask_scheduler: dask_scheduler.id)
                        assert scheduler.startswith("Scheduler")
                        through_the_centre[edge] = running.listener.comms > 0
            assert through_the_centre == {"edge-a": False, "edge-b": True}
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0
            assert process.stderr is not None
            assert await process.stderr.read() == b""
        await nothing_held(running)


async def test_an_address_in_use_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        async with router("--listen", listen, "--proxy", NOBODY, "--centre", NOBODY) as process:
            told = await ending(process)
    assert told.code == 1
    assert f"cannot listen at {listen}" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize("wrong", ["8786", "host:70000"])
async def test_an_address_that_is_none_is_refused_with_what_would_be_one(wrong) -> None:
    async with router("--listen", wrong, "--proxy", NOBODY, "--centre", NOBODY) as process:
        told = await ending(process)
    assert told.code == 2
    assert f"'{wrong}' is no host:port" in told.err
