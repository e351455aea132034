"""Tasks in the background: each takes step after step, rests where there is nothing to do, and outlives its faults."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from edges.errors import EdgeError
from harvest.errors import HarvestError
from harvest.rest import Rest
from quotas.errors import QuotaError

logger = logging.getLogger(__name__)

Step = Callable[[], Awaitable[bool]]
"""Does one piece of work; tells whether there may be more."""

FAULT_PAUSE = 1.0
"""Seconds that a task rests after an unforeseen error."""

BREATH = 0.1
"""Seconds between two turns of those who look after what has happened, at least: meanwhile more of it gathers."""


class Background:
    """Owns the tasks, until :meth:`leave`. Who finds nothing to do looks again after ``idle_seconds`` at the latest.

    Those who ``share`` the work are woken one at a time (:meth:`call`), and at once; all others together, by whatever
    happens (:meth:`progressed`), and at most once a :data:`BREATH`, unless nothing more can gather (:meth:`hurry`).
    """

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._happened = asyncio.Event()
        self._hurried = asyncio.Event()
        self._sharing = Rest()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, step: Step, name: str) -> None:
        """Take a step whenever something has happened."""
        self._tasks.append(asyncio.create_task(self._repeat(step, self._until_something_happens), name=name))

    def share(self, step: Step, name: str) -> None:
        """Take a step whenever there is work that one of several can do."""
        self._tasks.append(asyncio.create_task(self._repeat(step, self._until_called), name=name))

    async def leave(self) -> None:
        """Stop all tasks, and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def call(self) -> None:
        """Wake one of those who share the work."""
        self._sharing.call()

    def progressed(self) -> None:
        """Wake whoever waits for something to happen, and one of those who share the work."""
        happened, self._happened = self._happened, asyncio.Event()
        happened.set()
        self.call()

    def hurry(self) -> None:
        """Let nobody take a breath now: what has happened is all that will for a while."""
        hurried, self._hurried = self._hurried, asyncio.Event()
        hurried.set()

    async def _repeat(self, step: Step, rest: Callable[[asyncio.Event, asyncio.Event, float], Awaitable[None]]) -> None:
        while True:
            happened, hurried, begun = self._happened, self._hurried, asyncio.get_running_loop().time()
            try:
                worked = await step()
            except (EdgeError, HarvestError, QuotaError) as error:
                logger.warning("harvest work failed", extra={"reason": str(error)})
                worked = False
                await asyncio.sleep(FAULT_PAUSE)
            except Exception:  # the boundary of a background task: a fault in one piece must not end the rest
                logger.exception("harvest work broke")
                worked = False
                await asyncio.sleep(FAULT_PAUSE)
            if not worked:
                await rest(happened, hurried, begun)

    async def _until_called(self, happened: asyncio.Event, hurried: asyncio.Event, begun: float) -> None:
        await self._sharing.rest(self._idle_seconds)

    async def _until_something_happens(self, happened: asyncio.Event, hurried: asyncio.Event, begun: float) -> None:
        """Rest; the events are those of before the last step, so that nothing that happened within it is missed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._idle_seconds):
                await happened.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(begun + BREATH):
                await hurried.wait()
