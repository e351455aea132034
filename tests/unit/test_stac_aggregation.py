"""The words of the Aggregation extension: read, counted, told and read back."""

import json
from typing import Any

import msgspec
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.errors import InvalidInput
from edges.model import Members
from edges.stac.aggregation import (
    AGGREGATIONS,
    Tally,
    Wanted,
    united,
    wanted_from_get,
    wanted_from_post,
    wanted_to_post,
)
from edges.stac.aggregation_count import Counting, start_of
from edges.stac.aggregation_document import MAX_BUCKETS, Misaligned, aggregate_document, read_document
from edges.stac.datetimes import format_instant, parse_instant
from edges.stac.geohash import cells, geohash

ALL = Wanted(
    names=tuple(AGGREGATIONS),
    precision={"geometry_geohash_grid_frequency": 2, "centroid_geohash_grid_frequency": 3},
)


def raw(**properties: Any) -> Members:
    item = {
        "id": "i", "collection": properties.pop("collection", "c"), "geometry": properties.pop("geometry", None),
        "properties": properties,
    }  # fmt: skip
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in item.items()}


def counted(wanted: Wanted, *items: Members) -> Tally:
    counting = Counting(wanted)
    for item in items:
        counting.add(item)
    return counting.tally()


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        ("year", "2024-01-01T00:00:00Z"), ("quarter", "2024-04-01T00:00:00Z"), ("month", "2024-05-01T00:00:00Z"),
        ("week", "2024-05-13T00:00:00Z"), ("day", "2024-05-19T00:00:00Z"), ("hour", "2024-05-19T23:00:00Z"),
        ("minute", "2024-05-19T23:59:00Z"), ("second", "2024-05-19T23:59:58Z"),
    ],
)  # fmt: skip
def test_an_instant_is_in_the_interval_of_the_calendar(interval: Any, start: str) -> None:
    assert format_instant(start_of(interval, parse_instant("2024-05-19T23:59:58.5Z"))) == start


def test_times_before_1970_are_in_their_intervals_too() -> None:
    before = parse_instant("1969-12-31T23:00:00Z")
    assert format_instant(start_of("day", before)) == "1969-12-31T00:00:00Z"
    assert format_instant(start_of("week", before)) == "1969-12-29T00:00:00Z"
    assert format_instant(start_of("quarter", before)) == "1969-10-01T00:00:00Z"


def test_everything_is_counted_once_or_told_as_missing() -> None:
    square = {"type": "Polygon", "coordinates": [[[-1, 40], [1, 40], [1, 41], [-1, 41], [-1, 40]]]}
    tally = counted(
        ALL,
        raw(datetime="2024-05-19T10:00:00Z", platform="s2", geometry=square, **{"eo:cloud_cover": 4.9}),
        raw(datetime="2024-05-01T00:00:00+02:00", platform=7, collection="d", **{"eo:cloud_cover": 5}),
        raw(
            datetime=None,
            **{"eo:cloud_cover": "much", "view:off_nadir": -0.1, "proj:centroid": {"lat": 42.6, "lon": -5.6}},
        ),
    )  # fmt: skip
    document = aggregate_document(tally, ALL, [])
    told = {one["name"]: one for one in document["aggregations"]}
    assert told["total_count"]["value"] == 3
    assert told["datetime_min"]["value"] == "2024-04-30T22:00:00Z"
    assert told["datetime_max"]["value"] == "2024-05-19T10:00:00Z"
    buckets = {
        name: {bucket["key"]: bucket["frequency"] for bucket in one["buckets"] if bucket["frequency"]}
        for name, one in told.items()
        if "buckets" in one
    }
    assert buckets["collection_frequency"] == {"c": 2, "d": 1}
    assert buckets["platform_frequency"] == {"s2": 1, "7": 1}
    assert buckets["datetime_frequency"] == {"2024-04-01T00:00:00Z": 1, "2024-05-01T00:00:00Z": 1}
    assert buckets["cloud_cover_frequency"] == {"*-5.0": 1, "5.0-15.0": 1}
    assert buckets["off_nadir_frequency"] == {"-5.0": 1}
    assert buckets["geometry_geohash_grid_frequency"] == {"ez": 1, "sp": 1}
    assert buckets["centroid_geohash_grid_frequency"] == {"ezs": 1, geohash(0, 40.5, 3): 1}
    assert told["cloud_cover_frequency"]["overflow"] == 1
    assert document["exact"] is True


def test_what_is_not_exact_is_told_as_a_bound() -> None:
    document = aggregate_document(counted(ALL, raw(datetime="2024-05-19T10:00:00Z")), ALL, [], exact=False)
    bounds = {one["name"]: one["bound"] for one in document["aggregations"]}
    assert bounds.pop("datetime_min") == "upper"
    assert set(bounds.values()) == {"lower"}
    assert document["exact"] is False


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-200, 400), st.floats(-200, 400), st.sampled_from(["a", "b"]))
ITEMS = st.builds(
    lambda collection, moment, platform, cloud: raw(
        collection=collection, datetime=moment, platform=platform, **{"eo:cloud_cover": cloud, "view:off_nadir": cloud}
    ),
    st.sampled_from(["a", "b"]),
    st.sampled_from(
        [None, "1955-02-03T04:05:06Z", "2020-01-01T00:00:00.5Z", "not a time", "2020-03-01T12:00:00+02:00"]
    ),
    VALUES,
    VALUES,
)


