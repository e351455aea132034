import json
from typing import Any

import msgspec
import pytest

from edges.model import Members
from gateway.placement.holdings import Holding, Holdings, item_bytes, sizes_of, weigh
from gateway.placement.rank import EdgeFacts, rank, size
from gateway.search.merge import Row


def raw(document: dict[str, Any]) -> Members:
    return msgspec.json.decode(json.dumps(document).encode(), type=Members)


def edge(name: str, **facts: Any) -> EdgeFacts:
    return EdgeFacts(**({"id": name, "computes": True, "available": True} | facts))


HOLDINGS = Holdings(
    items=10,
    bytes=1000,
    sites=(
        Holding(site="a", items=4, bytes=300),
        Holding(site="b", items=8, bytes=900),
        Holding(site="hub", items=1, bytes=100),
    ),
)


def test_the_edge_that_holds_most_bytes_is_chosen_and_says_so() -> None:
    placement = rank(HOLDINGS, (edge("a"), edge("b")), wish=None, about_data=True)
    assert placement.edge == "b"
    assert placement.candidates[0].reasons[0] == "holds 8 of 10 items, 900 B of 1.0 kB (90 %)"
    assert placement.candidates[0].missing_items == 2


def test_a_wish_is_obeyed_where_the_edge_holds_anything() -> None:
    assert rank(HOLDINGS, (edge("a"), edge("b")), wish="a", about_data=True).edge == "a"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"available": False, "trouble": "refused"}, "does not answer: refused"),
        ({"computes": False}, "no compute"),
        ({"refusal": "quota 'x' is full"}, "quota 'x' is full"),
    ],
)
def test_an_edge_that_cannot_take_it_is_passed_over_with_its_reason(facts: dict[str, Any], words: str) -> None:
    placement = rank(HOLDINGS, (edge("a"), edge("b", **facts)), wish=None, about_data=True)
    assert placement.edge == "a"
    assert words in "; ".join(placement.candidates[1].reasons)


def test_where_no_edge_holds_anything_the_advice_is_a_harvest() -> None:
    only_hub = Holdings(items=2, bytes=60_000_000_000, sites=(Holding(site="hub", items=2, bytes=60_000_000_000),))
    placement = rank(only_hub, (edge("a"),), wish=None, about_data=True)
    assert placement.edge is None
    assert "harvest 2 items (60.0 GB) to a first" in placement.advice


def test_an_unknown_edge_is_refused_with_the_known_ones() -> None:
    placement = rank(HOLDINGS, (edge("a"), edge("b")), wish="x", about_data=True)
    assert placement.advice == ("unknown edge 'x'; edges: a, b",)


def test_without_data_the_best_priority_is_chosen() -> None:
    nothing = Holdings(items=0, bytes=0, sites=())
    assert rank(nothing, (edge("a", priority=20), edge("b", priority=10)), wish=None, about_data=False).edge == "b"


def test_the_order_of_the_edges_given_does_not_matter() -> None:
    tied = Holdings(items=1, bytes=1, sites=(Holding(site="a", items=1, bytes=1), Holding(site="b", items=1, bytes=1)))
    both = (edge("a"), edge("b"))
    assert rank(tied, both, wish=None, about_data=True) == rank(tied, both[::-1], wish=None, about_data=True)


def test_bytes_come_from_file_size_else_from_the_grid_as_an_estimate() -> None:
    assets = {
        "known": {"href": "x", "file:size": 100},
        "grid": {"href": "x", "proj:shape": [10, 20], "raster:bands": [{"data_type": "uint16"}]},
        "thumbnail": {"href": "x", "roles": ["thumbnail"]},
        "unknown": {"href": "x"},
    }
    assert item_bytes(raw({"assets": assets, "properties": {}})) == (500, 400)


def test_copies_are_counted_once_in_the_total_and_at_each_site() -> None:
    copy = raw({"assets": {"x": {"href": "x", "file:size": 7}}, "properties": {}})
    group = [Row(key=(), site="a", item=copy), Row(key=(), site="b", item=copy)]
    holdings = weigh([sizes_of(group)], limit=10)
    assert (holdings.items, holdings.bytes, holdings.at("a").bytes, holdings.at("b").items) == (1, 7, 7, 1)


def test_more_items_than_are_weighed_is_told() -> None:
    holdings = weigh([{"a": (1, 0)}] * 3, limit=2)
    assert (holdings.items, holdings.cut) == (2, True)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (60e9, "60.0 GB"), (1e18, "1000.0 PB")]
)
def test_sizes_are_said_in_units(count: float, text: str) -> None:
    assert size(count) == text
