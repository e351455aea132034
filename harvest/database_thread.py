"""One thread that owns a connection, and carries out what is asked at the same time in one transaction."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from harvest.database import Connection, Together
from harvest.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_V = TypeVar("_V")

GROUP = 256
"""Acts that are committed together, at most."""

LINGER = 0.004
"""Seconds in which acts gather after a transaction of such as many ask for: the next flush serves more of them.

Whoever comes alone waits for nobody. Measured with 2,500 small objects: a third fewer transactions than with 1 ms, a
tenth less CPU, and no longer in all; with 8 ms the same work took longer.
"""


class Session(Protocol):
    """An open connection as its thread uses it; no other thread ever does."""

    @property
    def connection(self) -> Connection:
        """What acts are given."""
        ...

    def begin(self) -> None:
        """Begin a transaction that alone may write."""
        ...

    def commit(self) -> None:
        """Make it durable."""
        ...

    def roll_back(self) -> None:
        """Give the transaction up; raises nothing."""
        ...

    def mark(self) -> None:
        """Remember where the transaction is."""
        ...

    def undo(self) -> bool:
        """Go back to the mark; tell False where the whole transaction is lost."""
        ...

    def unmark(self) -> None:
        """Forget the mark."""
        ...

    def outdated(self, error: Exception) -> bool:
        """Tell whether a statement failed only because the schema went forward under it; the next try is another."""
        ...

    def told(self, error: Exception) -> Exception:
        """Return an error as callers are told of it: the engine's own are translated."""
        ...

    def close(self) -> None:
        """Close."""
        ...


Act = Callable[[Connection], Any]
"""What is carried out in a transaction; perhaps more than once, of which one is committed."""


class _Turn(NamedTuple):
    act: "Act | Together[Any, Any]"
    answer: "asyncio.Future[Any]"
    value: Any = None
    together: bool = False


class _Failed(NamedTuple):
    """Stands where an act has failed, in place of its result."""

    error: Exception


_Outcome = Any | _Failed


class DatabaseThread:
    """A :class:`harvest.database.Database` over a session, which ``connect`` opens, in the thread."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="harvest-db")
        self._session: Session | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._waiting: list[_Turn] = []
        self._busy = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            self._session = await self._loop.run_in_executor(self._thread, self._connect)
        except BaseException:  # nobody will call __aexit__: leave no thread behind
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None and self._loop is not None:
            await self._loop.run_in_executor(self._thread, self._session.close)
            self._session = None
        self._thread.shutdown(wait=True)

    async def run(self, act: Callable[[Connection], _T]) -> _T:
        """Run ``act`` in one transaction; see :class:`harvest.database.Database`."""
        result: _T = await self._in_turn(act)
        return result

    async def run_together(self, act: "Together[_V, _T]", value: _V) -> _T:
        """Run ``act`` over the values of all who ask for it; see :class:`harvest.database.Database`."""
        result: _T = await self._in_turn(act, value, together=True)
        return result

    async def _in_turn(self, act: "Act | Together[Any, Any]", value: Any = None, *, together: bool = False) -> Any:
        if self._session is None or self._loop is None:
            raise RuntimeError("the database is not open: enter it with `async with`")
        turn = _Turn(act, self._loop.create_future(), value, together)
        with self._lock:
            self._waiting.append(turn)
            idle, self._busy = not self._busy, True
        if idle:
            self._thread.submit(self._work, self._session, self._loop)
        return await turn.answer

    def _work(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        """Carry out all that waits, many in one commit, until nothing does (in the thread)."""
        while True:
            with self._lock:
                turns, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                self._busy = bool(turns)
            if not turns:
                return
            groups = _grouped(turns)
            try:
                outcomes = _together(session, groups)
            except BaseException as error:  # no act's: nobody may wait for ever, and the thread goes on
                logger.exception("a transaction broke")
                broken = DatabaseUnavailable(f"the orders' database: {type(error).__name__}")
                outcomes = [_Failed(broken) for _ in turns]
            loop.call_soon_threadsafe(_tell, [turn for group in groups for turn in group], outcomes)
            if any(turn.together for turn in turns):  # else nobody is about to ask for the same
                time.sleep(LINGER)


def _grouped(turns: Sequence[_Turn]) -> list[list[_Turn]]:
    """Put those together that ask for the same act; the others stand alone."""
    groups: list[list[_Turn]] = []
    alike: dict[Any, list[_Turn]] = {}
    for turn in turns:
        if turn.together and turn.act in alike:
            alike[turn.act].append(turn)
            continue
        groups.append([turn])
        if turn.together:
            alike[turn.act] = groups[-1]
    return groups


def _together(session: Session, groups: Sequence[Sequence[_Turn]]) -> list[_Outcome]:
    """Carry out several acts in one transaction; where it cannot be committed, all have failed.

    Most never fail, and go without a mark each. Where one does, nothing was committed: all are carried out again, each
    for itself. A newer release that brings the schema forward meanwhile makes none fail.
    """
    try:
        try:
            return _committed(session, groups, _plainly)
        except Exception as error:  # of the acts, which are the callers': judged, and raised again
            if not isinstance(error, _Spoiled) and not session.outdated(error):
                raise
        return _committed(session, [[turn] for group in groups for turn in group], _apart)
    except Exception as error:  # noqa: BLE001 - told to whoever waits
        return [_Failed(session.told(error)) for group in groups for _ in group]


class _Spoiled(Exception):
    """One of several acts has failed."""


def _committed(
    session: Session,
    groups: Sequence[Sequence[_Turn]],
    carried_out: Callable[[Session, Sequence[_Turn]], list[_Outcome]],
) -> list[_Outcome]:
    session.begin()
    try:
        if len(groups) == 1 and len(groups[0]) == 1:
            outcomes = _outcomes(session, groups[0])
        else:
            outcomes = [outcome for group in groups for outcome in carried_out(session, group)]
        session.commit()
    except BaseException:  # whatever ended the acts, the transaction must not stay open
        session.roll_back()
        raise
    return outcomes


def _outcomes(session: Session, group: Sequence[_Turn]) -> list[_Outcome]:
    act: Any = group[0].act
    if not group[0].together:
        return [act(session.connection)]
    results = act(session.connection, [turn.value for turn in group])
    return [_Failed(each) if isinstance(each, Exception) else each for each in results]


def _plainly(session: Session, group: Sequence[_Turn]) -> list[_Outcome]:
    try:
        return _outcomes(session, group)
    except Exception as error:  # the boundary to an act, which is its caller's
        raise _Spoiled from error


def _apart(session: Session, group: Sequence[_Turn]) -> list[_Outcome]:
    """Carry out one act; what it raises undoes it, and not the others."""
    session.mark()
    try:
        outcomes = _outcomes(session, group)
    except Exception as error:  # the boundary to an act: what it raises goes to who gave it
        if not session.undo():  # the database itself gave up (full, broken, gone)
            raise
        outcomes = [_Failed(session.told(error))]
    session.unmark()
    return outcomes


def _tell(turns: Sequence[_Turn], outcomes: Sequence[_Outcome]) -> None:
    for turn, outcome in zip(turns, outcomes, strict=True):
        if turn.answer.done():
            continue
        if isinstance(outcome, _Failed):
            turn.answer.set_exception(outcome.error)
        else:
            turn.answer.set_result(outcome)
