"""Run a search on one connection: choose the way by counting, then find, check and cut the page. Blocking."""

import bisect
import contextlib
import heapq
import itertools
import math
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from edges.catalogues.position import decode_position, encode_position
from edges.catalogues.sqlite_aggregation import aggregate
from edges.catalogues.sqlite_plan import (
    CollectionFacts,
    Facts,
    Plan,
    counted,
    gather,
    plan,
    unordered,
    walk,
    with_bodies,
)
from edges.catalogues.sqlite_pushdown import Clause
from edges.catalogues.sqlite_rows import sort_value
from edges.catalogues.sqlite_store import SQL, transaction
from edges.model import Batch, Members, Query
from edges.stac.aggregation import Tally, Wanted
from edges.stac.free_text import texts_of_collections
from edges.stac.matching import Match, compile_query
from edges.stac.order import Key, compile_values, key_of_values, total_order

COUNT_AT_MOST = 10_000
"""Most matches that are counted for ``matched``; beyond it the number is not told."""

READ_AT_MOST = 200
"""Most items that are read only to be counted."""

RUN_AT_MOST = 20_000
"""Longest sorted run that is remembered for the following pages, in items; a few megabytes."""
RUNS = 4
"""Runs that one reader remembers, as long as nobody writes."""

_Run = list[tuple[Key, int]]
_MEMBERS = msgspec.json.Decoder(Members)
Check = Callable[[], None]
"""Raises where the search is to be given up."""


