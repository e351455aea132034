"""One port for everything: HTTP, and the TLS comms of Dask clusters, which are passed on to their edge unread.

A Dask client opens a TLS connection to the address of the REST API and names the cluster in the server name
indication (SNI, RFC 6066 section 3) as ``daskgateway-<name>``. TLS starts with the byte 0x16, which no HTTP request
does. What is passed on is encrypted end to end between client and scheduler: the gateway has no part in it.
"""

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web

from gateway.client_hello import MAX_HELLO_BYTES, HelloRefused, read_server_name

_log = logging.getLogger(__name__)

SNI_PREFIX = "daskgateway-"
TLS_HANDSHAKE = 0x16
MAX_HEADER_BYTES = 64 << 10
"""Longest request header of a connection's first request."""
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
HIGH_WATER_BYTES = 1 << 20
"""How much may wait for a slow side before the fast one is paused."""


class CommRoutes(Protocol):
    """Where the comms of clusters go."""

    def lookup(self, name: str) -> tuple[str, int] | None:
        """Return host and port of the TLS proxy that serves the cluster, or None where there is no such cluster."""
        ...


class Listener:
    """The demultiplexer. ``http`` is the server of an ``aiohttp.web.AppRunner`` after its ``setup``.

    ``hello_seconds`` bounds the time from a connection to its first whole request header or ClientHello;
    ``connect_seconds`` the dial to an edge; ``half_close_seconds`` how long one direction outlives the other;
    ``connections_per_cluster`` is how many comms one cluster may hold.
    """

    def __init__(
        self,
        *,
        http: web.Server,
        routes: CommRoutes,
        hello_seconds: float = 30.0,
        connect_seconds: float = 10.0,
        half_close_seconds: float = 30.0,
        connections_per_cluster: int = 1024,
    ) -> None:
        self.http = http
        self.routes = routes
        self.hello_seconds = hello_seconds
        self.connect_seconds = connect_seconds
        self.half_close_seconds = half_close_seconds
        self.connections_per_cluster = connections_per_cluster
        self._open: dict[str, int] = {}
        self._dials: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.Transport] = set()

    @asynccontextmanager
    async def serving(self, host: str, port: int, *, sock: socket.socket | None = None) -> AsyncIterator[int]:
        """Listen; yield the bound port. At the end nothing new is accepted and comms are closed; HTTP is the runner's.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        if sock is not None:
            server = await loop.create_server(self._accept, sock=sock, backlog=1024)
        else:
            server = await loop.create_server(self._accept, host, port, backlog=1024, reuse_address=True)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for transport in list(self._transports):
                transport.abort()
            for dial in list(self._dials):
                dial.cancel()
            if self._dials:
                await asyncio.wait(self._dials)

    @property
    def comms(self) -> int:
        """Return how many comms are open."""
        return sum(self._open.values())

    def _accept(self) -> asyncio.Protocol:
        return _Opening(self)

    def splice(self, client: asyncio.Transport, hello: bytes, name: str) -> None:
        """Connect a client to the edge of a cluster; close it where there is no route, or too many are open."""
        address = self.routes.lookup(name)
        if address is None or self._open.get(name, 0) >= self.connections_per_cluster:
            reason = "no such cluster" if address is None else "too many connections"
            _log.info("a comm is refused", extra={"cluster": name[:64], "reason": reason})
            client.abort()
            return
        self._open[name] = self._open.get(name, 0) + 1
        self._transports.add(client)
        dial = asyncio.create_task(self._dial(client, hello, name, address), name="dial-edge")
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)

    async def _dial(self, client: asyncio.Transport, hello: bytes, name: str, address: tuple[str, int]) -> None:
        near = _Pipe(lost=lambda: self.closed(client, name), half_close_seconds=self.half_close_seconds)
        far = _Pipe(lost=lambda: self._transports.discard(far.transport), half_close_seconds=self.half_close_seconds)
        try:
            async with asyncio.timeout(self.connect_seconds):
                await asyncio.get_running_loop().create_connection(lambda: far, *address)
        except (OSError, TimeoutError) as error:
            _log.warning("an edge's comm proxy does not answer", extra={"cluster": name, "reason": str(error)})
            self._give_up(client, name)
            return
        except asyncio.CancelledError:
            self._give_up(client, name)
            raise
        if client.is_closing():
            # it went away while we dialled
            far.transport.abort()
            self.closed(client, name)
            return
        self._transports.add(far.transport)
        client.set_protocol(near)
        near.connection_made(client)
        near.join(far)
        far.join(near)
        far.transport.write(hello)
        client.resume_reading()

    def _give_up(self, client: asyncio.Transport, name: str) -> None:
        client.abort()
        self.closed(client, name)

    def closed(self, client: asyncio.Transport, name: str) -> None:
        """Count a client's comm as gone."""
        if client not in self._transports:
            return
        self._transports.discard(client)
        left = self._open.get(name, 1) - 1
        if left > 0:
            self._open[name] = left
        else:
            self._open.pop(name, None)


