"""Many bytes of a socket, put where they belong as they come: who waits is woken once, by the last."""

import socket


class Gathering:
    """Fills a buffer from a socket that does not block."""

    def __init__(self, raw: socket.socket, buffer: memoryview) -> None:
        self._raw = raw
        self._buffer = buffer
        self._count = 0

    def take(self) -> int | None:
        """Take what is there; return how many bytes came in all once that was the last of them, else None.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the socket failed.
        """
        count = self._raw.recv_into(self._buffer[self._count :])
        self._count += count
        return self._count if not count or self._count == len(self._buffer) else None
