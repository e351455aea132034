"""A gateway that is killed while its users compute, as a process of its own: clusters, kernels and clients go on."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import dask
import pytest
from compute_edges import answers, wait_until
from dask_gateway import Gateway
from dask_gateway.auth import BasicAuth
from free_ports import free_port
from kernel_clients import call, execute, jupyter_server, user
from whole_lake import stocked, written

pytestmark = pytest.mark.service

PAYS = {"alice": "eo/team", "bob": "eo/other"}
CLUSTERS = {
    "name": "each",
    "group": "*",
    "resource": "clusters",
    "kind": "concurrent",
    "amount": 2,
    "applies": "each-user",
}


@dataclass
class Mortal:
    """A gateway's process, which can be killed and started again: its port and its state stay."""

    config: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        with (self.config.parent / "gateway.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "serve", "--config", str(self.config)),
                stdout=log, stderr=log, env=os.environ | {"PYTHONWARNINGS": "ignore"},
            )  # fmt: skip
        await asyncio.to_thread(wait_until, lambda: answers(self.url + "/readyz"), seconds=60, what="the gateway")

    async def kill(self) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@pytest.fixture
async def mortal(dask_edges, kernel_edges, tmp_path) -> AsyncIterator[Mortal]:
    """Run a whole gateway in front of two edges that compute."""
    async with gateway_of(dask_edges, kernel_edges, tmp_path) as running:
        yield running


@asynccontextmanager
async def gateway_of(dask_edges, kernel_edges, folder: Path) -> AsyncIterator[Mortal]:
    async with stocked("edge-a", range(2), folder / "a.db", {}) as a, stocked("edge-b", (), folder / "b.db", {}) as b:
        sites = []
        for edge, catalogue in (("edge-a", a), ("edge-b", b)):
            cluster_edge, kernels = dask_edges[edge], kernel_edges[edge]
            token = written(folder / f"kernels-{edge}", kernels.token)
            sites.append({
                "id": edge, "kind": "edge", "catalogue": {"url": catalogue},
                "dask": {"url": cluster_edge.url, "secret": {"file": str(cluster_edge.folder / "secret")}},
                "kernels": {"url": kernels.url, "token": {"file": str(token)}},
            })  # fmt: skip
        tokens = [
            {"user": name, "groups": [group], "token": {"file": str(written(folder / name, f"t-{name}"))}}
            for name, group in PAYS.items()
        ]
        port = free_port()
        config = {
            "server": {"port": port, "state": str(folder / "gateway")},
            "auth": {"tokens": tokens},
            "quotas": {"policies": [CLUSTERS]},
            "compute": {"cluster_cores": 3.0, "cluster_memory": 4 << 30, "reconcile_seconds": 0.5},
            "sites": sites,
        }
        gateway = Mortal(config=written(folder / "gateway.yaml", json.dumps(config)), port=port)
        await gateway.start()
        try:
            yield gateway
        finally:
            await gateway.kill()


def library(url: str, name: str) -> Gateway:
    return Gateway(url, auth=BasicAuth(name, f"t-{name}"), asynchronous=True)


async def taken(url: str, name: str) -> float:
    """Return how many clusters the ledger counts for a user's group."""
    async with user({"Authorization": f"Bearer t-{name}"}) as session:
        standing = await call(session, "GET", url + "/quotas/me", status=200)
    return sum(each["used"] + each["reserved"] for each in standing["quotas"] if each["resource"] == "clusters")


@pytest.fixture
def patient() -> Iterator[None]:
    """Let Dask clients look for a lost scheduler for two minutes: a start of the gateway may take its time here."""
    with dask.config.set({"distributed.comm.timeouts.connect": "120 s"}):
        yield


