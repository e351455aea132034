"""Many clusters, several users, one port for all, and edges that come and go."""

import asyncio
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from compute_clients import client, ended, nothing_held
from dask_gateway import Gateway
from dask_gateway.auth import BasicAuth
from waiting import until

from edges.model import ClusterCap
from gateway.listener import server_context
from quotas.memory import MemoryLedger

pytestmark = pytest.mark.service

AUTH = {"Authorization": "Bearer t-alice"}


async def test_fifty_clusters_at_once_start_run_and_leave_nothing(dask_edges, serve_dask) -> None:
    small = ClusterCap(cores=2.0, memory=2 << 30)
    async with (
        serve_dask(dask_edges, ledger=MemoryLedger(()), cap=small, reconcile_seconds=1.0) as running,
        ended(client(running.url)) as gateway,
    ):
        names = await asyncio.gather(*(gateway.submit(edge=f"edge-{'ab'[number % 2]}") for number in range(50)))
        assert len(set(names)) == 50

        async def started(name: str) -> str:
            async with asyncio.timeout(150):
                while True:
                    report = await gateway._cluster_report(name, wait=True)
                    if report.status.name != "PENDING":
                        return report.status.name

        assert set(await asyncio.gather(*map(started, names))) == {"RUNNING"}
        async with gateway.connect(names[-1]) as cluster, await cluster.get_client(set_as_default=False) as dask:
            assert (await dask.run_on_scheduler(lambda dask_scheduler: dask_scheduler.id)).startswith("Scheduler")
        await asyncio.gather(*(gateway.stop_cluster(name) for name in names))
        await until(lambda: not any(route.open for route in running.routes), seconds=90)
        assert await running.ledger.leases() == []


async def test_two_users_of_one_library_compute_side_by_side(dask_edges, serve_dask) -> None:
    async with (
        serve_dask(dask_edges) as running,
        ended(client(running.url)) as alice,
        ended(client(running.url, "bob")) as bob,
    ):
        mine, theirs = await asyncio.gather(alice.new_cluster(edge="edge-a"), bob.new_cluster(edge="edge-a"))
        async with mine, theirs:
            ids = []
            for cluster in (mine, theirs):
                async with await cluster.get_client(set_as_default=False) as dask:
                    ids.append(await dask.run_on_scheduler(lambda dask_scheduler: dask_scheduler.id))
            assert len(set(ids)) == 2
            assert [each.name for each in await alice.list_clusters()] == [mine.name]
            assert [each.name for each in await bob.list_clusters()] == [theirs.name]


async def test_each_edge_has_an_address_of_its_own_for_clients_of_several(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running:
        port = running.port
        sites = [
            Gateway(
                f"{running.url}/dask/{edge}",
                proxy_address=f"tcp://127.0.0.1:{port}",
                auth=BasicAuth("alice", "t-alice"),
                asynchronous=True,
            )
            for edge in dask_edges
        ]
        async with ended(sites[0]), ended(sites[1]):
            for edge, site in zip(dask_edges, sites, strict=True):
                assert (await site.get_versions())["server"]["version"]
                cluster = await site.new_cluster()
                async with cluster, await cluster.get_client(set_as_default=False) as dask:
                    assert await dask.run_on_scheduler(lambda dask_scheduler: dask_scheduler.id)
                    (report,) = await site.list_clusters()
                    assert report.options["edge"] == edge
                    link = cluster.dashboard_link
                    async with aiohttp.ClientSession(headers=AUTH) as session, session.get(link) as page:
                        assert page.status == 200
            with pytest.raises(ValueError, match="unknown edge 'edge-x'"):
                await sites[0].new_cluster(edge="edge-x")
            nowhere = f"{running.url}/dask/nowhere/api/v1/options"
            async with aiohttp.ClientSession(headers=AUTH) as session, session.get(nowhere) as refused:
                assert refused.status == 404


async def test_dashboards_are_served_at_their_own_origin_and_nothing_else_is(dask_edges, serve_dask) -> None:
    async with (
        serve_dask(dask_edges, dashboard_url="http://dashboards.localhost") as running,
        ended(client(running.url)) as gateway,
        aiohttp.ClientSession() as session,
        await gateway.new_cluster(edge="edge-a") as cluster,
    ):
        link, there = cluster.dashboard_link, {"Host": "dashboards.localhost"}
        async with session.get(link, headers=AUTH, allow_redirects=False) as led:
            assert led.status == 303
            location = led.headers["Location"]
        assert re.match(rf"http://dashboards\.localhost/clusters/{cluster.name}/status\?ticket=", location)
        ticket = location.partition("?")[2]
        async with session.get(f"{link}?{ticket}", headers=there, allow_redirects=False) as entered:
            assert entered.status == 303
            assert entered.headers["Location"] == f"/clusters/{cluster.name}/status"
            cookie = entered.cookies["lakegate-dashboard"]
            assert (cookie["path"], cookie["httponly"]) == (f"/clusters/{cluster.name}/", True)
        known = there | {"Cookie": f"lakegate-dashboard={cookie.value}"}
        async with session.get(link, headers=known) as page:
            assert (page.status, "Dask" in await page.text()) == (200, True)
        async with session.get(link, headers=there) as stranger:
            assert stranger.status == 401
        async with session.get(f"{running.url}/api/v1/clusters/", headers=known | AUTH) as refused:
            assert refused.status == 404
        api = {"Cookie": f"lakegate-dask={cookie.value}"}
        async with session.get(f"{running.url}/api/v1/clusters/", headers=api) as refused:
            assert refused.status == 401
        events = link.removesuffix("/status") + "/eventstream"
        async with session.ws_connect(events, headers=known, origin="http://dashboards.localhost") as socket:
            assert not socket.closed
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(events, headers=known, origin="http://localhost")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out",
         str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, server_context(str(cert), str(key))


ASKED_BY_HTTPS = """
import asyncio, sys
from dask_gateway import Gateway
from dask_gateway.auth import BasicAuth

async def main():
    async with Gateway(sys.argv[1], auth=BasicAuth("alice", "t-alice"), asynchronous=True) as gateway:
        cluster = await gateway.new_cluster(edge="edge-b")
        async with cluster, await cluster.get_client(set_as_default=False) as dask:
            print(cluster.scheduler_address, await dask.run_on_scheduler(lambda dask_scheduler: dask_scheduler.id))

asyncio.run(main())
"""


async def test_an_unmodified_client_uses_https_and_comms_at_one_address(dask_edges, serve_dask, certificate) -> None:
    cert, context = certificate
    async with serve_dask(dask_edges, tls=context) as running:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ASKED_BY_HTTPS, f"https://localhost:{running.port}"),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"SSL_CERT_FILE": str(cert), "PYTHONWARNINGS": "ignore"},
        )
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        assert re.fullmatch(rf"gateway://localhost:{running.port}/\w+ Scheduler-\S+", said.decode().strip())
        await nothing_held(running)
