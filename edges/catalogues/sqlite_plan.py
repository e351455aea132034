"""How a search is answered in SQL: pure, from the query and a few counts to statements.

Two ways. *Walk*: along the index of the order, until the page is full; best where much matches. *Gather*: all
candidates of a selective index (box, ids, small collections, a narrow range), sorted; best where few match.
A walk is cut into segments, one statement each, so that SQLite can enter its index at the page's position.
Every statement finds a superset, in order; what SQL cannot decide is checked on the items.

All values are bound; only column names of our own table (``COLUMNS``) are written into statements.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from edges.catalogues.sqlite_pushdown import (
    Clause,
    area_clause,
    exact_clause,
    filter_boxes,
    pushed_clauses,
    rtree_clause,
)
from edges.catalogues.sqlite_rows import COLUMNS, EARLIEST, LATEST, NEVER_NULL
from edges.model import Interval, Query, SortKey
from edges.stac.geometry import Box, query_shape, shape_boxes, split_box


class CollectionFacts(NamedTuple):
    """What planning knows of a collection; see the table ``collections``."""

    items: int
    lead: int
    lag: int
    odd: bool


Facts = dict[str, CollectionFacts]


class Plan(NamedTuple):
    """The parts of a search.

    ``where`` holds for every statement; ``drivers`` give the numbers of candidates, each an alternative to
    a walk; ``order`` is empty where some key has no column: then candidates are sorted outside; ``range``
    bounds ``datetime`` by what time is asked for. ``decided``: no match of ``where`` fails the filter.
    """

    where: tuple[Clause, ...]
    drivers: tuple[Clause, ...]
    order: tuple[SortKey, ...]
    range: Clause | None
    decided: bool


def plan(query: Query, order: tuple[SortKey, ...], facts: Facts) -> Plan:
    """Lay out a search.

    Raises:
        edges.errors.InvalidInput: the query's geometry cannot be used.
    """
    chosen = _chosen(query, facts)
    odd = any(one.odd for one in chosen.values())
    boxes = query_boxes(query)
    pushed = pushed_clauses(query.filter, odd=odd)
    exact = exact_clause(query.filter, odd=odd)
    where = [*_name_clauses(query), *(_off_index(one, order[0]) for one in pushed)]
    if exact is not None:
        where.append(Clause(f"({exact.sql})", exact.values))
    if query.datetime is not None:
        where.append(_time_clause(query.datetime))
    if boxes:
        where.append(area_clause(boxes))
    area = boxes or filter_boxes(query.filter)
    drivers = [rtree_clause(area)] if area else []
    drivers += _name_drivers(query)
    entry = "SELECT i.item FROM items i WHERE "
    drivers += [Clause(entry + one.sql, one.values) for one in pushed if one.indexed]
    columned = all(key.field in COLUMNS for key in order)
    return Plan(
        where=tuple(where),
        drivers=tuple(drivers),
        order=order if columned else (),
        range=None if odd or query.datetime is None else _datetime_range(query.datetime, chosen),
        decided=query.filter is None or exact is not None,
    )


def _off_index(clause: Clause, leading: SortKey) -> Clause:
    """Keep SQLite from entering another index than that of the order, which would make it sort all it finds."""
    if leading.field in COLUMNS and f"i.{COLUMNS[leading.field]} " in clause.sql:
        return clause
    return Clause(clause.sql.replace("i.", "+i."), clause.values)


def _chosen(query: Query, facts: Facts) -> Facts:
    if query.collections is None:
        return facts
    return {name: facts[name] for name in query.collections if name in facts}


def query_boxes(query: Query) -> tuple[Box, ...]:
    """Return planar boxes that cover the query's area; none where it has no area to search in."""
    if query.bbox is not None:
        return split_box(query.bbox)
    if query.intersects is not None:
        return shape_boxes(query_shape("intersects", query.intersects))
    return ()


def _name_clauses(query: Query) -> Iterator[Clause]:
    for column, names in (("collection", query.collections), ("id", query.ids)):
        if names is not None:
            yield _one_of(column, names)


def _one_of(column: str, names: Sequence[str]) -> Clause:
    if len(names) == 1:
        return Clause(f"i.{column} = ?", tuple(names))
    # The plus keeps SQLite from entering an index by each name, which would lose the order of the walk.
    return Clause(f"+i.{column} IN ({', '.join('?' * len(names))})", tuple(names))


def _name_drivers(query: Query) -> Iterator[Clause]:
    for column, names in (("id", query.ids), ("collection", query.collections)):
        if names is not None and (column == "id" or len(names) > 1):
            marks = ", ".join("?" * len(names))
            yield Clause(f"SELECT i.item FROM items i WHERE i.{column} IN ({marks})", tuple(names))  # noqa: S608 - values are bound


def _time_clause(interval: Interval) -> Clause:
    start = EARLIEST if interval.start is None else interval.start
    end = LATEST if interval.end is None else interval.end
    return Clause("+i.starts <= ? AND +i.ends >= ?", (end, start))


def _datetime_range(interval: Interval, chosen: Facts) -> Clause | None:
    """Bound ``datetime`` where what an item covers is asked, by how far the two ever lie apart."""
    lead = max((one.lead for one in chosen.values()), default=0)
    lag = max((one.lag for one in chosen.values()), default=0)
    low = EARLIEST if interval.start is None else max(EARLIEST, interval.start - lag)
    high = LATEST if interval.end is None else min(LATEST, interval.end + lead)
    return Clause("i.datetime >= ? AND i.datetime <= ?", (low, high))


