"""Identical requests under way at the same time are made once, and all who asked get the one answer."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Flight(Generic[V]):
    def __init__(self, task: "asyncio.Task[V]") -> None:
        self.task = task
        self.waiting = 0


class SingleFlight(Generic[K, V]):
    """Keeps what is under way, and nothing longer than that.

    A flight ends early where everyone who waited for it has gone; an error reaches all who wait.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: K) -> bool:
        """Tell whether who asks now shares what is under way."""
        return key in self._flights

    async def run(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """Return the answer of ``make``, or of one like it that is under way."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(_awaited(make), name="single flight"))
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                self._forget(key, flight.task)
                flight.task.cancel()

    def clear(self) -> None:
        """Let who asks from now on share nothing of what is under way: it may be out of date."""
        self._flights.clear()

    def _landed(self, key: K, task: "asyncio.Task[V]") -> None:
        self._forget(key, task)
        if not task.cancelled():
            task.exception()  # seen: who waited has it, and where nobody did it is of no use

    def _forget(self, key: K, task: "asyncio.Task[V]") -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]


async def _awaited(make: Callable[[], Awaitable[V]]) -> V:
    return await make()
