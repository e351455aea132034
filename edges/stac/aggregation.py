"""The words of the Aggregation extension (v0.3.0): what can be asked for, counts and how they add up. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from edges.stac.geohash import MAX_PRECISION
from edges.stac.limits import decode_object

AGGREGATION_CONFORMANCE: tuple[str, ...] = (
    "https://api.stacspec.org/v0.3.0/aggregation",
    "https://api.stacspec.org/v0.3.0/aggregation#query",
    "https://api.stacspec.org/v0.3.0/aggregation#filter",
)
OWN_CLASS = "urn:lakegate:aggregation:1"
"""Declared by servers that count exactly as this module says: null, missing and odd values, and shapes in grids."""

Key = str | int | float
"""Of a bucket: a term, a range's number, the lower end of an interval, an instant in microseconds."""
Kind = Literal["count", "instant", "terms", "ranges", "steps", "times", "cells"]


class Aggregation(Frozen):
    """One aggregation: its kind and the property that it looks at (or ``collection``, ``geometry``)."""

    name: str
    kind: Kind
    field: str = ""

    @property
    def has_buckets(self) -> bool:
        """Tell whether it is a distribution."""
        return self.kind not in ("count", "instant")


AGGREGATIONS: Mapping[str, Aggregation] = {
    one.name: one
    for one in (
        Aggregation(name="total_count", kind="count"),
        Aggregation(name="datetime_min", kind="instant", field="datetime"),
        Aggregation(name="datetime_max", kind="instant", field="datetime"),
        Aggregation(name="datetime_frequency", kind="times", field="datetime"),
        Aggregation(name="collection_frequency", kind="terms", field="collection"),
        Aggregation(name="platform_frequency", kind="terms", field="platform"),
        Aggregation(name="grid_code_frequency", kind="terms", field="grid:code"),
        Aggregation(name="cloud_cover_frequency", kind="ranges", field="eo:cloud_cover"),
        Aggregation(name="sun_elevation_frequency", kind="steps", field="view:sun_elevation"),
        Aggregation(name="sun_azimuth_frequency", kind="steps", field="view:sun_azimuth"),
        Aggregation(name="off_nadir_frequency", kind="steps", field="view:off_nadir"),
        Aggregation(name="geometry_geohash_grid_frequency", kind="cells", field="geometry"),
        Aggregation(name="centroid_geohash_grid_frequency", kind="cells", field="proj:centroid"),
    )
}
"""By name, in the order in which they are told."""

RANGES: tuple[tuple[float | None, float | None], ...] = ((None, 5.0), (5.0, 15.0), (15.0, 40.0), (40.0, None))
"""Of cloud cover in percent, from (inclusive) and to (exclusive): those of the servers that others run."""
STEP = 5.0
"""Width of the intervals of an angle, in degrees."""
MAX_BUCKETS = 10_000
"""Most buckets of one aggregation; what is in the rarest others is told as overflow."""

Interval = Literal["year", "quarter", "month", "week", "day", "hour", "minute", "second"]
INTERVALS: tuple[Interval, ...] = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")


class Wanted(Frozen):
    """What is to be aggregated. ``precision`` is the length of geohash cells' names, by aggregation."""

    names: tuple[str, ...]
    interval: Interval = "month"
    precision: Mapping[str, int] = {}

    @property
    def distributions(self) -> tuple[Aggregation, ...]:
        """Return the wanted aggregations that have buckets."""
        return tuple(AGGREGATIONS[name] for name in self.names if AGGREGATIONS[name].has_buckets)


class Tally(Frozen):
    """Counts of some items: all, the first and last ``datetime`` (microseconds), and each distribution's.

    ``missing`` are the items that are in no bucket, by distribution: the property is missing, null, or of another type.
    """

    total: int = 0
    first: int | None = None
    last: int | None = None
    counts: Mapping[str, Mapping[Key, int]] = {}
    missing: Mapping[str, int] = {}


def wanted_from_get(parameters: Mapping[str, str]) -> Wanted:
    """Read the parameters of ``GET /aggregate``.

    Raises:
        InvalidInput: naming what is wrong.
    """
    names = parameters.get("aggregations", "")
    return _wanted([name.strip() for name in names.split(",") if name.strip()], parameters)


def wanted_from_post(body: bytes) -> Wanted:
    """Read the body of ``POST /aggregate``.

    Raises:
        InvalidInput: naming what is wrong.
    """
    members = decode_object("body", body) if body.strip() else {}
    return _wanted(members.get("aggregations"), {name: value for name, value in members.items() if value is not None})


def _wanted(names: Any, given: Mapping[str, Any]) -> Wanted:
    right = f"some of {', '.join(AGGREGATIONS)}"
    if not isinstance(names, list) or not names:
        raise InvalidInput("aggregations", "none is named", right)
    for name in names:
        if not isinstance(name, str) or name not in AGGREGATIONS:
            raise InvalidInput("aggregations", f"{name!r}"[:80], right)
    interval = given.get("datetime_frequency_interval", "month")
    if interval not in INTERVALS:
        raise InvalidInput("datetime_frequency_interval", f"{interval!r}"[:40], f"one of {', '.join(INTERVALS)}")
    cells = [name for name in names if AGGREGATIONS[name].kind == "cells"]
    precision = {name: _precision(f"{name}_precision", given) for name in cells}
    return Wanted(names=tuple(dict.fromkeys(names)), interval=interval, precision=precision)


def _precision(field: str, given: Mapping[str, Any]) -> int:
    value = given.get(field, 1)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_PRECISION:
        raise InvalidInput(field, f"{value!r}"[:40], f"1 to {MAX_PRECISION}")
    return value


def wanted_to_post(wanted: Wanted) -> Json:
    """Return the members of a ``POST /aggregate`` body that ask for it."""
    body: Json = {"aggregations": list(wanted.names)}
    if "datetime_frequency" in wanted.names:
        body["datetime_frequency_interval"] = wanted.interval
    return body | {f"{name}_precision": value for name, value in wanted.precision.items()}


def united(tallies: Iterable[Tally]) -> Tally:
    """Return the counts of several disjoint sets of items together."""
    total, counts, missing = 0, dict[str, dict[Key, int]](), dict[str, int]()
    firsts, lasts = list[int](), list[int]()
    for tally in tallies:
        total += tally.total
        firsts += [tally.first] if tally.first is not None else []
        lasts += [tally.last] if tally.last is not None else []
        for name, buckets in tally.counts.items():
            into = counts.setdefault(name, {})
            for key, count in buckets.items():
                into[key] = into.get(key, 0) + count
        for name, count in tally.missing.items():
            missing[name] = missing.get(name, 0) + count
    return Tally(
        total=total,
        first=min(firsts, default=None),
        last=max(lasts, default=None),
        counts=counts,
        missing=missing,
    )
