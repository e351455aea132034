"""What is asked again and again must take no longer in a database that has grown for years."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from harvest.database_sqlite import SqliteSession
from harvest.sql import queries

ASKED_RARELY = {"deliveries_told", "rules_at_work"}
"""By people, and by figures that are refreshed the less often the longer they take (``stats_...``)."""

STAY_SMALL = {"audits", "rules", "runs", "turns"}

GROWING = {"objects_charged", "orders_done", "orders_holding_copies", "orders_idempotency", "orders_of_rule"}
"""Indexes that leave little out."""

_SCAN = re.compile(r"SCAN (?P<what>\w+)(?: USING (?:COVERING )?INDEX (?P<index>\w+))?$")

pytestmark = pytest.mark.seam


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a database with our schema."""
    path = tmp_path / "harvest.sqlite"
    SqliteSession(path, busy_seconds=1.0).close()
    connection = sqlite3.connect(path)
    connection.create_function("fresh_id", 0, str)
    yield connection
    connection.close()


def _steps(database: sqlite3.Connection, query: str) -> list[str]:
    values = dict.fromkeys(re.findall(r":(\w+)", query))
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]


def _short_indexes(database: sqlite3.Connection) -> set[str]:
    """Return the indexes of what is open."""
    rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")
    return {name for (name,) in rows} - GROWING


def _tables(database: sqlite3.Connection, query: str) -> dict[str, str]:
    """Return the tables that a query names, by the names that it gives them."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    named = re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(\w+)(?:\s+(?:AS\s+)?(\w+))?", query)
    return {alias: table for table, alias in named if table in tables} | {name: name for name in tables}


def _gone_through(database: sqlite3.Connection, query: str) -> list[str]:
    """Return the steps of a query that look at each row of a table that grows."""
    short, tables = _short_indexes(database), _tables(database, query)
    scans = [scan for scan in map(_SCAN.match, _steps(database, query)) if scan is not None]
    return [
        scan[0]
        for scan in scans
        if scan["index"] not in short and tables.get(scan["what"], "told") not in {*STAY_SMALL, "told"}
    ]


def test_no_query_of_everyday_work_goes_through_a_table_that_grows(database: sqlite3.Connection) -> None:
    everyday = {name: query for name, query in queries().items() if not name.startswith("stats_")}
    found = {name: _gone_through(database, everyday[name]) for name in everyday.keys() - ASKED_RARELY}
    assert {name: steps for name, steps in found.items() if steps} == {}


@pytest.mark.parametrize(("name", "index"), [("jobs", "orders_by_creation"), ("jobs_of_group", "orders_of_group")])
def test_a_page_of_jobs_begins_where_an_index_leads(database: sqlite3.Connection, name: str, index: str) -> None:
    assert any(
        re.match(rf"SEARCH orders USING INDEX {index} \(.*created>", step) for step in _steps(database, queries()[name])
    )
