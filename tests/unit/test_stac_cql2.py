import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edges.errors import InvalidInput
from edges.stac.cql2 import check_filter, compile_filter, parse_filter_text, property_names
from edges.stac.cql2_like import matches_pattern

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]}
ITEM = {
    "type": "Feature",
    "id": "s2",
    "collection": "sentinel-2",
    "geometry": SQUARE,
    "bbox": [0, 0, 2, 2],
    "properties": {
        "datetime": "2024-05-01T10:00:00Z",
        "start_datetime": "2024-05-01T00:00:00Z",
        "end_datetime": "2024-05-02T00:00:00Z",
        "updated": "2024-06-01T00:00:00+02:00",
        "eo:cloud_cover": 12.5,
        "gsd": 10,
        "platform": "Sentinel-2A",
        "flag": True,
        "off": False,
        "nothing": None,
        "tags": ["a", "b"],
        "name": "Zürich_50%",
        "day": "2024-05-01",
        "nested": {"deep": {"value": 5}},
    },
}

TRUE, FALSE, UNKNOWN = True, False, None
CASES = [
    ("eo:cloud_cover < 20", TRUE),
    ("eo:cloud_cover >= 12.5 AND gsd = 10", TRUE),
    ('"properties.eo:cloud_cover" > 20', FALSE),
    ("missing < 20", UNKNOWN),
    ("nothing = 1", UNKNOWN),
    ("NOT missing < 20", UNKNOWN),
    ("missing < 20 OR gsd = 10", TRUE),
    ("missing < 20 OR gsd = 11", UNKNOWN),
    ("missing < 20 AND gsd = 11", FALSE),
    ("missing < 20 AND gsd = 10", UNKNOWN),
    ("missing IS NULL", TRUE),
    ("nothing IS NULL", TRUE),
    ("gsd IS NOT NULL", TRUE),
    ("gsd = 'ten'", UNKNOWN),
    ("platform = 10", UNKNOWN),
    ("flag = 1", UNKNOWN),
    ("flag = TRUE", TRUE),
    ("gsd <> 11", TRUE),
    ("gsd BETWEEN 5 AND 10", TRUE),
    ("gsd NOT BETWEEN 5 AND 10", FALSE),
    ("missing BETWEEN 5 AND 10", UNKNOWN),
    ("gsd IN (10, 20)", TRUE),
    ("gsd IN (20, 30)", FALSE),
    ("platform IN ('Sentinel-2A', 'x')", TRUE),
    ("platform IN (1, 2)", UNKNOWN),
    ("missing IN (1, 2)", UNKNOWN),
    ("id = 's2' AND collection = 'sentinel-2'", TRUE),
    ("platform LIKE 'Sentinel%'", TRUE),
    ("platform LIKE 'sentinel%'", FALSE),
    ("CASEI(platform) LIKE CASEI('SENTINEL-2_')", TRUE),
    ("ACCENTI(name) LIKE 'Zurich%'", TRUE),
    (r"name LIKE '%\_50\%'", TRUE),
    (r"name LIKE '%\_5\%'", FALSE),
    ("CASEI(platform) IN (CASEI('SENTINEL-2a'))", TRUE),
    ("gsd + 2 * 3 = 16", TRUE),
    ("gsd / 0 = 1", UNKNOWN),
    ("gsd ^ 2 = 100", TRUE),
    ("gsd % 3 = 1", TRUE),
    ("gsd DIV 3 = 3", TRUE),
    ("platform + 1 = 2", UNKNOWN),
    ('gsd > "eo:cloud_cover"', FALSE),
    ("datetime > TIMESTAMP('2024-05-01T09:00:00Z')", TRUE),
    ("datetime > '2024-05-01T12:00:00+03:00'", TRUE),
    ("datetime = TIMESTAMP('2024-05-01T10:00:00.000Z')", TRUE),
    ("datetime BETWEEN TIMESTAMP('2024-05-01T00:00:00Z') AND TIMESTAMP('2024-05-02T00:00:00Z')", TRUE),
    ("datetime < DATE('2024-05-02')", TRUE),
    ("day = DATE('2024-05-01')", TRUE),
    ("updated > datetime", TRUE),
    ("updated = TIMESTAMP('2024-05-31T22:00:00Z')", TRUE),
    ("T_AFTER(datetime, TIMESTAMP('2024-05-01T10:00:00Z'))", FALSE),
    ("T_AFTER(datetime, DATE('2024-04-30'))", TRUE),
    ("T_BEFORE(datetime, DATE('2024-05-01'))", FALSE),
    ("T_DURING(datetime, INTERVAL('2024-05-01', '2024-05-01'))", TRUE),
    ("T_DURING(datetime, INTERVAL('2024-05-01T10:00:00Z', '..'))", FALSE),
    ("T_INTERSECTS(datetime, INTERVAL('2024-05-01T10:00:00Z', '..'))", TRUE),
    ("T_INTERSECTS(INTERVAL(start_datetime, end_datetime), INTERVAL('..', '2024-05-01T00:00:00Z'))", TRUE),
    ("T_CONTAINS(INTERVAL(start_datetime, end_datetime), datetime)", TRUE),
    ("T_STARTS(datetime, INTERVAL('2024-05-01T10:00:00Z', '..'))", TRUE),
    ("T_STARTEDBY(INTERVAL(start_datetime, end_datetime), start_datetime)", TRUE),
    ("T_FINISHEDBY(INTERVAL(start_datetime, end_datetime), end_datetime)", TRUE),
    ("T_FINISHES(end_datetime, INTERVAL(start_datetime, end_datetime))", TRUE),
    ("T_MEETS(INTERVAL(start_datetime, datetime), INTERVAL(datetime, end_datetime))", TRUE),
    ("T_METBY(INTERVAL(datetime, end_datetime), INTERVAL(start_datetime, datetime))", TRUE),
    ("T_EQUALS(datetime, datetime)", TRUE),
    ("T_DISJOINT(datetime, start_datetime)", TRUE),
    ("T_OVERLAPS(INTERVAL(start_datetime, end_datetime), INTERVAL(datetime, updated))", TRUE),
    ("T_OVERLAPPEDBY(INTERVAL(datetime, updated), INTERVAL(start_datetime, end_datetime))", TRUE),
    ("T_AFTER(missing, DATE('2024-04-30'))", UNKNOWN),
    ("S_INTERSECTS(geometry, POINT(1 1))", TRUE),
    ("S_INTERSECTS(geometry, POINT(3 1))", FALSE),
    ("S_INTERSECTS(missing, POINT(3 1))", UNKNOWN),
    ("S_CONTAINS(geometry, POINT(1 1))", TRUE),
    ("S_WITHIN(geometry, BBOX(-1, -1, 3, 3))", TRUE),
    ("S_WITHIN(POINT(1 1), geometry)", TRUE),
    ("S_DISJOINT(geometry, BBOX(170, -1, -170, 3))", TRUE),
    ("S_EQUALS(geometry, POLYGON((2 0, 2 2, 0 2, 0 0, 2 0)))", TRUE),
    ("S_TOUCHES(geometry, BBOX(2, 0, 3, 2))", TRUE),
    ("S_OVERLAPS(geometry, BBOX(1, 1, 3, 3))", TRUE),
    ("S_CROSSES(LINESTRING(-1 1, 3 1), geometry)", TRUE),
    ("A_CONTAINS(tags, ('a'))", TRUE),
    ("A_CONTAINS(tags, ('a', 'c'))", FALSE),
    ("A_CONTAINEDBY(tags, ('a', 'b', 'c'))", TRUE),
    ("A_EQUALS(tags, ('b', 'a'))", TRUE),
    ("A_OVERLAPS(tags, ('b', 'z'))", TRUE),
    ("A_OVERLAPS(gsd, ('b', 'z'))", UNKNOWN),
    ("TRUE", TRUE),
]


