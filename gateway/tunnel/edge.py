"""The edge's end: holds connections to the gateway open, and joins each that is asked for to a service of its own."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import WSMsgType

from gateway.background import beside
from gateway.tunnel.edge_settings import EdgeTunnelSettings
from gateway.tunnel.face import HEADER
from gateway.tunnel.splicing import (
    IDLE,
    IDLE_SECONDS,
    MAX_MESSAGE_BYTES,
    OPEN,
    OPENED,
    REFUSED,
    SILENT_SECONDS,
    prepare,
    splice,
)

_log = logging.getLogger(__name__)

DIAL_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.5
MOST_PAUSE_SECONDS = 30.0
"""How long to wait before dialling again: at first, then twice as long each time (with jitter), and at most."""

_LOST = (aiohttp.ClientError, OSError, TimeoutError)


class Tunnel:
    """Holds the connections to all gateways. Use inside :meth:`running`."""

    def __init__(self, settings: EdgeTunnelSettings, *, first_pause_seconds: float = FIRST_PAUSE_SECONDS) -> None:
        self._settings = settings
        self._first_pause = first_pause_seconds
        self._open = asyncio.Semaphore(settings.most)
        self._tasks: set[asyncio.Task[None]] = set()
        self.connected = asyncio.Event()
        """Set once a gateway has let us in."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Dial, and dial again, while the context lasts.

        Raises:
            LookupError: the secret cannot be read.
            OSError: the file of authorities cannot.
        """
        ca_file = self._settings.ca_file
        trust: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        headers = {HEADER: self._settings.secret.reveal()}
        connector = aiohttp.TCPConnector(limit=0, ssl=trust)
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar(), trust_env=True
        ) as session:
            async with beside(self._hold_all(session), name="tunnel"):
                yield
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _hold_all(self, session: aiohttp.ClientSession) -> None:
        await asyncio.gather(*(self._hold(session, gateway) for gateway in self._settings.gateways))

    async def _hold(self, session: aiohttp.ClientSession, gateway: str) -> None:
        """Have so many connections wait at a gateway; after one that failed, pause before the next."""
        url = f"{gateway.rstrip('/')}/edges/{self._settings.edge}/tunnel"
        places = asyncio.Semaphore(self._settings.waiting)
        pause = _Pause(self._first_pause)
        while True:
            await places.acquire()
            await self._open.acquire()
            task = asyncio.create_task(self._one(session, url, places, pause), name="tunnel-connection")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._open.release())

    async def _one(self, session: aiohttp.ClientSession, url: str, places: asyncio.Semaphore, pause: "_Pause") -> None:
        """Hold one connection; its place is another one's as soon as it carries a stream."""
        service: str | None = None
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                websocket = await session.ws_connect(url, max_msg_size=MAX_MESSAGE_BYTES, autoclose=True)
        except _LOST as error:
            _log.warning("the gateway does not let us in", extra={"gateway": url, "reason": str(error)[:200]})
            await pause.failed()
            places.release()
            return
        try:
            self.connected.set()
            pause.succeeded()
            service = await self._asked(websocket)
            if service is None:
                await pause.failed()
        finally:
            places.release()
            if service is None:
                await websocket.close()
        if service is not None:
            await self._serve(websocket, service)

    @staticmethod
    async def _asked(websocket: aiohttp.ClientWebSocketResponse) -> str | None:
        """Say that we are there until a service is asked for; return its name, None where the connection is lost."""
        receiving = asyncio.create_task(websocket.receive(), name="tunnel-idle")
        heard = asyncio.get_running_loop().time()
        try:
            while True:
                await asyncio.wait({receiving}, timeout=IDLE_SECONDS)
                now = asyncio.get_running_loop().time()
                if not receiving.done():
                    if now - heard > SILENT_SECONDS:
                        return None
                    await websocket.send_str(IDLE)
                    continue
                message, heard = receiving.result(), now
                if message.type is not WSMsgType.TEXT:
                    return None
                if message.data.startswith(OPEN):
                    return str(message.data).removeprefix(OPEN)
                receiving = asyncio.create_task(websocket.receive(), name="tunnel-idle")
        except ConnectionError:
            return None
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _serve(self, websocket: aiohttp.ClientWebSocketResponse, service: str) -> None:
        """Join a connection to the service that was asked for; nothing else can be reached."""
        address = self._settings.address(service)
        try:
            if address is None:
                raise LookupError(f"{service[:64]!r} is no service of this edge")  # noqa: TRY301 - told as the others
            async with asyncio.timeout(DIAL_SECONDS / 2):
                ends = await asyncio.open_connection(*address)
        except (OSError, TimeoutError, LookupError) as error:
            _log.warning("a service cannot be reached", extra={"service": service[:64], "reason": str(error)[:200]})
            await websocket.send_str(REFUSED)
            await websocket.close()
            return
        prepare(ends[1])
        await websocket.send_str(OPENED)
        await splice(websocket, ends)


class _Pause:
    """How long to wait before dialling a gateway again."""

    def __init__(self, first: float) -> None:
        self._first = self._next = first

    def succeeded(self) -> None:
        """Begin anew."""
        self._next = self._first

    async def failed(self) -> None:
        """Wait, the next time for twice as long."""
        seconds, self._next = self._next, min(MOST_PAUSE_SECONDS, 2 * self._next)
        await asyncio.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads dials, no secret
