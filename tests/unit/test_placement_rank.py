import json
from typing import Any

import msgspec
import pytest

from edges.model import Members
from gateway.placement.holdings import Holding, Holdings, added, weigh
from gateway.placement.rank import Demand, EdgeFacts, Moving, harvest_targets, rank, size
from gateway.placement.sizing import Averages, Copy, Scene, copy_of, scene_of
from gateway.search.merge import Row


def raw(document: dict[str, Any]) -> Members:
    return msgspec.json.decode(json.dumps(document).encode(), type=Members)


def edge(name: str, **facts: Any) -> EdgeFacts:
    return EdgeFacts(**({"id": name, "computes": True, "available": True} | facts))


def scene(**copies: Copy) -> Scene:
    return Scene(collection="c", sites=tuple(copies), copies=tuple(copies.values()))


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
    assert copy_of(raw({"assets": assets, "properties": {}})) == Copy(known=100, estimated=400, unknown=1)


def test_copies_are_counted_once_in_the_total_and_at_each_site() -> None:
    copy = raw({"assets": {"x": {"href": "x", "file:size": 7}}, "properties": {}})
    group = [Row(key=(), site="a", item=copy), Row(key=(), site="b", item=copy)]
    holdings = weigh([scene_of(group)], limit=10)
    assert (holdings.items, holdings.bytes, holdings.at("a").bytes, holdings.at("b").items) == (1, 7, 7, 1)


def test_more_items_than_are_weighed_is_told() -> None:
    holdings = weigh([scene(a=Copy(known=1))] * 3, limit=2)
    assert (holdings.items, holdings.cut) == (2, True)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (60e9, "60.0 GB"), (1e18, "1000.0 PB")]
)
def test_sizes_are_said_in_units(count: float, text: str) -> None:
    assert size(count) == text


def test_a_copy_that_tells_no_size_weighs_as_the_one_that_does() -> None:
    holdings = weigh([scene(a=Copy(known=90), b=Copy(unknown=2), c=Copy(estimated=400))], limit=10)
    assert (holdings.bytes, holdings.estimated) == (90, 0)
    assert (holdings.at("b").bytes, holdings.at("c").bytes) == (90, 90)


def test_what_nobody_tells_weighs_as_an_average_item_and_is_told_as_an_estimate() -> None:
    known = [scene(a=Copy(known=size)) for size in (100, 300)]
    holdings = weigh([*known, scene(b=Copy(unknown=1))], limit=10)
    assert (holdings.bytes, holdings.estimated, holdings.unmeasured) == (600, 200, 0)
    assert holdings.at("b").estimated == 200
    placement = rank(holdings, (edge("b"),), wish=None, about_data=True)
    assert "200 B of that are estimates" in "; ".join(placement.candidates[0].reasons)


def test_without_any_average_it_is_said_that_nobody_knows() -> None:
    holdings = weigh([scene(b=Copy(unknown=1))], limit=10)
    assert holdings.unmeasured == 1
    placement = rank(holdings, (edge("b"),), wish=None, about_data=True)
    assert "nobody knows the size" in "; ".join(placement.candidates[0].reasons)


def test_averages_outlive_a_placement_and_follow_what_changes() -> None:
    averages = Averages().with_scenes([scene(a=Copy(known=100))] * 4)
    assert averages.of("c") == 100
    assert averages.halved().with_scenes([scene(a=Copy(known=200))] * 2).of("c") == 150


def test_tape_costs_recalling_and_online_copies_win() -> None:
    holdings = weigh([scene(a=Copy(known=10**9, slow=True), b=Copy(known=10**9))], limit=10)
    placement = rank(holdings, (edge("a", priority=1), edge("b")), wish=None, about_data=True)
    assert [one.edge for one in placement.candidates] == ["b", "a"]
    slow = placement.candidates[1]
    assert (slow.slow_items, slow.moving_seconds) == (1, 50.0)
    assert "are on tape and must be recalled" in "; ".join(slow.reasons)


def test_reading_the_missing_costs_by_the_rate() -> None:
    placement = rank(HOLDINGS, (edge("a"),), wish=None, about_data=True, moving=Moving(bytes_per_second=10))
    assert placement.candidates[0].moving_seconds == 70.0
    assert "moving and recalling takes about 1 min" in "; ".join(placement.candidates[0].reasons)


@pytest.mark.parametrize(
    ("facts", "demand", "words"),
    [
        ({"cores": 4.0, "free_cores": 4.0}, Demand(cores=8), "it has 4 of cores; 8 are asked for"),
        ({"memory": 2 * 10**9}, Demand(memory=3 * 10**9), "it has 2.0 GB of memory; 3.0 GB are asked for"),
        ({}, Demand(gpus=1), "it has no GPUs"),
        ({"images": ("a:1",)}, Demand(image="b:1"), "does not offer image 'b:1'; images: a:1"),
        ({"versions": {"dask": "2025.1.0"}}, Demand(versions={"dask": "2026.8"}), "dask 2026.8 is asked for"),
        ({"versions": {"dask": "2026.80"}}, Demand(versions={"dask": "2026.8"}), "it has 2026.80"),
        ({"unfit": "it has no option worker_gpus"}, Demand(), "no option worker_gpus"),
    ],
)
def test_an_edge_that_can_never_do_it_is_no_choice(facts: dict[str, Any], demand: Demand, words: str) -> None:
    placement = rank(HOLDINGS, (edge("b", **facts),), wish=None, about_data=True, demand=demand)
    assert placement.edge is None
    assert words in "; ".join(placement.candidates[0].reasons)


def test_an_edge_with_room_is_before_one_where_work_waits_whatever_it_holds() -> None:
    full = edge("b", cores=8.0, free_cores=1.0)
    placement = rank(HOLDINGS, (edge("a"), full), wish=None, about_data=True, demand=Demand(cores=4))
    assert (placement.edge, placement.candidates[1].waits) == ("a", True)
    alone = rank(HOLDINGS, (full,), wish=None, about_data=True, demand=Demand(cores=4))
    assert alone.edge == "b"
    assert "1 of cores are free now; 4 are asked for: it waits" in alone.candidates[0].reasons


def test_of_equal_edges_the_freer_one_is_chosen() -> None:
    nothing = Holdings(items=0, bytes=0, sites=())
    edges = (edge("a", cores=8.0, free_cores=2.0), edge("b", cores=8.0, free_cores=6.0))
    assert rank(nothing, edges, wish=None, about_data=False, demand=Demand(cores=1)).edge == "b"


def test_only_an_edge_that_lacks_nothing_but_data_is_harvested_to() -> None:
    edges = (edge("a", refusal="spent"), edge("b", harvestable=False), edge("d"), edge("e", available=False))
    placement = rank(HOLDINGS, edges, wish=None, about_data=True)
    assert harvest_targets(placement, edges, None) == ("d",)
    assert harvest_targets(placement, edges, "a") == ()


def test_holdings_of_different_things_add_up() -> None:
    both = added([weigh([scene(a=Copy(known=5, slow=True))], limit=9), weigh([scene(a=Copy(known=7))], limit=9)])
    assert (both.items, both.bytes, both.at("a").items, both.at("a").slow_bytes) == (2, 12, 2, 5)


@pytest.mark.parametrize("assets", [b"[]", b'{"x": 3}', b"\xff", b'{"x": {"file:size": 1e400}}'])
def test_what_cannot_be_read_has_no_known_size(assets: bytes) -> None:
    assert copy_of({"assets": msgspec.Raw(assets)}).bytes == 0
