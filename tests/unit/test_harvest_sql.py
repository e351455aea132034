"""The named queries: one text for each name, and none that nobody asks."""

import re
from pathlib import Path

import pytest

from harvest import sql

ROOMS = [Path(__file__).parents[2] / room for room in ("harvest", "gateway")]


def test_two_queries_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"same name: \['a'\]"):
        sql._once(sql._named("-- name: a\nSELECT 1;\n-- name: b\nSELECT 2;\n-- name: a\nSELECT 3;\n"))


def test_each_query_is_asked_somewhere() -> None:
    code = "".join(file.read_text() for room in ROOMS for file in room.rglob("*.py"))
    assert [name for name in sql.queries() if re.search(rf'"{name}"', code) is None] == []


def test_what_postgresql_needs_in_words_of_its_own_stands_for_a_query_that_there_is() -> None:
    assert sql.queries_of_postgres().keys() <= sql.queries().keys()