@examples(40)
@given(items=st.lists(ITEMS, max_size=12), cut=st.integers(0, 12))
def test_counts_of_parts_add_up_and_a_document_reads_back(items: list[Members], cut: int) -> None:
    whole = counted(ALL, *items)
    assert united([counted(ALL, *items[:cut]), counted(ALL, *items[cut:])]) == whole
    document = msgspec.json.decode(msgspec.json.encode(aggregate_document(whole, ALL, [])))
    assert read_document(document, ALL) == whole


def standard(**changes: Any) -> dict[str, Any]:
    """Return an answer as other servers write it."""
    frequency = {
        "name": "collection_frequency", "data_type": "frequency_distribution", "overflow": 0,
        "buckets": [{"key": "c", "data_type": "frequency_distribution", "frequency": 5}],
    } | changes  # fmt: skip
    total = {"name": "total_count", "data_type": "integer", "value": 5}
    return {"type": "AggregationCollection", "aggregations": [total, frequency]}


def test_an_answer_of_another_server_is_read_where_it_adds_up() -> None:
    wanted = Wanted(names=("total_count", "collection_frequency"))
    assert read_document(standard(), wanted).counts == {"collection_frequency": {"c": 5}}
    few = standard(buckets=[{"key": "c", "frequency": 3}])
    assert read_document(few, wanted).missing == {"collection_frequency": 2}


@pytest.mark.parametrize(
    "changes",
    [
        {"overflow": 2},
        {"buckets": [{"key": "c", "frequency": 6}]},
        {"buckets": [{"key": "c", "frequency": -1}]},
        {"buckets": [{"key": "c", "frequency": "5"}]},
        {"buckets": None},
        {"buckets": [5]},
        {"name": "other"},
    ],
)
def test_an_answer_that_does_not_add_up_is_not_believed(changes: dict[str, Any]) -> None:
    with pytest.raises(Misaligned):
        read_document(standard(**changes), Wanted(names=("total_count", "collection_frequency")))


def test_buckets_of_another_alignment_are_not_added_to_ours() -> None:
    for name, bucket in (
        ("datetime_frequency", {"key": "2024-05-02T00:00:00.000Z", "frequency": 5}),
        ("cloud_cover_frequency", {"key": "*-10.0", "to": 10, "frequency": 5}),
        ("off_nadir_frequency", {"key": "2.5", "frequency": 5}),
    ):
        document = standard(name=name, buckets=[bucket])
        with pytest.raises(Misaligned):
            read_document(document, Wanted(names=("total_count", name)))


def test_more_buckets_than_are_told_are_overflow_and_not_read_as_all() -> None:
    items = [raw(platform=str(n)) for n in range(MAX_BUCKETS + 5)]
    wanted = Wanted(names=("total_count", "platform_frequency"))
    document = aggregate_document(counted(wanted, *items), wanted, [])
    assert document["aggregations"][1]["overflow"] == 5
    with pytest.raises(Misaligned):
        read_document(document, wanted)


def test_by_get_and_by_post_are_the_same_and_go_round() -> None:
    name = "geometry_geohash_grid_frequency"
    parameters = {"aggregations": f"total_count, {name}", f"{name}_precision": "4"}
    wanted = wanted_from_get(parameters | {"datetime_frequency_interval": "day"})
    assert wanted == Wanted(names=("total_count", name), interval="day", precision={name: 4})
    month = msgspec.structs.replace(wanted, interval="month")
    assert wanted_from_post(msgspec.json.encode(wanted_to_post(wanted))) == month


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "aggregations"),
        ({"aggregations": "total_count,beauty"}, "aggregations"),
        ({"aggregations": "total_count", "datetime_frequency_interval": "fortnight"}, "datetime_frequency_interval"),
        (
            {"aggregations": "geometry_geohash_grid_frequency", "geometry_geohash_grid_frequency_precision": "13"},
            "geometry_geohash_grid_frequency_precision",
        ),
    ],
)
def test_a_wrong_value_is_named(parameters: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        wanted_from_get(parameters)
    assert caught.value.field == field


def test_geohashes_are_those_that_everybody_knows() -> None:
    assert geohash(10.40744, 57.64911, 11) == "u4pruydqqvj"
    assert geohash(-180, -90, 1) == "0"
    assert geohash(180, 90, 2) == "zz"


def test_a_shape_touches_the_cells_it_lies_in_and_too_many_are_none() -> None:
    triangle = shapely.Polygon([(1, 1), (40, 1), (1, 40)])
    assert cells(triangle, 1) == ["s"]
    assert cells(triangle, 6) is None
    found = cells(triangle, 2)
    assert found
    assert geohash(30, 30, 2) not in found
    assert cells(shapely.Point(), 3) == []
