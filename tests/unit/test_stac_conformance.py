"""Each conformance class of CQL2 that is told is evaluated, and no other is told (OGC 21-065r2, annex A)."""

from typing import Any

import pytest

from edges.errors import InvalidInput
from edges.stac.cql2 import compile_filter, parse_filter_text
from edges.stac.cql2_check import OPERATORS, check_filter
from edges.stac.documents import CONFORMANCE as OF_A_SITE
from gateway.stac.conformance import CONFORMANCE, OF_A_CATALOGUE

CQL2 = "http://www.opengis.net/spec/cql2/1.0/conf/"
ITEM: dict[str, Any] = {
    "id": "a",
    "collection": "c",
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]},
    "properties": {
        "cloud": 10,
        "snow": 5,
        "name": "Élan Sud",
        "plain": "élan sud",
        "tags": ["x", "y"],
        "datetime": "2020-06-15T12:00:00Z",
        "start_datetime": "2020-06-01T00:00:00Z",
        "end_datetime": "2020-06-30T00:00:00Z",
        "ready": True,
    },
}
INSIDE = "POLYGON((2 2,3 2,3 3,2 3,2 2))"
WHOLE = "POLYGON((0 0,10 0,10 10,0 10,0 0))"
SPANS = "INTERVAL('2020-06-01T00:00:00Z','2020-06-30T00:00:00Z')"
ITS = "INTERVAL(start_datetime, end_datetime)"


def span(start: str, end: str) -> str:
    return f"INTERVAL('2020-{start}T00:00:00Z','2020-{end}T00:00:00Z')"


TRUE: dict[str, list[str]] = {
    "basic-cql2": [
        "cloud = 10", "cloud <> 5", "cloud < 11", "cloud <= 10", "cloud > 9", "cloud >= 10", "name = 'Élan Sud'",
        "cloud = 10 AND snow = 5", "cloud = 1 OR snow = 5", "NOT cloud = 1", "none IS NULL", "cloud IS NOT NULL",
        "ready = true", "datetime = TIMESTAMP('2020-06-15T12:00:00Z')", "datetime > DATE('2020-06-14')",
    ],
    "advanced-comparison-operators": [
        "name LIKE 'Élan%'", "name LIKE '_lan Sud'", "cloud BETWEEN 5 AND 15", "cloud IN (1, 10)", "name NOT LIKE 'x%'",
        "cloud NOT IN (1, 2)", "cloud NOT BETWEEN 1 AND 2",
    ],
    "case-insensitive-comparison": ["CASEI(name) = CASEI('ÉLAN SUD')", "CASEI(name) LIKE CASEI('éLAN%')"],
    "accent-insensitive-comparison": [
        "ACCENTI(name) = ACCENTI('Elan Sud')", "ACCENTI(CASEI(name)) = ACCENTI(CASEI('elan SUD'))",
        "ACCENTI(plain) LIKE ACCENTI('elan%')",
    ],
    "basic-spatial-functions": ["S_INTERSECTS(geometry, POINT(5 5))", "S_INTERSECTS(geometry, BBOX(9,9,12,12))"],
    "basic-spatial-functions-plus": [
        f"S_INTERSECTS(geometry, {INSIDE})", "S_INTERSECTS(geometry, LINESTRING(-1 5, 20 5))",
        "S_INTERSECTS(geometry, MULTIPOINT((50 50),(1 1)))", "S_INTERSECTS(geometry, MULTILINESTRING((-1 5, 20 5)))",
        "S_INTERSECTS(geometry, MULTIPOLYGON(((2 2,3 2,3 3,2 3,2 2))))",
        "S_INTERSECTS(geometry, GEOMETRYCOLLECTION(POINT(5 5), LINESTRING(50 50, 60 60)))",
    ],
    "spatial-functions": [
        f"S_CONTAINS(geometry, {INSIDE})", "S_CROSSES(geometry, LINESTRING(-5 5, 5 5))",
        "S_DISJOINT(geometry, POINT(50 50))", f"S_EQUALS(geometry, {WHOLE})",
        "S_OVERLAPS(geometry, POLYGON((5 5,15 5,15 15,5 15,5 5)))",
        "S_TOUCHES(geometry, POLYGON((10 0,20 0,20 10,10 10,10 0)))", "S_WITHIN(geometry, BBOX(-1,-1,11,11))",
    ],
    "temporal-functions": [
        "T_AFTER(datetime, TIMESTAMP('2020-06-14T00:00:00Z'))", "T_BEFORE(datetime, DATE('2020-07-01'))",
        f"T_DURING(datetime, {SPANS})", "T_EQUALS(datetime, TIMESTAMP('2020-06-15T12:00:00Z'))",
        f"T_CONTAINS({ITS}, {span('06-02', '06-03')})", f"T_DISJOINT({ITS}, {span('07-02', '07-03')})",
        f"T_FINISHEDBY({ITS}, {span('06-02', '06-30')})", f"T_FINISHES({ITS}, {span('05-01', '06-30')})",
        f"T_INTERSECTS({ITS}, {span('06-30', '07-30')})", f"T_MEETS({ITS}, {span('06-30', '07-30')})",
        f"T_METBY({ITS}, {span('05-01', '06-01')})", f"T_OVERLAPPEDBY({ITS}, {span('05-01', '06-10')})",
        f"T_OVERLAPS({ITS}, {span('06-10', '07-10')})", f"T_STARTEDBY({ITS}, {span('06-01', '06-10')})",
        f"T_STARTS({ITS}, {span('06-01', '07-10')})", f"T_EQUALS({ITS}, {SPANS})",
    ],
    "array-functions": [
        "A_CONTAINS(tags, ('x'))", "A_CONTAINEDBY(tags, ('x','y','z'))", "A_EQUALS(tags, ('y','x'))",
        "A_OVERLAPS(tags, ('y','q'))",
    ],
    "property-property": ["cloud > snow", "cloud <> snow", "CASEI(plain) = CASEI(name)"],
    "arithmetic": [
        "cloud + snow = 15", "cloud - snow = 5", "cloud * snow = 50", "cloud / snow = 2", "cloud % 4 = 2",
        "cloud ^ 2 = 100", "cloud div 3 = 3", "cloud = 5 * 2",
    ],
}  # fmt: skip
"""By class, filters that hold for :data:`ITEM`."""