@pytest.mark.parametrize(("text", "answer"), CASES)
def test_a_filter_answers_true_false_or_unknown(text, answer):
    assert compile_filter(parse_filter_text(text))(ITEM) is answer


@pytest.mark.parametrize(("text", "answer"), CASES)
def test_a_checked_filter_is_its_own_check(text, answer):
    once = parse_filter_text(text)
    assert check_filter(once) == once
    assert compile_filter(check_filter(json.loads(json.dumps(once))))(ITEM) is answer


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ({"property": "flag"}, True),
        ({"property": "off"}, False),
        ({"property": "gsd"}, None),
        ({"op": "NOT", "args": [{"property": "off"}]}, True),
        ({"op": "=", "args": [{"op": "isNull", "args": [{"property": "missing"}]}, True]}, True),
        ({"op": "=", "args": [{"property": "nested.deep.value"}, 5]}, True),
        ({"op": ">=", "args": [{"property": "datetime"}, "2024-05-01T10:00:00Z"]}, True),
        ({"op": "<", "args": ["2024-05-01T09:00:00Z", {"property": "datetime"}]}, True),
        (
            {
                "op": "between",
                "args": [{"property": "datetime"}, "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"],
            },
            True,
        ),
        ({"op": "between", "args": [{"property": "nested.deep.value"}, [5, 6]]}, True),
        ({"op": "in", "args": [{"property": "datetime"}, ["2024-05-01T10:00:00.0Z"]]}, True),
        ({"op": "t_during", "args": [{"property": "datetime"}, {"interval": ["..", "2025-01-01"]}]}, True),
        (
            {
                "op": "s_intersects",
                "args": [{"property": "geometry"}, {"type": "Point", "coordinates": [1, 1]}],
            },
            True,
        ),
        ({"op": "a_contains", "args": [{"property": "tags"}, []]}, True),
    ],
)
def test_json_filters_that_text_cannot_say(expression, answer):
    assert compile_filter(check_filter(expression))(ITEM) is answer


