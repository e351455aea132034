"""What of a CQL2 filter SQLite can decide from columns: a superset, by the conjuncts that translate. Pure.

A conjunct is left out where its translation could lose an item; the whole filter is checked on the items
anyway.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from edges.catalogues.sqlite_rows import COLUMNS, NEVER_NULL, sort_value
from edges.model import Json
from edges.stac.cql2_time import Span, instant, span
from edges.stac.geometry import Box, query_shape, shape_boxes, split_box
from edges.stac.order import INSTANT_FIELDS


class Clause(NamedTuple):
    """A piece of SQL and its values; ``indexed`` where an index leads straight to its rows."""

    sql: str
    values: tuple[Any, ...]
    indexed: bool = False


_INDEXED = frozenset({"created", "updated", "eo:cloud_cover"})
_TURNED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_DECIDED = frozenset({"and", "or", "isNull", *_TURNED})
_DECIDING = frozenset({"datetime", *NEVER_NULL})
"""Columns of which one kind of values is known, so that SQL compares them as CQL2 does."""
_WITHIN_SPAN = frozenset(
    {"t_during", "t_equals", "t_intersects", "t_finishes", "t_starts", "t_meets", "t_metBy", "t_contains"}
    | {"t_finishedBy", "t_startedBy", "t_overlaps", "t_overlappedBy"}
)
_NEAR = frozenset({"s_intersects", "s_within", "s_contains", "s_equals", "s_touches", "s_overlaps", "s_crosses"})


def pushed_clauses(expression: Json | None, *, odd: bool) -> list[Clause]:
    """Return conditions on columns that hold for every item that matches the filter.

    With ``odd``, some times are text that is no instant: conditions on times could lose them and are left
    out.
    """
    clauses = []
    for one in _conjuncts(expression):
        translate = _TRANSLATIONS.get(one["op"])
        clause = translate(one["op"], one["args"]) if translate else None
        field = _field(one)
        if clause is not None and not (odd and field in INSTANT_FIELDS):
            clauses.append(clause._replace(indexed=field in _INDEXED and "NULL" not in clause.sql))
    return clauses


def exact_clause(expression: Json | None, *, odd: bool) -> Clause | None:
    """Return the condition that holds for the matches of a filter and for nothing else; None where there is none.

    By it a walk goes on where its last page ended: comparisons of ``datetime`` with instants, and of what names an
    item. Both SQL and CQL2 are logics of three values. With ``odd``, times are left out, see :func:`pushed_clauses`.
    """
    if expression is None or expression.get("op") not in _DECIDED:
        return None
    name, args = expression["op"], expression["args"]
    if name in ("and", "or"):
        parts = [exact_clause(arg, odd=odd) if isinstance(arg, dict) else None for arg in args]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        sql = f" {name.upper()} ".join(f"({part.sql})" for part in known)
        return Clause(sql, tuple(value for part in known for value in part.values))
    field = _field(expression)
    if field not in _DECIDING or (odd and field in INSTANT_FIELDS):
        return None
    if name == "isNull":
        return Clause(f"+i.{COLUMNS[field]} IS NULL", ())
    return _decided(name, args)


def _decided(sign: str, args: Sequence[Any]) -> Clause | None:
    typed = [arg for arg in args if not (isinstance(arg, dict) and "property" in arg)]
    if len(typed) != 1 or (isinstance(typed[0], dict) and typed[0].keys() != {"timestamp"}):
        return None
    clause = _comparison(sign, args)
    return None if clause is None else Clause(clause.sql.replace("i.", "+i.", 1), clause.values)


def _conjuncts(expression: Any) -> Iterator[Json]:
    pending = [expression]
    while pending:
        one = pending.pop()
        if isinstance(one, dict) and one.get("op") == "and":
            pending.extend(reversed(one["args"]))
        elif isinstance(one, dict) and "op" in one:
            yield one


def _field(expression: Json) -> str | None:
    for arg in expression["args"]:
        if isinstance(arg, dict) and arg.get("property") in COLUMNS:
            return str(arg["property"])
    return None


def _comparison(sign: str, args: Sequence[Any]) -> Clause | None:
    left, right = args
    if isinstance(right, dict) and "property" in right:
        left, right, sign = right, left, _TURNED[sign]
    field = _column_of(left)
    value = None if field is None else _literal(field, right)
    return None if field is None or value is None else Clause(f"i.{COLUMNS[field]} {sign} ?", (value,))


def _column_of(value: Any) -> str | None:
    name = value.get("property") if isinstance(value, dict) else None
    return name if name in COLUMNS else None


def _literal(field: str, value: Any) -> Any:
    """Return what a column is compared with, or None where the comparison is not one of columns."""
    if isinstance(value, dict):
        typed = value.get("timestamp", value.get("date"))
        # A time compared with a column that holds no instants is compared as instants all the same.
        return instant(typed) if field in INSTANT_FIELDS else None
    if field in INSTANT_FIELDS:
        return instant(value)
    if field in NEVER_NULL:
        return value if isinstance(value, str) else None
    return sort_value(field, value) if isinstance(value, str | int | float) else None


def _between(_: str, args: Sequence[Any]) -> Clause | None:
    field = _column_of(args[0])
    if field is None:
        return None
    low, high = _literal(field, args[1]), _literal(field, args[2])
    if low is None or high is None:
        return None
    return Clause(f"i.{COLUMNS[field]} >= ? AND i.{COLUMNS[field]} <= ?", (low, high))


def _in(_: str, args: Sequence[Any]) -> Clause | None:
    field = _column_of(args[0])
    values = [] if field is None else [_literal(field, member) for member in args[1]]
    if field is None or None in values:
        return None
    return Clause(f"+i.{COLUMNS[field]} IN ({', '.join('?' * len(values))})", tuple(values))


def _is_null(_: str, args: Sequence[Any]) -> Clause | None:
    field = _column_of(args[0])
    return None if field is None else Clause(f"+i.{COLUMNS[field]} IS NULL", ())


def _temporal(name: str, args: Sequence[Any]) -> Clause | None:
    field, bounds = _column_of(args[0]), _span(args[1])
    if field not in INSTANT_FIELDS or bounds is None:
        return None
    column = f"i.{COLUMNS[str(field)]}"
    if name == "t_after":
        return Clause(f"{column} > ?", (bounds[1],))
    if name == "t_before":
        return Clause(f"{column} < ?", (bounds[0],))
    return Clause(f"{column} >= ? AND {column} <= ?", bounds)


def _span(value: Any) -> Span | None:
    ends = value.get("interval", [value, value]) if isinstance(value, dict) else []
    texts = [end.get("timestamp", end.get("date")) if isinstance(end, dict) else end for end in ends]
    spans = [(-math.inf, math.inf) if text == ".." else span(text) for text in texts]
    if len(spans) != 2 or spans[0] is None or spans[1] is None:
        return None
    return (spans[0][0], spans[1][1])


def _spatial(_: str, args: Sequence[Any]) -> Clause | None:
    left, right = args
    if right == {"property": "geometry"}:
        left, right = right, left
    if left != {"property": "geometry"} or "property" in right:
        return None
    boxes = _boxes(right)
    return area_clause(boxes) if boxes else None


def area_clause(boxes: Sequence[Box]) -> Clause:
    """Return the condition that an item's outer box touches any of these."""
    one = "(i.west <= ? AND i.east >= ? AND i.south <= ? AND i.north >= ?)"
    return Clause(f"({' OR '.join([one] * len(boxes))})", _edges(boxes))


