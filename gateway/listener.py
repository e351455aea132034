"""One port for everything: HTTP, HTTPS, and the TLS comms of Dask clusters, which are passed on to their edge unread.

A Dask client opens a TLS connection to the address of the REST API and names the cluster in the server name
indication (SNI, RFC 6066 section 3) as ``daskgateway-<name>``. TLS starts with the byte 0x16, which no HTTP request
does. What is passed on is encrypted end to end between client and scheduler: the gateway has no part in it.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web

from gateway.client_hello import MAX_HELLO_BYTES, HelloRefused, NoServerName, read_server_name
from gateway.listener_pipe import READ_BYTES, Pipe, Trial

_log = logging.getLogger(__name__)

SNI_PREFIX = "daskgateway-"
TLS_HANDSHAKE = 0x16
MAX_HEADER_BYTES = 64 << 10
"""Longest request header of a connection's first request."""
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the context for HTTPS with a certificate chain and its key (PEM files).

    Raises:
        OSError: a file cannot be read, or they do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


class CommRoutes(Protocol):
    """Where the comms of clusters go."""

    def lookup(self, name: str) -> tuple[str, int] | None:
        """Return host and port of the TLS proxy that serves the cluster, or None where there is no such cluster."""
        ...


class Listener:
    """The demultiplexer. ``http`` is the server of an ``aiohttp.web.AppRunner`` after its ``setup``.

    ``hello_seconds`` bounds the time from a connection to its first whole request header or ClientHello;
    ``connect_seconds`` the dial to an edge; ``half_close_seconds`` how long one direction outlives the other;
    ``connections_per_cluster`` is how many comms one cluster may hold. With ``tls``, TLS connections that name no
    cluster are HTTPS; without, they are closed. ``fallback`` is where a comm goes whose first address does not answer
    it: that of a router at an edge, which does not know which clusters there are.
    """

    def __init__(  # noqa: PLR0913 - what it listens for, and its bounds, each with a default
        self,
        *,
        http: web.Server,
        routes: CommRoutes,
        hello_seconds: float = 30.0,
        connect_seconds: float = 10.0,
        half_close_seconds: float = 30.0,
        connections_per_cluster: int = 1024,
        tls: ssl.SSLContext | None = None,
        fallback: tuple[str, int] | None = None,
    ) -> None:
        self.http = http
        self.routes = routes
        self.hello_seconds = hello_seconds
        self.connect_seconds = connect_seconds
        self.half_close_seconds = half_close_seconds
        self.connections_per_cluster = connections_per_cluster
        self.tls = tls
        self.fallback = fallback
        self._open: dict[str, int] = {}
        self._dials: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.Transport] = set()
        self._room = memoryview(bytearray(READ_BYTES))

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
        try:
            transport, answered = await self._connected(hello, address)
        except (OSError, TimeoutError) as error:
            _log.warning("an edge's comm proxy does not answer", extra={"cluster": name, "reason": str(error)})
            self._give_up(client, name)
            return
        except asyncio.CancelledError:
            self._give_up(client, name)
            raise
        if client.is_closing():
            # it went away while we dialled
            transport.abort()
            self.closed(client, name)
            return
        near = self._pipe(lambda: self.closed(client, name))
        far = self._pipe(lambda: self._transports.discard(transport))
        self._transports.add(transport)
        for pipe, side in ((near, client), (far, transport)):
            side.set_protocol(pipe)
            pipe.connection_made(side)
        near.join(far)
        far.join(near)
        if answered:
            client.write(answered)
        client.resume_reading()
        transport.resume_reading()

    def _pipe(self, lost: Callable[[], None]) -> Pipe:
        return Pipe(lost=lost, half_close_seconds=self.half_close_seconds, room=self._room)

    async def _connected(self, hello: bytes, address: tuple[str, int]) -> tuple[asyncio.Transport, bytes]:
        """Return a connection that the hello was sent on; and its first answer, where there is a fallback to choose.

        Raises:
            OSError, TimeoutError: nobody answers.
        """
        if self.fallback is not None:
            try:
                trial = await self._sent(hello, address)
                async with asyncio.timeout(self.connect_seconds):
                    answered = await trial.answered
                if answered:
                    return trial.transport, answered
            except (OSError, TimeoutError) as error:
                _log.info("a comm takes the fallback", extra={"reason": str(error)})
            address = self.fallback
        return (await self._sent(hello, address)).transport, b""

    async def _sent(self, hello: bytes, address: tuple[str, int]) -> Trial:
        trial = Trial()
        async with asyncio.timeout(self.connect_seconds):
            await asyncio.get_running_loop().create_connection(lambda: trial, *address)
        trial.transport.write(hello)
        if self.fallback is None or address == self.fallback:
            trial.transport.pause_reading()
        return trial

    def secure(self, transport: asyncio.Transport, hello: bytes, context: ssl.SSLContext) -> None:
        """Answer a TLS connection ourselves, whose first bytes were read: it is HTTPS."""
        task = asyncio.create_task(self._secured(transport, hello, context), name="tls-handshake")
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _secured(self, transport: asyncio.Transport, hello: bytes, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        opening = _Opening(self, inside_tls=True)
        handshake = asyncio.create_task(
            loop.start_tls(transport, opening, context, server_side=True, ssl_handshake_timeout=self.connect_seconds)
        )
        try:
            await _feed(transport, hello)
            secured = await handshake
        except (OSError, ssl.SSLError, TimeoutError) as error:
            _log.info("a TLS handshake failed", extra={"reason": str(error)[:300]})
            handshake.cancel()
            await asyncio.gather(handshake, return_exceptions=True)
            transport.abort()
            return
        if secured is None:
            transport.abort()
            return
        opening.connection_made(secured)

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

    def __init__(self, listener: Listener, *, inside_tls: bool = False) -> None:
        self._listener = listener
        self._inside_tls = inside_tls
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows for the type checker
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(self._listener.hello_seconds, transport.abort)
        if self._buffer:
            # what came within TLS before we were told of the connection
            self._read_header(transport, new=len(self._buffer))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        transport = self._transport
        if transport is None:
            return
        if self._inside_tls or self._buffer[0] != TLS_HANDSHAKE:
            self._read_header(transport, new=len(data))
            return
        try:
            name = read_server_name(bytes(self._buffer))
        except NoServerName:
            name = ""
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
        elif self._listener.tls is not None:
            transport.pause_reading()
            self._listener.secure(transport, bytes(self._buffer), self._listener.tls)
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


async def _feed(transport: asyncio.Transport, data: bytes) -> None:
    """Give bytes that were read already to the TLS protocol of a connection, once it is in place."""
    while not isinstance(protocol := transport.get_protocol(), asyncio.BufferedProtocol):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # the event loop tells it of its transport in the turn after
    while data:
        room = memoryview(protocol.get_buffer(len(data)))
        piece, data = data[: len(room)], data[len(room) :]
        room[: len(piece)] = piece
        protocol.buffer_updated(len(piece))
