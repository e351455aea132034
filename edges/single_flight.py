"""Identical requests under way at the same time are made once, and all who asked get the one answer."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Seat(asyncio.Future[V]):
    """One who waits, and who says so where they give up."""

    left: Callable[[], None]

    def cancel(self, msg: Any = None) -> bool:
        if not super().cancel(msg):
            return False
        self.left()
        return True


class _Flight(Generic[V]):
    """What is under way, and who waits for it."""

    def __init__(self, over: Callable[["_Flight[V]"], None], make: Callable[[], Awaitable[V]]) -> None:
        self._over = over
        self._seats: list[_Seat[V]] = []
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._flown(make), name="single flight")

    def seat(self) -> "asyncio.Future[V]":
        """Return what somebody waits by."""
        seat: _Seat[V] = _Seat(loop=self._loop)
        seat.left = self._left
        self._seats.append(seat)
        return seat

    async def _flown(self, make: Callable[[], Awaitable[V]]) -> None:
        try:
            answer = await make()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where they wait
            for seat in self._landed():
                seat.set_exception(error)
        except BaseException:  # cancelled: by the last one who left, or with all there is
            for seat in self._landed():
                seat.cancel()
            raise
        else:
            for seat in self._landed():
                seat.set_result(answer)

    def _landed(self) -> "list[_Seat[V]]":
        """Return who still waits, and know them no more: they know of this, and answers are too large for a circle."""
        self._over(self)
        waiting = [seat for seat in self._seats if not seat.done()]
        self._seats.clear()
        return waiting

    def _left(self) -> None:
        if all(seat.done() for seat in self._seats):
            self._over(self)
            self._task.cancel()


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

    def run(self, key: K, make: Callable[[], Awaitable[V]]) -> "asyncio.Future[V]":
        """Return the answer of ``make``, or of one like it that is under way; it begins now. Await it, or cancel it."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(lambda over: self._forget(key, over), make)
        return flight.seat()

    def clear(self) -> None:
        """Let who asks from now on share nothing of what is under way: it may be out of date."""
        self._flights.clear()

    def _forget(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
