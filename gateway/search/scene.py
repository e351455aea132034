"""What an item shows of the scene behind it: a mission's names and times, however its provider spells them. Pure.

The ladder (an observation holds products, a product holds encodings, an encoding replicas): an *observation* is what
the instrument saw, by mission, acquisition and place; a *product* is one production of it. What cannot be told apart
with certainty has no identity here, and is never taken for a copy.
"""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from edges.model import Frozen, Members
from edges.stac.matching import covered_time

Span = tuple[int, int]
"""First and last moment, in microseconds since 1970-01-01T00:00:00Z."""

_SUFFIX = re.compile(r"\.(SAFE|SEN3|zip|ZIP|nc|hdf|h5|tar|tif)$")
_TEXT = msgspec.json.Decoder(str)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MINUTE = 60 * 1_000_000
_DAY = 24 * 60 * _MINUTE


class Scene(Frozen):
    """The identity of what an item shows.

    ``observation`` and ``product`` are None where they are not known. ``around`` holds the times of all its copies,
    whichever moment of the acquisition their providers call ``datetime``.
    """

    observation: tuple[str, ...] | None
    product: tuple[str, ...] | None
    around: Span


class Told(msgspec.Struct, frozen=True, gc=False):
    """The properties that tell of a scene, as read: of any JSON type."""

    platform: Any = None
    datetime: Any = None
    start_datetime: Any = None
    end_datetime: Any = None
    identifier: Any = None
    grid_code: Any = msgspec.field(default=None, name="grid:code")
    mgrs_tile: Any = msgspec.field(default=None, name="s2:mgrs_tile")
    product_uri: Any = msgspec.field(default=None, name="s2:product_uri")
    product_id: Any = msgspec.field(default=None, name="sentinel:product_id")
    product_title: Any = msgspec.field(default=None, name="sentinel2:product_title")
    s2_type: Any = msgspec.field(default=None, name="s2:product_type")
    s2_datatake: Any = msgspec.field(default=None, name="s2:datatake_id")
    s2_datastrip: Any = msgspec.field(default=None, name="s2:datastrip_id")
    eopf_datatake: Any = msgspec.field(default=None, name="eopf:datatake_id")
    eopf_datastrip: Any = msgspec.field(default=None, name="eopf:datastrip_id")
    s2_generated: Any = msgspec.field(default=None, name="s2:generation_time")
    s1_product: Any = msgspec.field(default=None, name="s1:product_identifier")
    s1_processed: Any = msgspec.field(default=None, name="s1:processing_datetime")
    landsat_product: Any = msgspec.field(default=None, name="landsat:product_id")
    landsat_generated: Any = msgspec.field(default=None, name="landsat:product_generated")
    product_type: Any = msgspec.field(default=None, name="product:type")
    timeliness: Any = msgspec.field(default=None, name="product:timeliness")
    level: Any = msgspec.field(default=None, name="processing:level")
    version: Any = msgspec.field(default=None, name="processing:version")
    processed: Any = msgspec.field(default=None, name="processing:datetime")
    sar_mode: Any = msgspec.field(default=None, name="sar:instrument_mode")
    sar_type: Any = msgspec.field(default=None, name="sar:product_type")


_TOLD = msgspec.json.Decoder(Told)


class Facts(msgspec.Struct, frozen=True, gc=False):
    """An item, as far as identity goes. ``assets`` is raw JSON, where names of products may stand in addresses."""

    id: str
    collection: str
    told: Told
    assets: bytes
    bbox: bytes

    def names(self, *fields: Any) -> Iterator[str]:
        """Yield what may be a product's name, without the suffix of a file: these fields, then the id."""
        for name in (*fields, self.told.identifier, self.id):
            if isinstance(name, str):
                yield _SUFFIX.sub("", name)


def facts_of(item: Members) -> Facts | None:
    """Read an item; None where it is no item."""
    try:
        return Facts(
            id=_TEXT.decode(item["id"]),
            collection=_TEXT.decode(item["collection"]),
            told=_TOLD.decode(item["properties"]),
            assets=bytes(item.get("assets", b"{}")),
            bbox=bytes(item.get("bbox", b"")),
        )
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def named(pattern: re.Pattern[str], facts: Facts, *fields: Any) -> re.Match[str] | None:
    """Return the first name that is, as a whole, of this pattern."""
    return next((match for name in facts.names(*fields) if (match := pattern.fullmatch(name))), None)


def compact_time(value: Any) -> str | None:
    """Return a time as product names write it, to the second.

    >>> compact_time("2024-04-03T01:23:53.000000Z")
    '20240403T012353'
    """
    if not isinstance(value, str):
        return None
    digits = re.sub(r"\D", "", value[:19])
    return f"{digits[:8]}T{digits[8:]}" if len(digits) == 14 else None


def moment(name: str) -> int | None:
    """Return the moment that a name writes as ``20240402T174230``, ``20240402``, ``2024093`` or ``2024093T174230``."""
    day, _, time = name.partition("T")
    try:
        parsed = dt.datetime.strptime(
            day + (time or "000000"), "%Y%j%H%M%S" if len(day) == 7 else "%Y%m%d%H%M%S"
        ).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    return (parsed - _EPOCH) // dt.timedelta(microseconds=1)


def from_moment(name: str, *, before: int, after: int) -> Span | None:
    """Return the span around a named moment, in minutes before and after it."""
    middle = moment(name)
    return None if middle is None else (middle - before * _MINUTE, middle + after * _MINUTE)


def whole_day(name: str, *, days: int = 1) -> Span | None:
    """Return the days from a named one on, with two hours to either side."""
    return from_moment(name, before=120, after=days * (_DAY // _MINUTE) + 120)


def covered_span(facts: Facts) -> Span | None:
    """Return the times of an item's copies where no mission's rules know them: its own, with two hours to each side."""
    told = facts.told
    texts = [
        text if isinstance(text, str) else None for text in (told.datetime, told.start_datetime, told.end_datetime)
    ]
    own = covered_time(*texts)
    if own is None or own.start is None or own.end is None:
        return None
    return (own.start - 120 * _MINUTE, own.end + 120 * _MINUTE)
