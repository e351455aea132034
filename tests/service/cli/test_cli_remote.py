"""``lakegate search``, ``place`` and ``sites`` against gateways that the command serves itself."""

from typing import Any

import pytest
from lakegate_command import TOKEN, House, lakegate

pytestmark = pytest.mark.service


def test_a_search_prints_a_table(house: House) -> None:
    ended = lakegate("search", "--max-items", "3", LAKEGATE_URL=house.whole, LAKEGATE_TOKEN=TOKEN)
    assert (ended.code, ended.err) == (0, "")
    shown = [line for line in ended.out.splitlines() if " i2" in line]
    assert [next(cell for cell in line.split() if cell.startswith("i")) for line in shown] == ["i24", "i23", "i22"]
    assert all("alive" in line and "2024-01-" in line for line in shown)


def test_a_search_prints_json_for_scripts(house: House) -> None:
    options = ("--collections", "c", "--bbox", "10,47,12,49", "--datetime", "2024-01-05/2024-01-20")
    ended = lakegate(
        *("search", "--url", house.whole, "--json", "--max-items", "0"),
        *(*options, "--filter", "eo:cloud_cover < 12", "--sortby", "+eo:cloud_cover"),
    )
    assert (ended.code, ended.err) == (0, "")
    found = ended.json()
    assert [each["id"] for each in found["features"]] == [f"i{n:02}" for n in range(4, 12)]
    assert found["federation"]["alive"]["status"] == "answered"


def test_a_search_of_nothing_says_so(house: House) -> None:
    ended = lakegate("search", "--ids", "none", "--url", house.whole)
    assert (ended.code, ended.out) == (0, "No items match.\n")


def test_a_search_without_all_sites_exits_with_its_own_code(house: House) -> None:
    ended = lakegate("search", "--url", house.partial, "--json", "--max-items", "0")
    assert ended.code == 5
    assert "Missing: dead" in ended.err
    assert len(ended.json()["features"]) == 25
    table = lakegate("search", "--url", house.partial)
    assert table.code == 5
    assert "i24" in table.out


def test_a_strict_search_fails_where_a_site_is_dead(house: House) -> None:
    ended = lakegate("search", "--url", house.partial, "--strict")
    assert (ended.code, ended.out) == (1, "")
    assert "dead" in ended.err
    assert "Traceback" not in ended.err


WRONG: dict[str, tuple[tuple[str, ...], int, str]] = {
    "a bad filter": (("search", "--filter", "eo:cloud_cover <"), 3, "filter"),
    "a bad datetime": (("search", "--datetime", "yesterday"), 3, "datetime"),
    "a bbox of words": (("search", "--bbox", "a,b"), 2, "--bbox"),
    "a short bbox": (("search", "--bbox", "1,2"), 3, "bbox"),
    "a wrong token": (("search", "--token", "wrong"), 3, "token"),
    "an unknown option": (("search", "--colections", "c"), 2, "--colections"),
    "a placement in a bbox of words": (("place", "--bbox", "a,b"), 2, "--bbox"),
    "a placement at no edge": (("place", "--collections", "c", "--edge", "nowhere"), 3, "nowhere"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_with_its_code(house: House, wrong: str) -> None:
    arguments, code, words = WRONG[wrong]
    ended = lakegate(*arguments, LAKEGATE_URL=house.whole)
    assert ended.code == code
    assert words in ended.err + ended.out
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", [("search",), ("place",), ("sites",), ("quota", "show"), ("harvest", "list")])
def test_where_no_gateway_is_it_is_said(command: tuple[str, ...]) -> None:
    ended = lakegate(*command, "--url", "http://127.0.0.1:9")
    assert (ended.code, ended.out) == (4, "")
    assert "no answer from http://127.0.0.1:9" in ended.err
    assert "Traceback" not in ended.err


def test_an_address_that_is_none_is_wrong_usage() -> None:
    for url in ("not-a-url", "ftp://x.example", "http://"):
        ended = lakegate("sites", "--url", url)
        assert ended.code in (2, 4)
        assert "Traceback" not in ended.err


def test_sites_are_listed_with_their_health(house: House) -> None:
    ended = lakegate("sites", "--url", house.partial, "--token", TOKEN)
    assert ended.code == 0
    rows: dict[str, Any] = {row.split("│")[1].strip(): row for row in ended.out.splitlines() if row.count("│") > 5}
    assert set(rows) == {"alive", "dead"}
    assert "up" in rows["alive"]
    assert "degraded" in rows["dead"] or "down" in rows["dead"]
    told = lakegate("sites", "--url", house.partial, "--json").json()["sites"]
    assert {each["id"]: each["kind"] for each in told} == {"alive": "edge", "dead": "hub"}


def test_a_placement_says_why_no_edge_will_do(house: House) -> None:
    ended = lakegate("place", "--collections", "c", "--url", house.whole, "--token", TOKEN)
    assert ended.code == 3
    assert "alive" in ended.out
    told = lakegate("place", "--collections", "c", "--url", house.whole, "--token", TOKEN, "--json")
    assert told.code == 3
    placement = told.json()
    assert placement["edge"] is None
    (candidate,) = placement["candidates"]
    assert (candidate["edge"], candidate["eligible"]) == ("alive", False)
    assert candidate["reasons"]


def test_one_site_is_shown_with_what_it_claims_and_was_caught_at(house: House) -> None:
    ended = lakegate("sites", "show", "alive", "--url", house.whole, "--token", TOKEN)
    assert (ended.code, ended.err) == (0, "")
    assert "closed" in ended.out
    assert "It was caught at nothing." in ended.out
    told = lakegate("sites", "show", "dead", "--url", house.partial, "--token", TOKEN, "--json").json()
    assert told["breaker"]["failures_in_a_row"] >= 1
    assert lakegate("sites", "show", "nobody", "--url", house.whole).code == 3
