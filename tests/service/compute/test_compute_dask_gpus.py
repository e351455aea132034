"""Clusters with GPUs, by an unmodified client at a real edge: reserved, kept to, refused with the reason."""

import pytest
from compute_clients import client, ended, nothing_held
from dask_gateway import GatewayWarning

from edges.model import ClusterCap
from gateway.dask.model import Room
from quotas.memory import MemoryLedger
from quotas.model import Policy

pytestmark = pytest.mark.service

WIDE = ClusterCap(cores=6, memory=8 << 30)
ROOMS = {"edge-a": Room(gpus=8)}
GPUS = Policy(name="team-gpus", group="eo/team", resource="gpus", kind="concurrent", amount=3, contact="gpu@eo.example")


async def test_gpus_are_reserved_and_a_cluster_cannot_grow_beyond_them(dask_edges, serve_dask) -> None:
    ledger = MemoryLedger([GPUS])
    async with (
        serve_dask(dask_edges, ledger=ledger, cap=WIDE, rooms=ROOMS) as running,
        ended(client(running.url)) as gateway,
    ):
        options = await gateway.cluster_options()
        assert (options.gpus, options.worker_gpus) == (0, 0)
        cluster = await gateway.new_cluster(edge="edge-a", gpus=2)
        (usage,) = await ledger.usage(["eo/team"])
        assert usage.reserved == 2
        with pytest.warns(GatewayWarning, match=r"limit of 2 workers.*2 GPUs"):
            await cluster.scale(5)
        with pytest.raises(
            ValueError, match=r"quota 'team-gpus'.*2 GPUs requested, 2 of 3 GPUs taken.*gpu@eo\.example"
        ):
            await gateway.submit(edge="edge-a", gpus=2)
        await cluster.close()
        await nothing_held(running)


async def test_workers_with_gpus_need_a_cluster_with_gpus(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges, rooms=ROOMS) as running, ended(client(running.url)) as gateway:
        with pytest.raises(ValueError, match="worker_gpus is 1"):
            await gateway.submit(edge="edge-a", worker_gpus=1)
        with pytest.raises(ValueError, match="worker_gpus is 2, but this cluster was granted 1 GPUs"):
            await gateway.submit(edge="edge-a", gpus=1, worker_gpus=2)
        with pytest.raises(ValueError, match="edge edge-b offers no workers with GPUs"):
            await gateway.submit(edge="edge-b", gpus=1)
        with pytest.raises(ValueError, match="from 0 to 8"):
            await gateway.submit(edge="edge-a", gpus=9)
        await nothing_held(running)
