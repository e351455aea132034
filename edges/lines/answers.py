"""The bodies of answers: framed by a length, in chunks, or by the end of the line."""

from collections.abc import Callable
from typing import Protocol

from multidict import CIMultiDict

from edges.lines.heads import Head, LineError
from edges.lines.sockets import Buffer, Socket
from edges.model import Bytes
from edges.unwritten import unwritten

PIECE = 256 * 1024
"""Bytes that a body is read by: what is read is sent on while it is still near the processor."""

WHOLE = 1 << 20
"""Bytes of a body up to which it is believed how large it will be, and of the buffers that larger ones come through."""

_MAX_LINE = 1024
_MAX_TRAILERS = 64


class _Shelf(Protocol):
    """Where buffers are kept between bodies."""

    def take(self) -> bytearray: ...
    def put(self, buffer: bytearray) -> None: ...


class Answer:
    """An answer whose head is there. Close it: what was read to its end leaves its line for the next request.

    ``read`` and ``rest`` raise LineError where the body breaks off or its framing is broken, TimeoutError where the
    other side stalls, and other OSErrors where the connection fails.
    """

    def __init__(
        self,
        head: Head,
        socket: Socket,
        first: Buffer,
        *,
        shelves: tuple[_Shelf, _Shelf],
        over: Callable[[Socket, bool], None],
    ) -> None:
        self.status = head.status
        self.headers: CIMultiDict[str] = head.headers
        self._keep = head.keep
        self._socket = socket
        self._first = memoryview(first)
        self._shelf, self._scratch = shelves
        self._over: Callable[[Socket, bool], None] | None = over
        self._chunked = head.chunked
        self._left = 0 if head.chunked else head.length
        self._in_chunk = False
        self._buffer: bytearray | None = None
        self._shelved = False

    async def read(self, limit: int = PIECE) -> Buffer:
        """Return at most ``limit`` of the next bytes, none at the end. They hold until the next reading."""
        if self._chunked and not self._left:
            await self._next_chunk()
        if self._left == 0:
            return b""
        most = limit if self._left is None else min(limit, self._left)
        piece = await self._some(most)
        if self._left is not None:
            if not piece:
                raise LineError("the answer broke off")
            self._left -= len(piece)
        elif not piece:
            self._left = 0
        return piece

    async def rest(self, most: int) -> bytes:
        """Return what is left of the body, at most ``most`` bytes."""
        body = bytearray()
        while len(body) < most:
            piece = await self.read(min(PIECE, most - len(body)))
            if not piece:
                break
            body += piece
        return bytes(body)

    async def whole(self, most: int) -> Bytes | None:
        """Return the body, of which nothing was read yet; None where it is larger than ``most`` bytes."""
        if self._left is None or self._chunked:
            rest = await self.rest(most + 1)
            return rest if len(rest) <= most else None
        if self._left > most:
            return None
        if self._left <= len(self._first):
            whole, self._first, self._left = self._first[: self._left], self._first[self._left :], 0
            return bytes(whole)
        if self._left <= WHOLE:
            body = unwritten(self._left)  # it is given on filled, or not at all
            await self._filled(memoryview(body))
            return body
        buffer = self._scratch.take()
        try:
            return await self._copied(memoryview(buffer))
        finally:
            self._scratch.put(buffer)

    async def _copied(self, buffer: memoryview) -> bytes:
        """Return the rest of a large body, of which nothing is held that has not come, whatever was announced."""
        pieces: list[bytes] = []
        while self._left:
            room = buffer[: self._left]
            await self._filled(room)
            pieces.append(bytes(room))
        return b"".join(pieces)

    async def _filled(self, room: memoryview) -> None:
        """Fill some room with what comes next of a body of known length."""
        first = self._first[: len(room)]
        room[: len(first)] = first
        self._first = self._first[len(first) :]
        count = len(first)
        if count < len(room):
            count += await self._socket.fill(room[count:])
        self._left = (self._left or 0) - count
        if count < len(room):
            raise LineError("the answer broke off")

    def close(self) -> None:
        """Let go. Idempotent."""
        over, self._over = self._over, None
        if over is None:
            return
        if self._buffer is not None and self._shelved:
            self._shelf.put(self._buffer)
        self._buffer = None
        ended = self._left == 0 and not self._chunked and not self._first
        over(self._socket, self._keep and ended)

    async def _some(self, most: int) -> Buffer:
        if self._first:
            piece, self._first = self._first[:most], self._first[most:]
            return piece
        room = self._room(most)
        return room[: await self._socket.receive_into(room)]

    def _room(self, most: int) -> memoryview:
        if self._buffer is None:
            # The first chunk says nothing of how large the next ones are.
            self._shelved = self._chunked or self._left is None or self._left >= PIECE
            self._buffer = self._shelf.take() if self._shelved else bytearray(max(most, self._left or 0))
        return memoryview(self._buffer)[:most]

    # -- chunks (RFC 9112 section 7.1) ---------------------------------------------------------------------

    async def _next_chunk(self) -> None:
        if self._in_chunk and await self._line():
            raise LineError("a chunk does not end where it should")
        told = (await self._line()).split(b";", 1)[0].strip(b" \t")
        if not told or len(told) > 15 or told.strip(b"0123456789abcdefABCDEF"):
            raise LineError("a chunk tells no length")
        self._left = int(told, 16)
        self._in_chunk = True
        if not self._left:
            await self._trailers()
            self._chunked = False

    async def _trailers(self) -> None:
        for _ in range(_MAX_TRAILERS):
            if not await self._line():
                return
        raise LineError("the answer's trailers do not end")

    async def _line(self) -> bytes:
        line = bytes(self._first)
        while b"\r\n" not in line:
            if len(line) > _MAX_LINE:
                raise LineError("a line of the answer does not end")
            more = await self._socket.receive()
            if not more:
                raise LineError("the answer broke off")
            line += more
        line, _, rest = line.partition(b"\r\n")
        self._first = memoryview(rest)
        return line
