"""What of a query a provider of EODAG can be asked: where and when, rather too wide than too narrow. Pure."""

from typing import Any, Final

import shapely

from edges.model import Frozen, Interval, Json, Query
from edges.stac.datetimes import format_instant, parse_instant
from edges.stac.geometry import box_shape, query_shape

NATIVE = "ecmwf:"
"""The prefix of words that are a provider's own."""
_SLACK = 1_000_000
"""Microseconds: some providers leave out what lies exactly at an end."""


class Reach(Frozen):
    """Times are RFC 3339, the geometry is WKT; None where the query has no bound."""

    start: str | None = None
    end: str | None = None
    geometry: str | None = None


NOTHING: Final = Reach(geometry="POLYGON EMPTY")
"""What no item is within."""


def reach_of(query: Query) -> Reach:
    """Return when and where the query's matches can be; :data:`NOTHING` where there can be none.

    Raises:
        edges.errors.InvalidInput: the query's geometry cannot be used.
    """
    spans = [query.datetime or Interval(), *_spans(query.filter)]
    starts = [span.start for span in spans if span.start is not None]
    ends = [span.end for span in spans if span.end is not None]
    if (starts and ends and max(starts) > min(ends)) or _wants_no_time(query.filter):
        return NOTHING
    return Reach(
        start=format_instant(max(starts) - _SLACK) if starts else None,
        end=format_instant(min(ends) + _SLACK) if ends else None,
        geometry=_geometry(query),
    )


def native_of(query: Query) -> Json:
    """Return the values of the providers' own words (``ecmwf:variable``) that a query asks to be equal to.

    Providers that stage data search for nothing else: what they find stands for just these values.
    """
    found: Json = {}
    for test in _conjuncts(query.filter):
        for each in test["args"] if test.get("op") == "or" else [test]:
            told = _native(each)
            if told is not None:
                found.setdefault(*told)
    return found


def _native(test: Any) -> tuple[str, Any] | None:
    if not isinstance(test, dict) or test.get("op") not in ("=", "a_equals", "in"):
        return None
    prop, value = test["args"]
    name = prop.get("property") if isinstance(prop, dict) else None
    return (name, value) if isinstance(name, str) and name.startswith(NATIVE) else None


def _geometry(query: Query) -> str | None:
    if query.bbox is not None:
        return str(shapely.to_wkt(box_shape(query.bbox), rounding_precision=-1))
    if query.intersects is not None:
        return str(shapely.to_wkt(query_shape("intersects", query.intersects), rounding_precision=-1))
    return None


def _spans(filter_: Json | None) -> list[Interval]:
    """Return the times that the filter's conjuncts leave: what a search that goes on from a page says."""
    return [span for test in _conjuncts(filter_) if (span := _span(test)) is not None]


def _conjuncts(filter_: Json | None) -> list[Json]:
    if filter_ is None:
        return []
    if filter_.get("op") != "and":
        return [filter_]
    return [inner for part in filter_["args"] for inner in _conjuncts(part)]


def _span(test: Json) -> Interval | None:
    args = test.get("args") or []
    if test.get("op") not in ("<", "<=", ">", ">=", "=") or args[:1] != [{"property": "datetime"}]:
        return None
    moment = _moment(args[1])
    if moment is None:
        return None
    late, early = test["op"] in ("<", "<=", "="), test["op"] in (">", ">=", "=")
    return Interval(start=moment if early else None, end=moment if late else None)


def _moment(value: Any) -> int | None:
    text = value.get("timestamp") if isinstance(value, dict) else value
    try:
        return parse_instant(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _wants_no_time(filter_: Json | None) -> bool:
    """Tell whether only items without a time can match: a hub's items all have one, by which they are searched."""
    return any(test == {"op": "isNull", "args": [{"property": "datetime"}]} for test in _conjuncts(filter_))
