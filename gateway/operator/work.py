"""The keys that wait to be looked at: each once however often it is told, never by two at the same time.

- A key that is told while it is worked on is worked on again afterwards.
- A key that failed waits longer each time; one that succeeded starts anew.
- A key that is told while it waits after a failure keeps waiting: a burst of changes is no way round the pause.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.operator.backoff import backoff


class Work:
    """A queue of keys, for any number of workers."""

    def __init__(self, *, first_seconds: float = 1.0) -> None:
        self._first_seconds = first_seconds
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._busy: set[str] = set()
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Return how many keys wait or are worked on."""
        return len(self._due.keys() | self._busy)

    def failures(self, key: str) -> int:
        """Return how often a key failed in a row."""
        return self._failures.get(key, 0)

    def add(self, key: str, *, after: float = 0.0) -> None:
        """Have a key looked at, after so many seconds at the latest."""
        due = asyncio.get_running_loop().time() + after
        if key in self._due and (self._due[key] <= due or self._failures.get(key)):
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        task = asyncio.create_task(self._wake(), name="wake workers")
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    def failed(self, key: str) -> float:
        """Put a key off after a failure; return for how long."""
        self._failures[key] = self._failures.get(key, 0) + 1
        self._due.pop(key, None)
        # not a secret: spreads what failed together
        pause = backoff(self._failures[key], jitter=random.random(), first=self._first_seconds)  # noqa: S311
        self.add(key, after=pause)
        return pause

    def succeeded(self, key: str) -> None:
        """Forget that a key failed."""
        self._failures.pop(key, None)

    @asynccontextmanager
    async def next(self) -> AsyncIterator[str]:
        """Wait for a key that is due, and hold it while the context lasts."""
        key = await self._take()
        try:
            yield key
        finally:
            self._busy.discard(key)
            async with self._changed:
                self._changed.notify_all()

    async def _take(self) -> str:
        loop = asyncio.get_running_loop()
        async with self._changed:
            while True:
                key = self._pop(loop.time())
                if key is not None:
                    return key
                await self._wait(loop)

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        idle = [due for due, _, key in self._heap if key not in self._busy]
        try:
            async with asyncio.timeout_at(min(idle) if idle else None):
                await self._changed.wait()
        except TimeoutError:
            return

    def _pop(self, now: float) -> str | None:
        """Take the first key that is due and not worked on; entries that were replaced are dropped."""
        held: list[tuple[float, int, str]] = []
        found = None
        while self._heap and self._heap[0][0] <= now and found is None:
            entry = heapq.heappop(self._heap)
            due, _, key = entry
            if self._due.get(key) != due:
                continue
            if key in self._busy:
                held.append(entry)
                continue
            found = key
        for entry in held:
            heapq.heappush(self._heap, entry)
        if found is not None:
            del self._due[found]
            self._busy.add(found)
        return found

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
