"""An item as rows: what is taken out of its JSON so that it can be found."""

from typing import Any, NamedTuple

import msgspec

from edges.catalogues.writing import check_id
from edges.errors import InvalidInput
from edges.stac.datetimes import sortable_instant
from edges.stac.geometry import Box, covering_boxes
from edges.stac.matching import covered_time
from edges.stac.order import INSTANT_FIELDS

COLUMNS = {
    "collection": "collection",
    "id": "id",
    "datetime": "datetime",
    "created": "created",
    "updated": "updated",
    "eo:cloud_cover": "cloud_cover",
    "platform": "platform",
    "gsd": "gsd",
}
"""The fields that have a column of their own, in the order of values of :mod:`edges.stac.order`."""

NEVER_NULL = frozenset({"collection", "id"})
EARLIEST, LATEST = -(1 << 62), (1 << 62)
"""Stand for open ends of time, in microseconds."""

_TEXT, _OTHER = b"\x01", b"\x02"  # blobs stand after numbers and text in SQLite, and compare byte by byte
_PROMOTED = ("created", "updated", "eo:cloud_cover", "platform", "gsd")


class _Properties(msgspec.Struct):
    datetime: str | None = None
    start_datetime: str | None = None
    end_datetime: str | None = None
    created: Any = None
    updated: Any = None
    cloud_cover: Any = msgspec.field(default=None, name="eo:cloud_cover")
    platform: Any = None
    gsd: Any = None


class _Item(msgspec.Struct):
    id: str
    properties: _Properties
    collection: str | None = None
    geometry: msgspec.Raw = msgspec.Raw(b"null")


class Row(NamedTuple):
    """What is stored of an item beside its bytes; ``lead``, ``lag`` and ``odd`` are its collection's facts."""

    collection: str
    item_id: str
    values: tuple[Any, ...]
    boxes: tuple[Box, ...]
    lead: int
    lag: int
    odd: bool


_DECODER = msgspec.json.Decoder(_Item)


def row_of(body: bytes, collection: str | None) -> Row:
    """Take an item apart; ``collection`` is where it goes if the item itself does not say.

    Raises:
        InvalidInput: the item cannot be stored; names the member and what would be right.
    """
    item = _decoded(body)
    geometry = bytes(item.geometry)
    if geometry[:1] not in (b"{", b"n"):
        raise InvalidInput("geometry", geometry[:40].decode("utf-8", "replace"), "a GeoJSON geometry or null")
    home = check_id("collection", collection if item.collection is None else item.collection)
    times = item.properties
    moment = sort_value("datetime", times.datetime)
    covered = covered_time(times.datetime, times.start_datetime, times.end_datetime)
    starts = ends = None
    if covered is not None:
        starts = EARLIEST if covered.start is None else covered.start
        ends = LATEST if covered.end is None else covered.end
    known = isinstance(moment, int) and starts is not None and ends is not None
    promoted = tuple(
        sort_value(name, value) for name, value in zip(_PROMOTED, msgspec.structs.astuple(times)[3:], strict=True)
    )
    boxes = covering_boxes(geometry)
    return Row(
        collection=home,
        item_id=check_id("id", item.id),
        values=(moment, starts, ends, *_outer(boxes), *promoted),
        boxes=boxes,
        lead=max(0, moment - starts) if known else 0,
        lag=max(0, ends - moment) if known else 0,
        odd=any(isinstance(value, bytes | str) for value in (moment, *promoted[:2])),
    )


def _decoded(body: bytes) -> _Item:
    try:
        if not body.isascii():
            body.decode()  # the decoder skips over what it does not need, even where it is no text
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput("item", str(error), "a STAC Item") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("item", f"not JSON ({error})", "a STAC Item") from error


def _outer(boxes: tuple[Box, ...]) -> tuple[float | None, ...]:
    if not boxes:
        return (None, None, None, None)
    wests, souths, easts, norths = zip(*boxes, strict=True)
    return (min(wests), min(souths), max(easts), max(norths))


def sort_value(field: str, value: Any) -> Any:
    """Return the SQLite value of a field, such that SQLite orders these as :mod:`edges.stac.order` does.

    >>> sort_value("gsd", 10), sort_value("gsd", True), sort_value("created", "1970-01-01T00:00:00Z")
    (10, '1', 0)
    """
    if value is None or field in NEVER_NULL:
        return value
    if isinstance(value, str):
        return _time_or_text(field, value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        exact = isinstance(value, float) or -(1 << 63) <= value < (1 << 63)
        return value if exact else float(value)
    return _OTHER + msgspec.json.encode(value)


def _time_or_text(field: str, text: str) -> int | bytes:
    instant = sortable_instant(text) if field in INSTANT_FIELDS else None
    return _TEXT + text.encode() if instant is None else instant  # what is no time sorts as the text that it is
