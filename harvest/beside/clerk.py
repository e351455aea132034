"""Writes down what processes beside tell: many acts of a kind with one statement, the others each by itself."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from harvest.beside.wire import Act, Answered, Failed, Key
from harvest.claims import LOST, ObjectClaim
from harvest.claims_together import Checked
from harvest.desk_counter import ACTS, TURNS, at_sites
from harvest.desk_own import OwnDesk
from harvest.desk_wire import Covered
from harvest.errors import ActUnknown, ClaimLost, HarvestError
from harvest.turns import DatabaseTurns
from quotas.errors import QuotaError, QuotaExceeded

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
                answer([Answered(number=act.number, failed="lost", reason=LOST)])
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
        try:
            ends = await self._desk.checked_together([each for _, each in told])
        except HarvestError as error:
            ends = [error] * len(told)
        answer([_covered(number, end) for (number, _), end in zip(told, ends, strict=True)])

    async def _available(self, told: Sequence[tuple[int, ObjectClaim, int]], answer: Answer) -> None:
        try:
            ends = await self._desk.available_together([(claim, moved) for _, claim, moved in told])
        except HarvestError as error:
            ends = [error] * len(told)
        answer([_answered(number, end) for (number, _, _), end in zip(told, ends, strict=True)])

    async def _one(self, act: Act, claim: ObjectClaim | None, answer: Answer) -> None:
        try:
            if claim is None:
                told: object = await at_sites(self._turns, act.verb, act.deed)
            elif act.verb in ACTS:
                told = await ACTS[act.verb](self._desk, claim, act.deed)
            else:
                raise ActUnknown(f"{act.verb[:40]!r} is nothing that can be done")
        except (HarvestError, QuotaError) as error:
            answer([_answered(act.number, error)])
        else:
            answer([Answered(number=act.number, body=msgspec.msgpack.encode(told))])


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
    kinds: tuple[tuple[type[Exception], Failed], ...] = ((ClaimLost, "lost"), (QuotaError, "ledger"))
    failed: Failed = next((failed for kind, failed in kinds if isinstance(end, kind)), "unavailable")
    return Answered(number=number, failed=failed, reason=str(end))
