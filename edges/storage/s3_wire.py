"""The bytes of an S3 service: signed by header, the payload unsigned, from socket to socket.

botocore hashes each payload and copies it several times; unsigned, bytes pass as they come (measured: a third of
the CPU). Whoever needs integrity checks it on the stream, and withholds the end until it holds.
"""

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from edges.errors import SiteMisbehaved, SiteUnavailable
from edges.lines.answers import PIECE, Answer
from edges.lines.lines import Body, Lines, Stream
from edges.lines.sockets import Buffer
from edges.model import ObjectInfo
from edges.settings import StorageSettings
from edges.storage.s3_errors import MAX_ERROR_BODY, error_code, refusal
from edges.storage.sigv4 import Signer

_CREATED = frozenset({200, 201, 204})


class Whole:
    """A body that is there whole, and so can be sent again."""

    __slots__ = ("body",)

    def __init__(self, body: Buffer) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        yield self.body


class _Call(NamedTuple):
    """One request: what it is called, its method, key, query, headers and (small) body, and the bucket."""

    operation: str
    method: str
    key: str
    bucket: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: Body = b""


class S3Wire:
    """Sends single requests, never one twice; ``stall`` seconds without a byte taken or given end it."""

    def __init__(self, *, site: str, settings: StorageSettings, lines: Lines, stall: float) -> None:
        self._site = site
        self._bucket = settings.bucket
        self._lines = lines
        self._stall = stall
        self._streams = asyncio.Semaphore(settings.connections)
        self._signer = Signer(
            endpoint=settings.endpoint,
            region=settings.region,
            access_key=settings.access_key.reveal(),
            secret_key=settings.secret_key.reveal(),
        )

    def presigned(self, key: str, *, expires: int) -> str:
        """Return a URL that reads an object without credentials, for ``expires`` seconds."""
        return self._signer.presigned("GET", f"{self._bucket}/{key}", expires, datetime.now(UTC))

    async def head(self, key: str, *, bucket: str | None = None) -> tuple[int, Mapping[str, str]]:
        """Return status and headers of an object, of our bucket or another; no status is an error here."""
        call = _Call("HeadObject", "HEAD", key, bucket=bucket or self._bucket)
        async with self._answer(call) as answer:
            return answer.status, answer.headers

    async def send(
        self,
        operation: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Whole | AsyncIterable[Buffer],
        size: int,
    ) -> Mapping[str, str]:
        """PUT exactly ``size`` bytes; return the answer's headers.

        What ``body`` raises ends the request before its last byte, so that the service discards it.
        """
        typed = {**headers, "Content-Type": "application/octet-stream"}
        sent = body.body if isinstance(body, Whole) else Stream(body, size)
        async with self._answer(_Call(operation, "PUT", key, self._bucket, query, typed, sent)) as answer:
            created = answer.status in _CREATED  # Amazon says 200, some that speak WebDAV too 201 or 204
            if not created:
                await self._expect(answer, operation, 200)
            await answer.rest(MAX_ERROR_BODY)  # what little a service says, so that its line can be used again
            return answer.headers

    async def copy(
        self, operation: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], seconds: float
    ) -> bytes:
        """PUT without a body, which the service answers with a document (a copy); return the document.

        A copy may fail after its status was sent: then the document is an error (Amazon S3, "CopyObject").
        """
        call = _Call(operation, "PUT", key, self._bucket, query, headers)
        async with asyncio.timeout(seconds), self._answer(call, quiet=seconds) as answer:
            await self._expect(answer, operation, 200)
            told = await answer.rest(MAX_ERROR_BODY)
            if b"<Error>" in told:
                raise refusal(self._site, operation, 500, error_code(told))
            return told

    async def begin(self, key: str) -> tuple["Lent", ObjectInfo | None]:
        """Begin to stream an object; tell what it is (without metadata), or None where the answer has no length."""
        asked = self._answer(_Call("GetObject", "GET", key, self._bucket))
        answer = await asked.begin()
        try:
            await self._expect(answer, "GetObject", 200)
        except BaseException as error:  # cancelled, too: others wait for the place
            asked.end(error)
            raise
        length = answer.headers.get("Content-Length", "")
        etag = answer.headers.get("ETag", "")
        return Lent(asked, answer), ObjectInfo(key=key, size=int(length), etag=etag) if length.isdigit() else None

    async def get(self, key: str, *, start: int, stop: int | None, chunk: int) -> AsyncGenerator[Buffer, None]:
        """Stream an object's bytes from ``start`` up to ``stop`` (not included; None: to its end).

        Each piece holds until the next is asked for.
        """
        last = "" if stop is None else str(stop - 1)
        headers = {"Range": f"bytes={start}-{last}"} if start or last else {}
        left = None if stop is None else stop - start
        async with self._answer(_Call("GetObject", "GET", key, self._bucket, {}, headers)) as answer:
            if answer.status == 416 and start:
                return
            await self._expect(answer, "GetObject", 206 if answer.status == 206 else 200)
            ahead = start - self._first_byte(answer, start)
            while piece := await answer.read(chunk):
                wanted = piece if ahead <= 0 and left is None else piece[max(0, ahead) :][:left]
                ahead -= len(piece)
                if wanted:
                    left = None if left is None else left - len(wanted)
                    yield wanted
                if left == 0:
                    return

    def _answer(self, call: _Call, *, quiet: float | None = None) -> "_Asked":
        return _Asked(self._site, self._streams, call, partial(self._asked, call, quiet or self._stall))

    def _asked(self, call: _Call, stall: float) -> Awaitable[Answer]:
        path = f"{call.bucket}/{call.key}"
        url, signed = self._signer.signed(call.method, path, call.query, call.headers, datetime.now(UTC))
        return self._lines.ask(call.method, url, signed, call.body, stall=stall)

    async def _expect(self, answer: Answer, operation: str, status: int) -> None:
        if answer.status == status:
            return
        body = await answer.rest(MAX_ERROR_BODY) if answer.status >= 300 else b""
        raise refusal(self._site, operation, answer.status, error_code(body))

    def _first_byte(self, answer: Answer, start: int) -> int:
        """Tell where an answer to a range request begins (RFC 9110 section 14.4): some services ignore the range."""
        found = re.match(r"bytes (\d{1,18})-", answer.headers.get("Content-Range", ""))
        first = int(found.group(1)) if found else 0
        if first > start:
            raise SiteMisbehaved(self._site, f"GetObject from byte {start} was answered from byte {first}")
        return first


