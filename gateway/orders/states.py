"""How an order moves on: ordered, shipping, then succeeded, failed or canceled. Pure."""

import msgspec

from edges.ordering.model import OrderReport, OrderStatus
from gateway.orders.model import Staging

_RANKS: dict[OrderStatus, int] = {"ordered": 0, "shipping": 1, "succeeded": 2, "failed": 2, "canceled": 2}
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 1.0, 30.0, 1.5
"""Seconds between two questions to a provider: at first, at most, and how they grow while nothing changes."""


def pause_of(asked: int) -> float:
    """Return how long a provider is left alone that was asked so often in vain.

    >>> [pause_of(n) for n in (0, 1, 2, 100)]
    [1.0, 1.5, 2.25, 30.0]
    """
    return min(LONGEST_PAUSE, FIRST_PAUSE * GROWTH ** min(asked, 20))


def advanced(staging: Staging, *, report: OrderReport, now: float, keep_seconds: float) -> Staging:
    """Return a staging after its provider's word; an order that has ended stays as it is, and none goes back."""
    if staging.ended:
        return _free(staging)
    moved = _RANKS[report.status] > _RANKS[staging.status]
    status = report.status if moved else staging.status
    asked = 0 if moved else staging.asked + 1
    told = msgspec.structs.replace(
        _free(staging),
        status=status,
        handle=report.handle,
        item=report.item if status == "succeeded" else None,
        reason=report.reason,
        asked=asked,
        changed_at=now if moved else staging.changed_at,
        due_at=now + max(report.pause or 0.0, pause_of(asked)),
    )
    return msgspec.structs.replace(told, ends_at=now + keep_seconds) if told.ended else told


def postponed(staging: Staging, *, reason: str, now: float) -> Staging:
    """Return a staging whose provider could not be asked: it is asked again, later and later."""
    pause = pause_of(staging.asked + 1)
    return msgspec.structs.replace(_free(staging), reason=reason, asked=staging.asked + 1, due_at=now + pause)


def ended(staging: Staging, status: OrderStatus, *, reason: str, now: float, keep_seconds: float) -> Staging:
    """Return a staging that is over, and why."""
    if staging.ended:
        return _free(staging)
    return msgspec.structs.replace(
        _free(staging), status=status, reason=reason, changed_at=now, ends_at=now + keep_seconds
    )


def held(staging: Staging, holder: str, now: float, *, seconds: float) -> Staging | None:
    """Return a staging whose provider is asked by ``holder`` now; None where it is not due, or somebody else asks."""
    if staging.ended or staging.due_at > now or staging.held_until > now:
        return None
    return msgspec.structs.replace(staging, holder=holder, held_until=now + seconds)


def overdue(staging: Staging, now: float) -> bool:
    """Tell whether an order was waited for long enough, or told of long enough after its end."""
    return staging.ends_at <= now


def usable(staging: Staging, now: float) -> bool:
    """Tell whether who asks for the same data now is served by this order."""
    return staging.status not in ("failed", "canceled") and not overdue(staging, now)


def _free(staging: Staging) -> Staging:
    return msgspec.structs.replace(staging, holder="", held_until=0.0)
