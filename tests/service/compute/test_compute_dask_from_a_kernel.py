"""The whole path of a user: a notebook's cell asks for a cluster, without arguments, tokens or addresses."""

import pytest
from kernel_clients import ALICE, execute, user

pytestmark = pytest.mark.service

CELL = """
from dask_gateway import Gateway
async with Gateway(asynchronous=True) as gateway:
    cluster = await gateway.new_cluster()
    (report,) = await gateway.list_clusters()
    client = await cluster.get_client(set_as_default=False)
    await cluster.scale(1)
    print(report.options["edge"], await client.submit(lambda: 6 * 7))
    await client.close()
    await cluster.shutdown()
"""


async def test_a_cell_gets_a_cluster_at_its_kernels_own_edge(
    dask_edges, kernel_edges, serve_dask, serve_kernels
) -> None:
    async with (
        serve_dask(dask_edges) as dask,
        serve_kernels(kernel_edges, dask=dask) as running,
        user(ALICE) as session,
    ):
        async with session.post(running.url + "/api/kernels", json={"name": "python3.edge-b"}) as response:
            model = await response.json()
        url = f"{running.url}/api/kernels/{model['id']}"
        async with session.ws_connect(url + "/channels") as socket:
            assert "edge-b 42" in (await execute(socket, CELL, seconds=90)).splitlines()
        async with session.delete(url) as response:
            assert response.status == 204
