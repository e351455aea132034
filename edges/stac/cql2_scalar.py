"""The scalar part of CQL2: properties, comparison, text, arithmetic and arrays, with null as in SQL.

A *value* is a function from a decoded item to a JSON value, where None is null. Values of different JSON
types cannot be compared: the answer is unknown (None), as it is where either is null.
"""

import math
import operator
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from edges.model import Json
from edges.stac.cql2_like import matches_pattern

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
    """Match text with a pattern; see :mod:`edges.stac.cql2_like`."""

    def test(item: Json) -> bool | None:
        text, wanted = value(item), pattern(item)
        if not isinstance(text, str) or not isinstance(wanted, str):
            return None
        return matches_pattern(text, wanted)

    return test


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
