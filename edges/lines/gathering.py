"""Many bytes of a socket, put where they belong by the event loop itself: who waits is woken once, by the last."""

import asyncio
import math
import socket


class Gathering:
    """Fills a buffer from a socket that does not block."""

    def __init__(self, raw: socket.socket, buffer: memoryview) -> None:
        self._raw = raw
        self._buffer = buffer
        self._count = 0
        self._loop = asyncio.get_running_loop()
        self._full: asyncio.Future[None] = self._loop.create_future()
        self._stall = math.inf
        self._silent = True
        self._timer: asyncio.TimerHandle | None = None

    async def filled(self, stall: float) -> int:
        """Return how many bytes came, fewer than fit only at the end; none may not come for ``stall`` seconds.

        Raises:
            TimeoutError: none came for that long.
            OSError: the socket failed.
        """
        if self._take():
            return self._count
        number = self._raw.fileno()
        self._loop.add_reader(number, self._ready)
        self._stall = stall
        self._watch()
        try:
            await self._full
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._loop.remove_reader(number)
        return self._count

    def _take(self) -> bool:
        """Take what is there; tell whether that was the last of it."""
        try:
            count = self._raw.recv_into(self._buffer[self._count :])
        except (BlockingIOError, InterruptedError):
            return False
        self._silent = False
        self._count += count
        return not count or self._count == len(self._buffer)

    def _ready(self) -> None:
        if self._full.done():
            return
        try:
            if self._take():
                self._full.set_result(None)
        except OSError as error:
            self._full.set_exception(error)

    def _watch(self) -> None:
        """Look again after the time in which something must come; each piece needs no timer of its own."""
        self._silent = True
        if self._stall < math.inf:
            self._timer = self._loop.call_later(self._stall, self._look)

    def _look(self) -> None:
        if self._full.done():
            return
        if self._silent:
            self._full.set_exception(TimeoutError())
        else:
            self._watch()
