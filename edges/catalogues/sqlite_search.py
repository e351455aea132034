"""Run a search on one connection: choose the way by counting, then find, check and cut the page. Blocking."""

import contextlib
import heapq
import itertools
import math
import sqlite3
from collections.abc import Callable, Generator, Iterator
from typing import Any

import msgspec

from edges.catalogues.position import decode_position, encode_position
from edges.catalogues.sqlite_plan import CollectionFacts, Facts, Plan, counted, gather, plan, unordered, walk
from edges.catalogues.sqlite_pushdown import Clause
from edges.catalogues.sqlite_rows import sort_value
from edges.catalogues.sqlite_store import SQL, transaction
from edges.model import Batch, Members, Query, SortKey
from edges.stac.matching import Match, compile_query
from edges.stac.order import compile_values, key_of_values, total_order

COUNT_AT_MOST = 10_000
"""Most matches that are counted for ``matched``; beyond it the number is not told."""

READ_AT_MOST = 200
"""Most items that are read only to be counted."""

_MEMBERS = msgspec.json.Decoder(Members)
Check = Callable[[], None]
"""Raises where the search is to be given up."""


class Searcher:
    """A reading connection, and what it knows of the collections as long as nobody writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._facts: Facts = {}
        self._version = -1

    def search(self, query: Query, limit: int, after: str | None, check: Check) -> Batch:
        """Return one page, in the total order of the query, from one state of the file.

        Raises:
            edges.errors.InvalidInput: ``after`` is no position of this query.
            sqlite3.Error: the file cannot be read.
        """
        order = total_order(query.sortby)
        values = None if after is None else decode_position(order, after)
        with transaction(self.connection):
            facts = self._current_facts()
            made = plan(query, order, facts)
            match = _residual(query)
            driver = self._driver(made, limit, facts)
            with contextlib.closing(self._found(made, driver, values, match, check)) as found:
                chosen = found if made.order else self._sorted(found, order, values, limit)
                items = list(itertools.islice(chosen, limit + 1))
            more = len(items) > limit
            whole = after is None and not more
            if whole:
                matched: int | None = len(items)
            elif match is not None:
                matched = self._matched_by_reading(made, driver, match, check)
            else:
                matched = self._matched(query, made, facts)
        items = items[:limit]
        following = encode_position(order, compile_values(order)(items[-1])) if more else None
        return Batch(items=items, next=following, matched=matched)

    def _current_facts(self) -> Facts:
        version = self.connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            rows = self.connection.execute(SQL["collection_facts"])
            self._facts = {name: CollectionFacts(items, lead, lag, bool(odd)) for name, items, lead, lag, odd in rows}
            self._version = version
        return self._facts

    def _driver(self, made: Plan, limit: int, facts: Facts) -> Clause | None:
        """Return the driver with the fewest candidates, or None where a walk will meet enough matches soon.

        A walk meets a match every total/candidates rows, a gathering touches each candidate: equal at the
        root.
        """
        total = sum(one.items for one in facts.values())
        bound = int(math.sqrt((limit + 1) * total)) + 1 if made.order else total
        best: tuple[int, Clause] | None = None
        for driver in made.drivers:
            sql, values, _ = counted(driver, bound + 1)
            count = self.connection.execute(sql, values).fetchone()[0]
            if count <= bound and (best is None or count < best[0]):
                best = (count, driver)
        return None if best is None else best[1]

    def _found(
        self,
        made: Plan,
        driver: Clause | None,
        values: tuple[Any, ...] | None,
        match: Match | None,
        check: Check,
    ) -> Generator[Members]:
        place = None
        if made.order and values is not None:
            place = tuple(sort_value(key.field, value) for key, value in zip(made.order, values, strict=True))
        if not made.order:
            statements: Iterator[Clause] = iter([unordered(made, driver)])
        elif driver is not None:
            statements = iter([gather(made, driver, place)])
        else:
            statements = walk(made, place)
        for statement in statements:
            yield from self._matching(statement, match, check)

    def _matching(self, statement: Clause, match: Match | None, check: Check) -> Iterator[Members]:
        body = SQL["body"]
        # A cursor of its own for each: the outer one stays open while bodies are read.
        inner = self.connection.cursor()
        for seen, (number,) in enumerate(self.connection.execute(statement.sql, statement.values)):
            if not seen & 0xFF:
                check()
            item = _MEMBERS.decode(inner.execute(body, (number,)).fetchone()[0])
            if match is None or match(item):
                yield item

    def _sorted(
        self, found: Iterator[Members], order: tuple[SortKey, ...], values: tuple[Any, ...] | None, limit: int
    ) -> Iterator[Members]:
        """Sort by fields that have no column: one pass over the candidates, keeping a page."""
        plain = compile_values(order)
        last = None if values is None else key_of_values(order, values)
        keyed = ((key_of_values(order, plain(item)), item) for item in found)
        later = (pair for pair in keyed if last is None or pair[0] > last)
        return (item for _, item in heapq.nsmallest(limit + 1, later, key=lambda pair: pair[0]))

    def _matched_by_reading(self, made: Plan, driver: Clause | None, match: Match, check: Check) -> int | None:
        """Count what only the items themselves can tell, where the candidates are few."""
        candidates = unordered(made, driver)
        sql, values, _ = counted(candidates, READ_AT_MOST + 1)
        if self.connection.execute(sql, values).fetchone()[0] > READ_AT_MOST:
            return None
        return sum(1 for _ in self._matching(candidates, match, check))

    def _matched(self, query: Query, made: Plan, facts: Facts) -> int | None:
        if query.ids is None and query.datetime is None:
            named = facts if query.collections is None else query.collections
            return sum(facts[name].items for name in named if name in facts)
        narrowed = made.drivers[0] if query.ids is not None else None
        sql, values, _ = counted(unordered(made, narrowed), COUNT_AT_MOST + 1)
        count = int(self.connection.execute(sql, values).fetchone()[0])
        return count if count <= COUNT_AT_MOST else None


def _residual(query: Query) -> Match | None:
    """Return the test of what SQL only narrows down, or None where SQL decides all."""
    if query.bbox is None and query.intersects is None and query.filter is None:
        return None
    return compile_query(Query(bbox=query.bbox, intersects=query.intersects, filter=query.filter))
