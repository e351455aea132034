"""The router of comms at an edge: what runs there stays there, what does not goes to the gateway in the centre.

An edge's own proxy knows its clusters and closes connections that name another one. So each comm is offered to it
first; where it closes without a word, the centre is asked. There is no table to keep, and nothing to be told.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from gateway.listener import Listener

Address = tuple[str, int]


class OneProxy:
    """The edge's proxy, for whatever is asked. Implements :class:`gateway.listener.CommRoutes`."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def lookup(self, name: str) -> Address:
        """Return the proxy's address."""
        return self._address


@asynccontextmanager
async def running_router(*, listen: Address, proxy: Address, centre: Address) -> AsyncIterator[int]:
    """Route while the context lasts; yield the bound port. Over HTTP it answers ``GET /livez`` and nothing else.

    Raises:
        OSError: the address cannot be bound.
    """
    app = web.Application()
    app.add_routes([web.get("/livez", _alive)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        if runner.server is None:
            raise RuntimeError("the runner has no server after its setup")
        listener = Listener(http=runner.server, routes=OneProxy(proxy), fallback=centre)
        async with listener.serving(*listen) as port:
            yield port
    finally:
        await runner.cleanup()


async def _alive(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
