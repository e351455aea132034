"""Reservations that wait their turn, where the policies in their way say ``queue``."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from quotas.book import Asked
from quotas.ledger import Adjustments, Ledger, WaitingLine
from quotas.model import Lease, Refusal
from quotas.records import Ticket

PATIENCE_SECONDS = 25.0
"""How long a request waits for its turn: less than Jupyter's client does for an answer (42 s)."""
TURN_SECONDS = 0.5
"""How often it asks whether it is its turn."""


class QueueingLedger(Ledger, WaitingLine, Protocol):
    """A ledger in which one can wait."""


class TrimmingLedger(QueueingLedger, Adjustments, Protocol):
    """A ledger in which one can wait, or take less."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long one waits for a turn, in ``seconds`` by a ``clock``, and by what one ``pause`` lasts."""

    seconds: float = PATIENCE_SECONDS
    clock: Callable[[], float] = time.time
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


_USUAL = Patience()


async def reserve_in_turn(
    ledger: QueueingLedger, key: str, asked: Asked, patience: Patience = _USUAL
) -> Lease | Refusal:
    """Reserve, as :meth:`quotas.ledger.Ledger.reserve`; where that may wait, in the fair order of the line.

    Where ``patience`` is over the place is given up, and the refusal tells the position and when it will fit.

    Raises:
        QuotaExceeded: it can never fit.
        LineFull: too many wait already.
    """
    first = await ledger.reserve(key, asked.charge, asked.lines, ttl=asked.ttl, why=asked.why)
    if isinstance(first, Lease) or first.on_exceed != "queue" or first.never:
        return first
    until = patience.clock() + patience.seconds
    try:
        while True:
            answer = await ledger.line_up(key, asked.charge, asked.lines, ttl=asked.ttl, why=asked.why)
            if isinstance(answer, Lease):
                return answer
            if patience.clock() >= until:
                return _refusal(answer, patience.clock())
            await patience.pause(TURN_SECONDS)
    finally:
        await ledger.leave_line(key)  # who was granted has left it already


def _refusal(ticket: Ticket, now: float) -> Refusal:
    expected = ticket.expected_at
    told = tuple(msgspec.structs.replace(each, position=ticket.position) for each in ticket.waits_for)
    return Refusal(violated=told, retry_after=None if expected is None else max(0.0, expected - now))
