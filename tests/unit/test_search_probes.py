import json
from typing import Any

import msgspec
import pytest

from edges.model import Capabilities, Interval, Members
from edges.stac.cql2_check import check_filter
from edges.stac.matching import compile_query
from gateway.search.probes import Ask, Window, requests_of, united, window_of

HOUR = 3_600_000_000
ABLE, UNABLE = Capabilities(filter=True), Capabilities()


def placed(geometry: Any, **properties: Any) -> Members:
    item = {"id": "a", "collection": "c", "geometry": geometry, "properties": properties}
    return msgspec.json.decode(json.dumps(item).encode(), type=Members)


def test_a_window_is_a_little_larger_than_the_footprint() -> None:
    item = placed({"type": "Point", "coordinates": [180.0, 50.0]})
    assert window_of(item, (0, HOUR)).box == pytest.approx((179.99, 49.99, 180.0, 50.01))


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {"type": "Point", "coordinates": [602279.99, 1325599.99]},
        {"type": "MultiPoint", "coordinates": [[179.5, 1.0], [-179.5, 1.0]]},
        {"type": "Point"},
        "nonsense",
    ],
)
def test_a_place_that_is_none_or_too_hard_to_say_is_anywhere(geometry: Any) -> None:
    window = window_of(placed(geometry), (0, HOUR))
    assert window.box is None or window.box[0] >= -180
    for query in requests_of(Ask(windows=(window,)), ABLE):
        assert query.filter is not None
        check_filter(query.filter)


def test_windows_of_one_time_are_one_around_all_of_them() -> None:
    windows = [Window(span=(0, HOUR), box=(0, 0, 1, 1)), Window(span=(0, HOUR), box=(5, 5, 6, 6))]
    assert united(windows) == (Window(span=(0, HOUR), box=(0, 0, 6, 6)),)
    assert united([*windows, Window(span=(0, HOUR))]) == (Window(span=(0, HOUR)),)


def test_a_page_of_scenes_takes_few_requests_of_a_site_that_filters() -> None:
    windows = tuple(Window(span=(n * HOUR, (n + 1) * HOUR), box=(n, 0, n + 1, 1)) for n in range(100))
    ask = Ask(ids=tuple(f"i{n}" for n in range(300)), windows=windows, id_collections=("c",))
    requests = requests_of(ask, ABLE)
    assert len(requests) == 2 + 7
    for query in requests[2:]:
        assert query.filter is not None
        check_filter(query.filter)
    assert len(requests_of(ask, UNABLE)) == 2 + 100


def test_a_window_asks_for_moments_and_for_spans_of_time() -> None:
    (query,) = requests_of(Ask(windows=(Window(span=(0, HOUR), box=(9, 49, 11, 51)),)), ABLE)
    here, matches = {"type": "Point", "coordinates": [10, 50]}, compile_query(query)
    assert matches(placed(here, datetime="1970-01-01T00:30:00Z"))
    assert matches(
        placed(here, datetime=None, start_datetime="1969-12-31T00:00:00Z", end_datetime="1970-01-02T00:00:00Z")
    )
    assert not matches(placed(here, datetime="1970-01-01T01:30:00Z"))
    assert not matches(placed({"type": "Point", "coordinates": [12, 50]}, datetime="1970-01-01T00:30:00Z"))
    (plain,) = requests_of(Ask(windows=(Window(span=(0, HOUR), box=(9, 49, 11, 51)),)), UNABLE)
    assert (plain.datetime, plain.bbox) == (Interval(start=0, end=HOUR), (9, 49, 11, 51))