def _edges(boxes: Sequence[Box]) -> tuple[float, ...]:
    return tuple(edge for west, south, east, north in boxes for edge in (east, west, north, south))


def _boxes(value: Json) -> tuple[Box, ...]:
    if "bbox" in value:
        west, south, east, north = value["bbox"]
        return split_box((west, south, east, north))
    return shape_boxes(query_shape("filter", value))


def filter_boxes(expression: Json | None) -> tuple[Box, ...]:
    """Return boxes that hold all matches of a filter, from one spatial conjunct; none where there is none."""
    for one in _conjuncts(expression):
        args = one["args"]
        if one["op"] in _NEAR and {"property": "geometry"} in args:
            other = args[0] if args[1] == {"property": "geometry"} else args[1]
            if "property" not in other:
                return _boxes(other)
    return ()


def rtree_clause(boxes: Sequence[Box]) -> Clause:
    """Return the statement that gives the items whose boxes touch any of these."""
    one = "SELECT box / 2 AS item FROM bounds WHERE west <= ? AND east >= ? AND south <= ? AND north >= ?"
    each = " UNION ALL ".join([one] * len(boxes))  # SQLite enters the R*Tree once for each
    return Clause(f"SELECT DISTINCT item FROM ({each})", _edges(boxes))  # noqa: S608 - values are bound


_TRANSLATIONS: dict[str, Callable[[str, Sequence[Any]], Clause | None]] = {
    # Not "<>": numbers that are stored less exactly than they are told would be taken for equal.
    **dict.fromkeys(_TURNED.keys() - {"<>"}, _comparison),
    "between": _between,
    "in": _in,
    "isNull": _is_null,
    **dict.fromkeys(_WITHIN_SPAN | {"t_after", "t_before"}, _temporal),
    **dict.fromkeys(_NEAR, _spatial),
}
