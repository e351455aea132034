"""Turns at a site: so many requests at once, so many a second, none while it rests. The shell of ``edges.budget``."""

import asyncio
import time
from collections.abc import Callable

from edges.budget import Rate, full, given_back, taken
from edges.errors import SiteNotAsked
from edges.observing import CallObserver


class Turn:
    """One turn, as a context."""

    __slots__ = ("_turns",)

    def __init__(self, turns: "Turns") -> None:
        self._turns = turns

    async def __aenter__(self) -> None:
        await self._turns.begin()

    async def __aexit__(self, *ended: object) -> None:
        self._turns.end()


class Turns:
    """Gives requests their turn at one site.

    ``connections`` is how many run at once; ``patience`` how many seconds a request may wait under ``rate``;
    ``clock`` one that does not step, in seconds.
    """

    def __init__(
        self,
        *,
        site: str,
        connections: int,
        rate: Rate | None,
        patience: float,
        observer: CallObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site = site
        self._slots = asyncio.Semaphore(connections)
        self._rate = rate
        self._patience = patience
        self._observer = observer
        self._clock = clock
        self._bucket = full(rate, clock()) if rate is not None else None
        self._rests_until = float("-inf")

    def rest(self, seconds: float) -> None:
        """Let the site rest: it asked for it."""
        self._rests_until = max(self._rests_until, self._clock() + seconds)

    def turn(self) -> "Turn":
        """Wait for a turn, and hold a connection's slot while the context lasts.

        Raises, when it is entered:
            SiteNotAsked: the site rests, or the turn would come too late; at once, without waiting.
        """
        return Turn(self)

    async def begin(self) -> None:
        """Wait for a turn, to be given back by :meth:`end`; see :meth:`turn`."""
        now = self._clock()
        if self._rate is not None or self._rests_until > now:
            await self._awaited(now)
        await self._slots.acquire()

    def end(self) -> None:
        """Give a turn back."""
        self._slots.release()

    async def _awaited(self, now: float) -> None:
        left = self._rests_until - now
        if left > 0:
            self._observer.spared(self._site, "resting")
            raise SiteNotAsked(
                self._site, f"asked to be left alone for {left:.0f} s more", code="resting", retry_after=left
            )
        if self._rate is None or self._bucket is None:
            return
        self._bucket, wait = taken(self._bucket, self._rate, now, patience=self._patience)
        if wait is None:
            self._observer.spared(self._site, "budget")
            raise SiteNotAsked(
                self._site,
                f"its budget of {self._rate.per_second:g} requests a second is used up",
                code="budget",
                retry_after=1.0 / self._rate.per_second,
            )
        if wait > 0:
            self._observer.waited(self._site, wait)
            try:
                await asyncio.sleep(wait)
            except asyncio.CancelledError:
                self._bucket = given_back(self._bucket)
                raise
