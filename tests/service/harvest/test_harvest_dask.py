"""Orders carried on a real Dask Gateway: its clusters come and go with them."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import aiohttp
import psutil
import pytest
from free_ports import free_port
from harvest_elsewhere import far, publish
from harvest_outcome import all_right
from harvest_scene import EDGE
from waiting import until

from edges.compute.dask_gateway import DaskGateway
from edges.compute.dask_scheduler import SchedulerComm
from edges.errors import SiteUnavailable
from edges.site.dask_config import DaskEdge, write_dask_edge
from harvest.executors.dask import ALIVE, DaskExecutor, _user

pytestmark = pytest.mark.service


@pytest.fixture(scope="session")
def dask_edge(tmp_path_factory):
    """Run a dask-gateway-server whose clusters are processes; yield its URL and secret."""
    folder = tmp_path_factory.mktemp("dask")
    secret, port = secrets.token_hex(32), free_port()
    (folder / "secret").write_text(secret)
    edge = DaskEdge(
        edge=EDGE,
        address=f"127.0.0.1:{free_port()}",
        proxy_address=f"127.0.0.1:{port}",
        secret_file=str(folder / "secret"),
        heartbeat_seconds=2,
    )
    command = [str(Path(sys.executable).with_name("dask-gateway-server")), "-f", str(write_dask_edge(edge, folder))]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        _answering(url, server, folder / "log")
        yield url, secret
    finally:
        left = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)
        for each in left:
            if each.is_running():
                each.kill()


def _answering(url, server, log):
    for _ in range(600):
        assert server.poll() is None, f"the Dask Gateway did not start: {log.read_text(errors='replace')[-2000:]}"
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=2):  # noqa: S310 - our own loopback address
                return
        except (urllib.error.URLError, OSError):
            try:
                server.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    raise AssertionError("the Dask Gateway does not answer")


@pytest.fixture
async def dask(dask_edge):
    """The gateway's way to the edge, and an executor over it."""
    url, secret = dask_edge
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        gateway = DaskGateway(edge=EDGE, url=url, secret=secret, session=session)

        def workers(edge, report):
            pair = {"certificate": report.tls_cert, "key": report.tls_key}
            return SchedulerComm(edge=edge, address=gateway.comm_address, cluster=report.name, **pair)

        yield gateway, Recording(DaskExecutor(clusters={EDGE: gateway}, workers=workers))


class Recording:
    """An executor that remembers what it was asked."""

    def __init__(self, inner):
        self.inner, self.started, self.handles, self.stopped = inner, [], [], []

    async def start(self, errand):
        self.started.append(errand)
        self.handles.append(await self.inner.start(errand))
        return self.handles[-1]

    async def look(self, errand, handle):
        return await self.inner.look(errand, handle)

    async def stop(self, errand, handle):
        await self.inner.stop(errand, handle)
        self.stopped.append(errand.run)


def carrying(run):
    """Return the processes of this machine that carry for a run."""
    return [
        each
        for each in psutil.process_iter(["cmdline", "environ"])
        if "harvest-worker" in (each.info["cmdline"] or []) and (each.info["environ"] or {}).get("LAKEGATE_RUN") == run
    ]


async def none_carries(run):
    async def gone():
        return not await asyncio.to_thread(carrying, run)

    await until(gone, what="the end of all processes")


async def test_an_order_is_carried_by_a_cluster_that_ends_with_it(scene, origin, dask):
    gateway, executor = dask
    bodies = publish(scene, origin, small=6)
    async with far(scene, executor=executor) as there:
        order = await there.live.order()
        assert (await there.live.settled(order.id, 120)).state == "OK"
        await all_right(there.live, bodies)
        run = executor.started[0]
        await there.stopped(run.run)
        assert await gateway.reports(_user(run), ALIVE) == {}
        await none_carries(run.run)


async def test_a_killed_process_is_followed_by_another_and_a_cancelled_order_ends_its_cluster(scene, origin, dask):
    gateway, executor = dask
    publish(scene, origin)
    origin.gate = asyncio.Event()
    async with far(scene, executor=executor) as there:
        order = await there.live.order()
        await there.live.uploads(90)
        run = executor.started[0]
        first = (await asyncio.to_thread(carrying, run.run))[0]
        first.kill()

        async def carried_on():
            again = await asyncio.to_thread(carrying, run.run)
            return again and first.pid not in [each.pid for each in again]

        await until(carried_on)
        await there.live.harvester.cancel(order.id)
        await there.stopped(run.run, 60)
        origin.gate.set()
        assert await gateway.reports(_user(run), ALIVE) == {}
        await there.live.settled(order.id, 60)
        assert await there.live.store.list_uploads() == []
    await none_carries(run.run)


async def test_a_run_that_was_begun_twice_has_one_cluster(dask, origin, scene):
    gateway, executor = dask
    publish(scene, origin)
    origin.gate = asyncio.Event()
    async with far(scene, executor=executor) as there:
        order = await there.live.order()
        run = await there.run()
        await until(lambda: executor.handles)  # begun by the gateway; again, as after one that forgot
        [first] = executor.handles
        assert await executor.inner.start(run) == first
        assert list(await gateway.reports(_user(run), ALIVE)) == [first]
        await there.live.harvester.cancel(order.id)
        await there.stopped(run.run, 60)


async def test_a_scheduler_that_is_not_there_is_an_unavailable_site(dask):
    there = await dask[0].version()
    assert there
    pair = {"certificate": "", "key": ""}
    comm = SchedulerComm(edge=EDGE, address=("127.0.0.1", free_port()), cluster="none", **pair)
    with pytest.raises(SiteUnavailable):
        await comm.run_on_workers(b"", b"")
