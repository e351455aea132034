"""Counting items: which bucket each is in. Pure; the one definition of what every aggregation means here.

Times are by ``datetime`` alone, in UTC; an item without one is in no bucket. Terms are texts (another value by its
JSON), numbers are numbers. A grid counts an item once in each cell that its geometry touches, or in the cell of its
centroid (``proj:centroid``, else the geometry's).
"""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import shapely

from edges.model import Members
from edges.stac.aggregation import RANGES, STEP, Aggregation, Interval, Key, Tally, Wanted
from edges.stac.datetimes import DAY_US, parse_instant
from edges.stac.geohash import cells, geohash

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDTHS: dict[Interval, int] = {"day": DAY_US, "hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000}
_THURSDAY_TO_MONDAY = 3 * DAY_US
"""The epoch was a Thursday."""
_MONTHS: dict[Interval, int] = {"year": 12, "quarter": 3, "month": 1}
_TEXT = msgspec.json.Decoder(str)
_NULL = msgspec.Raw(b"null")


def start_of(interval: Interval, instant: int) -> int:
    """Return the first microsecond of the calendar interval that an instant is in; weeks begin on Monday.

    >>> start_of("month", DAY_US * 40) == DAY_US * 31
    True
    """
    if interval in _WIDTHS:
        return instant - instant % _WIDTHS[interval]
    if interval == "week":
        return instant - (instant + _THURSDAY_TO_MONDAY) % (7 * DAY_US)
    moment = _EPOCH + timedelta(days=instant // DAY_US)
    months = _MONTHS[interval]
    first = moment.replace(month=(moment.month - 1) // months * months + 1, day=1)
    return (first - _EPOCH).days * DAY_US


def range_of(value: Any) -> int | None:
    """Return the number of the range that a value is in."""
    if not _is_number(value):
        return None
    return next(number for number, (_, end) in enumerate(RANGES) if end is None or value < end)


def step_of(value: Any) -> float | None:
    """Return the lower end of the interval that a value is in."""
    return math.floor(value / STEP) * STEP if _is_number(value) else None


def term_of(value: Any) -> str | None:
    """Return the term that a value counts as."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class Counting:
    """Counts items one by one; only the members that are looked at are decoded."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        fields = sorted({one.field for one in wanted.distributions} - {"collection", "geometry"} | {"datetime"})
        struct = msgspec.defstruct(
            "CountedProperties", [(f"f{n}", Any, msgspec.field(default=None, name=f)) for n, f in enumerate(fields)]
        )
        self._decode = msgspec.json.Decoder(struct).decode
        self._fields = fields
        self._total = 0
        self._first: int | None = None
        self._last: int | None = None
        self._counts: dict[str, dict[Key, int]] = {one.name: {} for one in wanted.distributions}
        self._missing = dict.fromkeys(self._counts, 0)
        self._keys: dict[str, Callable[[Members, dict[str, Any]], Iterable[Key]]] = {
            one.name: self._reader(one) for one in wanted.distributions
        }

    def add(self, item: Members) -> None:
        """Count an item.

        Raises:
            KeyError, msgspec.DecodeError: it is no item.
        """
        values = dict(zip(self._fields, msgspec.structs.astuple(self._decode(item["properties"])), strict=True))
        instant = values["datetime"] = _instant(values["datetime"])
        self._total += 1
        if instant is not None:
            self._first = instant if self._first is None else min(self._first, instant)
            self._last = instant if self._last is None else max(self._last, instant)
        for name, keys in self._keys.items():
            into, found = self._counts[name], False
            for key in keys(item, values):
                into[key] = into.get(key, 0) + 1
                found = True
            self._missing[name] += not found

    def tally(self) -> Tally:
        """Return the counts."""
        return Tally(total=self._total, first=self._first, last=self._last, counts=self._counts, missing=self._missing)

    def _reader(self, one: Aggregation) -> Callable[[Members, dict[str, Any]], Iterable[Key]]:
        field, interval = one.field, self._wanted.interval
        if field == "collection":
            return lambda item, _: (_TEXT.decode(item["collection"]),)
        if one.kind == "cells":
            precision = self._wanted.precision[one.name]
            read = _touched if field == "geometry" else _centred
            return lambda item, values: read(item, values, precision)
        if one.kind == "times":
            return lambda _, values: _some(None if values[field] is None else start_of(interval, values[field]))
        keys: dict[str, Callable[[Any], Key | None]] = {"terms": term_of, "ranges": range_of, "steps": step_of}
        key = keys[one.kind]
        return lambda _, values: _some(key(values[field]))


def _some(key: Key | None) -> tuple[Key, ...]:
    return () if key is None else (key,)


def _instant(value: Any) -> int | None:
    try:
        return parse_instant(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _touched(item: Members, values: dict[str, Any], precision: int) -> list[str]:
    shape = _shape(item)
    return [] if shape is None else cells(shape, precision) or []


def _centred(item: Members, values: dict[str, Any], precision: int) -> tuple[str, ...]:
    told = values["proj:centroid"]
    if isinstance(told, dict) and _is_number(told.get("lon")) and _is_number(told.get("lat")):
        return (geohash(told["lon"], told["lat"], precision),)
    shape = _shape(item)
    if shape is None or shape.is_empty:
        return ()
    centre = shape.centroid
    return (geohash(centre.x, centre.y, precision),)


def _shape(item: Members) -> Any:
    raw = bytes(item.get("geometry", _NULL))
    try:
        return None if raw == b"null" else shapely.from_geojson(raw)
    except (shapely.errors.ShapelyError, ValueError, UnicodeDecodeError):
        return None  # a geometry that is none touches nothing
