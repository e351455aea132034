"""An aiohttp application over a real socket, for as long as a context lasts: what tests put beside what they try."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def served(
    app: web.Application, *, port: int = 0, shutdown_timeout: float = 0.1, handler_cancellation: bool = False
) -> AsyncIterator[str]:
    """Serve at a port of the loopback interface (0: a free one); yield the URL.

    At the end, requests under way have ``shutdown_timeout`` seconds. With ``handler_cancellation``, whoever hangs
    up ends what was begun for it.
    """
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=shutdown_timeout, handler_cancellation=handler_cancellation
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
