"""How large a search may be: bounds that keep a hostile request from costing more than an honest one."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from edges.errors import InvalidInput
from edges.model import Json

MAX_BODY_BYTES = 1 << 20
"""Largest search body, in bytes."""
MAX_DEPTH = 32
"""Deepest nesting of expressions in a filter, or of collections in a geometry."""
MAX_NODES = 1_000
"""Most operators, literals and property names in a filter, coordinates not counted."""
MAX_VERTICES = 10_000
"""Most positions of a geometry."""
MAX_IDS = 1_000
"""Most ids or collections in one search."""
MAX_SORT_KEYS = 10
MAX_NAME = 256
"""Longest field name, in characters."""
MAX_PATTERN = 256
"""Longest pattern of LIKE, in characters."""
MAX_TOKEN = 8 * 1024
"""Longest page token, in characters."""


def decode_object(field: str, text: bytes | str) -> Json:
    """Decode a JSON object.

    Raises:
        InvalidInput: not JSON (NaN and Infinity are not), nested beyond all measure, or not an object.
    """
    try:
        value = msgspec.json.decode(text)
    except RecursionError as error:
        raise InvalidInput(field, "nested too deeply", f"at most {MAX_DEPTH} levels") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(field, f"not JSON ({error})", "a JSON object") from error
    if not isinstance(value, dict):
        raise InvalidInput(field, f"a JSON {kind_of(value)}", "a JSON object")
    return value


def kind_of(value: Any) -> str:
    """Return the JSON name of a value's type, for error messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    kinds = {int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "value")


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a finite number (a boolean is none)."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def check_tree(field: str, root: Any) -> None:
    """Bound the depth and the nodes of an expression, and refuse numbers that are not finite; iterative.

    Coordinates are not walked: geometries have their own check.

    Raises:
        InvalidInput: naming the bound that was passed.
    """
    level: list[Any] = [root]
    nodes = depth = 0
    while level:
        depth += 1
        if depth > 2 * MAX_DEPTH:  # each operator is an object and its array of arguments
            raise InvalidInput(field, "nested too deeply", f"at most {MAX_DEPTH} levels of operators")
        nodes += len(level)
        if nodes > MAX_NODES:
            raise InvalidInput(field, "too many parts", f"at most {MAX_NODES} operators, names and literals")
        for value in level:
            if isinstance(value, float) and not math.isfinite(value):
                raise InvalidInput(field, "a number is not finite", "finite numbers")
        level = [child for value in level for child in _children(value)]


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        for name, member in value.items():
            if name not in ("coordinates", "geometries"):
                yield member