WRITTEN = {"cql2-text", "cql2-json"}


def told(classes: tuple[str, ...]) -> set[str]:
    return {uri.removeprefix(CQL2) for uri in classes if uri.startswith(CQL2)}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TRUE.items() for text in texts])
def test_what_a_class_promises_is_evaluated_in_text_and_json(name: str, text: str) -> None:
    expression = parse_filter_text(text)
    assert compile_filter(expression)(ITEM) is True
    assert compile_filter(check_filter(expression))(ITEM) is True
    assert compile_filter({"op": "not", "args": [expression]})(ITEM) is False


def test_the_classes_that_are_told_are_those_that_are_evaluated() -> None:
    for classes in (CONFORMANCE, OF_A_CATALOGUE, OF_A_SITE):
        assert told(classes) == set(TRUE) | WRITTEN


def test_every_operator_that_is_evaluated_belongs_to_a_class() -> None:
    seen = {name.lower() for texts in TRUE.values() for text in texts for name in _operators(parse_filter_text(text))}
    assert set(OPERATORS) - seen == set()


def test_functions_of_a_servers_own_are_not_promised_and_not_taken() -> None:
    assert "functions" not in told(CONFORMANCE)
    with pytest.raises(InvalidInput, match="unknown operator"):
        parse_filter_text("reverse(name) = 'x'")


def test_no_class_is_told_twice() -> None:
    for classes in (CONFORMANCE, OF_A_CATALOGUE, OF_A_SITE):
        assert len(classes) == len(set(classes))


@pytest.mark.parametrize(
    "needed",
    [
        "https://api.stacspec.org/v1.0.0/item-search#sort",
        "https://api.stacspec.org/v1.1.0/item-search#sort",
        "https://api.stacspec.org/v1.0.0-rc.1/collection-search#free-text",
        "https://api.stacspec.org/v1.0.0-rc.2/multi-tenant-catalogs/search",
        "https://api.stacspec.org/v1.0.0/children#type-filter",
    ],
)
def test_clients_recognise_what_they_look_for(needed: str) -> None:
    assert needed in CONFORMANCE


def test_a_catalogue_promises_all_but_catalogues_below_it() -> None:
    assert {uri for uri in CONFORMANCE if uri not in OF_A_CATALOGUE} == {
        uri for uri in CONFORMANCE if "multi-tenant" in uri
    }


def _operators(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*(_operators(each) for each in value)) if value else set()
    if isinstance(value, dict):
        own = {value["op"]} if "op" in value else set()
        return own.union(*(_operators(each) for each in value.values()))
    return set()
