import msgspec
import pytest

from edges.model import Interval, Members, Query
from edges.stac.cql2 import parse_filter_text
from edges.stac.datetimes import parse_interval
from edges.stac.matching import compile_query


def item(geometry=None, collection="c", item_id="i", **properties) -> Members:
    whole = {"id": item_id, "collection": collection, "geometry": geometry, "properties": properties}
    return msgspec.json.decode(msgspec.json.encode(whole), type=dict[str, msgspec.Raw])


def point(x, y):
    return {"type": "Point", "coordinates": [x, y]}


def square(west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def matches(candidate, **query):
    return compile_query(Query(**query))(candidate)


def test_an_empty_query_matches_all():
    assert matches(item())


def test_collections_and_ids_both_apply():
    assert matches(item(), collections=("c", "d"), ids=("i",))
    assert not matches(item(), collections=("d",), ids=("i",))
    assert not matches(item(), ids=("j",))
    assert not matches(item(), ids=())


@pytest.mark.parametrize(
    ("geometry", "box", "answer"),
    [
        (point(5, 5), (0, 0, 10, 10), True),
        (point(10, 10), (0, 0, 10, 10), True),
        (point(11, 5), (0, 0, 10, 10), False),
        (point(179, 5), (170, 0, -170, 10), True),
        (point(-179, 5), (170, 0, -170, 10), True),
        (point(0, 5), (170, 0, -170, 10), False),
        (square(-20, -20, 20, 20), (0, 0, 1, 1), True),
        (square(0.4, -5, 0.6, 5), (0, 0, 1, 1), True),
        ({"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [0, 10], [0, 0]]]}, (6, 6, 9, 9), False),
        ({"type": "GeometryCollection", "geometries": [point(5, 5)]}, (0, 0, 10, 10), True),
        ({"type": "Polygon", "coordinates": []}, (0, 0, 10, 10), False),
        ({"type": "Polygon", "coordinates": "x"}, (0, 0, 10, 10), False),
        (None, (-180, -90, 180, 90), False),
    ],
)
def test_a_box_matches_what_intersects_it(geometry, box, answer):
    assert matches(item(geometry), bbox=box) is answer
    west, south, east, north = box
    if west <= east:
        assert matches(item(geometry), intersects=square(west, south, east, north)) is answer


@pytest.mark.parametrize(
    ("properties", "interval", "answer"),
    [
        ({"datetime": "2020-06-01T00:00:00Z"}, "2020-06-01T00:00:00Z", True),
        ({"datetime": "2020-06-01T00:00:00Z"}, "../2020-05-31T23:59:59Z", False),
        ({"datetime": "2020-06-01T00:00:00Z"}, "2020-01-01T00:00:00Z/..", True),
        ({"datetime": None}, "2020-01-01T00:00:00Z/..", False),
        ({"datetime": "no time"}, "2020-01-01T00:00:00Z/..", False),
        ({"datetime": 5}, "2020-01-01T00:00:00Z/..", False),
        (
            {
                "datetime": None,
                "start_datetime": "2020-01-01T00:00:00Z",
                "end_datetime": "2020-12-31T00:00:00Z",
            },
            "2020-06-01T00:00:00Z/2020-06-02T00:00:00Z",
            True,
        ),
        (
            {
                "datetime": None,
                "start_datetime": "2020-01-01T00:00:00Z",
                "end_datetime": "2020-12-31T00:00:00Z",
            },
            "2021-06-01T00:00:00Z",
            False,
        ),
        ({"datetime": None, "start_datetime": "2020-01-01T00:00:00Z"}, "2021-06-01T00:00:00Z", True),
    ],
)
def test_a_time_matches_what_the_item_covers(properties, interval, answer):
    assert matches(item(**properties), datetime=parse_interval(interval)) is answer


def test_only_what_is_true_passes_a_filter():
    candidate = item(point(1, 1), gsd=10, nested={"a": 1})
    assert matches(candidate, filter=parse_filter_text("gsd = 10 AND id = 'i' AND S_INTERSECTS(geometry, POINT(1 1))"))
    assert not matches(candidate, filter=parse_filter_text("missing = 10"))
    assert matches(candidate, filter=parse_filter_text("nested.a = 1"))


def test_an_item_that_cannot_be_read_matches_nothing():
    assert not compile_query(Query(datetime=Interval(start=0)))({"id": msgspec.Raw(b'"x"')})
    assert not compile_query(Query(ids=("x",)))({"id": msgspec.Raw(b"5")})
