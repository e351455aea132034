"""One answer of a site, from its status to its last byte: each redirect checked, no byte too few or too many.

A connection that breaks is replaced by another from the byte that is missing, where the answer has a validator by which
it can be told that the bytes are still the same (RFC 9110 section 13.1.5, with a strong ETag).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import urljoin

import aiohttp
import msgspec
from yarl import URL

from edges.downloads.answers import Opened, judge, redirect_of
from edges.downloads.ranges import ByteRange, RangeNotSatisfiable
from edges.downloads.ways import Way
from edges.errors import EdgeError, NotFound, SiteMisbehaved, SiteUnavailable
from edges.model import Frozen

MAX_REDIRECTS = 5
_NO_HEADERS: Mapping[str, str] = {}
_NO_HEAD = frozenset({400, 401, 403, 405, 501})
"""How sites answer HEAD that only know GET; addresses signed for GET are forbidden for HEAD."""
_REGAIN = 1 << 20
"""Bytes after which earlier breaks are forgiven: a new connection is paid for by progress."""
_FIRST_BYTE = ByteRange(first=0, last=0)


class Patience(Frozen):
    """Seconds to connect, and between two pieces; how often a broken connection is replaced without progress.

    ``buffer`` is how many bytes one download holds here at most, twice: while its client does not take them, no more
    are read.
    """

    connect_seconds: float = 10.0
    stall_seconds: float = 60.0
    mends: int = 2
    buffer: int = 64 << 10


class Asked(Frozen):
    """What is asked of a site: the bytes, and the conditions that it may answer with 304.

    ``announced`` is the length that the item tells: relied on only where the site's answer has no end of its own.
    """

    href: str
    bytes: ByteRange | None = None
    conditions: Mapping[str, str] = {}
    announced: int | None = None


class Arriving:
    """An answer whose bytes are about to come."""

    def __init__(self, opened: Opened, pieces: AsyncIterator[bytes]) -> None:
        self.opened = opened
        self.pieces = pieces


class SiteData:
    """Opens what one site's items refer to. ``ways`` are tried in order; the session's owner closes it.

    ``check`` raises :class:`edges.errors.DestinationRefused` for an address that must not be called.
    """

    def __init__(
        self,
        *,
        site: str,
        session: aiohttp.ClientSession,
        check: Callable[[str], None],
        ways: tuple[Way, ...],
        patience: Patience,
    ) -> None:
        self._site = site
        self._session = session
        self._check = check
        self._ways = ways
        self._patience = patience
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=patience.connect_seconds, sock_read=patience.stall_seconds
        )

    def way_of(self, href: str) -> Way:
        """Return the way to ask for an address.

        Raises:
            NotFound: there is none.
        """
        for way in self._ways:
            if way.takes(href):
                return way
        scheme = href.partition(":")[0][:16]
        raise NotFound(f"{self._site}: the asset is at an address ({scheme}) for which no credentials are configured")

    async def look(self, asked: Asked) -> Opened:
        """Tell what a download of all bytes would give, without them.

        Raises:
            EdgeError: see :func:`edges.downloads.answers.judge`.
        """
        async with self._answer("HEAD", msgspec.structs.replace(asked, bytes=None)) as (status, headers):
            if status not in _NO_HEAD:
                told = judge(self._site, status, headers, None, body=False)
                if told.unchanged or told.length is not None:
                    return told
        first = msgspec.structs.replace(asked, bytes=_FIRST_BYTE)
        async with self._answer("GET", first) as (status, headers):
            try:
                told = judge(self._site, status, headers, _FIRST_BYTE if status in (206, 416) else None)
            except RangeNotSatisfiable as error:
                told = Opened(total=error.total, length=error.total)  # without a first byte: nothing is there
            return msgspec.structs.replace(told, partial=False, first=0, length=told.total) if told.partial else told

    @asynccontextmanager
    async def open(self, asked: Asked) -> AsyncIterator[Arriving]:
        """Ask for bytes; they are read as they are taken. Leaving the context ends the connection.

        Raises:
            EdgeError: see :func:`edges.downloads.answers.judge`. While pieces are taken: SiteUnavailable, where the
                site breaks off, stalls, or changes what it gives.
        """
        async with _Stream(self, asked, self._patience) as stream:
            yield Arriving(stream.opened, stream.pieces())

    @asynccontextmanager
    async def answer(self, asked: Asked) -> AsyncIterator[tuple[Opened, aiohttp.StreamReader]]:
        """Open one connection; see :meth:`open`."""
        async with self._response("GET", asked) as response:
            opened = judge(self._site, response.status, response.headers, asked.bytes)
            if not opened.framed:
                if asked.announced is None:
                    raise SiteMisbehaved(self._site, "the end of its data cannot be told", code="length")
                opened = msgspec.structs.replace(opened, length=asked.announced, total=asked.announced)
            yield opened, response.content

    @asynccontextmanager
    async def _answer(self, method: str, asked: Asked) -> AsyncIterator[tuple[int, Mapping[str, str]]]:
        async with self._response(method, asked) as response:
            yield response.status, response.headers

    @asynccontextmanager
    async def _response(self, method: str, asked: Asked) -> AsyncIterator[aiohttp.ClientResponse]:
        way = self.way_of(asked.href)
        call = await way.call(method, asked.href)
        headers = {"Accept-Encoding": "identity", **asked.conditions, **call.headers}
        if asked.bytes is not None:
            headers["Range"] = asked.bytes.header
        response = await self._followed(method, call.url, headers, own=call.headers)
        try:
            yield response
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    async def _followed(
        self, method: str, address: str, headers: dict[str, str], *, own: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        for _ in range(MAX_REDIRECTS + 1):
            self._check(address)
            response = await self._sent(method, address, headers)
            location = redirect_of(response.status, response.headers)
            if location is None:
                return response
            response.close()
            address, before = urljoin(address, location), address
            if _origin(address) != _origin(before):
                headers = {name: value for name, value in headers.items() if name not in own}
        raise SiteMisbehaved(self._site, f"its data leads on more than {MAX_REDIRECTS} times", code="redirects")

    async def _sent(self, method: str, address: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(self._patience.stall_seconds):  # one header a minute is no answer
                return await self._session.request(
                    method,
                    URL(address, encoded=address.isascii()),
                    headers=headers,
                    timeout=self._timeout,
                    allow_redirects=False,
                    auto_decompress=False,
                    read_bufsize=self._patience.buffer,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self.broken(error) from error
        except ValueError as error:
            raise SiteMisbehaved(self._site, "its data has an address that is none", code="address") from error

    def broken(self, error: Exception) -> EdgeError:
        """Say that a connection broke; the address is not told."""
        kind = "stalled" if isinstance(error, TimeoutError) else f"broke off ({type(error).__name__})"
        return SiteUnavailable(self._site, f"the connection to its data {kind}", code="broken")

    def contradicted(self, reason: str) -> SiteMisbehaved:
        """Say that an answer was not what it promised."""
        return SiteMisbehaved(self._site, reason, code="length")


class _Stream:
    """The bytes of one download over as many connections as it takes."""

    def __init__(self, data: SiteData, asked: Asked, patience: Patience) -> None:
        self._data = data
        self._asked = asked
        self._left_mends = patience.mends
        self._patience = patience
        self._answer = data.answer(asked)
        self._given = 0
        self._mark = 0
        self.opened = Opened()

    async def __aenter__(self) -> Self:
        self.opened, self._content = await self._answer.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._answer.__aexit__(None, None, None)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they come."""
        skip = self.opened.skip
        while True:
            try:
                piece = await self._content.readany()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                skip = await self._mended(self._data.broken(error), skip)
                continue
            if not piece:
                if self._is_whole():
                    return
                skip = await self._mended(self._data.contradicted("fewer bytes came than were announced"), skip)
                continue
            if skip:
                skip, piece = max(0, skip - len(piece)), piece[skip:]
            piece = self._within(piece)
            if piece:
                yield piece
            if self._given == self.opened.length:
                return  # whatever comes after it: nobody asked for that

    def _within(self, piece: bytes) -> bytes:
        """Count a piece, and cut it where what was asked for ends."""
        length = self.opened.length
        if length is not None and self._given + len(piece) > length:
            piece = piece[: length - self._given]
        self._given += len(piece)
        return piece

    def _is_whole(self) -> bool:
        return self.opened.length is None or self._given >= self.opened.length

    async def _mended(self, error: EdgeError, skip: int) -> int:
        """Open another connection from the byte that is missing; return how much of it to read over.

        Raises:
            EdgeError: it cannot be told that the bytes would be the same, or the site does not deliver.
        """
        opened = self.opened
        if self._given - self._mark >= _REGAIN:
            self._mark, self._left_mends = self._given, self._patience.mends
        if self._left_mends <= 0 or not opened.etag.startswith('"') or opened.length is None:
            raise error
        self._left_mends -= 1
        await self._answer.__aexit__(None, None, None)
        first = opened.first + self._given
        wanted = ByteRange(first=first, last=opened.first + opened.length - 1)
        self._answer = self._data.answer(msgspec.structs.replace(self._asked, bytes=wanted, conditions=_NO_HEADERS))
        try:
            following, self._content = await self._answer.__aenter__()
        except EdgeError:
            raise error from None
        if following.etag != opened.etag or not following.partial:
            raise error
        return following.skip


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parsed = URL(url)
    return parsed.scheme, parsed.host, parsed.port
