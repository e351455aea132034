"""Aggregation in SQL where columns tell all, else over the items that match. Blocking; on one connection."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from edges.catalogues.sqlite_plan import Facts, plan, unordered, with_bodies
from edges.catalogues.sqlite_pushdown import Clause
from edges.catalogues.sqlite_rows import COLUMNS
from edges.model import Members, Query
from edges.stac.aggregation import RANGES, Aggregation, Key, Tally, Wanted
from edges.stac.aggregation_count import Counting, start_of, term_of
from edges.stac.datetimes import DAY_US
from edges.stac.matching import Match
from edges.stac.order import total_order

_MEMBERS = msgspec.json.Decoder(Members)
_FINE: dict[str, int] = {"hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000}
"""Intervals shorter than a day, in microseconds; longer ones are made of days."""
_CLOUDS = " ".join(f"WHEN i.cloud_cover < {end} THEN {number}" for number, (_, end) in enumerate(RANGES) if end)
_RANGE = f"""CASE WHEN typeof(i.cloud_cover) IN ('integer', 'real')
    THEN CASE {_CLOUDS} ELSE {len(RANGES) - 1} END END"""
_SPAN = """count(*), min(CASE WHEN typeof(i.datetime) = 'integer' THEN i.datetime END),
    max(CASE WHEN typeof(i.datetime) = 'integer' THEN i.datetime END)"""
_ITEM = "SELECT i.item FROM "


def aggregate(
    connection: sqlite3.Connection, query: Query, wanted: Wanted, *, facts: Facts, match: Match | None
) -> Tally:
    """Count what a query matches; ``match`` is the test of what SQL only narrows down, None where SQL decides.

    Raises:
        edges.errors.InvalidInput: the query's geometry cannot be used.
        sqlite3.Error: the file cannot be read.
    """
    made = plan(query, total_order(()), facts)
    selective = query.ids is not None or query.bbox is not None or query.intersects is not None
    candidates = unordered(made, made.drivers[0] if selective and made.drivers else None)
    if match is not None or not all(_columned(one) for one in wanted.distributions):
        return _counted(_matching(connection, candidates, match), wanted)
    total, first, last = _rows(connection, candidates, _SPAN, grouped=False)[0]
    counts: dict[str, dict[Key, int]] = {}
    missing: dict[str, int] = {}
    for one in wanted.distributions:
        counts[one.name] = _buckets(connection, candidates, one, wanted)
        missing[one.name] = total - sum(counts[one.name].values())
    return Tally(total=total, first=first, last=last, counts=counts, missing=missing)


def _columned(one: Aggregation) -> bool:
    return one.kind in ("terms", "times", "ranges") and one.field in COLUMNS


def _buckets(connection: sqlite3.Connection, candidates: Clause, one: Aggregation, wanted: Wanted) -> dict[Key, int]:
    if one.kind == "times":
        width = _FINE.get(wanted.interval, DAY_US)
        column = "i.datetime"
        floor = f"{column} - (({column} % {width}) + {width}) % {width}"
        rows = _rows(connection, candidates, f"CASE WHEN typeof({column}) = 'integer' THEN {floor} END, count(*)")
        return _summed((start_of(wanted.interval, start), count) for start, count in rows if start is not None)
    if one.kind == "ranges":
        rows = _rows(connection, candidates, f"{_RANGE}, count(*)")
        return _summed((number, count) for number, count in rows if number is not None)
    rows = _rows(connection, candidates, f"i.{COLUMNS[one.field]}, count(*)")
    return _summed(
        (term, count) for term, count in ((_term(value), count) for value, count in rows) if term is not None
    )


def _summed(pairs: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    counts: Counter[Key] = Counter()
    for key, count in pairs:
        counts[key] += count
    return dict(counts)


def _term(stored: Any) -> str | None:
    """Return the term of a stored value; see :func:`edges.catalogues.sqlite_rows.sort_value`."""
    if isinstance(stored, bytes):
        return stored[1:].decode()  # text, or the JSON of something else
    if isinstance(stored, str) and stored in ("0", "1"):
        return "true" if stored == "1" else "false"
    return term_of(stored)


def _rows(
    connection: sqlite3.Connection, candidates: Clause, columns: str, *, grouped: bool = True
) -> list[tuple[Any, ...]]:
    sql = f"SELECT {columns} FROM {candidates.sql.removeprefix(_ITEM)}"  # noqa: S608 - names and numbers are ours
    return connection.execute(sql + (" GROUP BY 1" if grouped else ""), candidates.values).fetchall()


def _matching(connection: sqlite3.Connection, candidates: Clause, match: Match | None) -> Iterator[Members]:
    sql, values, _ = with_bodies(candidates)
    for _, body in connection.execute(sql, values):
        item = _MEMBERS.decode(body)
        if match is None or match(item):
            yield item


def _counted(items: Iterable[Members], wanted: Wanted) -> Tally:
    counting = Counting(wanted)
    add: Callable[[Members], None] = counting.add
    for item in items:
        add(item)
    return counting.tally()
