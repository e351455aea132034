"""Work that is begun while the last is still going on, a few pieces at once, and that nobody leaves before its end."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

_T = TypeVar("_T")


class Ahead(Generic[_T]):
    """At most ``most`` pieces at once; ``results`` are there, in the order of their beginning, once it is left.

    Leaving it waits for all: also where the body has failed, or is given up, so that nothing comes after.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._going: deque[asyncio.Task[_T]] = deque()
        self.results: list[_T] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = asyncio.gather(*self._going, return_exceptions=True)
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            await ended
            raise
        if error is None:
            self.results += [piece.result() for piece in self._going]

    async def begin(self, work: Coroutine[Any, Any, _T]) -> None:
        """Begin one more piece, once there is room; raise what an earlier one has raised."""
        if len(self._going) == self._most:
            try:
                self.results.append(await asyncio.shield(self._going[0]))
            except BaseException:  # it has failed, or we are given up: this one never begins
                work.close()
                raise
            self._going.popleft()
        self._going.append(asyncio.create_task(work, name="harvest-ahead"))
