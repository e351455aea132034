"""Calls that block, in threads of our own: bounded in number and in time.

A thread cannot be ended from outside. One that hangs past its deadline keeps its place until it ends by itself: the
caller is told at once, the loop never waits, and no more than ``workers`` threads ever exist.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from edges.errors import SiteUnavailable

T = TypeVar("T")

_DISTURBED = 4
"""So many tries may be disturbed before the error is let through."""


def undisturbed(call: Callable[[], T]) -> T:
    """Return what a call that may be repeated returns, also where another thread disturbs its parser.

    CPython before 3.11.8 keeps one count of depth for all threads that parse (gh-106905), as EODAG does for metadata:
    two at once end in a ``SystemError``. On a busy machine the next try may meet the same.
    """
    for _ in range(_DISTURBED):
        with contextlib.suppress(SystemError):
            return call()
    return call()


class BoundedThreads:
    """Runs at most ``workers`` calls at once, each for at most ``seconds`` from when it was asked for."""

    def __init__(self, *, site: str, workers: int, seconds: float) -> None:
        self._site = site
        self._workers = workers
        self._seconds = seconds
        self._places = asyncio.Semaphore(workers)
        self._late = 0

    @property
    def late(self) -> int:
        """Return how many threads are past their deadline and still hold a place."""
        return self._late

    async def run(self, call: Callable[[], T]) -> T:
        """Return what the call returns; raise what it raises.

        Raises:
            SiteUnavailable: it was not done in time, or all places are held by calls that hang.
        """
        if self._late >= self._workers:
            raise SiteUnavailable(self._site, f"all {self._workers} workers hang past their deadline")
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        try:
            async with asyncio.timeout_at(end):
                await self._places.acquire()
        except TimeoutError as error:
            raise SiteUnavailable(self._site, f"no worker was free within {self._seconds:g} s") from error
        return await self._started(call, end)

    async def _started(self, call: Callable[[], T], end: float) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        abandoned = False

        def finished(result: T | None, error: BaseException | None) -> None:
            self._places.release()
            self._late -= abandoned
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]  # None is what the call returned, then

        def work() -> None:
            result, failure = None, None
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - the boundary of the thread: whatever it is goes to the caller
                failure = error
            if not loop.is_closed():
                loop.call_soon_threadsafe(finished, result, failure)

        threading.Thread(target=work, name=f"eodag {self._site}", daemon=True).start()
        try:
            async with asyncio.timeout_at(end):
                return await done
        except TimeoutError as error:
            if done.done() and not done.cancelled():
                raise
            raise SiteUnavailable(self._site, f"no answer within {self._seconds:g} s") from error
        finally:
            if not done.done() or done.cancelled():
                abandoned = True
                self._late += 1
