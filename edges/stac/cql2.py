"""CQL2 (OGC 21-065r2): parsed, checked, and compiled to plain functions over decoded items.

Three-valued logic as in SQL: a missing property is null, what compares with null is unknown, and only what is
true matches.
"""

from collections.abc import Callable
from typing import Any

from edges.model import Json
from edges.stac import cql2_scalar as scalar
from edges.stac import cql2_space as space
from edges.stac import cql2_time as time
from edges.stac.cql2_check import OPERATORS, check_filter, parse_filter_text
from edges.stac.cql2_scalar import Test, Value
from edges.stac.geometry import box_shape, query_shape
from edges.stac.order import INSTANT_FIELDS

__all__ = ["check_filter", "compile_filter", "parse_filter_text", "property_names"]


def compile_filter(expression: Json) -> Test:
    """Compile a filter that :func:`check_filter` has passed into a function over decoded items.

    An item is a STAC Item as a dict; its ``geometry`` may be decoded or still bytes. The answer is true,
    false, or None for unknown. The function is pure and can be shared between threads.
    """
    return _test(expression)


def property_names(expression: Any) -> frozenset[str]:
    """Return the queryables that a filter reads."""
    names: set[str] = set()
    pending = [expression]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if isinstance(value.get("property"), str):
                names.add(value["property"])
            pending.extend(child for name, child in value.items() if name != "coordinates")
        elif isinstance(value, list):
            pending.extend(value)
    return frozenset(names)


def _test(expression: Any) -> Test:
    if not isinstance(expression, dict) or "op" not in expression:
        value = _value(expression)
        return lambda item: found if isinstance(found := value(item), bool) else None
    name, args = expression["op"], expression["args"]
    return _BUILDERS[OPERATORS[name.lower()].takes if name not in _BUILDERS else name](name, args)


def _and(_: str, args: list[Any]) -> Test:
    tests = tuple(_test(arg) for arg in args)

    def test(item: Json) -> bool | None:
        result: bool | None = True
        for part in tests:
            answer = part(item)
            if answer is False:
                return False
            if answer is None:
                result = None
        return result

    return test


def _or(_: str, args: list[Any]) -> Test:
    tests = tuple(_test(arg) for arg in args)

    def test(item: Json) -> bool | None:
        result: bool | None = False
        for part in tests:
            answer = part(item)
            if answer is True:
                return True
            if answer is None:
                result = None
        return result

    return test


def _not(_: str, args: list[Any]) -> Test:
    part = _test(args[0])
    return lambda item: None if (answer := part(item)) is None else not answer


def _is_null(_: str, args: list[Any]) -> Test:
    value = _value(args[0])
    return lambda item: value(item) is None


def _comparison(sign: str, args: list[Any]) -> Test:
    left, right = args
    if _is_temporal(args):
        return scalar.comparison(sign, _instant(left), _instant(right))
    if isinstance(right, str | int | float) and not isinstance(right, bool):
        return scalar.comparison_with(sign, _value(left), right)
    return scalar.comparison(sign, _value(left), _value(right))


def _is_temporal(args: list[Any]) -> bool:
    """Tell whether values are compared as instants: one is typed so, or all are times by name or by form."""
    if any(isinstance(arg, dict) and arg.keys() & {"timestamp", "date"} for arg in args):
        return True
    named = [isinstance(arg, dict) and arg.get("property") in INSTANT_FIELDS for arg in args]
    return any(named) and all(
        is_named or (isinstance(arg, str) and time.instant(arg) is not None)
        for arg, is_named in zip(args, named, strict=True)
    )


def _instant(expression: Any) -> Value:
    return _folded(expression, time.instant_value(_value(expression)))


def _folded(expression: Any, value: Value) -> Value:
    """Evaluate once what depends on no item."""
    return value if property_names(expression) else scalar.constant(value({}))


def _between(_: str, args: list[Any]) -> Test:
    value, low, high = args
    if _is_temporal(args):
        low, high = ({"timestamp": end} if isinstance(end, str) else end for end in (low, high))
    return _and("and", [{"op": ">=", "args": [value, low]}, {"op": "<=", "args": [value, high]}])


def _in(_: str, args: list[Any]) -> Test:
    value, members = args
    if members and _is_temporal([value, *members]):
        return scalar.membership(_instant(value), [_instant(member) for member in members])
    if members and all(isinstance(member, str) for member in members):
        return scalar.membership_of_texts(_value(value), frozenset(members))
    return scalar.membership(_value(value), [_value(member) for member in members])


def _like(_: str, args: list[Any]) -> Test:
    return scalar.like(_value(args[0]), _value(args[1]))


def _array(name: str, args: list[Any]) -> Test:
    return scalar.array_test(name, _value(args[0]), _value(args[1]))


def _spatial(name: str, args: list[Any]) -> Test:
    left, right = args
    fixed = "property" not in right and "property" in left
    return space.spatial_test(name, _shape(left), _shape(right), prepared_right=fixed)


def _shape(value: Json) -> Value:
    if "property" in value:
        return space.shape_value(_value(value))
    if "bbox" in value:
        west, south, east, north = value["bbox"]
        return scalar.constant(box_shape((west, south, east, north)))
    return scalar.constant(query_shape("filter", value))


def _temporal(name: str, args: list[Any]) -> Test:
    return time.relation(name, _span(args[0]), _span(args[1]))


def _span(value: Json) -> Value:
    if "interval" in value:
        start, end = (None if end == ".." else _value(end) for end in value["interval"])
        return _folded(value, time.interval_value(start, end))
    inner = _value(value)
    return _folded(value, lambda item: time.span(inner(item)))


def _value(expression: Any) -> Value:
    if isinstance(expression, list):
        return _list(expression)
    if not isinstance(expression, dict):
        return scalar.constant(expression)
    if "property" in expression:
        return scalar.property_value(expression["property"])
    for typed in ("timestamp", "date"):
        if typed in expression:
            return scalar.constant(expression[typed])
    if "op" not in expression:
        return scalar.constant(expression)
    return _operation(expression["op"], expression["args"], expression)


def _operation(name: str, args: list[Any], expression: Json) -> Value:
    gives = OPERATORS[name.lower()].gives
    if gives == "boolean":
        return _test(expression)
    if gives == "text":
        fold = scalar.fold_case if name == "casei" else scalar.fold_accents
        inner = _value(args[0])
        return lambda item: fold(inner(item))
    return scalar.arithmetic(name, _value(args[0]), _value(args[1]))


def _list(expression: list[Any]) -> Value:
    members = [_value(member) for member in expression]
    return _folded(expression, lambda item: [member(item) for member in members])


_BUILDERS: dict[str, Callable[[str, list[Any]], Test]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "isNull": _is_null,
    "between": _between,
    "in": _in,
    "scalar": _comparison,
    "text": _like,
    "array": _array,
    "geometry": _spatial,
    "time": _temporal,
}
"""By operator, or else by what it takes."""
