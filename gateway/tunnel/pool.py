"""The gateway's end: connections that edges hold open, and the streams that are sent through them."""

import asyncio
import logging
from collections import deque
from contextlib import suppress

from aiohttp import WSMsgType, web

from gateway.tunnel.splicing import IDLE, OPEN, OPENED, SILENT_SECONDS, Ends, splice

_log = logging.getLogger(__name__)

MOST_WAITING = 64
"""Connections of one edge that wait for a stream; more are closed."""
MOST_STREAMS = 2_048
"""Streams of one edge at once."""
OPEN_SECONDS = 10.0
"""How long an edge may take to reach its own service."""
TAKE_SECONDS = 5.0
"""How long a stream waits for a connection of an edge that is there: it dials the next one when one is taken."""


class Link:
    """One connection of an edge, until its stream is over."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.asked: asyncio.Future[object] = loop.create_future()
        self.stream: tuple[str, Ends] | None = None
        """What was asked for: a service, and whom to join it to."""
        self.opened: asyncio.Future[bool] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()

    async def open(self, service: str, ends: Ends) -> bool:
        """Ask the edge for a stream to one of its services; tell whether it began."""
        self.stream = (service, ends)
        self.asked.set_result(None)
        return await self.opened

    def over(self) -> None:
        """Take note that nothing comes of it any more."""
        if not self.opened.done():
            self.opened.set_result(False)
        if not self.ended.done():
            self.ended.set_result(None)


class _Edge:
    """The connections of one edge."""

    def __init__(self) -> None:
        self.waiting: deque[Link] = deque()
        self.wanted: deque[asyncio.Future[Link]] = deque()
        self.streams = 0
        self.links = 0


class Pool:
    """The connections of all edges. :meth:`close` hangs up, so that a shutdown need not wait."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}
        self._sockets: set[web.WebSocketResponse] = set()

    def told(self, edge: str) -> tuple[int, int]:
        """Return how many connections of an edge wait, and how many streams it carries."""
        known = self._edges.get(edge) or _Edge()
        return len(known.waiting), known.streams

    async def take(self, edge: str) -> Link | None:
        """Return a waiting connection of an edge; None where there is none, and none comes soon."""
        known = self._edges.setdefault(edge, _Edge())
        if known.waiting:
            return known.waiting.popleft()
        if known.links == 0 or known.streams >= MOST_STREAMS or len(known.wanted) >= MOST_WAITING:
            return None
        wanted: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        known.wanted.append(wanted)
        try:
            await asyncio.wait({wanted}, timeout=TAKE_SECONDS)
            return wanted.result() if wanted.done() else None
        except asyncio.CancelledError:
            if wanted.done():
                self._offer(known, wanted.result())
            raise
        finally:
            with suppress(ValueError):
                known.wanted.remove(wanted)

    async def hold(self, edge: str, websocket: web.WebSocketResponse) -> None:
        """Keep an edge's connection, and carry its stream when one is asked for; return when it is over."""
        known = self._edges.setdefault(edge, _Edge())
        if len(known.waiting) >= MOST_WAITING:
            await websocket.close(code=1013, message=b"enough connections wait")
            return
        link = Link()
        self._sockets.add(websocket)
        known.links += 1
        try:
            self._offer(known, link)
            receiving = await self._wait(known, link, websocket)
            if receiving is not None and link.stream is not None:
                known.streams += 1
                try:
                    await self._carry(link, link.stream, websocket, receiving)
                finally:
                    known.streams -= 1
        finally:
            known.links -= 1
            self._sockets.discard(websocket)
            with suppress(ValueError):
                known.waiting.remove(link)
            link.over()

    @staticmethod
    def _offer(known: _Edge, link: Link) -> None:
        while known.wanted:
            wanted = known.wanted.popleft()
            if not wanted.done():
                wanted.set_result(link)
                return
        known.waiting.append(link)

    async def _wait(self, known: _Edge, link: Link, websocket: web.WebSocketResponse) -> "asyncio.Task[object] | None":
        """Wait until a stream is asked for; return the reading that is under way. None: the connection is dead."""
        while True:
            receiving: asyncio.Task[object] = asyncio.create_task(_text(websocket), name="tunnel-idle")
            await asyncio.wait({receiving, link.asked}, timeout=SILENT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if link.asked.done():
                return receiving
            if not receiving.done() or receiving.result() != IDLE:
                with suppress(ValueError):
                    known.waiting.remove(link)
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)
                return None
            with suppress(ConnectionError):  # it is found dead by what it does not say
                await websocket.send_str(IDLE)

    @staticmethod
    async def _carry(
        link: Link, stream: tuple[str, Ends], websocket: web.WebSocketResponse, receiving: "asyncio.Task[object]"
    ) -> None:
        service, ends = stream
        answer: object = None
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await websocket.send_str(OPEN + service)
                answer = await receiving
                while answer == IDLE:  # said before it could know
                    answer = await _text(websocket)
        except (ConnectionError, TimeoutError) as error:
            _log.warning("a tunnel's connection is dead", extra={"service": service, "reason": str(error)[:200]})
        if answer != OPENED:
            receiving.cancel()
            return
        link.opened.set_result(True)
        await splice(websocket, ends)

    async def close(self) -> None:
        """Close all connections (RFC 6455: going away)."""
        await asyncio.gather(*(websocket.close(code=1001) for websocket in list(self._sockets)))


async def _text(websocket: web.WebSocketResponse) -> object:
    """Receive one message: its text, or None where it is none."""
    message = await websocket.receive()
    return message.data if message.type is WSMsgType.TEXT else None
