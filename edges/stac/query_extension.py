"""The Query extension (``query``), translated to CQL2 JSON (STAC API Query 1.0.0)."""

import re
from collections.abc import Callable
from typing import Any

from edges.errors import InvalidInput
from edges.model import Json
from edges.stac.limits import MAX_NAME, kind_of

FIELD = "query"
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?", re.ASCII)
_LONGEST_NUMBER = 32


def translate(query: Any) -> Json | None:
    """Return the CQL2 JSON that matches as the ``query`` object does, or None for an empty one.

    Raises:
        InvalidInput: not an object of objects, an unknown operator, or an operand of the wrong type.
    """
    if not isinstance(query, dict):
        raise InvalidInput(FIELD, f"a JSON {kind_of(query)}", 'an object such as {"eo:cloud_cover": {"lt": 10}}')
    tests = [
        _test(name, operator, value)
        for name, operators in query.items()
        for operator, value in _operators(name, operators).items()
    ]
    if not tests:
        return None
    return tests[0] if len(tests) == 1 else {"op": "and", "args": tests}


def _operators(name: str, operators: Any) -> Json:
    if not isinstance(operators, dict) or not 0 < len(name) <= MAX_NAME:
        raise InvalidInput(f"{FIELD}.{name[:40]}", f"a JSON {kind_of(operators)}", f"an object of {_KNOWN}")
    return operators


def _test(name: str, operator: str, value: Any) -> Json:
    build = _BUILDERS.get(operator)
    if build is None:
        raise InvalidInput(f"{FIELD}.{name[:40]}", f"unknown operator {operator[:40]!r}", f"one of {_KNOWN}")
    return build(f"{FIELD}.{name[:40]}.{operator}", {"property": name}, value)


def _is_number(value: Any) -> bool:
    """Tell whether text is a number as JSON writes it: clients that read ``eo:cloud_cover<20`` send it as text.

    It is then compared both ways; a property is of one type, and what is of the other is unknown.
    """
    return isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value) is not None


def _comparison(sign: str) -> Callable[[str, Json, Any], Json]:
    def build(field: str, prop: Json, value: Any) -> Json:
        if isinstance(value, dict | list):
            raise InvalidInput(field, f"a JSON {kind_of(value)}", "a number, a string, true or false")
        if value is not None:
            asked = {"op": sign, "args": [prop, value]}
            if not _is_number(value):
                return asked
            return {"op": "or", "args": [asked, {"op": sign, "args": [prop, float(value)]}]}
        null = {"op": "isNull", "args": [prop]}
        if sign not in ("=", "<>"):
            raise InvalidInput(field, "null", "a number or a string")
        return null if sign == "=" else {"op": "not", "args": [null]}

    return build


def _pattern(before: str, after: str) -> Callable[[str, Json, Any], Json]:
    def build(field: str, prop: Json, value: Any) -> Json:
        if not isinstance(value, str):
            raise InvalidInput(field, f"a JSON {kind_of(value)}", "a string")
        escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return {"op": "like", "args": [prop, f"{before}{escaped}{after}"]}

    return build


def _one_of(field: str, prop: Json, value: Any) -> Json:
    if not isinstance(value, list):
        raise InvalidInput(field, f"a JSON {kind_of(value)}", "an array of values")
    return {"op": "in", "args": [prop, value]}


_BUILDERS: dict[str, Callable[[str, Json, Any], Json]] = {
    "eq": _comparison("="),
    "neq": _comparison("<>"),
    "lt": _comparison("<"),
    "lte": _comparison("<="),
    "gt": _comparison(">"),
    "gte": _comparison(">="),
    "startsWith": _pattern("", "%"),
    "endsWith": _pattern("%", ""),
    "contains": _pattern("%", "%"),
    "in": _one_of,
}
_KNOWN = ", ".join(_BUILDERS)
