"""What the tests of the Dask face share: unmodified clients, and waiting for conditions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dask_gateway import Gateway
from dask_gateway.auth import BasicAuth
from waiting import until


def client(url: str, user: str = "alice", **options) -> Gateway:
    return Gateway(url, auth=BasicAuth(user, f"t-{user}"), asynchronous=True, **options)


@asynccontextmanager
async def ended(gateway: Gateway) -> AsyncIterator[Gateway]:
    """Close a client and all clusters that its user still has."""
    async with gateway:
        try:
            yield gateway
        finally:
            for report in await gateway.list_clusters():
                await gateway.stop_cluster(report.name)


async def nothing_held(running) -> None:
    await until(lambda: not any(route.open for route in running.routes))
    assert await running.ledger.leases() == []
