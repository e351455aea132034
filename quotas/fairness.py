"""Fair share: who of those that wait is next. Pure; times are in epoch seconds.

The order is by ``priority + age - PENALTY * decayed usage / weight``, all in seconds. Usage is how long what a
user was granted would have taken the whole limit for itself; it halves every week. Nobody starves: each second
of waiting counts one, priorities are bounded, and what others do can only take from their own score.
"""

import math
from collections.abc import Iterable, Mapping

from quotas.journal import Share, Waiting

HALF_LIFE_SECONDS = 7 * 86_400.0
"""After how long what was used counts half."""

ENTRY_SECONDS = 60.0
"""What being granted costs by itself: many small reservations are no way around."""

PENALTY = 1.0
"""How many seconds of waiting one second of the whole limit, used lately, costs."""

MAX_PRIORITY = 86_400.0
"""The most that somebody's priority can be, in seconds of waiting."""

PLACE_SECONDS = 120.0
"""How long a place in the line is kept for somebody who does not ask again."""

MAX_WAITING = 10_000
"""Most that can wait: the line is looked through whenever something comes free."""


def decayed(share: Share | None, now: float) -> float:
    """Return what of a usage counts now."""
    if share is None:
        return 0.0
    return share.amount * math.exp2(-max(0.0, now - share.at) / HALF_LIFE_SECONDS)


def used_more(share: Share | None, seconds: float, now: float) -> Share:
    """Add to a usage (or, if negative, take what was counted ahead back)."""
    return Share(amount=max(0.0, decayed(share, now) + seconds), at=now)


def score(waiting: Waiting, usage: float, weight: float, now: float) -> float:
    """Return how much somebody's turn it is, in seconds."""
    return waiting.priority + (now - waiting.since) - PENALTY * usage / weight


def in_order(
    line: Iterable[Waiting], usage: Mapping[tuple[str, str], Share], weights: Mapping[str, float], now: float
) -> list[Waiting]:
    """Return those who wait, the next one first; of equal ones the one that came first."""

    def rank(waiting: Waiting) -> tuple[float, float, str]:
        charge = waiting.charge
        used = decayed(usage.get((charge.group, charge.user)), now)
        return -score(waiting, used, weights[charge.group], now), waiting.since, waiting.key

    return sorted(line, key=rank)