class _Asked:
    """One request, among so many at once: its answer is closed in the end, and its failures are told as the site's."""

    def __init__(self, site: str, among: asyncio.Semaphore, call: _Call, ask: Callable[[], Awaitable[Answer]]) -> None:
        self._site = site
        self._among = among
        self._call = call
        self._ask = ask
        self._placed = False
        self._answer: Answer | None = None

    async def begin(self) -> Answer:
        """Wait for a place, and ask; the answer is to be ended."""
        await self._among.acquire()
        self._placed = True
        try:
            self._answer = await self._ask()
        except BaseException as error:  # cancelled, too: others wait for the place
            self.end(error)
            raise
        return self._answer

    def end(self, error: BaseException | None = None) -> None:
        """Let go of the answer and the place; raise a failure of the line as one of the site. Idempotent."""
        if self._answer is not None:
            self._answer.close()
        if self._placed:
            self._placed = False
            self._among.release()
        if isinstance(error, OSError):
            raise SiteUnavailable(self._site, f"{self._call.operation} broke off: {type(error).__name__}") from error

    __aenter__ = begin

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)


class Lent:
    """The pieces of an object, as its answer brings them: each holds until the next. Close it where it is left."""

    def __init__(self, asked: _Asked, answer: Answer) -> None:
        self._asked = asked
        self._answer = answer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Buffer:
        try:
            piece = await self._answer.read(PIECE)
        except OSError as error:
            self._asked.end(error)
            raise
        if not piece:
            self._asked.end()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Let go. Idempotent."""
        self._asked.end()


async def kept(pieces: AsyncGenerator[Buffer, None]) -> AsyncGenerator[bytes, None]:
    """Pass on copies of pieces that hold only until the next is asked for."""
    async with aclosing(pieces):
        async for piece in pieces:
            yield bytes(piece)


def crc_of(told: str) -> int | None:
    """Return the CRC-64/NVME that a service told of a whole object, or None (``-N`` marks one made of parts)."""
    try:
        raw = base64.b64decode(told, validate=True)
    except ValueError:
        return None
    return int.from_bytes(raw, "big") if len(raw) == 8 else None
