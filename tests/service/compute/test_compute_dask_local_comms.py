"""A router of comms at an edge: clusters there are reached there, all others through the gateway."""

import pytest
from compute_clients import client, ended, nothing_held

from gateway.edge_router import running_router

pytestmark = pytest.mark.service


async def test_comms_stay_at_the_edge_where_the_cluster_is_and_reach_other_edges_too(dask_edges, serve_dask) -> None:
    async with (
        serve_dask(dask_edges) as running,
        running_router(
            listen=("127.0.0.1", 0), proxy=("127.0.0.1", dask_edges["edge-a"].port), centre=("127.0.0.1", running.port)
        ) as port,
        ended(client(running.url, proxy_address=f"127.0.0.1:{port}")) as gateway,
    ):
        through_the_centre = {}
        for edge in ("edge-a", "edge-b"):
            cluster = await gateway.new_cluster(edge=edge)
            async with cluster, await cluster.get_client(set_as_default=False) as dask:
                assert (await dask.run_on_scheduler(lambda dask_scheduler: dask_scheduler.id)).startswith("Scheduler")
                through_the_centre[edge] = running.listener.comms > 0
        assert through_the_centre == {"edge-a": False, "edge-b": True}
        await nothing_held(running)
