"""One side of a spliced connection: what is read at one side is written at the other, no faster than it is taken."""

import asyncio
import socket
from collections.abc import Callable

HIGH_WATER_BYTES = 1 << 20
"""How much may wait for a slow side before the fast one is paused."""
READ_BYTES = 256 << 10
"""How much is read at once."""


class Pipe(asyncio.BufferedProtocol):
    """One side of a spliced comm: what is read here is written at the other side, no faster than it takes it.

    ``room`` is where it reads into: one for all pipes of an event loop, as what was read is copied out before another
    reads. Asked for bytes, an event loop takes 256 KiB of memory for each read and gives most of it back, which costs
    more than a small message does.
    """

    transport: asyncio.Transport

    def __init__(self, *, lost: Callable[[], None], half_close_seconds: float, room: memoryview) -> None:
        self._room = room
        self._lost = lost
        self._half_close_seconds = half_close_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._other: Pipe | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up for small messages, and for finding dead peers."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows for the type checker
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def join(self, other: "Pipe") -> None:
        """Tell who is at the other side."""
        self._other = other

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was read, as bytes of its own: a transport may keep what it cannot send at once."""
        if self._other is not None:
            self._other.transport.write(bytes(self._room[:nbytes]))

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


class Trial(asyncio.Protocol):
    """A connection until its first answer: ``answered`` is given the first bytes, or none where it closes before."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows for the type checker
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.pause_reading()
        self._answer(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._answer(b"")

    def _answer(self, data: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(data)
