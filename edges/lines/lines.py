"""Lines to origins, kept and used again: one request after the other on each."""

import asyncio
import functools
import ipaddress
import math
import re
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import aiohappyeyeballs
import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver

from edges.lines.answers import PIECE, WHOLE, Answer
from edges.lines.heads import MAX_HEAD, Head, LineClosed, LineError, request_head, response_head
from edges.lines.kept import Kept
from edges.lines.sockets import Buffer, PlainSocket, Socket, TlsSocket

_KEPT_BUFFERS = 16
_ADDRESSES = 256
"""Addresses that are remembered as they were read: searches of a site have the same one."""
_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<literal>[0-9a-f:.]+)\]|(?P<host>[a-z0-9._-]+))(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<target>(?:[/?][!-\"$-~]*)?)(?:#[!-~]*)?",
    re.IGNORECASE,
)
"""What can be asked (RFC 3986): nothing but host and port between ``//`` and the path, nothing that must be encoded."""

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})


class Stream(NamedTuple):
    """A body of exactly ``size`` bytes that is sent as it comes, once."""

    pieces: AsyncIterable[Buffer]
    size: int


Body = Buffer | Stream
Ask = Callable[[Mapping[str, str]], Awaitable[Answer]]
"""A request that is to be made with some more headers."""


