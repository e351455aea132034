"""What is left behind when a step is the last one: nothing, after one round of reconciliation."""

import asyncio
import os
import signal
import time

import aiohttp
import msgspec
import pytest
from compute_edges import CAP, make_dask_edge
from dask_gateway import Gateway
from dask_gateway.auth import BasicAuth
from free_ports import free_port
from waiting import until

from edges.compute.dask_gateway import DaskGateway
from edges.errors import SiteUnavailable
from edges.http import Outbound
from edges.model import EdgeUser
from edges.seams import DaskBackend
from gateway.dask.model import ClusterRoute
from gateway.records_sqlite import SqliteRecordTable as RecordTable
from quotas.memory import MemoryLedger
from quotas.model import Lease

pytestmark = pytest.mark.service

ALICE = EdgeUser(name="alice", groups=("eo/team",))
HEADERS = {"Authorization": "Bearer t-alice"}
LIVE = ("PENDING", "RUNNING")


class Wrapped:
    """A backend with a fault around ``create``; all else is the real one's."""

    def __init__(self, inner: DaskBackend) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


class LosesTheAnswer(Wrapped):
    async def create(self, user, options, cap) -> str:
        await self.inner.create(user, options, cap)
        raise SiteUnavailable("edge-a", "no answer: the connection broke off")


class WaitsBeforeTheAnswer(Wrapped):
    def __init__(self, inner: DaskBackend) -> None:
        super().__init__(inner)
        self.created, self.go_on = asyncio.Event(), asyncio.Event()

    async def create(self, user, options, cap) -> str:
        name = await self.inner.create(user, options, cap)
        self.created.set()
        await self.go_on.wait()
        return name


class AtTheEdge:
    """The edge as its own gateway sees it, beside ours."""

    def __init__(self, edge, session: aiohttp.ClientSession) -> None:
        self.backend = DaskGateway(edge=edge.edge, url=edge.url, secret=edge.secret, session=session)

    async def clusters(self) -> list[str]:
        return list(await self.backend.reports(ALICE, LIVE))

    async def empty(self) -> bool:
        return await self.clusters() == []


async def nothing_held(running) -> None:
    await until(lambda: not any(route.open for route in running.routes))
    assert await running.ledger.leases() == []


async def test_a_cluster_whose_answer_was_lost_is_found_by_its_mark_and_ended(dask_edges, serve_dask) -> None:
    only = {"edge-a": dask_edges["edge-a"]}
    async with (
        Outbound(allowed=[dask_edges["edge-a"].url]) as outbound,
        serve_dask(only, wrap=lambda _, backend: LosesTheAnswer(backend), reconcile_seconds=3600) as running,
        aiohttp.ClientSession(headers=HEADERS) as session,
    ):
        edge = AtTheEdge(dask_edges["edge-a"], outbound.session)
        async with session.post(running.url + "/api/v1/clusters/", json={}) as response:
            assert response.status == 500  # the client shows the text of no other
            assert "edge-a: no answer" in (await response.json())["error"]
        assert len(await edge.clusters()) == 1
        assert len(await running.ledger.leases()) == 1  # held until the edge says that nothing runs
        await running.clusters.reconcile()
        await until(edge.empty)
        await until(lambda: _reconciled(running))
        await nothing_held(running)


async def _reconciled(running) -> bool:
    await running.clusters.reconcile()
    return not any(route.open for route in running.routes)


async def test_a_client_that_goes_away_while_its_cluster_is_created_leaves_none(dask_edges, serve_dask) -> None:
    slow: list[WaitsBeforeTheAnswer] = []

    def wrap(_: str, backend: DaskBackend) -> DaskBackend:
        slow.append(WaitsBeforeTheAnswer(backend))
        return slow[-1]

    only = {"edge-a": dask_edges["edge-a"]}
    async with Outbound(allowed=[only["edge-a"].url]) as outbound, serve_dask(only, wrap=wrap) as running:
        edge = AtTheEdge(only["edge-a"], outbound.session)
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            asked = asyncio.create_task(session.post(running.url + "/api/v1/clusters/", json={}))
            await asyncio.wait_for(slow[0].created.wait(), 10)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        await running.clusters.reconcile()
        assert len(await edge.clusters()) == 1  # a creation under way is not an orphan
        await asyncio.sleep(0)
        slow[0].go_on.set()
        await until(edge.empty)
        await nothing_held(running)


def crashed_route(**changes) -> ClusterRoute:
    values = {"id": "c-crashed", "user": "alice", "groups": ("eo/team",), "charging_group": "eo/team", "edge": "edge-a"}
    return ClusterRoute(**(values | {"cap": CAP, "lease": "c-crashed", "created_at": time.time()} | changes))


async def test_after_a_crash_the_cluster_of_a_written_intent_is_adopted(dask_edges, serve_dask, tmp_path) -> None:
    only = {"edge-a": dask_edges["edge-a"]}
    ledger = MemoryLedger(())
    route = crashed_route()
    async with Outbound(allowed=[only["edge-a"].url]) as outbound:
        edge = AtTheEdge(only["edge-a"], outbound.session)
        async with RecordTable(tmp_path / "clusters.sqlite", ClusterRoute) as routes:
            await routes.put(route)
        await ledger.reserve(route.lease, route.charge, route.lines, ttl=30, why="test")
        name = await edge.backend.create(ALICE, {"lakegate_id": route.id}, CAP)
        async with serve_dask(only, state=tmp_path, ledger=ledger) as running:
            await until(lambda: running.routes.get(route.id).state == "live")
            assert running.clusters.lookup(name) == ("127.0.0.1", only["edge-a"].port)
            async with Gateway(running.url, auth=BasicAuth("alice", "t-alice"), asynchronous=True) as gateway:
                assert [report.name for report in await gateway.list_clusters()] == [name]
                await gateway.stop_cluster(name)
            await nothing_held(running)