def test_a_geometry_may_still_be_bytes():
    raw = ITEM | {"geometry": msgspec.Raw(msgspec.json.encode(SQUARE))}
    assert compile_filter(parse_filter_text("S_INTERSECTS(geometry, POINT(1 1))"))(raw) is True


def test_a_null_geometry_is_unknown_and_a_broken_one_too():
    test = compile_filter(parse_filter_text("S_INTERSECTS(geometry, POINT(1 1))"))
    assert test(ITEM | {"geometry": None}) is None
    assert test(ITEM | {"geometry": {"type": "Polygon", "coordinates": "?"}}) is None


def test_the_names_that_a_filter_reads_are_known():
    expression = parse_filter_text('a = 1 AND (b < c OR S_INTERSECTS(geometry, POINT(1 1))) AND "properties.d" IS NULL')
    assert property_names(expression) == {"a", "b", "c", "d", "geometry"}


def slow_like(text, pattern):
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(slow_like(text[start:], pattern[1:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and slow_like(text[1:], pattern[1:])


@given(st.text("ab\n", max_size=8), st.text("ab%_", max_size=6))
def test_like_is_what_its_definition_says(text, pattern):
    assert matches_pattern(text, pattern) is slow_like(text, pattern)


def test_like_takes_no_time_on_a_hostile_pattern():
    assert not matches_pattern("a" * 5_000, "%a" * 200 + "%b")
    assert matches_pattern("a" * 5_000, "%a" * 200_000) is None


@pytest.mark.parametrize("pattern", ["%ab" * 10_000, {"op": "casei", "args": ["a" * 257]}])
def test_a_pattern_that_is_too_long_is_refused(pattern):
    with pytest.raises(InvalidInput, match="at most 256"):
        check_filter({"op": "like", "args": [{"property": "title"}, pattern]})


def test_a_pattern_that_an_item_tells_is_read_up_to_a_bound():
    test = compile_filter(check_filter({"op": "like", "args": ["abc", {"property": "pattern"}]}))
    assert test({"properties": {"pattern": "a%"}}) is True
    assert test({"properties": {"pattern": "a%" * 100_000}}) is None


three = st.sampled_from(["off = FALSE", "off = TRUE", "missing = 1"])
values = {"off = FALSE": True, "off = TRUE": False, "missing = 1": None}


@given(three, three)
def test_the_laws_of_de_morgan_hold_in_three_values(a, b):
    left = compile_filter(parse_filter_text(f"NOT ({a} AND {b})"))(ITEM)
    right = compile_filter(parse_filter_text(f"(NOT {a}) OR (NOT {b})"))(ITEM)
    assert left is right
