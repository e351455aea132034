"""An edge that dials out only: an unmodified client computes there, API and comms through one tunnel."""

import dataclasses

import pytest
from compute_clients import client, ended, nothing_held
from tunnel_scene import tunnelled

pytestmark = pytest.mark.service


async def test_a_cluster_at_an_edge_behind_a_tunnel_computes(dask_edges, serve_dask) -> None:
    real = dask_edges["edge-a"]
    async with tunnelled({"dask": real.port}) as ports:
        far = dataclasses.replace(real, port=ports["dask"])
        async with serve_dask({"edge-a": far}) as running, ended(client(running.url)) as gateway:
            async with (
                await gateway.new_cluster(edge="edge-a") as cluster,
                await cluster.get_client(set_as_default=False) as dask,
            ):
                await cluster.scale(1)
                assert await dask.submit(sum, range(1_000)) == 499_500
                block = await dask.submit(bytes, 8 << 20)
                assert len(block) == 8 << 20
            await nothing_held(running)
