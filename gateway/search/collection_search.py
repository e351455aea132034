"""Collection Search (1.0.0-rc.1) over the harmonised collections, all of it here: they are few, and known. Pure.

A collection is filtered and sorted like an item: its members and ``summaries`` are its properties (``title``,
``license``, ``summaries.platform``), ``geometry`` and ``bbox`` are its extent's, ``start_datetime`` and
``end_datetime`` are the ends of its time.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from edges.errors import InvalidInput
from edges.model import Fields, Frozen, Interval, Json, Query, SortKey
from edges.stac.cql2 import compile_filter
from edges.stac.cql2_scalar import property_value
from edges.stac.datetimes import parse_instant
from edges.stac.free_text import collection_text, compile_text
from edges.stac.geometry import Box, shape_of, split_box
from edges.stac.order import Key, key_of_values
from edges.stac.request import SearchRequest
from gateway.search.extents import boxes_of, intervals_of

_Test = Callable[[Json], bool]
_BY_ID = SortKey(field="id")
_ALWAYS = ("type", "stac_version", "id")
_DEFAULT = (*_ALWAYS, "title", "description", "license", "extent", "links")


class CollectionPage(Frozen):
    """A page of collections, with the tokens of the pages beside it."""

    collections: list[Json]
    matched: int
    next: str | None = None
    previous: str | None = None


def search_collections(collections: Iterable[Json], search: SearchRequest) -> CollectionPage:
    """Return a page of the collections that match, by the search's order, else by id.

    Raises:
        InvalidInput: the token is not of this search.
    """
    query = search.query
    order = _order(query)
    matches = _compiled(query)
    found = sorted(
        ((_key(order, one), one) for one in collections if matches(one)),
        key=lambda pair: pair[0],
    )
    start, end = _window(search, order, found)
    chosen = [one for _, one in found[start:end]]
    return CollectionPage(
        collections=chosen if query.fields is None else [_picked(one, query.fields) for one in chosen],
        matched=len(found),
        next=_token(query, "after", order, chosen[-1]) if chosen and end < len(found) else None,
        previous=_token(query, "before", order, chosen[0]) if chosen and start > 0 else None,
    )


def _order(query: Query) -> tuple[SortKey, ...]:
    named = {key.field for key in query.sortby}
    return query.sortby if "id" in named else (*query.sortby, _BY_ID)


def _compiled(query: Query) -> _Test:
    tests: list[_Test] = []
    if query.ids is not None:
        wanted = frozenset(query.ids)
        tests.append(lambda one: one["id"] in wanted)
    if query.collections is not None:
        named = frozenset(query.collections)
        tests.append(lambda one: one["id"] in named)
    if query.bbox is not None:
        boxes = split_box(query.bbox)
        tests.append(lambda one: any(_overlap(box, other) for box in boxes for other in _planar(one)))
    if query.intersects is not None:
        shape = shape_of(query.intersects)
        tests.append(lambda one: shape is not None and shape.intersects(shape_of(_footprint(one))))
    if query.datetime is not None:
        time = query.datetime
        tests.append(lambda one: any(_meets(time, *ends) for ends in _intervals(one)))
    if query.text is not None:
        holds = compile_text(query.text)
        tests.append(lambda one: holds(collection_text([one])))
    if query.filter is not None:
        test = compile_filter(query.filter)
        tests.append(lambda one: test(_as_item(one)) is True)
    return lambda one: all(test(one) for test in tests)


def _planar(collection: Json) -> list[Box]:
    return [part for box in boxes_of(collection.get("extent")) for part in split_box((box[0], box[1], box[2], box[3]))]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _intervals(collection: Json) -> list[tuple[int | None, int | None]]:
    return [
        (None if start is None else parse_instant(start), None if end is None else parse_instant(end))
        for start, end in intervals_of(collection.get("extent"))
    ]


def _meets(time: Interval, start: int | None, end: int | None) -> bool:
    late = time.end is not None and start is not None and start > time.end
    early = time.start is not None and end is not None and end < time.start
    return not late and not early


def _as_item(collection: Json) -> Json:
    """Return a collection as filters and orders see it."""
    extent = collection.get("extent")
    start, end = next(iter(intervals_of(extent)), (None, None))
    return {
        "id": collection["id"],
        "collection": collection["id"],
        "geometry": _footprint(collection),
        "bbox": next(iter(boxes_of(extent)), None),
        "properties": collection | {"datetime": None, "start_datetime": start, "end_datetime": end},
    }


def _footprint(collection: Json) -> Json | None:
    rings = [
        [[[west, south], [east, south], [east, north], [west, north], [west, south]]]
        for west, south, east, north in _planar(collection)
    ]
    return {"type": "MultiPolygon", "coordinates": rings} if rings else None


def _values(order: Sequence[SortKey], collection: Json) -> tuple[Any, ...]:
    item = _as_item(collection)
    return tuple(property_value(key.field)(item) for key in order)


def _key(order: tuple[SortKey, ...], collection: Json) -> Key:
    return key_of_values(order, _values(order, collection))


class _Token(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins or ends: at a collection, or where it has gone, at the values that it had."""

    digest: bytes
    way: str
    name: str
    values: tuple[Any, ...]


