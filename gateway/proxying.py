"""Passing HTTP and websocket traffic on to an edge: bounded, without anybody's credentials or cookies.

The upstream's request is made of what we choose, never of the client's headers as they came.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from weakref import WeakSet

import aiohttp
from aiohttp import WSMsgType, hdrs, web
from yarl import URL

from edges.compute.model import Upstream
from edges.errors import NotFound, SiteUnavailable
from edges.model import Frozen

KEPT_FROM_CLIENT = (hdrs.ACCEPT, hdrs.ACCEPT_LANGUAGE, hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE)
KEPT_FROM_UPSTREAM = (
    hdrs.CONTENT_TYPE,
    hdrs.CACHE_CONTROL,
    hdrs.ETAG,
    hdrs.LAST_MODIFIED,
    hdrs.EXPIRES,
    hdrs.CONTENT_DISPOSITION,
)
PIECE_BYTES = 64 << 10
HEARTBEAT_SECONDS = 60.0
"""A peer that does not answer a ping for half of this is gone; a busy kernel gateway may take its time."""

_FORWARDED = (WSMsgType.TEXT, WSMsgType.BINARY)
_RESERVED_CODES = frozenset({1004, 1005, 1006, 1015})
"""Close codes that must not be sent (RFC 6455 section 7.4.1)."""

Frame = str | bytes
Rewrite = Callable[[Frame], Frame]


class ProxyLimits(Frozen):
    """Seconds to connect, seconds between two pieces of a body, and bytes of one websocket message."""

    connect_seconds: float = 10.0
    stall_seconds: float = 60.0
    message_bytes: int = 64 << 20


class EdgeProxy:
    """Proxies requests of one face. The session keeps no cookies; whoever gave it closes it."""

    def __init__(self, *, session: aiohttp.ClientSession, limits: ProxyLimits) -> None:
        self._session = session
        self._limits = limits
        self._open: WeakSet[web.WebSocketResponse] = WeakSet()

    async def close(self) -> None:
        """Close the websockets that are open, so that a shutdown need not wait for them (RFC 6455: going away)."""
        await asyncio.gather(*(socket.close(code=1001) for socket in list(self._open)))

    async def stream(
        self, request: web.Request, upstream: Upstream, *, prepare: Callable[[web.StreamResponse], None]
    ) -> web.StreamResponse:
        """Pass a GET on and its answer back, as it comes. ``prepare`` sees the response before it begins.

        Raises:
            SiteUnavailable: the edge does not answer. Once the answer has begun, the connection is broken off instead:
                the client shall not take half a page for a whole one.
        """
        headers = {str(name): request.headers[name] for name in KEPT_FROM_CLIENT if name in request.headers}
        headers |= {**upstream.headers, "Accept-Encoding": "identity"}
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._limits.connect_seconds, sock_read=self._limits.stall_seconds
        )
        response: web.StreamResponse | None = None
        try:
            async with self._session.get(
                upstream.url, headers=headers, allow_redirects=False, timeout=timeout
            ) as answer:
                response = _response(answer)
                prepare(response)
                await response.prepare(request)
                async for piece in answer.content.iter_chunked(PIECE_BYTES):
                    await response.write(piece)
                await response.write_eof()
        except (aiohttp.ClientError, TimeoutError) as error:
            if response is None or not response.prepared:
                raise SiteUnavailable(URL(upstream.url).host or "edge", f"no answer: {type(error).__name__}") from error
            if request.transport is not None:
                request.transport.abort()
        return response

    async def websocket(
        self,
        request: web.Request,
        upstream: Upstream,
        *,
        prepare: Callable[[web.StreamResponse], None] = lambda _: None,
        to_client: Rewrite | None = None,
    ) -> web.WebSocketResponse:
        """Pass a websocket on. The edge is connected before the client's upgrade is answered.

        Raises:
            NotFound: the edge knows no such websocket.
            SiteUnavailable: the edge does not answer, or refuses.
        """
        asked = _subprotocols(request)
        async with self._connected(upstream, asked) as far:
            near = web.WebSocketResponse(
                protocols=(far.protocol,) if far.protocol else (),
                max_msg_size=self._limits.message_bytes,
                heartbeat=HEARTBEAT_SECONDS,
                timeout=self._limits.connect_seconds,
            )
            prepare(near)
            await near.prepare(request)
            self._open.add(near)
            try:
                await _splice(near, far, to_client)
            finally:
                self._open.discard(near)
            return near

    @asynccontextmanager
    async def _connected(
        self, upstream: Upstream, protocols: Sequence[str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        host = URL(upstream.url).host or "edge"
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                socket = await self._session.ws_connect(
                    upstream.url,
                    headers=upstream.headers,
                    protocols=protocols,
                    max_msg_size=self._limits.message_bytes,
                    heartbeat=HEARTBEAT_SECONDS,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 404:
                raise NotFound(f"{host}: no such websocket") from error
            raise SiteUnavailable(host, f"refused the websocket ({error.status})") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SiteUnavailable(host, f"no answer: {type(error).__name__}") from error
        try:
            yield socket
        finally:
            await socket.close()


def _response(answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status if answer.status < 500 else 502)
    for name in KEPT_FROM_UPSTREAM:
        if name in answer.headers:
            response.headers[name] = answer.headers[name]
    location = answer.headers.get(hdrs.LOCATION)
    if location is not None and not URL(location).absolute and not location.startswith(("/", "\\")):
        # relative to where the client is; anything else would lead it to where the edge wants
        response.headers[hdrs.LOCATION] = location
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _subprotocols(request: web.Request) -> list[str]:
    values = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


async def _splice(near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse, to_client: Rewrite | None) -> None:
    """Pass messages both ways until one side closes; then close the other with the same code."""
    inward = asyncio.create_task(_pump(far, near, to_client), name="websocket-to-client")
    outward = asyncio.create_task(_pump(near, far, None), name="websocket-to-edge")
    try:
        await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (inward, outward):
            task.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    rewrite: Rewrite | None,
) -> None:
    try:
        async for message in source:
            if message.type not in _FORWARDED:
                break
            frame: Frame = message.data if rewrite is None else rewrite(message.data)
            await (sink.send_str(frame) if isinstance(frame, str) else sink.send_bytes(frame))
    except (ConnectionError, aiohttp.ClientError):
        return  # the sink has gone: its own pump says so
    code = source.close_code or 1000
    await sink.close(code=1011 if code in _RESERVED_CODES else code)
