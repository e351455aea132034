"""Connected sockets as exchanges use them: plain ones straight from the kernel, TLS ones by asyncio's streams."""

import asyncio
import math
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Protocol, Self, SupportsIndex

from edges.lines.gathering import Gathering

READ_AT_ONCE = 64 * 1024
"""Bytes of the first read of an answer: its head, and often all of it."""

_TURN = 2 << 20
"""Bytes after which others get their turn, however fast both sides are."""

Buffer = bytes | bytearray | memoryview


class Socket(Protocol):
    """A connected socket. Whoever waits ``stall`` seconds without a byte gets TimeoutError; other failures: OSError.

    Where ``stall`` is infinite, who waits sets the time.
    """

    stall: float

    async def receive(self) -> bytes:
        """Return what is there, at most :data:`READ_AT_ONCE` bytes; none at the end."""
        ...

    async def receive_into(self, buffer: memoryview) -> int:
        """Fill a buffer with what is there; return how much, 0 at the end."""
        ...

    async def fill(self, buffer: memoryview) -> int:
        """Fill a buffer whole; return how many bytes came, fewer only at the end."""
        ...

    async def send(self, first: Buffer, then: Buffer = b"") -> None:
        """Send all; afterwards the buffers can be used for something else."""
        ...

    def speaks(self) -> bool:
        """Tell whether something can be read now, or the other side has closed."""
        ...

    def close(self) -> None:
        """Close at once. Idempotent."""
        ...


class PlainSocket:
    """A :class:`Socket` without TLS: no transport between, nothing is copied."""

    def __init__(self, raw: socket.socket, *, stall: float) -> None:
        self._raw = raw
        self.stall = stall
        self._loop = asyncio.get_running_loop()
        self._ran = 0
        self._asked = False

    async def receive(self) -> bytes:
        if self._asked:  # nobody answers before a look could be worth it
            self._asked = False
            await self._readable()
        while True:
            try:
                return self._raw.recv(READ_AT_ONCE)
            except (BlockingIOError, InterruptedError):
                await self._readable()

    async def receive_into(self, buffer: memoryview) -> int:
        while True:
            try:
                count = self._raw.recv_into(buffer)
            except (BlockingIOError, InterruptedError):
                await self._readable()
                continue
            self._ran += count
            if self._ran >= _TURN:
                self._ran = 0
                await asyncio.sleep(0)
            return count

    async def fill(self, buffer: memoryview) -> int:
        return await Gathering(self._raw, buffer).filled(self.stall)

    async def send(self, first: Buffer, then: Buffer = b"") -> None:
        left = [memoryview(piece) for piece in (first, then) if len(piece)]
        self._asked = True
        while left:
            try:
                count = self._raw.sendmsg(left)
            except (BlockingIOError, InterruptedError):
                await self._writable()
                continue
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = left[0][count:]

    def speaks(self) -> bool:
        try:
            self._raw.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        self._raw.close()

    async def _readable(self) -> None:
        await self._ready(self._loop.add_reader, self._loop.remove_reader)

    async def _writable(self) -> None:
        await self._ready(self._loop.add_writer, self._loop.remove_writer)

    async def _ready(self, watch: Callable[..., None], leave: Callable[[int], bool]) -> None:
        self._ran = 0
        number = self._raw.fileno()
        ready = self._loop.create_future()
        watch(number, _tell, ready)
        late = self._loop.call_later(self.stall, _tell_late, ready) if self.stall < math.inf else None
        try:
            await ready
        finally:
            if late is not None:
                late.cancel()
            leave(number)


class UnreadReader(asyncio.StreamReader):
    """A reader that tells how many bytes came that nobody has read yet."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)
        self.unread = 0

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Take what came."""
        piece = bytes(data)  # the same object, as TLS gives bytes
        self.unread += len(piece)
        super().feed_data(piece)


class TlsSocket:
    """A :class:`Socket` over TLS."""

    def __init__(self, reader: UnreadReader, writer: asyncio.StreamWriter, *, stall: float) -> None:
        self._reader = reader
        self._writer = writer
        self.stall = stall

    @classmethod
    async def over(cls, raw: socket.socket, tls: ssl.SSLContext, host: str, *, stall: float, limit: int) -> Self:
        """Greet a server by its name; about ``limit`` bytes are read ahead.

        Raises:
            ssl.SSLError: its certificate is not trusted, or not of that name.
        """
        loop = asyncio.get_running_loop()
        reader = UnreadReader(limit)
        transport, protocol = await loop.create_connection(
            lambda: asyncio.StreamReaderProtocol(reader), sock=raw, ssl=tls, server_hostname=host
        )
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop), stall=stall)

    async def receive(self) -> bytes:
        return await self._read(READ_AT_ONCE)

    async def receive_into(self, buffer: memoryview) -> int:
        piece = await self._read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    async def fill(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer) and (count := await self.receive_into(buffer[filled:])):
            filled += count
        return filled

    async def send(self, first: Buffer, then: Buffer = b"") -> None:
        self._writer.write(bytes(first) + bytes(then))
        async with self._in_time():
            await self._writer.drain()

    def speaks(self) -> bool:
        return self._reader.unread > 0 or self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        self._writer.transport.abort()

    def _in_time(self) -> asyncio.Timeout:
        return asyncio.timeout(self.stall if self.stall < math.inf else None)

    async def _read(self, most: int) -> bytes:
        async with self._in_time():
            piece = await self._reader.read(most)
        self._reader.unread -= len(piece)
        return piece


def _tell(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def _tell_late(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_exception(TimeoutError())