@pytest.mark.usefixtures("patient")
async def test_two_users_clusters_and_their_clients_outlive_the_gateway(mortal) -> None:
    async with library(mortal.url, "alice") as alice, library(mortal.url, "bob") as bob:
        mine, theirs = await asyncio.gather(alice.new_cluster(edge="edge-a"), bob.new_cluster(edge="edge-b"))
        async with mine, theirs, await mine.get_client(set_as_default=False) as computing:
            await mine.scale(1)
            kept = computing.submit(lambda: 6 * 7, pure=False)
            assert await kept == 42
            await mortal.kill()
            with pytest.raises(aiohttp.ClientError):  # refused, not hanging
                await alice.list_clusters()
            await mortal.start()
            async with asyncio.timeout(90):
                while computing.status != "running":  # noqa: ASYNC110 - no event tells it
                    await asyncio.sleep(0.1)
                assert await computing.submit(lambda: 6, pure=False) == 6
            assert [each.name for each in await alice.list_clusters()] == [mine.name]
            assert [each.name for each in await bob.list_clusters()] == [theirs.name]
            assert await taken(mortal.url, "alice") == 1
            await asyncio.gather(mine.shutdown(), theirs.shutdown())
        for gateway, name in ((alice, "alice"), (bob, "bob")):
            async with asyncio.timeout(40):
                while await taken(mortal.url, name):  # noqa: ASYNC110 - asked over a socket
                    await asyncio.sleep(0.1)
            assert await gateway.list_clusters() == []


async def busy(url: str, kernel_id: str) -> None:
    """Wait until a kernel of alice's runs a cell."""
    async with user({"Authorization": "token t-alice"}) as session, asyncio.timeout(60):
        kernel = f"{url}/api/kernels/{kernel_id}"
        while (await call(session, "GET", kernel, status=200))["execution_state"] != "busy":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_cell_that_runs_while_the_gateway_is_killed_runs_on(mortal, tmp_path) -> None:
    """As a person at a real Jupyter server sees it: the connection is lost and found, the kernel has done its work."""
    go = tmp_path / "go"
    cell = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\nx = 42"
    async with jupyter_server(mortal.url, tmp_path) as address, user({"Authorization": "token local"}) as session:
        asked = {"path": "n.ipynb", "name": "n", "type": "notebook", "kernel": {"name": "python3.edge-b"}}
        made = await call(session, "POST", address + "/api/sessions", json=asked, status=201)
        url = f"{address}/api/kernels/{made['kernel']['id']}"
        async with session.ws_connect(url + "/channels", max_msg_size=0) as socket:
            running = asyncio.create_task(execute(socket, cell))
            await busy(mortal.url, made["kernel"]["id"])
            await mortal.kill()
            go.touch()
            await mortal.start()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        (listed,) = await call(session, "GET", address + "/api/sessions", status=200)
        assert listed["kernel"]["id"] == made["kernel"]["id"]
        async with session.ws_connect(url + "/channels", max_msg_size=0) as socket:
            assert await execute(socket, "print(x)") == "42\n"
        await call(session, "DELETE", f"{address}/api/sessions/{made['id']}", status=204)


async def test_words_spoken_while_nobody_listened_come_with_the_next_connection(mortal, tmp_path) -> None:
    go = tmp_path / "go"
    cell = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\nprint('heard')"
    async with user({"Authorization": "token t-alice"}) as session:
        kernels = mortal.url + "/api/kernels"
        model = await call(session, "POST", kernels, json={"name": "python3.edge-a"}, status=201)
        url = f"{kernels}/{model['id']}"
        async with session.ws_connect(f"{url}/channels?session_id=s1") as socket:
            running = asyncio.create_task(execute(socket, cell))
            await busy(mortal.url, model["id"])
            await mortal.kill()
            with pytest.raises(AssertionError, match="the websocket ended"):
                await running
        go.touch()
        await mortal.start()
        async with asyncio.timeout(30), session.ws_connect(f"{url}/channels?session_id=s1") as socket:
            async for frame in socket:
                said = json.loads(frame.data)
                if said["msg_type"] == "stream":
                    assert said["content"]["text"] == "heard\n"
                    break
        await call(session, "DELETE", url, status=204)
