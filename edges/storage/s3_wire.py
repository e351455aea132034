"""The bytes of an S3 service over aiohttp: signed by header, the payload unsigned, from socket to socket.

botocore hashes each payload and copies it several times; unsigned, bytes pass as they come (measured: a third of
the CPU). Whoever needs integrity checks it on the stream, and withholds the end until it holds.
"""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import aiohttp
from yarl import URL

from edges.errors import SiteMisbehaved, SiteUnavailable
from edges.settings import StorageSettings
from edges.storage.s3_errors import MAX_ERROR_BODY, error_code, refusal
from edges.storage.sigv4 import Signer

PIECE = 256 * 1024
"""Bytes handed to a socket at once: small enough that a stall shows soon, large enough to cost nothing."""


_CREATED = frozenset({200, 201, 204})


class Whole:
    """A body that can be sent again: ``__aiter__`` starts anew each time (an async generator cannot)."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes | bytearray | memoryview) -> None:
        self._body = memoryview(body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), PIECE):
            yield bytes(self._body[start : start + PIECE])


class _Call(NamedTuple):
    """One request: what it is called, its method, key, query, headers and (small) body, and the bucket."""

    operation: str
    method: str
    key: str
    bucket: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    data: bytes | None = None


class S3Wire:
    """Sends single requests, never one twice; ``stall`` seconds without a byte taken or given end it."""

    def __init__(self, *, site: str, settings: StorageSettings, session: aiohttp.ClientSession, stall: float) -> None:
        self._site = site
        self._bucket = settings.bucket
        self._session = session
        self._stall = stall
        self._streams = asyncio.Semaphore(settings.connections)
        self._signer = Signer(
            endpoint=settings.endpoint,
            region=settings.region,
            access_key=settings.access_key.reveal(),
            secret_key=settings.secret_key.reveal(),
        )

    async def head(self, key: str, *, bucket: str | None = None) -> tuple[int, Mapping[str, str]]:
        """Return status and headers of an object, of our bucket or another; no status is an error here."""
        call = _Call("HeadObject", "HEAD", key, bucket=bucket or self._bucket)
        async with self._answer(call) as response:
            return response.status, response.headers

    async def send(
        self,
        operation: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: AsyncIterable[bytes],
        size: int,
    ) -> Mapping[str, str]:
        """PUT exactly ``size`` bytes; return the answer's headers.

        What ``body`` raises ends the request before its last byte, so that the service discards it.
        """
        sized = {**headers, "Content-Length": str(size), "Content-Type": "application/octet-stream"}
        loop = asyncio.get_running_loop()
        async with self._streams, self._patient(operation) as patience:

            def waiting(sink: bool) -> None:  # noqa: FBT001 - whom we wait for, told once per piece
                patience.reschedule(loop.time() + self._stall if sink else None)

            url, signed = self._signed(_Call(operation, "PUT", key, self._bucket, query, sized))
            async with self._session.put(
                url,
                data=_counted(body, size, waiting),
                headers=signed,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._stall),
                allow_redirects=False,
            ) as response:
                created = response.status in _CREATED  # Amazon says 200, some that speak WebDAV too 201 or 204
                await self._expect(response, operation, response.status if created else 200)
                return response.headers

    async def copy(
        self, operation: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], seconds: float
    ) -> bytes:
        """PUT without a body, which the service answers with a document (a copy); return the document.

        A copy may fail after its status was sent: then the document is an error (Amazon S3, "CopyObject").
        """
        call = _Call(operation, "PUT", key, self._bucket, query, headers, b"")
        async with asyncio.timeout(seconds), self._answer(call, quiet=seconds) as response:
            await self._expect(response, operation, 200)
            told = await response.content.read(MAX_ERROR_BODY)
            if b"<Error>" in told:
                raise refusal(self._site, operation, 500, error_code(told))
            return told

    async def get(self, key: str, *, start: int, stop: int | None, chunk: int) -> AsyncIterator[bytes]:
        """Stream an object's bytes from ``start`` up to ``stop`` (not included; None: to its end)."""
        last = "" if stop is None else str(stop - 1)
        headers = {"Range": f"bytes={start}-{last}"} if start or last else {}
        left = None if stop is None else stop - start
        async with self._answer(_Call("GetObject", "GET", key, self._bucket, {}, headers)) as response:
            if response.status == 416 and start:
                return
            await self._expect(response, "GetObject", 206 if response.status == 206 else 200)
            ahead = start - self._first_byte(response, start)
            async for piece in response.content.iter_chunked(chunk):
                wanted = piece[max(0, ahead) :][:left]
                ahead -= len(piece)
                if wanted:
                    left = None if left is None else left - len(wanted)
                    yield wanted
                if left == 0:
                    return

    @asynccontextmanager
    async def _answer(self, call: _Call, *, quiet: float | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        url, signed = self._signed(call)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._stall, sock_read=quiet or self._stall)
        async with self._streams:
            try:
                async with self._session.request(
                    call.method,
                    url,
                    headers=signed,
                    data=call.data,
                    timeout=timeout,
                    allow_redirects=False,
                    read_bufsize=1 << 20,
                ) as response:
                    yield response
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise SiteUnavailable(self._site, f"{call.operation} broke off: {type(error).__name__}") from error

    @asynccontextmanager
    async def _patient(self, operation: str) -> AsyncIterator[asyncio.Timeout]:
        try:
            async with asyncio.timeout(self._stall) as patience:
                yield patience
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SiteUnavailable(self._site, f"{operation} broke off: {type(error).__name__}") from error

    def _signed(self, call: _Call) -> tuple[URL, dict[str, str]]:
        path = f"{call.bucket}/{call.key}"
        url, sent = self._signer.signed(call.method, path, call.query, call.headers, datetime.now(UTC))
        return URL(url, encoded=True), sent

    async def _expect(self, response: aiohttp.ClientResponse, operation: str, status: int) -> None:
        if response.status == status:
            return
        body = await response.content.read(MAX_ERROR_BODY) if response.status >= 300 else b""
        raise refusal(self._site, operation, response.status, error_code(body))

    def _first_byte(self, response: aiohttp.ClientResponse, start: int) -> int:
        """Tell where an answer to a range request begins (RFC 9110 section 14.4): some services ignore the range."""
        found = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
        first = int(found.group(1)) if found else 0
        if first > start:
            raise SiteMisbehaved(self._site, f"GetObject from byte {start} was answered from byte {first}")
        return first


async def _counted(body: AsyncIterable[bytes], size: int, waiting: Callable[[bool], None]) -> AsyncIterator[bytes]:
    """Pass a body on; tell whether we wait for the service or for the body; refuse to send more than was announced.

    Fewer bytes leave the request unfinished, which the service discards (no object becomes visible).
    """
    sent = 0
    waiting(False)
    async for piece in body:
        sent += len(piece)
        if sent > size:
            raise aiohttp.ClientPayloadError(f"the body is longer than the announced {size} bytes")
        waiting(True)
        yield piece
        waiting(False)
    waiting(True)
    if sent < size:
        raise aiohttp.ClientPayloadError(f"the body has {sent} of the announced {size} bytes")
