"""Lines that wait for their next request, and are closed where none comes soon."""

import asyncio
import time
from collections.abc import Hashable

from edges.lines.sockets import Socket

KEPT_SECONDS = 4.0
"""Below the 5 s after which many servers close: a line that is about to be closed is not picked."""


class Kept:
    """Lines by their origin. The one that was used last is taken first, so that the others grow old and are closed."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, list[tuple[float, Socket]]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._open = True

    def __len__(self) -> int:
        return sum(len(lines) for lines in self._lines.values())

    def put(self, origin: Hashable, line: Socket) -> None:
        """Keep a line that nothing is under way on; close it where nothing is kept any more."""
        if not self._open:
            line.close()
            return
        self._lines.setdefault(origin, []).append((time.monotonic(), line))
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(KEPT_SECONDS, self._swept, loop)

    def take(self, origin: Hashable) -> Socket | None:
        """Return a line that is still open, as far as can be told; None where there is none."""
        lines = self._lines.get(origin)
        now = time.monotonic()
        while lines:
            since, line = lines.pop()
            if now - since < KEPT_SECONDS and line.quiet():
                return line
            line.close()
        return None

    def close(self) -> None:
        """Close all, and keep none from now on. Idempotent."""
        self._open = False
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for lines in self._lines.values():
            for _, line in lines:
                line.close()
        self._lines.clear()

    def _swept(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has grown old, whoever's it is: nobody may ever ask there again."""
        oldest = time.monotonic() - KEPT_SECONDS
        for origin, lines in list(self._lines.items()):
            while lines and lines[0][0] <= oldest:
                lines.pop(0)[1].close()
            if not lines:
                del self._lines[origin]
        first = min((lines[0][0] for lines in self._lines.values()), default=None)
        self._sweep = None if first is None else loop.call_later(first - oldest, self._swept, loop)
