"""Connected sockets as exchanges use them: plain ones straight from the kernel, TLS ones by asyncio's streams."""

import asyncio
import math
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, Self, SupportsIndex, TypeVar

from edges.lines.gathering import Gathering

READ_AT_ONCE = 120 * 1024
"""Bytes of the first read of an answer: its head, and often all of it.

Room of 128 KiB and more would be asked of the kernel each time, and given back (malloc(3), ``M_MMAP_THRESHOLD``).
"""

_TURN = 2 << 20
"""Bytes after which others get their turn, however fast both sides are."""

Buffer = bytes | bytearray | memoryview
T = TypeVar("T")


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

    def quiet(self) -> bool:
        """Tell that nothing came on a line that nobody reads, as far as the event loop has noticed."""
        ...

    def close(self) -> None:
        """Close at once. Idempotent."""
        ...


class PlainSocket:
    """A :class:`Socket` without TLS: no transport between, nothing is copied.

    The event loop watches it from its first wait on, also between requests: what comes is taken right there, and who
    waits is woken with it. A reading that is given up closes it, since nobody knows what was taken for it.

    One timer serves all of its waits: it looks who waits when it goes off, and is set again for the rest of their
    time. A wait in which something came is given ``stall`` seconds more from then on, so that a body that stops in
    the middle is given up after ``stall`` to two times ``stall`` of silence.
    """

    def __init__(self, raw: socket.socket, *, stall: float) -> None:
        self._raw = raw
        self.stall = stall
        self._loop = asyncio.get_running_loop()
        self._ran = 0
        self._asked = False
        self._watched = False
        self._unheard = False
        self._silent = True
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Future[Any] | None = None
        self._take: Callable[[], Any] = _nothing

    async def receive(self) -> bytes:
        if self._asked:  # nobody answers before a look could be worth it
            self._asked = False
        else:
            with suppress(BlockingIOError, InterruptedError):
                return self._raw.recv(READ_AT_ONCE)
        return await self._taken(self._received)

    async def receive_into(self, buffer: memoryview) -> int:
        try:
            count = self._raw.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            self._ran = 0
            return await self._taken(partial(self._raw.recv_into, buffer))
        self._ran += count
        if self._ran >= _TURN:
            self._ran = 0
            await asyncio.sleep(0)
        return count

    async def fill(self, buffer: memoryview) -> int:
        gathering = Gathering(self._raw, buffer)
        with suppress(BlockingIOError, InterruptedError):
            count = gathering.take()
            if count is not None:
                return count
        return await self._taken(gathering.take)

    async def send(self, first: Buffer, then: Buffer = b"") -> None:
        self._asked = True
        left = [first, then] if then else [first]
        size = len(first) + len(then)
        while True:
            try:
                count = self._raw.sendmsg(left)
            except (BlockingIOError, InterruptedError):
                await self._writable()
                continue
            size -= count
            if not size:
                return
            left = _unsent(left, count)

    def speaks(self) -> bool:
        try:
            self._raw.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return True

    def quiet(self) -> bool:
        return (self._watched and not self._unheard) or not self.speaks()

    def close(self) -> None:
        self._unwatch()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._take = _nothing
        self._raw.close()

    def _received(self) -> bytes:
        return self._raw.recv(READ_AT_ONCE)

    async def _taken(self, take: Callable[[], T | None]) -> T:
        """Return what ``take`` gives as soon as it gives something; it is called where there is something to read."""
        waiting: asyncio.Future[T] = self._loop.create_future()
        self._waiting, self._take, self._unheard = waiting, take, False
        if not self._watched:
            self._loop.add_reader(self._raw.fileno(), self._readable)
            self._watched = True
        if self.stall != math.inf:
            self._silent, self._since = True, self._loop.time()
            self._look_by(self._since + self.stall)
        try:
            return await waiting
        except BaseException:  # cancelled, too
            self.close()
            raise
        finally:
            self._waiting = None

    def _readable(self) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done():
            if self._unheard:
                self._unwatch()  # it waits in the kernel until somebody reads
            self._unheard = True
            return
        self._silent = False
        try:
            taken = self._take()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            waiting.set_exception(error)
            return
        if taken is not None:
            waiting.set_result(taken)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._raw.fileno())

    def _look_by(self, when: float) -> None:
        """Look whether somebody waits in vain, then at the latest."""
        if self._timer is None or self._timer.when() > when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """End a wait in which nothing came for the whole of ``stall``; look at others again when that may be so."""
        self._timer = None
        waiting = self._waiting
        if waiting is None or waiting.done() or self.stall == math.inf:
            return
        now = self._loop.time()
        if not self._silent:
            self._silent, self._since = True, now
        if now >= self._since + self.stall:
            waiting.set_exception(TimeoutError())
        else:
            self._look_by(self._since + self.stall)

    async def _writable(self) -> None:
        self._ran = 0
        number = self._raw.fileno()
        ready = self._loop.create_future()
        self._loop.add_writer(number, _tell, ready)
        late = self._loop.call_later(self.stall, _tell_late, ready) if self.stall < math.inf else None
        try:
            await ready
        finally:
            if late is not None:
                late.cancel()
            self._loop.remove_writer(number)


def _nothing() -> None:
    """Take nothing."""


def _unsent(pieces: Sequence[Buffer], count: int) -> list[Buffer]:
    """Return what is left of pieces after so many bytes of them."""
    left: list[Buffer] = []
    for piece in pieces:
        if count < len(piece):
            left.append(memoryview(piece)[count:])
        count = max(0, count - len(piece))
    return left


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

    def quiet(self) -> bool:
        return not self.speaks()

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
