"""Loopback ports of the gateway, each of which is a service at an edge behind a tunnel."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.tunnel.pool import Pool
from gateway.tunnel.splicing import Ends, prepare

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
TRIES = 3
"""So many connections are tried: one that waits may have died unseen."""


@asynccontextmanager
async def open_ports(pool: Pool, edges: Mapping[str, Mapping[str, int]]) -> AsyncIterator[None]:
    """Listen at the ports of the edges' services (edge: {service: port}) while the context lasts.

    Raises:
        OSError: a port is taken.
    """
    async with AsyncExitStack() as stack:
        for edge, services in edges.items():
            for service, port in services.items():
                await stack.enter_async_context(_open_port(pool, edge, service, port))
        yield


@asynccontextmanager
async def _open_port(pool: Pool, edge: str, service: str, port: int) -> AsyncIterator[None]:
    under_way: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_through(pool, edge, service, (reader, writer)), name="tunnel-stream")
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    server = await asyncio.start_server(accept, LOOPBACK, port)
    try:
        yield
    finally:
        server.close()
        for task in list(under_way):
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)


async def _through(pool: Pool, edge: str, service: str, ends: Ends) -> None:
    """Send a connection through the tunnel; close it where the edge is not there, or its service is not."""
    writer = ends[1]
    prepare(writer)
    try:
        for _ in range(TRIES):
            link = await pool.take(edge)
            if link is None:
                break
            if await link.open(service, ends):
                await link.ended
                return
        _log.warning("no way through a tunnel", extra={"edge": edge, "service": service})
    finally:
        writer.transport.abort() if not writer.is_closing() else writer.close()
