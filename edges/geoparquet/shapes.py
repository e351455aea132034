"""What values a column has to hold, found by looking at all of them. Pure.

A column gets a type only if that type holds each value as it is; where values differ in kind it holds JSON text.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from edges.model import Frozen
from edges.stac.datetimes import parse_instant

MAX_DEPTH = 8
"""Objects nested deeper than this are kept as JSON text."""
MAX_MEMBERS = 1_024
"""An object with more different members than this is a mapping rather than a record: it is kept as JSON text."""

_NULL, _BOOL, _INT, _FLOAT, _TEXT, _LIST, _OBJECT, _ODD = (1 << n for n in range(8))
_LARGEST_EXACT = 1 << 53
_INT64 = range(-(1 << 63), 1 << 63)
_SCALARS: dict[type, int] = {type(None): _NULL, bool: _BOOL, float: _FLOAT, str: _TEXT}

Kind = Literal["bool", "int", "float", "text", "instant", "list", "record", "json"]


class Column(Frozen):
    """The type of a column: ``members`` of a record, the ``element`` of a list."""

    kind: Kind
    members: Mapping[str, "Column"] = {}
    element: "Column | None" = None

    @property
    def leaves(self) -> int:
        """Return how many Parquet columns it takes."""
        if self.element is not None:
            return self.element.leaves
        return sum(member.leaves for member in self.members.values()) or 1


JSON_COLUMN = Column(kind="json")


class Shape:
    """Everything that was seen in one place."""

    __slots__ = ("_depth", "_element", "_inexact", "_kinds", "_members")

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._kinds = 0
        self._inexact = False
        self._element: Shape | None = None
        self._members: dict[str, Shape] = {}

    def see(self, value: Any) -> None:
        """Take a JSON value into account."""
        kind = type(value)
        if kind is dict:
            self._kinds |= _OBJECT
            self._see_members(value)
        elif kind is list:
            self._kinds |= _LIST
            self._see_elements(value)
        elif kind is int:
            self._see_int(value)
        else:
            self._kinds |= _SCALARS.get(kind, _ODD)

    def _see_int(self, value: int) -> None:
        self._kinds |= _INT if value in _INT64 else _ODD
        if not -_LARGEST_EXACT <= value <= _LARGEST_EXACT:
            self._inexact = True

    def _see_members(self, value: dict[str, Any]) -> None:
        members = self._members
        if self._depth >= MAX_DEPTH or len(members) > MAX_MEMBERS:
            self._kinds |= _ODD
            return
        for name, member in value.items():
            shape = members.get(name)
            if shape is None:
                shape = members[name] = Shape(self._depth + 1)
            plain = _SCALARS.get(type(member))
            if plain is None:
                shape.see(member)
            else:  # most values: not worth a call each
                shape._kinds |= plain

    def _see_elements(self, value: list[Any]) -> None:
        if self._depth >= MAX_DEPTH:
            self._kinds |= _ODD
            return
        if self._element is None:
            self._element = Shape(self._depth + 1)
        plain = [_SCALARS.get(kind) for kind in set(map(type, value))]
        if None not in plain:
            for kind in plain:
                self._element._kinds |= kind or 0  # noqa: SLF001 - of the same class
            return
        for element in value:
            self._element.see(element)

    @property
    def absent(self) -> bool:
        """Tell whether nothing but null was seen."""
        return not self._kinds & ~_NULL

    def column(self) -> Column:
        """Return the type that holds everything that was seen."""
        kinds = self._kinds & ~_NULL
        scalar = _TYPES.get(kinds)
        if kinds == _INT | _FLOAT and self._inexact:
            return JSON_COLUMN
        if scalar is not None:
            return Column(kind=scalar)
        if kinds == _LIST:
            return self._list()
        return self._record() if kinds == _OBJECT else JSON_COLUMN

    def familiar(self) -> Any:
        """Return the type of the values that would change nothing: ``msgspec`` decodes these and no others."""
        column = self.column()
        if column.kind == "json":
            return Any  # which it stays, whatever comes
        if column.kind == "list":
            element = self._element
            return list[element.familiar()] | None if element is not None else _EMPTY_LIST | None  # type: ignore[misc]
        if column.kind == "record":
            return record_type({name: shape.familiar() for name, shape in self._members.items()}) | None
        if column.kind == "int" and self._inexact:
            return _INT_TYPE | None
        return _FAMILIAR[self._kinds & ~_NULL]

    def _list(self) -> Column:
        element = Column(kind="text") if self._element is None else self._element.column()
        return JSON_COLUMN if element.kind == "json" else Column(kind="list", element=element)

    def _record(self) -> Column:
        if not self._members or len(self._members) > MAX_MEMBERS or "" in self._members:
            return JSON_COLUMN  # Parquet has no record without members
        return Column(kind="record", members={name: shape.column() for name, shape in self._members.items()})


_TYPES: dict[int, Kind] = {
    0: "text", _BOOL: "bool", _INT: "int", _FLOAT: "float", _INT | _FLOAT: "float", _TEXT: "text",
}  # fmt: skip

_EXACT = msgspec.Meta(ge=-_LARGEST_EXACT, le=_LARGEST_EXACT)
_WITHIN = msgspec.Meta(gt=-_LARGEST_EXACT, lt=_LARGEST_EXACT)
_FAMILIAR: dict[int, Any] = {
    0: None, _BOOL: bool | None, _TEXT: str | None, _INT: Annotated[int, _EXACT] | None,
    _FLOAT: Annotated[float, _WITHIN] | None, _INT | _FLOAT: Annotated[float, _WITHIN] | None,
}  # fmt: skip
"""A whole number is taken as a float too, and rounded before its bounds are looked at."""
_INT_TYPE = Annotated[int, msgspec.Meta(ge=_INT64.start, le=_INT64.stop - 1)]
_EMPTY_LIST = Annotated[list[Any], msgspec.Meta(max_length=0)]


def record_type(members: Mapping[str, Any]) -> type[msgspec.Struct]:
    """Return the type of objects that have these members, or some of them, and no others.

    Raises:
        ValueError: a name cannot be that of a member.
    """
    fields = {f"m{number}": (name, kind) for number, (name, kind) in enumerate(members.items())}
    return msgspec.defstruct(
        "Record", [(place, kind, None) for place, (_, kind) in fields.items()],
        rename={place: name for place, (name, _) in fields.items()}, forbid_unknown_fields=True, gc=False,
    )  # fmt: skip


class InstantShape(Shape):
    """A column of points in time: typed as such only where microseconds hold each of them."""

    __slots__ = ("_all_instants",)

    def __init__(self) -> None:
        super().__init__()
        self._all_instants = True

    def see(self, value: Any) -> None:
        super().see(value)
        if value is not None and self._all_instants:
            self._all_instants = is_microsecond_instant(value)

    def column(self) -> Column:
        return Column(kind="instant") if self._all_instants else super().column()


def is_microsecond_instant(value: Any) -> bool:
    """Tell whether a value is RFC 3339 text that loses nothing as microseconds since the epoch."""
    if not isinstance(value, str):
        return False
    _, dot, fraction = value.partition(".")
    if dot and sum(1 for _ in _digits(fraction)) > 6:
        return False
    try:
        parse_instant(value)
    except ValueError:
        return False
    return value[17:19] != "60"  # a leap second has no place of its own


def _digits(text: str) -> str:
    return text[: next((index for index, character in enumerate(text) if not character.isdigit()), len(text))]