async def test_after_a_crash_an_intent_that_never_reached_the_edge_gives_its_lease_back(
    dask_edges, serve_dask, tmp_path
) -> None:
    ledger = MemoryLedger(())
    route = crashed_route()
    async with RecordTable(tmp_path / "clusters.sqlite", ClusterRoute) as routes:
        await routes.put(route)
    await ledger.reserve(route.lease, route.charge, route.lines, ttl=3600, why="test")
    async with serve_dask({"edge-a": dask_edges["edge-a"]}, state=tmp_path, ledger=ledger) as running:
        await nothing_held(running)


async def test_clusters_that_nobody_knows_are_ended(dask_edges, serve_dask, tmp_path) -> None:
    only = {"edge-a": dask_edges["edge-a"]}
    async with RecordTable(tmp_path / "clusters.sqlite", ClusterRoute) as routes:
        await routes.put(crashed_route(state="ended", name="gone", ended_at=time.time()))
    async with Outbound(allowed=[only["edge-a"].url]) as outbound:
        edge = AtTheEdge(only["edge-a"], outbound.session)
        await edge.backend.create(ALICE, {}, CAP)
        async with serve_dask(only, state=tmp_path):
            await until(edge.empty)


async def test_a_lease_that_ended_while_the_gateway_was_away_is_taken_anew(dask_edges, serve_dask, tmp_path) -> None:
    only = {"edge-a": dask_edges["edge-a"]}
    async with (
        serve_dask(only, state=tmp_path) as running,
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(running.url + "/api/v1/clusters/", json={}) as response,
    ):
        name = (await response.json())["name"]
    async with serve_dask(only, state=tmp_path) as running:  # with an empty ledger
        lease = await _lease(running, lambda _: True)
        assert lease.key.startswith("c-")
        # another drift: the ledger says less than what runs
        (route,) = running.routes
        await running.ledger.release(lease.key)
        less = [msgspec.structs.replace(line, amount=1) for line in route.lines]
        await running.ledger.reserve("c-drifted", route.charge, less, ttl=30, why="test")
        await running.routes.put(msgspec.structs.replace(route, lease="c-drifted"))
        await _lease(running, lambda one: one.lines == route.lines)
        assert "found running" in {entry.why for entry in await running.ledger.history("*")}
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            await session.delete(f"{running.url}/api/v1/clusters/{name}")
        await nothing_held(running)


async def _lease(running, right) -> Lease:
    for _ in range(400):
        leases = await running.ledger.leases()
        if len(leases) == 1 and right(leases[0]):
            return leases[0]
        await asyncio.sleep(0.05)
    raise AssertionError(f"the lease is not set right: {leases}")


async def test_an_edge_cannot_give_two_clusters_one_name(dask_edges, serve_dask) -> None:
    class SameName(Wrapped):
        async def create(self, user, options, cap) -> str:
            await self.inner.create(user, options, cap)
            return "same"

    async with (
        serve_dask(dask_edges, wrap=lambda _, backend: SameName(backend), reconcile_seconds=3600) as running,
        aiohttp.ClientSession(headers=HEADERS) as session,
    ):
        for edge, status in (("edge-a", 201), ("edge-b", 500)):
            body = {"cluster_options": {"edge": edge}}
            async with session.post(running.url + "/api/v1/clusters/", json=body) as response:
                assert response.status == status
        assert running.clusters.lookup("same") == ("127.0.0.1", dask_edges["edge-a"].port)
        for route in list(running.routes):
            await running.routes.put(msgspec.structs.replace(route, state="ending", name=None))
        await until(lambda: _reconciled(running))


@pytest.fixture
def local_edge(tmp_path):
    return make_dask_edge("edge-a", tmp_path / "edge", backend="local")


async def test_real_processes_outlive_their_edges_crash_and_their_client_goes_on(local_edge, serve_dask) -> None:
    """Schedulers and workers as processes, and an edge that is killed: its word is awaited, its clusters come back."""
    with local_edge.running() as server:
        async with (
            serve_dask({"edge-a": local_edge}, port=free_port()) as running,
            Gateway(running.url, auth=BasicAuth("alice", "t-alice"), asynchronous=True) as gateway,
        ):
            cluster = await gateway.new_cluster()
            async with cluster, await cluster.get_client(set_as_default=False) as dask:
                await cluster.scale(1)
                pid = await dask.submit(os.getpid)
                assert pid != os.getpid()
                os.kill(server.pid, signal.SIGKILL)
                server.wait()
                (report,) = await gateway.list_clusters()
                assert report.name == cluster.name  # as last known
                assert len(await running.ledger.leases()) == 1
                with local_edge.running():
                    await until(lambda: _answers(gateway, cluster.name))
                    async with asyncio.timeout(60):
                        assert await dask.submit(lambda: 6, pure=False) == 6
                    await gateway.stop_cluster(cluster.name)
                    await until(lambda: not any(route.open for route in running.routes), seconds=40)
                    assert await running.ledger.leases() == []


async def _answers(gateway: Gateway, name: str) -> bool:
    try:
        return (await gateway._cluster_report(name)).status.name == "RUNNING"
    except aiohttp.ClientResponseError:
        return False
