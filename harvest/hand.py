"""What one worker has in hand: the work on each object, as a task of its own."""

import asyncio
from collections.abc import Coroutine

from harvest.claims import ObjectClaim


class Hand:
    """Tasks and their claims; ``lost`` are those of claims that another has taken over."""

    def __init__(self) -> None:
        self.works: dict[asyncio.Task[None], ObjectClaim] = {}
        self.lost: set[int] = set()
        self._size = 0
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None

    def take(self, claim: ObjectClaim, work: Coroutine[None, None, None]) -> None:
        """Begin the work on one more."""
        task = asyncio.create_task(work, name=f"harvest-object-{claim.id}")
        self.works[task] = claim
        self._size += claim.size or 0
        task.add_done_callback(self._end)

    async def empty_to(self, count: int, size: int) -> bool:
        """Wait until no more than ``count`` are left, of ``size`` bytes; tell False as soon as one has failed."""
        while (len(self.works) > count or self._size > size) and self._failure is None:
            self._ended.clear()
            await self._ended.wait()
        return self._failure is None

    def lose(self, claim: ObjectClaim) -> None:
        """Stop the work on one that another has taken over, if it has not just ended by itself."""
        for work, each in self.works.items():
            if each is claim:
                self.lost.add(claim.id)
                work.cancel()

    def give_up(self) -> None:
        """Stop all work."""
        for work in self.works:
            work.cancel()

    async def let_go(self) -> None:
        """Wait until all work has ended; raise what ended the first of it, if it did not end well."""
        while self.works:
            self._ended.clear()
            await self._ended.wait()
        if self._failure is not None:
            raise self._failure

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._size -= self.works.pop(task).size or 0
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._failure = self._failure or failure
        self._ended.set()