_TOKEN = msgspec.msgpack.Decoder(_Token)
_LONGEST_VALUE = 64
"""Longest text of a token's values, in characters: no more than a hint, for a collection that has gone."""


def _digest(query: Query) -> bytes:
    identity = msgspec.structs.replace(query, limit=1, fields=None)
    return hashlib.sha256(msgspec.json.encode(identity, order="deterministic")).digest()[:6]


def _token(query: Query, way: str, order: Sequence[SortKey], collection: Json) -> str:
    values = tuple(_short(value) for value in _values(order, collection))
    token = _Token(digest=_digest(query), way=way, name=collection["id"], values=values)
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(token)).rstrip(b"=").decode()


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_LONGEST_VALUE]
    return value if isinstance(value, bool | int | float) else None


def _window(search: SearchRequest, order: tuple[SortKey, ...], found: Sequence[tuple[Key, Json]]) -> tuple[int, int]:
    limit = search.query.limit
    if search.token is None:
        return 0, limit
    token = _read(search.token, search.query)
    before, after = _place(token, order, found)
    return (max(0, before - limit), before) if token.way == "before" else (after, after + limit)


def _place(token: _Token, order: tuple[SortKey, ...], found: Sequence[tuple[Key, Json]]) -> tuple[int, int]:
    """Return how many collections stand before the token's place, and how many up to it."""
    for number, (_, one) in enumerate(found):
        if one["id"] == token.name:
            return number, number + 1
    try:
        place = key_of_values(order, token.values)
        stands = sum(1 for key, _ in found if key < place)
    except (TypeError, ValueError) as error:
        raise _not_ours() from error
    return stands, stands


def _read(token: str, query: Query) -> _Token:
    try:
        read = _TOKEN.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise _not_ours() from error
    if read.digest != _digest(query):
        raise InvalidInput("token", "it belongs to another search", "the search that it was given for")
    return read


def _not_ours() -> InvalidInput:
    return InvalidInput("token", "it cannot be read", "the token of a next link, unchanged")


def _picked(collection: Json, fields: Fields) -> Json:
    """Return the members asked for; what tells it apart is always given, unless excluded by name."""
    chosen = collection
    if fields.include or not fields.exclude:
        paths = (*_ALWAYS, *fields.include) if fields.include else _DEFAULT
        chosen = {}
        for path in paths:
            _plant(chosen, collection, path.split("."))
    for path in fields.exclude:
        chosen = _without(chosen, path.split("."))
    return chosen


def _plant(chosen: Json, collection: Json, steps: Sequence[str]) -> None:
    first, *rest = steps
    if first not in collection:
        return
    inner = collection[first]
    if not rest or not isinstance(inner, dict):
        chosen[first] = inner
        return
    branch = chosen.setdefault(first, {})
    if branch is not inner:
        _plant(branch, inner, rest)


def _without(members: Json, steps: Sequence[str]) -> Json:
    first, *rest = steps
    if not rest:
        return {name: value for name, value in members.items() if name != first}
    inner = members.get(first)
    return members | {first: _without(inner, rest)} if isinstance(inner, dict) else members
