"""The one global order: a total order over items of any catalogue.

Semantics (STAC API Sort 1.1 leaves them open, so they are fixed here): missing and null values stand last in
both directions; numbers stand before booleans, booleans before text, text before anything else (descending:
the other way round); text compares by code point; ``datetime`` and its like compare as instants, which are
numbers (a full date as its first one); ties are broken by collection, then id, ascending.
"""

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from edges.model import Members, SortKey
from edges.stac.datetimes import parse_instant, sortable_instant

DEFAULT_ORDER = (SortKey(field="datetime", descending=True),)
TIE_BREAKS = (SortKey(field="collection"), SortKey(field="id"))
INSTANT_FIELDS = frozenset({"datetime", "start_datetime", "end_datetime", "created", "updated", "published", "expires"})

Key = tuple[Any, ...]
"""A comparable sort key: smaller stands first."""

NAMING_FIELDS = frozenset({"id", "collection"})
"""What names an item; never null, and what ties are broken by."""

_NUMBER, _BOOLEAN, _TEXT, _OTHER, _NULL = range(5)
_TEXT_DECODER = msgspec.json.Decoder(str)
_KINDS = ("number", "boolean", "text", "other", "null")


@functools.lru_cache(maxsize=256)
def total_order(sortby: tuple[SortKey, ...]) -> tuple[SortKey, ...]:
    """Return ``sortby`` (or the default) with the tie-breaks that make it total, up to where it names an item.

    What follows once collection and id have been compared decides nothing, and would keep copies of one item apart.

    >>> [key.field for key in total_order((SortKey(field="id"), SortKey(field="collection"), SortKey(field="gsd")))]
    ['id', 'collection']
    """
    chosen = sortby or DEFAULT_ORDER
    named = [key.field for key in chosen]
    order = chosen + tuple(key for key in TIE_BREAKS if key.field not in named)
    last = max(place for place, key in enumerate(order) if key.field in NAMING_FIELDS)
    return order[: last + 1]


class Reversed:
    """A text that compares the other way round, for descending keys."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __lt__(self, other: "Reversed") -> bool:
        return other.text < self.text

    def __le__(self, other: "Reversed") -> bool:
        return other.text <= self.text

    def __gt__(self, other: "Reversed") -> bool:
        return other.text > self.text

    def __ge__(self, other: "Reversed") -> bool:
        return other.text >= self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reversed) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def rank(field: str, value: Any, *, descending: bool) -> tuple[int, Any]:
    """Return the comparable pair for one value of one key.

    >>> rank("id", "a", descending=False) < rank("id", "b", descending=False)
    True
    """
    if value is None:
        return (_NULL, 0)
    if field in INSTANT_FIELDS and isinstance(value, str):
        value = _instant_or_text(value)
    kind = _kind(value)
    if descending:
        kind = -1 - kind  # the groups turn round too; null stays last
    if isinstance(value, bool | int | float):
        return (kind, -value if descending else value)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return (kind, Reversed(text) if descending else text)


def _instant_or_text(text: str) -> int | str:
    instant = sortable_instant(text)
    return text if instant is None else instant


def kind_of_value(field: str, value: Any) -> str:
    """Return the group in which a value of this field stands: instants stand with the numbers.

    >>> kind_of_value("datetime", "2010-01-09"), kind_of_value("platform", "s2a"), kind_of_value("gsd", None)
    ('number', 'text', 'null')
    """
    kind, _ = rank(field_path(field), value, descending=False)
    return _KINDS[kind]


def stands_last(part: Any) -> bool:
    """Tell whether a member of a key is that of null or of a missing field."""
    return isinstance(part, tuple) and part[0] == _NULL


def _kind(value: Any) -> int:
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, int | float):
        return _NUMBER
    return _TEXT if isinstance(value, str) else _OTHER


def field_path(field: str) -> str:
    """Return the field without the optional ``properties.`` prefix."""
    return field.removeprefix("properties.")


@functools.lru_cache(maxsize=256)
def compile_values(order: tuple[SortKey, ...]) -> Callable[[Members], tuple[Any, ...]]:
    """Return a function from an item to the plain values of its order's fields. Kept, since decoders are dear."""
    fields = tuple(field_path(key.field) for key in order)
    properties = _properties_decoder(fields)
    text = _TEXT_DECODER.decode
    readers = [(field, None) if field in NAMING_FIELDS else ("", f"f{index}") for index, field in enumerate(fields)]

    def values(item: Members) -> tuple[Any, ...]:
        decoded = properties(item.get("properties", b"{}"))
        return tuple([text(item[field]) if name is None else getattr(decoded, name) for field, name in readers])

    return values


def _properties_decoder(fields: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a decoder of ``properties`` to a struct with the fields ``f0``, ``f1`` and so on, null where missing."""
    struct = msgspec.defstruct(
        "SortedProperties",
        [
            (f"f{index}", Any, msgspec.field(default=None, name=field))
            for index, field in enumerate(fields)
            if field not in NAMING_FIELDS
        ],
        gc=False,
    )
    return msgspec.json.Decoder(struct).decode


def key_of_values(order: tuple[SortKey, ...], values: tuple[Any, ...]) -> Key:
    """Return the comparable key of plain values, as given by :func:`compile_values` or read from a cursor."""
    return tuple([ranker(value) for ranker, value in zip(_rankers(order), values, strict=True)])


@functools.lru_cache(maxsize=256)
def compile_key(order: tuple[SortKey, ...]) -> Callable[[Members], Key]:
    """Return a function from an item to its comparable key: the same as :func:`key_of_values`, in one step."""
    if order[1:] == TIE_BREAKS:
        return _key_of_one(order[0])
    values = compile_values(order)
    rankers = _rankers(order)
    return lambda item: tuple([ranker(value) for ranker, value in zip(rankers, values(item), strict=True)])


def _key_of_one(first: SortKey) -> Callable[[Members], Key]:
    """Return the key of one field and the tie-breaks: the usual case, unrolled, since it runs once for each item."""
    properties = _properties_decoder((field_path(first.field),))
    text, ranker = _TEXT_DECODER.decode, _ranker(first)

    def key(item: Members) -> Key:
        return (
            ranker(properties(item.get("properties", b"{}")).f0),
            text(item["collection"]),
            text(item["id"]),
        )

    return key


@functools.lru_cache(maxsize=256)
def _rankers(order: tuple[SortKey, ...]) -> tuple[Callable[[Any], Any], ...]:
    return tuple(_ranker(key) for key in order)


def _ranker(key: SortKey) -> Callable[[Any], Any]:
    """Return a function to what compares as :func:`rank` does within this key, with the usual case first."""
    field, descending = field_path(key.field), key.descending
    if field in NAMING_FIELDS:  # always text: needs no group
        return Reversed if descending else str
    if field in INSTANT_FIELDS:
        return _instant_ranker(field, descending=descending)
    return lambda value: rank(field, value, descending=descending)


def _instant_ranker(field: str, *, descending: bool) -> Callable[[Any], Any]:
    kind, sign = (-1 - _NUMBER, -1) if descending else (_NUMBER, 1)

    def ranker(value: Any) -> tuple[int, Any]:
        if type(value) is str:
            try:
                return (kind, sign * parse_instant(value))
            except ValueError:
                pass
        return rank(field, value, descending=descending)

    return ranker
