"""Writes down what processes beside tell: many acts of a kind with one statement, the others each by itself."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from harvest.beside.tellers import FORESEEN, told_of
from harvest.beside.wire import Act, Answered, Key
from harvest.claims import LOST, ObjectClaim
from harvest.claims_together import Checked
from harvest.desk_counter import ACTS, TURNS, at_sites
from harvest.desk_own import OwnDesk
from harvest.desk_wire import Covered
from harvest.errors import ActUnknown, ClaimLost
from harvest.turns import DatabaseTurns
from quotas.errors import QuotaExceeded

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

Answer = Callable[[Sequence[Answered]], None]
Claims = Mapping[Key, ObjectClaim]

_NOTHING = msgspec.msgpack.encode(None)
_COVERED = msgspec.msgpack.encode(Covered())


class Clerk:
    """Answers acts on claims, in any order."""

    def __init__(self, *, desk: OwnDesk, turns: DatabaseTurns) -> None:
        self._desk = desk
        self._turns = turns
        self._works: set[asyncio.Task[None]] = set()

    def write(self, acts: Sequence[Act], claims: Claims, answer: Answer) -> None:
        """Begin to write acts down; each is answered once it stands. ``claims`` are those of who tells."""
        checked, available = [], []
        for act in acts:
            claim = _claim(act, claims)
            if claim is None and act.verb not in TURNS:
                answer([_answered(act.number, ClaimLost(LOST))])
            elif claim is not None and act.verb == "checked":
                told = Checked(claim=claim, total=act.deed.total or 0, digest=act.deed.digest)
                checked.append((act.number, told))
            elif claim is not None and act.verb == "available" and act.deed.moved:
                available.append((act.number, claim, act.deed.moved))
            else:
                self._begin(self._one(act, claim, answer))
        if checked:
            self._begin(self._checked(checked, answer))
        if available:
            self._begin(self._available(available, answer))

    async def leave(self) -> None:
        """Wait until all that was begun is written down."""
        await asyncio.gather(*self._works, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="harvest-clerk")
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    async def _checked(self, told: Sequence[tuple[int, Checked]], answer: Answer) -> None:
        ends = await _each(self._desk.checked_together([each for _, each in told]), len(told))
        answer([_covered(number, end) for (number, _), end in zip(told, ends, strict=True)])

    async def _available(self, told: Sequence[tuple[int, ObjectClaim, int]], answer: Answer) -> None:
        ends = await _each(self._desk.available_together([(claim, moved) for _, claim, moved in told]), len(told))
        answer([_answered(number, end) for (number, _, _), end in zip(told, ends, strict=True)])

    async def _one(self, act: Act, claim: ObjectClaim | None, answer: Answer) -> None:
        told = await _told(self._done(act, claim))
        if isinstance(told, Exception):
            answer([_answered(act.number, told)])
        else:
            answer([Answered(number=act.number, body=msgspec.msgpack.encode(told))])

    async def _done(self, act: Act, claim: ObjectClaim | None) -> object:
        if claim is None:
            return await at_sites(self._turns, act.verb, act.deed)
        if act.verb not in ACTS:
            raise ActUnknown(f"{act.verb[:40]!r} is nothing that can be done")
        return await ACTS[act.verb](self._desk, claim, act.deed)


async def _each(acts: Awaitable[Sequence[Exception | None]], count: int) -> Sequence[Exception | None]:
    """Return how each of some acts ended that are written down together."""
    ends = await _told(acts)
    return [ends] * count if isinstance(ends, Exception) else ends


async def _told(act: Awaitable[_T]) -> _T | Exception:
    """Return what an act is to be answered, whatever happens: work that is not answered waits for ever."""
    try:
        return await act
    except FORESEEN as error:
        return error
    except Exception as error:  # the boundary to who tells
        logger.exception("an act could not be written down")
        return error


def _claim(act: Act, claims: Claims) -> ObjectClaim | None:
    """Return the claim that an act is on, with the source that is being read."""
    claim = claims.get((act.deed.id, act.deed.fence))
    if claim is None or act.deed.source is None:
        return claim
    return msgspec.structs.replace(claim, source=act.deed.source, validator=act.deed.validator)


def _covered(number: int, end: Exception | None) -> Answered:
    if end is None:
        return Answered(number=number, body=_COVERED)
    if isinstance(end, QuotaExceeded):
        return Answered(number=number, body=msgspec.msgpack.encode(Covered(refusal=end.refusal)))
    return _answered(number, end)


def _answered(number: int, end: Exception | None) -> Answered:
    if end is None:
        return Answered(number=number, body=_NOTHING)
    failed, reason = told_of(end)
    return Answered(number=number, failed=failed, reason=reason)
