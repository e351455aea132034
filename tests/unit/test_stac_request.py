import msgspec
import pytest

from edges.errors import InvalidInput
from edges.model import Fields, Interval, SortKey
from edges.stac.request import query_to_post, search_from_get, search_from_post

POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}


def get(**params):
    given = {name.replace("_", "-"): value for name, value in params.items()}
    return search_from_get(given, default_limit=10, max_limit=100)


def post(body):
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return search_from_post(raw, default_limit=10, max_limit=100)


def test_a_get_and_a_post_of_the_same_search_mean_the_same():
    by_get = get(
        collections="a,b",
        ids="x",
        bbox="1,2,0,3,4,0",
        datetime="2020-01-01T00:00:00Z/..",
        limit="5",
        sortby="-properties.datetime, eo:cloud_cover",
        fields="id,+properties.datetime,-links",
        filter="eo:cloud_cover < 10",
    )
    by_post = post(
        {
            "collections": ["a", "b"],
            "ids": ["x"],
            "bbox": [1, 2, 0, 3, 4, 0],
            "datetime": "2020-01-01T00:00:00Z/..",
            "limit": 5,
            "sortby": [
                {"field": "properties.datetime", "direction": "desc"},
                {"field": "eo:cloud_cover", "direction": "asc"},
            ],
            "fields": {"include": ["id", "properties.datetime"], "exclude": ["links"]},
            "filter": {"op": "<", "args": [{"property": "properties.eo:cloud_cover"}, 10]},
        }
    )
    assert by_get == by_post
    assert by_get.query.bbox == (1, 2, 3, 4)
    assert by_get.query.datetime == Interval(start=1_577_836_800_000_000)
    assert by_get.query.sortby == (
        SortKey(field="datetime", descending=True),
        SortKey(field="eo:cloud_cover"),
    )
    assert by_get.query.fields == Fields(include=("id", "properties.datetime"), exclude=("links",))


def test_a_query_survives_being_posted_on():
    query = post(
        {
            "collections": ["a"],
            "intersects": POLYGON,
            "datetime": "../2020-01-01T00:00:00.5Z",
            "query": {"platform": {"in": ["a", "b"]}, "eo:cloud_cover": {"gte": 1, "lt": 5}},
            "sortby": [{"field": "id", "direction": "desc"}],
        }
    ).query
    assert post(query_to_post(query)).query == query


def test_a_limit_above_the_largest_is_clamped():
    assert get(limit="100000").query.limit == 100
    assert get().query.limit == 10


def test_an_empty_body_searches_for_everything():
    assert post(b"").query.collections is None


def test_a_filter_and_a_query_both_apply():
    query = post({"filter": "a = 1", "filter-lang": "cql2-text", "query": {"b": {"eq": None}}}).query
    assert query.filter == {
        "op": "and",
        "args": [
            {"op": "=", "args": [{"property": "a"}, 1.0]},
            {"op": "isNull", "args": [{"property": "b"}]},
        ],
    }


