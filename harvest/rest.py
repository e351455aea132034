"""Where workers rest that found nothing to do: one is woken at a time, and wakes the next where there is more."""

import asyncio
import contextlib


class Rest:
    """Wakes one of those who rest; a call that nobody heard is kept for the next who comes."""

    def __init__(self) -> None:
        self._resting: list[asyncio.Future[None]] = []
        self._called = False

    def call(self) -> None:
        """Wake one."""
        while self._resting:
            resting = self._resting.pop()
            if not resting.done():
                resting.set_result(None)
                return
        self._called = True

    async def rest(self, seconds: float) -> None:
        """Rest until called, or for so long at most."""
        if self._called:
            self._called = False
            return
        resting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._resting.append(resting)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await resting
        except asyncio.CancelledError:
            if resting.done() and not resting.cancelled():
                self.call()  # it was for whoever can work
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._resting.remove(resting)
