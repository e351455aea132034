"""The temporal part of CQL2: instants and intervals, related as in OGC 21-065r2 section 7.8.

An instant covers one microsecond. A full date is its first instant where it is compared, and all of its day
where it stands in a temporal function or ends an interval.
"""

import math
from collections.abc import Callable
from typing import Any

from edges.model import Json
from edges.stac.cql2_scalar import Test, Value
from edges.stac.datetimes import parse_day_or_instant

Span = tuple[float, float]
"""First and last microsecond since the epoch; infinities are open ends."""


def instant(text: Any) -> int | None:
    """Return the first microsecond of an instant or a date, or None where it is neither."""
    interval = parse_day_or_instant(text) if isinstance(text, str) else None
    return None if interval is None else interval.start


def instant_value(value: Value) -> Value:
    """Read a value as an instant; null where it is none."""
    return lambda item: instant(value(item))


def span(text: Any) -> Span | None:
    """Return what an instant or a date covers, or None where the text is neither."""
    interval = parse_day_or_instant(text) if isinstance(text, str) else None
    if interval is None or interval.start is None or interval.end is None:
        return None
    return (interval.start, interval.end)


def interval_value(start: Value | None, end: Value | None) -> Value:
    """Return the span from one instant to another; None is an open end, an unreadable end makes it null."""

    def value(item: Json) -> Span | None:
        first = (-math.inf, -math.inf) if start is None else span(start(item))
        last = (math.inf, math.inf) if end is None else span(end(item))
        return None if first is None or last is None else (first[0], last[1])

    return value


_RELATIONS: dict[str, Callable[[float, float, float, float], bool]] = {
    "t_after": lambda s1, _e1, _s2, e2: s1 > e2,
    "t_before": lambda _s1, e1, s2, _e2: e1 < s2,
    "t_contains": lambda s1, e1, s2, e2: s1 < s2 and e1 > e2,
    "t_disjoint": lambda s1, e1, s2, e2: e1 < s2 or s1 > e2,
    "t_during": lambda s1, e1, s2, e2: s1 > s2 and e1 < e2,
    "t_equals": lambda s1, e1, s2, e2: s1 == s2 and e1 == e2,
    "t_finishedBy": lambda s1, e1, s2, e2: s1 < s2 and e1 == e2,
    "t_finishes": lambda s1, e1, s2, e2: s1 > s2 and e1 == e2,
    "t_intersects": lambda s1, e1, s2, e2: s1 <= e2 and e1 >= s2,
    "t_meets": lambda _s1, e1, s2, _e2: e1 == s2,
    "t_metBy": lambda s1, _e1, _s2, e2: s1 == e2,
    "t_overlappedBy": lambda s1, e1, s2, e2: s2 < s1 < e2 and e1 > e2,
    "t_overlaps": lambda s1, e1, s2, e2: s1 < s2 < e1 < e2,
    "t_startedBy": lambda s1, e1, s2, e2: s1 == s2 and e1 > e2,
    "t_starts": lambda s1, e1, s2, e2: s1 == s2 and e1 < e2,
}


def relation(name: str, left: Value, right: Value) -> Test:
    """Relate two spans; unknown where one is null."""
    holds = _RELATIONS[name]

    def test(item: Json) -> bool | None:
        a, b = left(item), right(item)
        return None if a is None or b is None else holds(*a, *b)

    return test