def test_the_text_operators_of_query_escape_their_wildcards():
    query = post({"query": {"a": {"startsWith": "x_%", "endsWith": "y", "contains": "\\"}}}).query
    assert [test["args"][1] for test in query.filter["args"]] == ["x\\_\\%%", "%y", "%\\\\%"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [1, 5, 3, 4]}, "bbox"),
        ({"bbox": [1, 2, 3, "4"]}, "bbox"),
        ({"bbox": [1, 2, 3, 91]}, "bbox"),
        ({"bbox": [1, 2, 3, 4], "intersects": POLYGON}, "bbox"),
        ({"intersects": {"type": "Feature"}}, "intersects"),
        ({"intersects": {"type": "Point", "coordinates": [1]}}, "intersects"),
        ({"intersects": {"type": "Point", "coordinates": [200, 1]}}, "intersects"),
        (
            {"intersects": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [2, 2]]]}},
            "intersects",
        ),
        ({"intersects": {"type": "MultiPoint", "coordinates": [[0, 0]] * 10_001}}, "intersects"),
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"ids": "x"}, "ids"),
        ({"ids": ["x"] * 1_001}, "ids"),
        ({"collections": [1]}, "collections"),
        ({"datetime": 5}, "datetime"),
        ({"sortby": "id"}, "sortby"),
        ({"sortby": [{"field": "id", "direction": "up"}]}, "sortby"),
        ({"fields": ["id"]}, "fields"),
        ({"fields": None}, "fields"),
        ({"fields": {"include": "id"}}, "fields.include"),
        ({"filter": 5}, "filter"),
        ({"filter": {"op": "nope", "args": []}}, "filter"),
        ({"filter": {"op": "=", "args": [1]}}, "filter"),
        ({"filter": {"op": "and", "args": [{"op": "+", "args": [1, 2]}, True]}}, "filter"),
        ({"filter": "a = 1", "filter-lang": "sql"}, "filter-lang"),
        ({"filter": "a = 1", "filter-crs": "EPSG:3857", "filter-lang": "cql2-text"}, "filter-crs"),
        ({"filter": "a == 1", "filter-lang": "cql2-text"}, "filter"),
        ({"query": []}, "query"),
        ({"query": {"a": {"like": "x"}}}, "query.a"),
        ({"query": {"a": {"in": "x"}}}, "query.a.in"),
        ({"token": 5}, "token"),
    ],
)
def test_a_wrong_value_names_its_field(body, field):
    with pytest.raises(InvalidInput) as refused:
        post(body)
    assert refused.value.field == field


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"bbox":[1,2,3,NaN]}', b'{"a":"\xff"}', b" " * (1 << 21)])
def test_a_body_that_is_not_a_small_json_object_is_refused(body):
    with pytest.raises(InvalidInput, match="body"):
        post(body)


def nested(depth):
    return b'{"filter":' + b'{"op":"not","args":[' * depth + b'{"property":"a"}' + b"]}" * depth + b"}"


def test_the_deepest_filter_that_we_take_is_bounded():
    assert post(nested(31)).query.filter is not None
    with pytest.raises(InvalidInput, match="deep"):
        post(nested(33))


@pytest.mark.parametrize(
    "params",
    [
        {"filter": "(" * 50_000 + "a=1" + ")" * 50_000},
        {"filter": "NOT " * 50_000 + "a=1"},
        {"filter": "a=1" + " -1" * 50_000},
        {"filter": "a=" + "-" * 50_000 + "1"},
        {"filter": "a=1" + " AND a=1" * 50_000},
        {"filter": '{"op":"not","args":[' * 50_000, "filter_lang": "cql2-json"},
    ],
)
def test_a_monstrous_filter_is_refused(params):
    with pytest.raises(InvalidInput, match="filter"):
        get(**params)


def test_a_collection_of_geometries_nested_without_end_is_refused():
    geometry = {"type": "Point", "coordinates": [0, 0]}
    for _ in range(40):
        geometry = {"type": "GeometryCollection", "geometries": [geometry]}
    with pytest.raises(InvalidInput, match="intersects"):
        post({"intersects": geometry})


def test_a_long_polygon_in_text_is_taken():
    ring = ", ".join(f"{x / 100 - 50} {-x / 1000}" for x in range(5_000))
    query = get(filter=f"S_INTERSECTS(geometry, POLYGON(({ring}, -50.0 0.0)))").query
    assert len(query.filter["args"][1]["coordinates"][0]) == 5_001


def test_one_collection_needs_no_array():
    assert search_from_post(b'{"collections": "a"}', default_limit=1, max_limit=9).query.collections == ("a",)


@pytest.mark.parametrize(
    ("text", "numbers"), [("20", 20.0), ("-1.5", -1.5), ("020", None), ("2e3", None), ("S2", None)]
)
def test_a_number_that_a_client_sent_as_text_is_compared_both_ways(text, numbers):
    body = msgspec.json.encode({"query": {"a": {"lt": text}}})
    made = search_from_post(body, default_limit=1, max_limit=9).query.filter
    plain = {"op": "<", "args": [{"property": "a"}, text]}
    both = {"op": "or", "args": [plain, {"op": "<", "args": [{"property": "a"}, numbers]}]}
    assert made == (plain if numbers is None else both)
