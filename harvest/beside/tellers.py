"""The side of a process beside: what it tells, gathered for a moment, and the answers that it waits for."""

import asyncio
import logging
from itertools import count
from typing import TypeVar

import msgspec

from harvest.beside.wire import Act, Answered, Ended, Failed, Noted, Pipe, Up
from harvest.claims import LOST
from harvest.desk_wire import Deed
from harvest.errors import ClaimLost, DatabaseUnavailable, HarvestError
from quotas.errors import LedgerUnavailable, QuotaError

_T = TypeVar("_T")

GATHER_SECONDS = 0.002
"""How long acts are gathered: those of many small objects go in one frame, and into one statement."""

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What each log record has of itself; all else was told with it."""

FORESEEN = (HarvestError, QuotaError)
"""What an act, or the work on a claim, may fail with; anything else is a fault of ours."""

_WORDS: tuple[tuple[type[Exception], Failed], ...] = (
    (ClaimLost, "lost"),
    (DatabaseUnavailable, "unavailable"),
    (QuotaError, "ledger"),
)


class Post:
    """Sends what is told, a moment later, together."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._acts: list[Act] = []
        self._ended: list[Ended] = []
        self._noted: list[Noted] = []
        self._sending: asyncio.TimerHandle | None = None

    def act(self, act: Act) -> None:
        """Tell an act."""
        self._acts.append(act)
        self._soon()

    def ended(self, ended: Ended) -> None:
        """Tell an end."""
        self._ended.append(ended)
        self._soon()

    def noted(self, noted: Noted) -> None:
        """Tell a record for the log."""
        self._noted.append(noted)
        self._soon()

    def alive(self) -> None:
        """Tell something."""
        self._soon()

    def _soon(self) -> None:
        if self._sending is None:
            self._sending = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._send)

    def _send(self) -> None:
        self._sending = None
        up = Up(acts=tuple(self._acts), ended=tuple(self._ended), noted=tuple(self._noted))
        self._acts, self._ended, self._noted = [], [], []
        self._pipe.send(up)


class PostHandler(logging.Handler):
    """Sends log records home, where they are logged as everything else is."""

    def __init__(self, post: Post) -> None:
        super().__init__()
        self._post = post
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one, from whichever thread."""
        extra = {name: str(value) for name, value in vars(record).items() if name not in _PLAIN}
        if record.exc_info:
            extra["error"] = logging.Formatter().formatException(record.exc_info)
        noted = Noted(logger=record.name, level=record.levelno, message=record.getMessage(), extra=extra)
        self._loop.call_soon_threadsafe(self._post.noted, noted)


class PipeTeller:
    """A :class:`harvest.desk_far.Teller` by a pipe."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}

    async def ask(self, verb: str, deed: Deed, kind: type[_T]) -> _T:
        """Ask for something."""
        return msgspec.msgpack.decode(await self.call(verb, deed), type=kind)

    async def call(self, verb: str, deed: Deed) -> bytes:
        """Tell an act, and wait until it is written down."""
        number = next(self._numbers)
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        self._post.act(Act(number=number, verb=verb, deed=deed))
        try:
            return await waiting
        finally:
            del self._waiting[number]

    def answered(self, answered: Answered) -> None:
        """Let whoever waits have the answer."""
        waiting = self._waiting.get(answered.number)
        if waiting is None or waiting.done():
            return
        if answered.failed:
            waiting.set_exception(failure(answered.failed, answered.reason))
        else:
            waiting.set_result(answered.body)


def told_of(error: Exception) -> tuple[Failed, str]:
    """Return the word and the reason by which the other side is told of an error; see :func:`failure`."""
    failed: Failed = next((word for kind, word in _WORDS if isinstance(error, kind)), "broken")
    return failed, str(error) if isinstance(error, FORESEEN) else type(error).__name__


def failure(failed: Failed, reason: str) -> Exception:
    """Return what is raised for something that did not end well."""
    if failed == "lost":
        return ClaimLost(reason or LOST)
    if failed == "unavailable":
        return DatabaseUnavailable(reason)
    if failed == "ledger":
        return LedgerUnavailable(reason)
    return HarvestError(reason)
