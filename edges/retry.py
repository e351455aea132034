"""The one decision whether a request to a site is made again, and when. Pure.

Only what may be repeated is asked about here: a search or a read, of whose answer nothing was used. A time-out is not
repeated (the time is gone), nor is an answer that broke off on its way (the site would send all of it again).
"""

from typing import Literal

from edges.http_dates import http_date
from edges.model import Frozen

Trouble = Literal["stale", "unreachable", "throttled", "overloaded", "broken", "timeout"]
"""``stale``: a kept connection was closed before it gave a byte. ``unreachable``: no connection. ``throttled``: 429 or
503 with ``Retry-After``. ``overloaded``: 429, 502, 503 or 504 without. ``broken``: it broke off within an answer."""

OVERLOADED = frozenset({429, 502, 503, 504})
"""Statuses that say nothing about the request itself: RFC 9110 section 15.6, RFC 6585 section 4."""
RESTFUL = frozenset({429, 503})
"""Statuses with which ``Retry-After`` asks for a pause (RFC 9110 section 10.2.3)."""


class RetryTerms(Frozen):
    """How often and how soon. Times in seconds; ``longest_rest`` bounds what a ``Retry-After`` can ask for."""

    attempts: int = 3
    first_pause: float = 0.1
    longest_pause: float = 2.0
    longest_rest: float = 300.0


def pause_before_retry(
    trouble: Trouble, *, attempt: int, left: float, jitter: float, terms: RetryTerms, rest: float | None = None
) -> float | None:
    """Return how many seconds to wait before the next attempt, or None to give up.

    ``attempt`` is the one that failed, counted from 1; ``left`` the seconds until the deadline; ``jitter`` a random
    number in 0..1; ``rest`` what the site asked for.
    """
    if attempt >= terms.attempts:
        return None
    if trouble == "stale":
        return 0.0 if attempt == 1 else None
    if trouble in ("broken", "timeout"):
        return None
    backoff = min(terms.longest_pause, terms.first_pause * 2 ** (attempt - 1)) * (0.5 + 0.5 * jitter)
    pause = backoff if rest is None else max(rest, backoff)
    return pause if pause < left / 2 else None


def retry_after(text: str | None, *, now: float, longest: float) -> float | None:
    """Read ``Retry-After`` (RFC 9110 section 10.2.3: seconds or an HTTP date) as seconds from ``now``.

    None where there is none, or it is neither. ``now`` is in seconds since 1970; the answer lies in 0..``longest``.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:64]), longest)
    moment = http_date(text)
    return None if moment is None else min(max(0.0, moment.timestamp() - now), longest)
