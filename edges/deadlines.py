"""Bounds of time for many tasks at once: all are equally long, so that one timer serves them all."""

import asyncio
from types import TracebackType
from typing import Self


class Deadlines:
    """Gives each task so many seconds from where it asks for them; as ``asyncio.timeout``, which has a timer each."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: dict[Deadline, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, deadline: "Deadline", loop: asyncio.AbstractEventLoop) -> None:
        """Bound a task from now on; those that began earlier end earlier."""
        self._running[deadline] = None
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_at(deadline.end, self._look, loop)

    def end(self, deadline: "Deadline") -> None:
        """Bound it no more."""
        self._running.pop(deadline, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while (first := next(iter(self._running), None)) is not None and first.end <= now:
            del self._running[first]
            first.expire()
        self._timer = None if first is None else loop.call_at(first.end, self._look, loop)


class Deadline:
    """One task's time, as a context.

    Raises, where it is left:
        TimeoutError: the time was up, and what the task did was cancelled.
    """

    __slots__ = ("_among", "_cancelling", "_expired", "_task", "end")

    def __init__(self, among: Deadlines) -> None:
        self._among = among
        self._expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline bounds a task")
        loop = task.get_loop()
        self._task = task
        self._cancelling = task.cancelling()
        self.end = loop.time() + self._among.seconds
        self._among.start(self, loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._among.end(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel what the task does: its time is up."""
        self._expired = True
        self._task.cancel()
