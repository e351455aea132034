"""The scalar part of CQL2: properties, comparison, text, arithmetic and arrays, with null as in SQL.

A *value* is a function from a decoded item to a JSON value, where None is null. Values of different JSON
types cannot be compared: the answer is unknown (None), as it is where either is null.
"""

import math
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import msgspec

from edges.model import Json

Value = Callable[[Json], Any]
"""From a decoded item to a JSON value; None is null."""

Test = Callable[[Json], bool | None]
"""From a decoded item to true, false or unknown."""

TOP_LEVEL = frozenset({"id", "collection", "geometry", "bbox"})
"""What a property name means of the item itself; any other name is one of its ``properties``."""


def constant(value: Any) -> Value:
    """Return the value that is the same for every item."""
    return lambda _: value


def property_value(name: str) -> Value:
    """Return the value of a queryable; a dot walks into objects where no property has the whole name."""
    if name in TOP_LEVEL:
        return lambda item: item.get(name)
    name = name.removeprefix("properties.")
    if "." in name:
        return lambda item: _walk(item.get("properties"), name)

    def value(item: Json) -> Any:
        properties = item.get("properties")
        return properties.get(name) if properties else None

    return value


def _walk(properties: Any, name: str) -> Any:
    if isinstance(properties, dict) and properties.get(name) is not None:
        return properties[name]
    for step in name.split("."):
        properties = properties.get(step) if isinstance(properties, dict) else None
    return properties


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "other"


_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def comparison(sign: str, left: Value, right: Value) -> Test:
    """Compare two values; unknown where one is null, types differ, or objects are asked for their order."""
    compare = _SIGNS[sign]
    ordered = sign not in ("=", "<>")

    def test(item: Json) -> bool | None:
        a, b = left(item), right(item)
        if a is None or b is None:
            return None
        kind = _kind(a)
        if kind != _kind(b) or (ordered and kind == "other"):
            return None
        return compare(a, b)

    return test


def comparison_with(sign: str, left: Value, literal: float | str) -> Test:
    """Compare a value with a number or text: the common case, without looking at the literal again."""
    compare = _SIGNS[sign]
    kinds = (str,) if isinstance(literal, str) else (int, float)

    def test(item: Json) -> bool | None:
        a = left(item)
        return compare(a, literal) if isinstance(a, kinds) and a is not True and a is not False else None

    return test


def membership(value: Value, members: list[Value]) -> Test:
    """Tell whether a value is equal to any member; unknown where none is, but one could not be compared."""

    def test(item: Json) -> bool | None:
        found = value(item)
        if found is None:
            return None
        unknown = False
        for member in members:
            other = member(item)
            if other is None or _kind(other) != _kind(found):
                unknown = True
            elif other == found:
                return True
        return None if unknown else False

    return test


def membership_of_texts(value: Value, literals: frozenset[str]) -> Test:
    """Tell whether a text is one of many."""

    def test(item: Json) -> bool | None:
        found = value(item)
        return found in literals if isinstance(found, str) else None

    return test


def fold_case(value: Any) -> Any:
    """Return text without case (CQL2 CASEI), or null."""
    return value.casefold() if isinstance(value, str) else None


def fold_accents(value: Any) -> Any:
    """Return text without accents (CQL2 ACCENTI), or null."""
    if not isinstance(value, str):
        return None
    return "".join(c for c in unicodedata.normalize("NFKD", value) if not unicodedata.combining(c))


def like(value: Value, pattern: Value) -> Test:
    """Match text with a pattern: ``%`` any characters, ``_`` one, a backslash takes the next as it is."""

    def test(item: Json) -> bool | None:
        text, wanted = value(item), pattern(item)
        if not isinstance(text, str) or not isinstance(wanted, str):
            return None
        return matches_pattern(text, wanted)

    return test


def matches_pattern(text: str, pattern: str) -> bool:
    """Tell whether text matches a LIKE pattern, in time linear in the text for each piece of the pattern."""
    first, *rest = _pieces(pattern)
    start = first.match(text)
    if start is None:
        return False
    if not rest:
        return start.end() == len(text)
    place = start.end()
    *middle, last = rest
    for piece in middle:  # the leftmost place of each piece leaves the most for the others
        found = piece.search(text, place)
        if found is None:
            return False
        place = found.end()
    width = _width(last)
    return len(text) - width >= place and last.match(text, len(text) - width) is not None


@lru_cache(maxsize=512)
def _pieces(pattern: str) -> tuple[re.Pattern[str], ...]:
    """Return the pieces between the ``%``; each matches texts of one length only, so none can backtrack."""
    pieces = [""]
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            pieces.append("")
        else:
            literal = next(characters, "\\") if character == "\\" else character
            pieces[-1] += "." if character == "_" else re.escape(literal)
    return tuple(re.compile(piece, re.DOTALL) for piece in pieces)


@lru_cache(maxsize=512)
def _width(piece: re.Pattern[str]) -> int:
    return len(re.sub(r"\\(.)", r"\1", piece.pattern, flags=re.DOTALL))


def _quotient(a: float, b: float) -> float:
    return a / b


def _power(a: float, b: float) -> float | None:
    result = float(a) ** float(b)
    return result if isinstance(result, float) else None


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
    "%": math.fmod,
    "^": _power,
    "div": lambda a, b: math.trunc(a / b),
}


def arithmetic(sign: str, left: Value, right: Value) -> Value:
    """Calculate; null where an operand is no number, or the result is none (division by zero, overflow)."""
    calculate = _ARITHMETIC[sign]

    def value(item: Json) -> Any:
        a, b = left(item), right(item)
        if _kind(a) != "number" or _kind(b) != "number":
            return None
        try:
            result = calculate(a, b)
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        return result if result is not None and math.isfinite(result) else None

    return value


def array_test(name: str, left: Value, right: Value) -> Test:
    """Compare two arrays as sets (``a_contains``, ``a_containedBy``, ``a_equals``, ``a_overlaps``)."""
    compare = _ARRAYS[name]

    def test(item: Json) -> bool | None:
        a, b = left(item), right(item)
        if not isinstance(a, list) or not isinstance(b, list):
            return None
        return compare(_elements(a), _elements(b))

    return test


def _elements(values: Iterable[Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(
        (kind, msgspec.json.encode(value, order="deterministic") if kind == "other" else value)
        for value in values
        for kind in (_kind(value),)
    )


_Elements = frozenset[tuple[str, Any]]
_ARRAYS: dict[str, Callable[[_Elements, _Elements], bool]] = {
    "a_contains": lambda a, b: a >= b,
    "a_containedBy": lambda a, b: a <= b,
    "a_equals": lambda a, b: a == b,
    "a_overlaps": lambda a, b: not a.isdisjoint(b),
}
