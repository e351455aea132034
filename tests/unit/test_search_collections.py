"""One collection out of those of several sites."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from gateway.search.collections import unite
from gateway.search.extents import boxes_of, intervals_of, united_extent

BASE = "http://gate.example"


def extent(*boxes: list[float], interval: Any = None) -> dict[str, Any]:
    return {"spatial": {"bbox": list(boxes)}, "temporal": {"interval": [interval or [None, None]]}}


@pytest.mark.parametrize(
    ("boxes", "hull"),
    [
        ([[0, 0, 10, 10], [20, -5, 30, 5]], [0, -5, 30, 10]),
        ([[170, -10, -170, 10]], [170, -10, -170, 10]),
        ([[170, -10, -170, 10], [160, 0, 175, 20]], [160, -10, -170, 20]),
        ([[170, -10, -170, 10], [0, 0, 10, 10]], [0, -10, -170, 10]),
        ([[170, -10, -170, 10], [-180, -90, 180, 90]], [-180, -90, 180, 90]),
        ([[1, 2, 0, 3, 4, 9]], [1, 2, 3, 4]),
        ([], [-180, -90, 180, 90]),
    ],
)
def test_the_hull_in_space_holds_all_boxes_also_across_the_antimeridian(boxes: Any, hull: Any) -> None:
    assert united_extent([extent(box) for box in boxes])["spatial"]["bbox"] == [hull]


def test_the_hull_in_time_compares_instants_and_keeps_open_ends() -> None:
    early, late = ["2015-06-27T10:25:31.456Z", None], ["2015-06-27T12:00:00+02:00", "2020-01-01T00:00:00Z"]
    told = united_extent([extent(interval=early), extent(interval=late)])["temporal"]["interval"]
    assert told == [["2015-06-27T12:00:00+02:00", None]]


def test_what_leads_elsewhere_is_kept_and_what_says_where_a_site_serves_is_not() -> None:
    licence = {"rel": "license", "href": "https://licence.example"}
    links = [licence, {"rel": "items", "href": "https://site.example/items"}, {"rel": "about", "href": "javascript:x"}]
    (one,) = unite([("a", {"id": "c", "links": links}), ("b", {"id": "c", "links": [licence]})], base=BASE)
    assert [each for each in one["links"] if not each["href"].startswith(BASE)] == [licence]


def test_copies_are_united_part_by_part() -> None:
    first = {"id": "c", "license": "MIT", "summaries": {"platform": ["a"], "gsd": {"minimum": 1, "maximum": 2}}}
    second = {"id": "c", "license": "CC0", "summaries": {"platform": ["b", "a"], "gsd": {"minimum": 0, "maximum": 9}}}
    (one,) = unite([("x", first | {"keywords": ["k"]}), ("y", second | {"keywords": ["k", "l"]})], base=BASE)
    assert one["summaries"] == {"platform": ["a", "b"], "gsd": {"minimum": 0, "maximum": 9}}
    assert (one["license"], one["keywords"], one["federation:backends"]) == ("other", ["k", "l"], ["x", "y"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-300, 300) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
PARTS = ("extent", "summaries", "keywords", "providers", "item_assets", "links", "license", "stac_extensions", "title")
HOSTILE = st.fixed_dictionaries({"id": st.just("c")}, optional=dict.fromkeys(PARTS, JSON))


@examples(60)
@given(st.lists(HOSTILE, min_size=1, max_size=3), JSON, JSON)
def test_whatever_a_site_tells_of_a_collection_it_is_united(told: Any, spatial: Any, temporal: Any) -> None:
    odd = {"id": "c", "extent": {"spatial": {"bbox": [spatial]}, "temporal": {"interval": [temporal, [spatial, 1]]}}}
    (one,) = unite([("a", each) for each in (*told, odd)], base=BASE)
    assert msgspec.json.encode(one)
    (box,), (span,) = boxes_of(one["extent"]), intervals_of(one["extent"])
    assert len(box) == 4
    assert len(span) == 2
