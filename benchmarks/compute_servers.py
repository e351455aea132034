"""The processes that the benchmark of compute measures: what stands at an edge, and the gateway's parts in front."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
from aiohttp import web

from edges.compute.model import Upstream
from gateway.listener import Listener
from gateway.proxying import EdgeProxy, ProxyLimits

Role = Callable[[Connection, int], Coroutine[Any, Any, None]]


@contextmanager
def server(role: Role, upstream: int = 0) -> Iterator[tuple[int, int]]:
    """Run a role in a process of its own in front of a port; give its port and process id."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(role, there, upstream), daemon=True)
    process.start()
    try:
        if not here.poll(30):
            raise TimeoutError("a server of the benchmark did not start")
        yield here.recv(), process.pid or 0
    finally:
        process.terminate()
        process.join(10)


def _run(role: Role, told: Connection, upstream: int) -> None:
    asyncio.run(role(told, upstream))


async def echo(told: Connection, _: int) -> None:
    """Send back what comes: a scheduler."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    told.send(listening.sockets[0].getsockname()[1])
    await listening.serve_forever()


class _One:
    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)

    def lookup(self, name: str) -> tuple[str, int]:
        return self._address


async def router(told: Connection, upstream: int) -> None:
    """Route comms by their server name, as the gateway does, and as a proxy at an edge does."""
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    if runner.server is None:
        raise RuntimeError("the runner has no server after its setup")
    async with Listener(http=runner.server, routes=_One(upstream)).serving("127.0.0.1", 0) as port:
        told.send(port)
        await asyncio.Event().wait()


async def channels(told: Connection, _: int) -> None:
    """Send back websocket messages: a kernel gateway."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    await _serve(told, serve)


async def proxied(told: Connection, upstream: int) -> None:
    """Pass websockets on, as the Jupyter face does."""
    async with _session() as session:
        proxy = EdgeProxy(session=session, limits=ProxyLimits())

        async def serve(request: web.Request) -> web.StreamResponse:
            return await proxy.websocket(request, Upstream(url=f"http://127.0.0.1:{upstream}/"))

        await _serve(told, serve)


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


async def _serve(told: Connection, handler: Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]) -> None:
    app = web.Application()
    app.add_routes([web.get("/", handler)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    told.send(runner.addresses[0][1])
    await asyncio.Event().wait()
