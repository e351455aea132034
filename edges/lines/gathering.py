"""Many bytes of a socket, put aside as they come, by the event loop itself: who waits is woken once, by the last."""

import asyncio
import math
import socket

_AT_ONCE = 256 * 1024


class Gathering:
    """Gathers ``count`` bytes of a socket that does not block; fewer where it ends before."""

    def __init__(self, raw: socket.socket, count: int) -> None:
        self._raw = raw
        self._left = count
        self._pieces: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._all: asyncio.Future[None] = self._loop.create_future()
        self._stall = math.inf
        self._silent = True
        self._timer: asyncio.TimerHandle | None = None

    async def pieces(self, stall: float) -> list[bytes]:
        """Return the bytes, in pieces as they came; ``stall`` is how long in seconds none may come.

        Raises:
            TimeoutError: none came for that long.
            OSError: the socket failed.
        """
        if self._take():
            return self._pieces
        number = self._raw.fileno()
        self._loop.add_reader(number, self._ready)
        self._stall = stall
        self._watch()
        try:
            await self._all
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._loop.remove_reader(number)
        return self._pieces

    def _take(self) -> bool:
        """Take what is there; tell whether that was the last of it."""
        while self._left:
            try:
                piece = self._raw.recv(min(self._left, _AT_ONCE))
            except (BlockingIOError, InterruptedError):
                return False
            if not piece:
                return True
            self._silent = False
            self._left -= len(piece)
            self._pieces.append(piece)
            if len(piece) < _AT_ONCE:
                break  # most likely that was all: another look would be in vain
        return not self._left

    def _ready(self) -> None:
        if self._all.done():
            return
        try:
            if self._take():
                self._all.set_result(None)
        except OSError as error:
            self._all.set_exception(error)

    def _watch(self) -> None:
        """Look again after the time in which something must come; each piece needs no timer of its own."""
        self._silent = True
        if self._stall < math.inf:
            self._timer = self._loop.call_later(self._stall, self._look)

    def _look(self) -> None:
        if self._all.done():
            return
        if self._silent:
            self._all.set_exception(TimeoutError())
        else:
            self._watch()
