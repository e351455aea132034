"""A gateway that kills itself (SIGKILL) at a given step of the creation of a cluster. Run by the tests."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from compute_edges import POLICIES, RealDaskEdge, dask_gateway_of

from quotas.sqlite import SqliteLedger


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DoomedBackend:
    """Dies before or after the edge has created the cluster."""

    def __init__(self, inner: object, moment: str) -> None:
        self.inner = inner
        self.moment = moment

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def create(self, user: object, options: object, cap: object) -> str:
        if self.moment == "before the edge":
            die()
        name = await self.inner.create(user, options, cap)
        if self.moment == "after the edge":
            die()
        return name


class DoomedLedger:
    """Dies before or after the lease is granted."""

    def __init__(self, inner: SqliteLedger, moment: str) -> None:
        self.inner = inner
        self.moment = moment

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def reserve(self, *values: object, **options: object) -> object:
        if self.moment == "before the lease":
            die()
        lease = await self.inner.reserve(*values, **options)
        if self.moment == "after the lease":
            die()
        return lease


async def main(folder: str, port: str, secret: str, state: str, moment: str) -> None:
    edge = RealDaskEdge("edge-a", Path(folder), int(port), secret, Path(folder))
    async with (
        SqliteLedger(Path(state) / "quotas.sqlite", POLICIES) as ledger,
        dask_gateway_of(
            {"edge-a": edge},
            Path(state),
            ledger=DoomedLedger(ledger, moment),
            wrap=lambda _, backend: DoomedBackend(backend, moment),
        ) as running,
    ):
        sys.stdout.write(json.dumps({"url": running.url}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
