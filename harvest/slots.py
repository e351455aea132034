"""Slots for what is on its way at once: who puts goes before who reads, for what is to be put is held in memory."""

import asyncio
from collections import deque
from types import TracebackType


class Slots:
    """So many at once; enter ``reading`` or ``putting`` with ``async with``. Those of one kind come in their turn."""

    def __init__(self, count: int) -> None:
        self._free = count
        self.putting = _Kind(self)
        self.reading = _Kind(self)

    async def take(self, waiting: "deque[asyncio.Future[None]]") -> None:
        """Wait for a slot."""
        if self._free:
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self.give()  # it was given to one who goes
            raise

    def give(self) -> None:
        """Give a slot to who waits; those who have gone are passed over."""
        for kind in (self.putting, self.reading):
            while kind.waiting:
                theirs = kind.waiting.popleft()
                if not theirs.done():
                    theirs.set_result(None)
                    return
        self._free += 1


class _Kind:
    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        await self._slots.take(self.waiting)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.give()