class _Opening(asyncio.Protocol):
    """A connection until its first bytes tell what it is."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows for the type checker
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(self._listener.hello_seconds, transport.abort)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        self._buffer += data
        if self._buffer[0] != TLS_HANDSHAKE:
            self._read_header(transport, new=len(data))
            return
        try:
            name = read_server_name(bytes(self._buffer))
        except HelloRefused as error:
            _log.info("a TLS connection is refused", extra={"reason": str(error)})
            self._refuse(transport)
            return
        if name is None:
            if len(self._buffer) > MAX_HELLO_BYTES:
                self._refuse(transport)
            return
        self._decided()
        if name.startswith(SNI_PREFIX):
            transport.pause_reading()
            self._listener.splice(transport, bytes(self._buffer), name.removeprefix(SNI_PREFIX))
        else:
            transport.abort()

    def _read_header(self, transport: asyncio.Transport, *, new: int) -> None:
        """Wait for a whole request header: a client that sends one byte a minute must not hold a handler."""
        if _HEADER_END.search(self._buffer, max(0, len(self._buffer) - new - 3)) is not None:
            self._decided()
            self._hand_to_http(transport)
        elif len(self._buffer) > MAX_HEADER_BYTES:
            self._decided()
            transport.write(_TOO_LARGE)
            transport.close()

    def _hand_to_http(self, transport: asyncio.Transport) -> None:
        handler = self._listener.http()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(bytes(self._buffer))

    def _refuse(self, transport: asyncio.Transport) -> None:
        self._decided()
        transport.abort()

    def _decided(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._decided()


class _Pipe(asyncio.Protocol):
    """One side of a spliced comm: what is read here is written at the other side, no faster than it takes it."""

    transport: asyncio.Transport

    def __init__(self, *, lost: Callable[[], None], half_close_seconds: float) -> None:
        self._lost = lost
        self._half_close_seconds = half_close_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._other: _Pipe | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up for small messages, and for finding dead peers."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows for the type checker
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def join(self, other: "_Pipe") -> None:
        """Tell who is at the other side."""
        self._other = other

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._other.transport.write(data)

    def pause_writing(self) -> None:
        """Stop reading at the other side: this side takes no more."""
        if self._other is not None and not self._other.transport.is_closing():
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and not self._other.transport.is_closing():
            self._other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Pass a half-close on and keep the other direction open; close when both have ended."""
        self.ended = True
        other = self._other
        if other is None or other.ended:
            self.transport.close()
            if other is not None:
                other.transport.close()
        elif not other.transport.is_closing():
            other.transport.write_eof()
            # a peer that is gone altogether looks the same at first
            self._timer = asyncio.get_running_loop().call_later(self._half_close_seconds, self.transport.abort)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._other is not None:
            self._other.transport.close()
        self._lost()