class Segment(NamedTuple):
    """A stretch of the order that lies after a position: its condition, and what is left to sort by."""

    where: Clause
    by: tuple[str, ...]
    dated: bool
    """It is bounded by ``datetime`` alone, which may be narrowed further."""


def segments(order: tuple[SortKey, ...], after: tuple[Any, ...] | None) -> Iterator[Segment]:
    """Cut what lies after a position (SQLite values of the order's columns) into stretches, in order."""
    if after is None:
        yield from _from_first(order, [])
        return
    for depth in reversed(range(len(order))):
        key, value = order[depth], after[depth]
        if value is None:
            continue  # null stands last: nothing follows it
        same = [_equal(*pair) for pair in zip(order[:depth], after[:depth], strict=True)]
        beyond = Clause(f"{_column(key)} {'<' if key.descending else '>'} ?", (value,))
        yield Segment(_all_of([*same, beyond]), _sorting(order[depth:]), dated=depth == 0 and key.field == "datetime")
        if key.field not in NEVER_NULL:
            null = Clause(f"{_column(key)} IS NULL", ())
            yield from _from_first(order[depth + 1 :], [*same, null])


def _from_first(order: tuple[SortKey, ...], same: list[Clause]) -> Iterator[Segment]:
    """Cut all that agrees in ``same`` by the next key: what has it, then what has it not and goes by the keys after."""
    key = order[0]  # the last keys of a total order are never null, so that there is one
    if key.field in NEVER_NULL:
        yield Segment(_all_of(same), _sorting(order), dated=False)
        return
    some = Clause(f"{_column(key)} IS NOT NULL", ())
    yield Segment(_all_of([*same, some]), _sorting(order), dated=not same and key.field == "datetime")
    yield from _from_first(order[1:], [*same, Clause(f"{_column(key)} IS NULL", ())])


def _equal(key: SortKey, value: Any) -> Clause:
    return Clause(f"{_column(key)} IS NULL", ()) if value is None else Clause(f"{_column(key)} = ?", (value,))


def _column(key: SortKey) -> str:
    return f"i.{COLUMNS[key.field]}"


def _sorting(order: Sequence[SortKey]) -> tuple[str, ...]:
    """Return the sort terms; the first key is known not to be null, so that an index gives it as it is."""
    terms = [f"{_column(key)} DESC" if key.descending else _column(key) for key in order]
    # Descending, SQLite puts null last by itself.
    nulls = [
        f"{_column(key)} IS NULL, " if place and not key.descending and key.field not in NEVER_NULL else ""
        for place, key in enumerate(order)
    ]
    return tuple(null + term for null, term in zip(nulls, terms, strict=True))


def _all_of(clauses: Sequence[Clause]) -> Clause:
    return Clause(
        " AND ".join(clause.sql for clause in clauses if clause.sql),
        tuple(value for clause in clauses for value in clause.values),
    )


def walk(made: Plan, after: tuple[Any, ...] | None) -> Iterator[Clause]:
    """Yield the statements that give item numbers along the order, one stretch after the other."""
    for segment in segments(made.order, after):
        narrowed = [made.range] if made.range is not None and segment.dated else []
        yield _select(Clause("items i", ()), [segment.where, *narrowed, *made.where], segment.by)


def gather(made: Plan, driver: Clause, after: tuple[Any, ...] | None) -> Clause:
    """Return the one statement that gives the item numbers of a driver's candidates, sorted."""
    clauses = list(made.where)
    if after is not None:
        stretches = [segment.where for segment in segments(made.order, after)]
        either = " OR ".join(f"({stretch.sql})" for stretch in stretches)
        clauses.append(Clause(f"({either})", tuple(value for stretch in stretches for value in stretch.values)))
    by = [f"{_column(key)} IS NULL, {_sorting((key,))[0]}" for key in made.order]
    return _select(_joined(driver), clauses, by)


def _joined(driver: Clause) -> Clause:
    # CROSS JOIN fixes the order of the loops in SQLite: candidates first.
    return Clause(f"({driver.sql}) d CROSS JOIN items i ON i.item = d.item", driver.values)


def unordered(made: Plan, driver: Clause | None) -> Clause:
    """Return a statement that gives all candidates in no order."""
    return _select(Clause("items i", ()) if driver is None else _joined(driver), made.where, ())


def counted(statement: Clause, most: int) -> Clause:
    """Return a statement that counts the rows of another, up to ``most``."""
    return Clause(f"SELECT count(*) FROM ({statement.sql} LIMIT ?)", (*statement.values, most))  # noqa: S608 - values are bound


def with_bodies(statement: Clause) -> Clause:
    """Return a statement that gives the items' bytes beside their numbers, in the same order."""
    # LIMIT -1 keeps SQLite from merging the two selects, which would drag the bodies through the sorting.
    sql = f"SELECT s.item, b.body FROM ({statement.sql} LIMIT -1) s CROSS JOIN bodies b ON b.item = s.item"  # noqa: S608
    return Clause(sql, statement.values)


def _select(source: Clause, clauses: Sequence[Clause], by: Sequence[str]) -> Clause:
    where = _all_of(clauses)
    sql = f"SELECT i.item FROM {source.sql}"  # noqa: S608 - names are ours
    sql += f" WHERE {where.sql}" if where.sql else ""
    sql += f" ORDER BY {', '.join(by)}" if by else ""
    return Clause(sql, (*source.values, *where.values))