class Searcher:
    """A reading connection, and what it knows of the collections as long as nobody writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._facts: Facts = {}
        self._version = -1
        self._runs: dict[bytes, _Run] = {}
        self._texts: Mapping[str, str] = {}

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
            match = self._residual(query, decided=made.decided)
            driver = self._driver(made, limit, facts)
            if made.order:
                with contextlib.closing(self._found(made, driver, values, match, check)) as found:
                    items = list(itertools.islice(found, limit + 1))
            else:
                candidates = self._matching(unordered(made, driver), match, check)
                items = self._sorted(query, candidates, values, limit)
            more = len(items) > limit
            whole = after is None and not more
            if whole:
                matched: int | None = len(items)
            elif (
                (match or query.filter)
                and driver is None
                and sum(each.items for each in facts.values()) > COUNT_AT_MOST
            ):
                matched = None  # no index tells that they are few
            elif match is not None or query.filter is not None:
                matched = self._matched_by_reading(made, driver, match, check)
            else:
                matched = self._matched(query, facts)
        items = items[:limit]
        following = encode_position(order, compile_values(order)(items[-1])) if more else None
        return Batch(items=items, next=following, matched=matched)

    def aggregate(self, query: Query, wanted: Wanted) -> Tally:
        """Count what matches, in one state of the file.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        with transaction(self.connection):
            facts = self._current_facts()
            return aggregate(self.connection, query, wanted, facts=facts, match=self._residual(query))

    def _current_facts(self) -> Facts:
        version = self.connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            rows = self.connection.execute(SQL["collection_facts"])
            self._facts = {name: CollectionFacts(items, lead, lag, bool(odd)) for name, items, lead, lag, odd in rows}
            self._version = version
            self._runs.clear()
            self._texts = {}
        return self._facts

    def _residual(self, query: Query, *, decided: bool = False) -> Match | None:
        """Return the test of what SQL only narrows down, or None where SQL decides all; ``decided``: the filter."""
        filter_ = None if decided else query.filter
        if query.bbox is None and query.intersects is None and filter_ is None and query.text is None:
            return None
        rest = Query(bbox=query.bbox, intersects=query.intersects, filter=filter_, text=query.text)
        return compile_query(rest, self._collection_texts() if query.text is not None else {})

    def _collection_texts(self) -> Mapping[str, str]:
        if not self._texts:
            bodies = self.connection.execute(SQL["collections"])
            self._texts = texts_of_collections(msgspec.json.decode(body) for (body,) in bodies)
        return self._texts

    def _driver(self, made: Plan, limit: int, facts: Facts) -> Clause | None:
        """Return the driver with the fewest candidates, or None where a walk will meet enough matches soon.

        A walk meets a match every total/candidates rows; a gathering touches each candidate, at some four
        times the cost of a row of a walk (entry by number, sorting). They are equal at the root.
        """
        total = sum(one.items for one in facts.values())
        bound = int(math.sqrt((limit + 1) * total / 4)) + 1 if made.order else total
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
        if values is not None:
            place = tuple(sort_value(key.field, value) for key, value in zip(made.order, values, strict=True))
        for statement in walk(made, place) if driver is None else [gather(made, driver, place)]:
            for _, item in self._matching(statement, match, check):
                yield item

    def _matching(self, statement: Clause, match: Match | None, check: Check) -> Iterator[tuple[int, Members]]:
        sql, values, _ = with_bodies(statement)
        for seen, (number, body) in enumerate(self.connection.execute(sql, values)):
            if not seen & 0xFF:
                check()
            item = _MEMBERS.decode(body)
            if match is None or match(item):
                yield number, item

    def _sorted(
        self,
        query: Query,
        candidates: Iterator[tuple[int, Members]],
        values: tuple[Any, ...] | None,
        limit: int,
    ) -> list[Members]:
        """Sort by fields that have no column: one pass over the candidates, remembered for the pages after."""
        order = total_order(query.sortby)
        name = msgspec.json.encode(msgspec.structs.replace(query, fields=None, limit=1))
        run = self._runs.get(name)
        last = None if values is None else key_of_values(order, values)
        if run is None:
            plain = compile_values(order)
            keyed = ((key_of_values(order, plain(item)), number) for number, item in candidates)
            run = list(itertools.islice(keyed, RUN_AT_MOST))
            more = list(itertools.islice(keyed, 1))
            if more:  # too many to remember: keep no more than this page
                later = (pair for pair in itertools.chain(run, more, keyed) if last is None or pair[0] > last)
                return self._bodies(number for _, number in heapq.nsmallest(limit + 1, later))
            run.sort()
            if len(self._runs) >= RUNS:
                self._runs.pop(next(iter(self._runs)))
            self._runs[name] = run
        start = 0 if last is None else bisect.bisect_right(run, last, key=lambda pair: pair[0])
        return self._bodies(number for _, number in run[start : start + limit + 1])

    def _bodies(self, numbers: Iterable[int]) -> list[Members]:
        return [_MEMBERS.decode(self.connection.execute(SQL["body"], (number,)).fetchone()[0]) for number in numbers]

    def _matched_by_reading(self, made: Plan, driver: Clause | None, match: Match | None, check: Check) -> int | None:
        """Count what only the items themselves can tell, where the candidates are few."""
        candidates = unordered(made, driver)
        sql, values, _ = counted(candidates, READ_AT_MOST + 1)
        count: int = self.connection.execute(sql, values).fetchone()[0]
        if count > READ_AT_MOST:
            return None
        if match is None:
            return count
        return sum(1 for _ in self._matching(candidates, match, check))

    def _matched(self, query: Query, facts: Facts) -> int | None:
        """Count where an index does: by the collections' own counts, by ids, or along a stretch of time."""
        named = facts if query.collections is None else set(query.collections)
        most = sum(facts[name].items for name in named if name in facts)
        if query.ids is None and query.datetime is None:
            return most
        by_time = plan(query, total_order(()), facts)
        if query.ids is not None:
            statements = [unordered(by_time, by_time.drivers[0])]
        elif by_time.range is not None or most <= COUNT_AT_MOST:
            statements = list(walk(by_time, None))
        else:
            return None
        count = 0
        for statement in statements:
            sql, values, _ = counted(statement, COUNT_AT_MOST + 1)
            count += self.connection.execute(sql, values).fetchone()[0]
        return count if count <= COUNT_AT_MOST else None