class Recorder(Protocol):
    """Makes a request as a part of what it is made for, and sends with it the headers that tell so."""

    async def asking(self, method: str, url: str, ask: Ask) -> Answer:
        """Make it."""
        ...


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int

    @property
    def named(self) -> str:
        """Return it as a Host header does."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if _PORTS[self.scheme] == self.port else f"{host}:{self.port}"


class Shelf:
    """Buffers of ``size`` bytes that are not in use."""

    def __init__(self, size: int = PIECE) -> None:
        self._size = size
        self._free: list[bytearray] = []

    def take(self) -> bytearray:
        """Return one."""
        return self._free.pop() if self._free else bytearray(self._size)

    def put(self, buffer: bytearray) -> None:
        """Take one back."""
        if len(self._free) < _KEPT_BUFFERS:
            self._free.append(buffer)


def unchecked(url: str) -> None:
    """Let any address be called: only where all are configured by hand."""


def untold() -> Mapping[str, str]:
    """Tell nothing with requests."""
    return {}


class Lines:
    """Exchanges with HTTP/1.1 servers; enter it, and leaving it closes what is kept.

    ``check`` refuses addresses before they are dialled, ``resolver`` finds and refuses names' addresses; ``told`` are
    headers that each request carries. ``stall`` is how long in seconds the other side may be silent. Redirects are not
    followed, cookies not kept, proxies of the environment not used. ``recorder`` sees requests, where there is one.
    """

    def __init__(
        self,
        *,
        check: Callable[[str], None] = unchecked,
        resolver: AbstractResolver | None = None,
        told: Callable[[], Mapping[str, str]] = untold,
        tls: ssl.SSLContext | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder = recorder
        self._check = check
        self._resolver = resolver
        self._told = told
        self._tls = tls
        self._kept = Kept()
        self._shelves = Shelf(), Shelf(WHOLE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.close()

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: Body = b"", *, stall: float = 30.0
    ) -> Awaitable[Answer]:
        """Make one request, once this is awaited; return its answer, which is to be closed. ``url`` is encoded.

        A body that is a stream is sent once, and only as long as the server listens; one that fails leaves the request
        unfinished. Its pieces may be used for something else as soon as the next is asked for.

        Raises:
            DestinationRefused: the address must not be called.
            LineError: the server does not keep to HTTP/1.1, or broke off.
            TimeoutError: it is silent for ``stall`` seconds.
            OSError: it cannot be reached.
        """
        if self._recorder is None:
            return self._ask(method, url, headers, body, stall=stall)
        return self._recorder.asking(
            method, url, lambda told: self._ask(method, url, {**told, **headers}, body, stall=stall)
        )

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: Body, *, stall: float) -> Answer:
        origin, named, target = _parted(url)
        sent = {"Host": named, "User-Agent": "lakegate", "Accept": "*/*", **self._told(), **headers}
        size = body.size if isinstance(body, Stream) else len(body)
        if size or method == "PUT":
            sent["Content-Length"] = str(size)
        head = request_head(method, target, sent.items())
        bodiless = method == "HEAD"
        kept = self._kept.take(origin)
        if kept is not None:
            kept.stall = stall
            again = method in _REPEATABLE and not isinstance(body, Stream)
            try:
                return await self._exchanged(kept, head, body, origin, bodiless=bodiless)
            except TimeoutError:
                raise
            except ConnectionError:  # it was closed while it lay there, at the worst moment
                if not again:
                    raise
        line = await self._dial(url, origin, stall)
        return await self._exchanged(line, head, body, origin, bodiless=bodiless)

    # -- one exchange --------------------------------------------------------------------------------------

    async def _exchanged(self, line: Socket, head: bytes, body: Body, origin: _Origin, *, bodiless: bool) -> Answer:
        try:
            whole = await _sent(line, head, body)
            told, first = await _answered(line, bodiless=bodiless)
        except BaseException:  # cancelled, too: a line in the middle of an exchange can carry no other one
            line.close()
            raise
        if not whole:
            if told.status < 300:
                line.close()
                raise LineError("the answer came before the end of the request")
            told = msgspec.structs.replace(told, keep=False)
        return Answer(told, line, first, shelves=self._shelves, over=functools.partial(self._over, origin))

    def _over(self, origin: _Origin, line: Socket, keep: bool) -> None:  # noqa: FBT001 - called back by an answer
        if keep:
            self._kept.put(origin, line)
        else:
            line.close()

    # -- connecting ----------------------------------------------------------------------------------------

    async def _dial(self, url: str, origin: _Origin, stall: float) -> Socket:
        self._check(url)
        async with asyncio.timeout(stall if stall < math.inf else None):
            raw = await aiohappyeyeballs.start_connection(await self._addresses(origin), happy_eyeballs_delay=0.25)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if origin.scheme == "http":
                return PlainSocket(raw, stall=stall)
            if self._tls is None:
                self._tls = ssl.create_default_context()
            try:
                return await TlsSocket.over(raw, self._tls, origin.host, stall=stall, limit=PIECE)
            except BaseException:  # cancelled, too: nobody else knows of the socket yet
                raw.close()
                raise

    async def _addresses(self, origin: _Origin) -> list[aiohappyeyeballs.AddrInfoType]:
        try:
            return [_address(origin.host, origin.port)]
        except ValueError:  # a name
            if self._resolver is None:
                self._resolver = aiohttp.ThreadedResolver()
        found = await self._resolver.resolve(origin.host, origin.port, socket.AF_UNSPEC)
        return [_address(each["host"], each["port"]) for each in found]


def _address(host: str, port: int) -> aiohappyeyeballs.AddrInfoType:
    if ipaddress.ip_address(host).version == 4:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0)


async def _sent(line: Socket, head: bytes, body: Body) -> bool:
    """Send a request; tell False where the server answered before its end."""
    if isinstance(body, Stream):
        return await _streamed(line, head, body)
    try:
        await line.send(head, body)
    except ConnectionError as error:
        if not line.speaks():
            raise LineClosed("the line was closed before the request was sent") from error
    return True


async def _streamed(line: Socket, head: bytes, body: Stream) -> bool:
    left = body.size
    async with aclosing(_pieces(body.pieces)) as pieces:
        async for piece in pieces:
            left -= len(piece)
            if left < 0:
                raise LineError("the body is longer than was announced")
            try:
                await line.send(head, piece)
            except ConnectionError:
                if line.speaks():  # it may have said why, before it closed
                    return False
                raise
            head = b""
            if left and line.speaks():
                return False
    if left:
        raise LineError("the body is shorter than was announced")
    if head:
        await line.send(head)
    return True


async def _pieces(body: AsyncIterable[Buffer]) -> AsyncGenerator[Buffer, None]:
    async for piece in body:
        yield piece


async def _answered(line: Socket, *, bodiless: bool) -> tuple[Head, Buffer]:
    """Read an answer's head, past those that only tell to wait (1xx); return it with what came after."""
    try:
        raw = await line.receive()
    except ConnectionError as error:
        raise LineClosed("the line was reset before the answer") from error
    if not raw:
        raise LineClosed("the line was closed before the answer")
    while True:
        end = raw.find(b"\r\n\r\n")
        if end >= 0:
            head = response_head(raw[:end], bodiless=bodiless)
            if head.status >= 200:
                return head, memoryview(raw)[end + 4 :]
            raw = raw[end + 4 :]
            if head.status == 101:
                raise LineError("the server wants to speak something else")
            continue
        if len(raw) > MAX_HEAD:
            raise LineError("the answer's head is too long")
        more = await line.receive()
        if not more:
            raise LineError("the line was closed within the answer's head")
        raw += more


@functools.lru_cache(maxsize=_ADDRESSES)
def can_be_asked(url: str) -> bool:
    """Tell whether lines can ask for an address; whether it may be called is another question."""
    return _URL.fullmatch(url) is not None


@functools.lru_cache(maxsize=_ADDRESSES)
def _parted(url: str) -> tuple[_Origin, str, str]:
    """Return the origin of an address, as itself and as a Host header names it, and what is asked for there."""
    told = _URL.fullmatch(url)
    if told is None:
        raise LineError("the address is none that can be asked")
    target = told["target"]
    origin, named = _origin(*told.group("scheme", "literal", "host", "port"))
    return origin, named, target if target.startswith("/") else f"/{target}"


@functools.lru_cache(maxsize=_ADDRESSES)
def _origin(scheme: str, literal: str | None, host: str | None, told: str | None) -> tuple[_Origin, str]:
    """Return an origin by what an address says of it: many addresses say the same."""
    scheme = scheme.lower()
    port = int(told) if told else _PORTS[scheme]
    if not 0 < port < 65_536:
        raise LineError("the address has no port that can be")
    origin = _Origin(scheme, (literal or host or "").lower(), port)
    return origin, origin.named
