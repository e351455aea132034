"""Clusters for which there is no room: pending, in order, ended by a delete, taken up again after a restart."""

import asyncio

import aiohttp
import pytest
from compute_clients import client, ended, nothing_held
from waiting import until

from gateway.dask.model import Room
from quotas.model import Policy
from quotas.sqlite import SqliteLedger

pytestmark = pytest.mark.service

QUEUE = Policy(name="one-at-a-time", group="eo", resource="clusters", kind="concurrent", amount=1, on_exceed="queue")
HEADERS = {"Authorization": "Bearer t-alice"}


async def test_what_has_to_wait_is_pending_with_its_position_and_begins_by_itself(
    dask_edges, serve_dask, tmp_path
) -> None:
    async with (
        SqliteLedger(tmp_path / "quotas.sqlite", (QUEUE,)) as ledger,
        serve_dask(dask_edges, ledger=ledger) as running,
        ended(client(running.url)) as gateway,
    ):
        first = await gateway.new_cluster(edge="edge-a")
        second = await asyncio.wait_for(gateway.submit(edge="edge-a"), 5)
        assert second.startswith("c-")
        await until(lambda: "position 1" in told(running, second))
        reports = {report.name: report for report in await gateway.list_clusters()}
        assert reports[second].status.name == "PENDING"
        assert "'one-at-a-time'" in reports[second].options["waiting"]
        connecting = asyncio.create_task(connected(gateway, second))
        await first.shutdown()
        cluster = await asyncio.wait_for(connecting, 30)
        async with cluster, await cluster.get_client(set_as_default=False) as dask:
            assert (await dask.run_on_scheduler(lambda dask_scheduler: dask_scheduler.id)).startswith("Scheduler")
        await gateway.stop_cluster(second)
        await nothing_held(running)


async def connected(gateway, name: str):
    return await gateway.connect(name)


def told(running, name: str) -> str:
    return running.clusters._creation.waiting.told(name)


async def test_a_waiting_cluster_is_ended_by_a_delete_and_leaves_the_line(dask_edges, serve_dask, tmp_path) -> None:
    async with (
        SqliteLedger(tmp_path / "quotas.sqlite", (QUEUE,)) as ledger,
        serve_dask(dask_edges, ledger=ledger) as running,
        ended(client(running.url)) as gateway,
    ):
        await gateway.submit(edge="edge-a")
        second = await gateway.submit(edge="edge-b")
        await until(lambda: "position" in told(running, second))
        await gateway.stop_cluster(second)
        assert await running.ledger.waiting() == []
        assert running.routes.get(second).status == "STOPPED"


async def test_the_line_is_taken_up_again_after_a_restart(dask_edges, serve_dask, tmp_path) -> None:
    async with SqliteLedger(tmp_path / "quotas.sqlite", (QUEUE,)) as ledger:
        async with serve_dask(dask_edges, state=tmp_path, ledger=ledger) as running, client(running.url) as gateway:
            first = await gateway.submit(edge="edge-a")
            second = await gateway.submit(edge="edge-b")
        async with (
            serve_dask(dask_edges, state=tmp_path, ledger=ledger) as running,
            ended(client(running.url)) as gateway,
        ):
            assert running.routes.get(second).state == "waiting"
            await gateway.stop_cluster(first)
            await until(lambda: running.routes.get(second).state == "live")


async def test_an_edge_without_room_lets_clusters_wait_until_one_has_ended(dask_edges, serve_dask, tmp_path) -> None:
    rooms = {"edge-b": Room(cores=4.0)}
    async with (
        SqliteLedger(tmp_path / "quotas.sqlite", ()) as ledger,
        serve_dask(dask_edges, ledger=ledger, rooms=rooms) as running,
        ended(client(running.url)) as gateway,
    ):
        first = await gateway.submit(edge="edge-b")
        second = await gateway.submit(edge="edge-b")
        await until(lambda: "edge-b has no room now" in told(running, second))
        await gateway.stop_cluster(first)
        await until(lambda: running.routes.get(second).state == "live")


async def test_what_can_never_fit_is_refused_at_once(dask_edges, serve_dask, tmp_path) -> None:
    policy = Policy(name="small", group="eo", resource="cores", kind="concurrent", amount=1, on_exceed="queue")
    async with (
        SqliteLedger(tmp_path / "quotas.sqlite", (policy,)) as ledger,
        serve_dask(dask_edges, ledger=ledger) as running,
        client(running.url) as gateway,
    ):
        with pytest.raises(ValueError, match="'small'"):
            await gateway.submit(edge="edge-a")


async def test_where_the_quota_says_trim_the_cluster_is_smaller_and_says_so(dask_edges, serve_dask, tmp_path) -> None:
    policy = Policy(name="two", group="eo", resource="cores", kind="concurrent", amount=2, on_exceed="trim")
    async with (
        SqliteLedger(tmp_path / "quotas.sqlite", (policy,)) as ledger,
        serve_dask(dask_edges, ledger=ledger) as running,
        ended(client(running.url)) as gateway,
    ):
        cluster = await gateway.new_cluster(edge="edge-a")
        async with cluster:
            with pytest.warns(UserWarning, match="granted 2 cores .* of the quota of eo/team"):
                await cluster.scale(5)
            with pytest.warns(UserWarning, match="granted 2 cores"):
                await cluster.adapt(minimum=0, maximum=5)


async def test_a_cluster_that_waited_too_long_has_failed_and_says_why(dask_edges, serve_dask, tmp_path) -> None:
    async with (
        SqliteLedger(tmp_path / "quotas.sqlite", (QUEUE,)) as ledger,
        serve_dask(dask_edges, ledger=ledger, queue_seconds=0.1) as running,
        ended(client(running.url)) as gateway,
        aiohttp.ClientSession(headers=HEADERS) as session,
    ):
        await gateway.submit(edge="edge-a")
        second = await gateway.submit(edge="edge-a")
        await until(lambda: running.routes.get(second).status == "FAILED")
        async with session.get(f"{running.url}/api/v1/clusters/{second}") as response:
            report = await response.json()
        assert report["status"] == "FAILED"
        assert "waited too long" in report["options"]["failed"]
