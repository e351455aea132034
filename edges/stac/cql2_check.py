"""CQL2 as it comes in: text or JSON, checked and brought to one spelling (OGC 21-065r2).

What passes :func:`check_filter` can be evaluated: every operator is known, has the right number of arguments
of the right sort, and the whole is bounded in depth and size.
"""

import re
from typing import Any, NamedTuple

import cql2

from edges.errors import InvalidInput
from edges.model import Json
from edges.stac.datetimes import parse_day_or_instant
from edges.stac.geometry import check_box, check_geometry
from edges.stac.limits import MAX_DEPTH, MAX_NAME, MAX_NODES, MAX_PATTERN, check_tree, kind_of

FIELD = "filter"
_MANY = 1 << 30


class Operator(NamedTuple):
    """An operator: its canonical name, what it gives and takes, and how many arguments it has."""

    name: str
    gives: str
    takes: str
    least: int
    most: int


def _table(gives: str, takes: str, least: int, most: int, *names: str) -> dict[str, Operator]:
    return {name.lower(): Operator(name, gives, takes, least, most) for name in names}


OPERATORS: dict[str, Operator] = {
    **_table("boolean", "boolean", 2, _MANY, "and", "or"),
    **_table("boolean", "boolean", 1, 1, "not"),
    **_table("boolean", "scalar", 2, 2, "=", "<>", "<", "<=", ">", ">="),
    **_table("boolean", "scalar", 3, 3, "between"),
    **_table("boolean", "scalar", 2, 2, "in"),
    **_table("boolean", "any", 1, 1, "isNull"),
    **_table("boolean", "text", 2, 2, "like"),
    **_table("text", "text", 1, 1, "casei", "accenti"),
    **_table("number", "number", 2, 2, "+", "-", "*", "/", "%", "^", "div"),
    **_table("boolean", "array", 2, 2, "a_containedBy", "a_contains", "a_equals", "a_overlaps"),
    **_table(
        "boolean", "geometry", 2, 2, "s_contains", "s_crosses", "s_disjoint", "s_equals",
        "s_intersects", "s_overlaps", "s_touches", "s_within",
    ),
    **_table(
        "boolean", "time", 2, 2, "t_after", "t_before", "t_contains", "t_disjoint", "t_during", "t_equals",
        "t_finishedBy", "t_finishes", "t_intersects", "t_meets", "t_metBy", "t_overlappedBy", "t_overlaps",
        "t_startedBy", "t_starts",
    ),
}  # fmt: skip
"""Every operator and function that we evaluate, by its lower-case name."""

_STRING = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_TOKEN = re.compile(r"[^\W\d]\w*|[-+*/%^=<>]+")
_NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
_POSITION = re.compile(rf"(?<=[(,])\s*{_NUMBER}(?:\s+{_NUMBER}){{1,3}}\s*(?=[,)])")
_TOP_LEVEL = frozenset({"id", "collection", "geometry", "bbox"})


def parse_filter_text(text: str) -> Json:
    """Parse CQL2 text into checked CQL2 JSON.

    Raises:
        InvalidInput: a syntax error (with its place), an unknown operator, or too large.
    """
    _bound_text(text)
    try:
        tree = cql2.parse_text(text).to_json()
    except (cql2.ParseError, cql2.ValidationError, ValueError) as error:
        raise InvalidInput(FIELD, f"not CQL2 text: {_first_lines(error)}", "such as eo:cloud_cover < 10") from error
    return check_filter(tree)


def _bound_text(text: str) -> None:
    """Refuse what would overflow the stack of the native parser, which recurses on every operator."""
    bare = _STRING.sub(" ", text)
    depth = deepest = 0
    for character in bare:
        if character == "(":
            depth += 1
            deepest = max(deepest, depth)
        elif character == ")":
            depth -= 1
    if deepest > 2 * MAX_DEPTH:
        raise InvalidInput(FIELD, "nested too deeply", f"at most {2 * MAX_DEPTH} open brackets")
    tokens = _TOKEN.findall(_POSITION.sub("", bare))
    if sum(1 if token[0].isalpha() else len(token) for token in tokens) > MAX_NODES:
        raise InvalidInput(FIELD, "too many parts", f"at most {MAX_NODES} operators and names")


def _first_lines(error: Exception) -> str:
    lines = [line.strip(" |") for line in str(error).splitlines()]
    return " ".join(line for line in lines if line)[:200]


def check_filter(expression: Any) -> Json:
    """Return CQL2 JSON with canonical operators and property names without ``properties.``, all checked.

    Raises:
        InvalidInput: names what is wrong and what would be right.
    """
    check_tree(FIELD, expression)
    checked = _boolean(expression)
    # A bare literal is an expression too; we keep filters objects.
    return checked if isinstance(checked, dict) else {"op": "=", "args": [checked, True]}


def _boolean(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, dict) and "property" in value):
        return _operand(value)
    operator = _operator(value)
    if operator is None or operator.gives != "boolean":
        raise InvalidInput(FIELD, f"{_show(value)} is not true or false", "an operator such as =, and, s_intersects")
    return _operation(operator, value)


