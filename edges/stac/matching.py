"""Does this item match this query? The whole query, checked on one item whose members are still bytes."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from edges.model import Interval, Json, Members, Query
from edges.stac.cql2 import compile_filter, property_names
from edges.stac.cql2_scalar import TOP_LEVEL, Test
from edges.stac.datetimes import sortable_instant
from edges.stac.free_text import compile_text, item_text
from edges.stac.geometry import box_test, query_shape, shape_test

Match = Callable[[Members], bool]
"""Tells whether an item matches; an item that cannot be read does not."""

_NULL = msgspec.Raw(b"null")


class _Times(msgspec.Struct, frozen=True):
    datetime: str | None = None
    start_datetime: str | None = None
    end_datetime: str | None = None


_TIMES = msgspec.json.Decoder(_Times)
_TEXT = msgspec.json.Decoder(str)
_ANY = msgspec.json.Decoder()
_NO_TEXTS: Mapping[str, str] = {}


def compile_query(query: Query, about: Mapping[str, str] = _NO_TEXTS) -> Match:
    """Compile a query into a test of one item; only the members that the query needs are decoded.

    Limit, order and fields play no part. An item without a geometry matches no ``bbox``, no ``intersects``;
    one without any time matches no ``datetime``. ``about`` is the folded text of collections, by id, in which free text
    is looked for beside the item's own.

    Raises:
        edges.errors.InvalidInput: the query's geometry cannot be used.
    """
    return all_of(compile_parts(query, about))


def all_of(parts: Iterable[tuple[str, Match]]) -> Match:
    """Return the test that holds where all parts of a query do."""
    tests = [test for _, test in parts]
    if not tests:
        return lambda _: True

    def match(item: Members) -> bool:
        try:
            for test in tests:  # not all(): this runs once for each item of each site
                if not test(item):
                    return False
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
            return False
        return True

    return match


def compile_parts(query: Query, about: Mapping[str, str] = _NO_TEXTS) -> tuple[tuple[str, Match], ...]:
    """Compile each part of a query by itself, by the name of the parameter; see :func:`compile_query`.

    A test raises KeyError, msgspec.DecodeError or UnicodeDecodeError where an item has not got what it needs.
    """
    parts = (
        ("collections", _named("collection", query.collections)),
        ("ids", _named("id", query.ids)),
        ("datetime", _times(query)),
        ("bbox" if query.bbox is not None else "intersects", _space(query)),
        ("filter", _filter(query)),
        ("text", _text(query, about)),
    )
    return tuple((name, test) for name, test in parts if test is not None)


def _named(member: str, names: tuple[str, ...] | None) -> Match | None:
    if names is None:
        return None
    wanted, decode = frozenset(names), _TEXT.decode
    return lambda item: decode(item[member]) in wanted


def _times(query: Query) -> Match | None:
    if query.datetime is None:
        return None
    start, end = query.datetime.start, query.datetime.end
    decode = _TIMES.decode

    def test(item: Members) -> bool:
        times = decode(item["properties"])
        if times.start_datetime is None and times.end_datetime is None:  # the usual case: one moment
            moment = _instant(times.datetime)
            return moment is not None and (start is None or start <= moment) and (end is None or moment <= end)
        own = covered_time(times.datetime, times.start_datetime, times.end_datetime)
        if own is None:
            return False
        late = end is not None and own.start is not None and own.start > end
        early = start is not None and own.end is not None and own.end < start
        return not late and not early

    return test


def covered_time(moment: str | None, first: str | None, last: str | None) -> Interval | None:
    """Return the time from ``start_datetime`` to ``end_datetime``, or of ``datetime``; None for none.

    An end that is missing or unreadable is taken from ``datetime``, and is open where that has none either.
    """
    start, middle, end = _instant(first), _instant(moment), _instant(last)
    if start is None and end is None and middle is None:
        return None
    return Interval(start=middle if start is None else start, end=middle if end is None else end)


def _instant(text: str | None) -> int | None:
    return None if text is None else sortable_instant(text)


def _space(query: Query) -> Match | None:
    if query.bbox is not None:
        test = box_test(query.bbox)
    elif query.intersects is not None:
        test = shape_test(query_shape("intersects", query.intersects))
    else:
        return None

    def match(item: Members) -> bool:
        geometry = bytes(item.get("geometry", _NULL))
        return geometry != b"null" and test(geometry)

    return match


def _filter(query: Query) -> Match | None:
    if query.filter is None:
        return None
    decode = item_reader(property_names(query.filter))
    test: Test = compile_filter(query.filter)
    return lambda item: test(decode(item)) is True


def _text(query: Query, about: Mapping[str, str]) -> Match | None:
    if query.text is None:
        return None
    test = compile_text(query.text)
    return lambda item: test(item_text(item) + about.get(_TEXT.decode(item["collection"]), ""))


@functools.lru_cache(maxsize=256)
def item_reader(names: frozenset[str]) -> Callable[[Members], Json]:
    """Return a function that decodes what a filter on these properties reads; the geometry stays bytes."""
    own = {name.removeprefix("properties.") for name in names - TOP_LEVEL}
    fields = sorted(own | {name.partition(".")[0] for name in own})
    struct = msgspec.defstruct(
        "FilteredProperties",
        [(f"f{index}", Any, msgspec.field(default=None, name=field)) for index, field in enumerate(fields)],
        gc=False,
    )
    decoder = msgspec.json.Decoder(struct)
    members = tuple(names & TOP_LEVEL)

    def read(item: Members) -> Json:
        decoded = {name: _member(name, item.get(name, _NULL)) for name in members}
        if fields:
            values = decoder.decode(item.get("properties", b"{}"))
            decoded["properties"] = dict(zip(fields, msgspec.structs.astuple(values), strict=True))
        return decoded

    return read


def _member(name: str, raw: msgspec.Raw) -> Any:
    if name == "geometry":
        return None if bytes(raw) == b"null" else raw
    return _ANY.decode(raw)
