"""What a user reads, and what the client makes of it: presets, late clusters, those that never start, caps."""

import asyncio

import dask
import pytest
from compute_clients import client, ended, nothing_held
from dask_gateway import Gateway, GatewayClusterError
from dask_gateway.auth import BasicAuth
from dask_gateway.client import GatewayWarning

from edges.compute.model import ClusterReport
from edges.seams import DaskBackend
from gateway.dask.model import Room
from quotas.sqlite import SqliteLedger

pytestmark = pytest.mark.service


async def test_a_kernels_preset_of_its_edge_does_not_hinder_the_addresses_of_the_others(dask_edges, serve_dask) -> None:
    """A kernel has its own edge in the configuration of its Dask client, and the registry of sites names all edges."""
    with dask.config.set({"gateway.cluster.options": {"edge": "edge-a"}}):
        async with serve_dask(dask_edges) as running:
            site = Gateway(
                f"{running.url}/dask/edge-b",
                proxy_address=f"tcp://127.0.0.1:{running.port}",
                auth=BasicAuth("alice", "t-alice"),
                asynchronous=True,
            )
            async with ended(site):
                assert dict(await site.cluster_options())["edge"] == "edge-a"
                assert dict(await site.cluster_options(use_local_defaults=False))["edge"] == "edge-b"
                await site.submit()
                await site.submit(await site.cluster_options())
                assert {each.options["edge"] for each in await site.list_clusters()} == {"edge-b"}


class Late:
    """An edge that does not know a cluster until it was asked twice, as one on Kubernetes may; else the real one."""

    def __init__(self, inner: DaskBackend) -> None:
        self.inner = inner
        self.asked = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def report(self, user, name, *, wait=False) -> ClusterReport | None:
        self.asked += 1
        return None if self.asked <= 2 else await self.inner.report(user, name, wait=wait)


async def test_a_cluster_that_its_edge_does_not_know_yet_is_pending_and_no_error(dask_edges, serve_dask) -> None:
    late: list[Late] = []

    def wrap(_: str, backend: DaskBackend) -> DaskBackend:
        late.append(Late(backend))
        return late[-1]

    only = {"edge-a": dask_edges["edge-a"]}
    async with serve_dask(only, wrap=wrap, reconcile_seconds=3600) as running, ended(client(running.url)) as gateway:
        cluster = await gateway.new_cluster()
        async with cluster:
            assert late[0].asked > 2
            assert (await gateway.list_clusters())[0].name == cluster.name


class Fails(Late):
    """An edge whose clusters never start."""

    async def report(self, user, name, *, wait=False) -> ClusterReport | None:
        report = await self.inner.report(user, name)
        return ClusterReport(name=name, status="FAILED", options=report.options)


async def test_a_cluster_that_cannot_start_says_where_to_look(dask_edges, serve_dask) -> None:
    only = {"edge-a": dask_edges["edge-a"]}
    wrapped = serve_dask(only, wrap=lambda _, backend: Fails(backend))
    async with wrapped as running, client(running.url) as gateway:
        with pytest.raises(GatewayClusterError, match="edge edge-a could not start cluster"):
            await gateway.new_cluster()
        await nothing_held(running)


async def test_one_that_waited_in_vain_says_for_what(dask_edges, serve_dask, tmp_path) -> None:
    rooms = {"edge-a": Room(cores=4.0)}
    async with (
        SqliteLedger(tmp_path / "quotas.sqlite", ()) as ledger,
        serve_dask(dask_edges, ledger=ledger, rooms=rooms, queue_seconds=0.5) as running,
        ended(client(running.url)) as gateway,
    ):
        await gateway.submit(edge="edge-a")
        with pytest.raises(GatewayClusterError, match="did not start: waited too long; position 1: edge edge-a has no"):
            await gateway.new_cluster(edge="edge-a")


async def test_an_owners_code_in_the_scheduler_gets_no_more_workers_than_the_cap(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running, ended(client(running.url)) as gateway:
        cluster = await gateway.new_cluster(edge="edge-a")
        async with cluster, await cluster.get_client(set_as_default=False) as dask_client:

            async def wants_fifty(dask_scheduler) -> list[int]:
                """Ask past the gateway; return how many were wanted, and there, until two are."""
                import asyncio  # noqa: PLC0415 - runs at the edge

                services = [getattr(plugin, "service", None) for plugin in dask_scheduler.plugins.values()]
                (service,) = [each for each in services if hasattr(each, "heartbeat_period")]
                await service.scale(50)
                for _ in range(200):
                    if len(dask_scheduler.workers) >= 2:
                        break
                    await asyncio.sleep(0.1)
                await service.heartbeat()
                return [service.count, len(dask_scheduler.workers)]

            assert await dask_client.run_on_scheduler(wants_fifty) == [50, 2]
            with pytest.warns(GatewayWarning, match="exceed resource limit of 2 workers"):
                await cluster.scale(3)
            await cluster.adapt(minimum=2)  # without a maximum
            await asyncio.wait_for(dask_client.gather(dask_client.map(lambda n: n, range(40))), 30)
            assert await dask_client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.workers)) == 2