def _operator(value: Any) -> Operator | None:
    if not isinstance(value, dict) or not isinstance(value.get("op"), str):
        return None
    operator = OPERATORS.get(value["op"].lower())
    if operator is None:
        right = ", ".join(known.name for known in OPERATORS.values())
        raise InvalidInput(FIELD, f"unknown operator {value['op'][:40]!r}", f"one of {right}")
    return operator


def _operation(operator: Operator, value: Json) -> Json:
    args = value.get("args")
    if operator.name == "between" and isinstance(args, list) and len(args) == 2 and isinstance(args[1], list):
        args = [args[0], *args[1]]  # as drafts of CQL2 had it, and clients still write it
    if not isinstance(args, list) or not operator.least <= len(args) <= operator.most:
        got = len(args) if isinstance(args, list) else kind_of(args)
        most = "more" if operator.most == _MANY else operator.most
        raise InvalidInput(FIELD, f"{operator.name} with {got} arguments", f"{operator.least} to {most} arguments")
    if operator.name == "in":
        checked = [_operand(args[0]), _list(args[1])]
    else:
        check = _CHECKS[operator.takes]
        checked = [check(arg) for arg in args]
    if operator.name == "like":
        _bound_pattern(checked[1])
    return {"op": operator.name, "args": checked}


def _bound_pattern(pattern: Any) -> None:
    """Refuse a pattern that would cost more than an honest one; what is folded first is in an operation."""
    while isinstance(pattern, dict) and "op" in pattern:
        pattern = pattern["args"][0]
    if isinstance(pattern, str) and len(pattern) > MAX_PATTERN:
        raise InvalidInput(FIELD, f"a pattern of {len(pattern)} characters", f"at most {MAX_PATTERN}")


def _operand(value: Any) -> Any:
    """Check a scalar: a literal, a property, a date or timestamp, or an operation."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        if "property" in value:
            return _property(value)
        if "op" in value:
            operator = _operator(value)
            if operator is not None:
                return _operation(operator, value)
        for name in ("timestamp", "date"):
            if isinstance(value.get(name), str):
                return {name: _instant_text(name, value[name])}
    raise InvalidInput(FIELD, f"{_show(value)} is not a value", "a literal, a property, a timestamp or an operation")


def _property(value: Json) -> Json:
    name = value["property"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise InvalidInput(FIELD, f"property {_show(name)}", f"a name of 1 to {MAX_NAME} characters")
    bare = name.removeprefix("properties.")
    return {"property": name if bare in _TOP_LEVEL else bare}


def _instant_text(kind: str, text: str) -> str:
    if parse_day_or_instant(text) is None:
        right = "YYYY-MM-DD" if kind == "date" else "RFC 3339 with an offset"
        raise InvalidInput(FIELD, f"{kind} {text[:40]!r}", right)
    return text


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(FIELD, f"in with {_show(value)}", "an array of values as its second argument")
    return [_operand(member) for member in value]


def _text(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise InvalidInput(FIELD, f"{value} where text is needed", "text, a property, casei or accenti")
    operator = _operator(value)
    if operator is not None and operator.gives != "text":
        raise InvalidInput(FIELD, f"{operator.name} where text is needed", "text, a property, casei or accenti")
    return _operand(value)


def _number(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise InvalidInput(FIELD, f"{_show(value)} where a number is needed", "a number, a property or arithmetic")
    return _operand(value)


def _array(value: Any) -> Any:
    if isinstance(value, list):
        return [_array(member) if isinstance(member, list) else _operand(member) for member in value]
    if isinstance(value, dict) and "property" in value:
        return _property(value)
    raise InvalidInput(FIELD, f"{_show(value)} is not an array", "an array or a property")


def _geometry(value: Any) -> Any:
    if isinstance(value, dict):
        if "property" in value:
            return _property(value)
        if "bbox" in value:
            return {"bbox": list(check_box(FIELD, value["bbox"]))}
    return check_geometry(FIELD, value)


def _time(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("interval"), list) and len(value["interval"]) == 2:
        return {"interval": [_end(end) for end in value["interval"]]}
    if isinstance(value, str):
        return {"timestamp": _instant_text("timestamp", value)}
    checked = _operand(value)
    if isinstance(checked, dict) and checked.keys() & {"property", "timestamp", "date"}:
        return checked
    raise InvalidInput(FIELD, f"{_show(value)} is not a time", "a timestamp, a date, an interval or a property")


def _end(value: Any) -> Any:
    if value == "..":
        return value
    if isinstance(value, dict) and "interval" in value:
        raise InvalidInput(FIELD, "an interval inside an interval", "an instant, a property or '..'")
    if isinstance(value, str):
        kind = "date" if len(value) == len("2020-01-01") else "timestamp"
        return {kind: _instant_text(kind, value)}
    return _time(value)


def _anything(value: Any) -> Any:
    return check_geometry(FIELD, value) if isinstance(value, dict) and "type" in value else _operand(value)


def _show(value: Any) -> str:
    return repr(value)[:60]


_CHECKS = {
    "boolean": _boolean,
    "scalar": _operand,
    "any": _anything,
    "text": _text,
    "number": _number,
    "array": _array,
    "geometry": _geometry,
    "time": _time,
}
