"""Waiting for what sets no event here: another process, a thread, a server that can only be asked.

The one place where tests look again and again: bounded, soon at first and then less often, since other tests want the
processor, too.
"""

import asyncio
import inspect
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

_BUSY = 5
"""How many times as long a busy machine may take."""


def wait_until(condition: Callable[[], T], *, seconds: float = 60.0, what: str = "the condition") -> T:
    """Return the first answer that is true.

    Raises:
        TimeoutError: there is none in time.
    """
    pauses = _pauses(seconds, what)
    while not (found := condition()):
        time.sleep(next(pauses))
    return found


async def until(
    condition: Callable[[], Awaitable[T]] | Callable[[], T],
    *,
    seconds: float = 60.0,
    pause: float = 0.1,
    what: str = "the condition",
) -> T:
    """Return the first answer that is true; a coroutine function is awaited. ``pause`` is the longest between two.

    Raises:
        TimeoutError: there is none in time.
    """
    pauses = _pauses(seconds, what, pause)
    while True:
        answer = condition()
        found = await answer if inspect.isawaitable(answer) else answer
        if found:
            return found
        await asyncio.sleep(next(pauses))


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", *, seconds: float = 30.0) -> None:
    """Wait until a server listens at a port of the loopback interface.

    Raises:
        AssertionError: it has ended.
        TimeoutError: it does not listen in time.
    """

    def listens() -> bool:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, seconds=seconds, what=f"a server at port {port}")


def _pauses(seconds: float, what: str, longest: float = 0.1) -> Iterator[float]:
    """Give the pauses: so many seconds of them, since on a busy machine each look takes its time, too."""
    end, pause, paused = time.monotonic() + _BUSY * seconds, 0.005, 0.0
    while paused < seconds and time.monotonic() < end:
        yield pause
        paused += pause
        pause = min(pause * 1.5, longest)
    raise TimeoutError(f"{what} did not come true within {seconds:g} s")
