"""When a mirror is asked, too, because the first address is late. Pure."""

import math
from collections.abc import Sequence

REMEMBERED = 100
"""Times of the last answers that are looked at."""
LEAST = 10
"""Times that must be known before any answer is called late."""
QUANTILE = 0.95
SOONEST = 0.02
"""Seconds below which nothing is late: a mirror is not asked for the sake of the event loop's own noise."""
SHARE = 0.05
"""Mirrors are asked because of lateness for at most this part of the requests."""
CREDIT = 5.0


def late_after(seconds: Sequence[float]) -> float | None:
    """Return after how many seconds an answer is late, from the times of earlier ones; None while too few are known."""
    if len(seconds) < LEAST:
        return None
    ordered = sorted(seconds)
    return max(SOONEST, ordered[math.ceil(QUANTILE * len(ordered)) - 1])
