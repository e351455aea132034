"""A query said in native words finds at the site what it finds here in harmonised words; items come back the same."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.model import Fields, Json, Members, Query, SortKey
from edges.profiles.items import ItemWords
from edges.profiles.model import AssetField, AssetRule, Linear, Profile, PropertyRule, Text
from edges.profiles.queries import QueryWords
from edges.stac.cql2 import check_filter, compile_filter
from edges.stac.matching import compile_query
from edges.stac.order import compile_key, total_order

MEMBERS = msgspec.json.Decoder(Members)

FIELDS = (
    AssetField(native="resolution", ours="gsd"),
    AssetField(native="kind", ours="roles", values={"DATA": "data"}, assets=("qa", "B04")),
    AssetField(native="size_kb", ours="file:size", linear=Linear(scale=1000.0)),
    AssetField(native="spatial_resolution", within="raster:bands", linear=Linear(scale=0.001)),
    AssetField(native="center", ours="center_wavelength", within="eo:bands", linear=Linear(scale=0.001)),
)
PROFILE = Profile(
    name="all",
    collections={"S2": "sentinel-2-l2a", "S2B": "sentinel-2-l2a", "L8": "landsat-c2-l2"},
    properties=(
        PropertyRule(native="platform", values={"S2A": "sentinel-2a", "Sentinel-2A": "sentinel-2a", "S2B": "2b"}),
        PropertyRule(native="tile", ours="grid:code", text=Text(prefix="MGRS-"), collections=("S2",), keep=True),
        PropertyRule(native="epsg", ours="proj:code", text=Text(prefix="EPSG:", number=True)),
        PropertyRule(native="uri", ours="product", text=Text(suffix=".SAFE"), exclusive=True),
        PropertyRule(native="name", ours="label", text=Text(prefix="x-"), exclusive=True),
        PropertyRule(native="cover", ours="eo:cloud_cover", linear=Linear(scale=100.0), exclusive=True),
        PropertyRule(native="coverage", ours="nodata", linear=Linear(scale=-1.0, offset=100.0), exclusive=True),
        PropertyRule(native="baseline", ours="s2:baseline", exclusive=True),
    ),
    assets=(AssetRule(keys={"B04": "red", "B08": "nir"}, fields=FIELDS, collections=("S2",)),),
    bands="common",
)
QUERIES = QueryWords(PROFILE)
ITEMS = ItemWords(PROFILE, QUERIES.ids)


def value_of(*choices: Any) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(choices)


COVER = st.none() | st.integers(0, 1) | st.floats(0, 1).map(lambda x: round(x, 4))
NATIVE = st.fixed_dictionaries(
    {"datetime": st.sampled_from(["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"])},
    optional={
        "platform": value_of("S2A", "Sentinel-2A", "S2B", "sentinel-2a", "LANDSAT"),
        "tile": value_of("60VUK", "32TQM"),
        "grid:code": value_of("MGRS-32TQM", "other"),
        "epsg": value_of(32632, 4326),
        "proj:code": value_of("EPSG:4326", "OGC:CRS84"),
        "uri": value_of("a", "b.SAFE", "b"),
        "name": value_of("a", "b", "x-a"),
        "cover": COVER,
        "coverage": COVER,
        "baseline": value_of("02.12", "05.00"),
        "other": value_of("a", "b"),
    },
)


@st.composite
def native_items(draw: st.DrawFn) -> Json:
    bands = draw(
        st.sampled_from(
            [
                {},
                {"eo:bands": [{"name": "B4", "common_name": "red"}], "resolution": 10, "kind": ["DATA", "x"]},
                {"eo:bands": [{"center": 665}], "raster:bands": [{"spatial_resolution": 10_000}], "size_kb": 12.5},
                {"raster:bands": "odd", "eo:bands": [None, {"center": None}], "kind": 3, "size_kb": "1", "gsd": 5},
            ]
        )
    )
    keys = draw(st.lists(st.sampled_from(["B04", "red", "B08", "qa"]), unique=True))
    return {
        "type": "Feature",
        "id": draw(st.sampled_from(["a", "b"])),
        "collection": draw(st.sampled_from(["S2", "S2B", "L8", "modis"])),
        "geometry": None,
        "properties": draw(NATIVE),
        "assets": {key: {"href": key} | bands for key in keys},
        "links": [],
    }


LITERALS = st.sampled_from(
    ["S2A", "sentinel-2a", "2b", "LANDSAT", "MGRS-32TQM", "MGRS-60VUK", "32TQM", "EPSG:4326", "EPSG:04326", "OGC:CRS84",
     "a.SAFE", "b.SAFE", "x-a", "x-b", "a", "", "02.12", "sentinel-2-l2a", "S2", 0, 50, 100, 99.99, 12.34]
) | st.floats(0, 100).map(lambda x: round(x, 2))  # fmt: skip
NAMES = st.sampled_from(
    ["platform", "grid:code", "tile", "proj:code", "epsg", "product", "uri", "label", "eo:cloud_cover", "cover",
     "nodata", "s2:baseline", "baseline", "other", "collection", "id"]
)  # fmt: skip


def leaves() -> st.SearchStrategy[Json]:
    prop = NAMES.map(lambda name: {"property": name})
    signs = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
    patterns = st.sampled_from(["MGRS-3%", "%a", "sentinel%", "x-%", "_", "%"])
    return st.one_of(
        st.builds(lambda sign, p, v: {"op": sign, "args": [p, v]}, signs, prop, LITERALS),
        st.builds(lambda sign, p, v: {"op": sign, "args": [v, p]}, signs, prop, LITERALS),
        st.builds(lambda p, vs: {"op": "in", "args": [p, vs]}, prop, st.lists(LITERALS, min_size=1, max_size=3)),
        st.builds(lambda p, a, b: {"op": "between", "args": [p, a, b]}, prop, LITERALS, LITERALS),
        st.builds(lambda p, v: {"op": "like", "args": [p, v]}, prop, patterns),
        st.builds(lambda p: {"op": "isNull", "args": [p]}, prop),
        st.builds(lambda sign, p, q: {"op": sign, "args": [p, q]}, signs, prop, prop),
        st.builds(lambda p, v: {"op": "=", "args": [{"op": "casei", "args": [p]}, v]}, prop, st.just("Sentinel-2A")),
    )


FILTERS = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(lambda op, args: {"op": op, "args": args}, st.sampled_from(["and", "or"]),
                  st.lists(inner, min_size=2, max_size=3)),
        inner.map(lambda test: {"op": "not", "args": [test]}),
    ),
    max_leaves=5,
)  # fmt: skip


def members(item: Json) -> Members:
    return MEMBERS.decode(msgspec.json.encode(item))


def decoded(item: Members) -> Json:
    return dict(msgspec.json.decode(msgspec.json.encode(item)))


def without_nulls(item: Json) -> Json:
    """Return the item without properties that are null, which is to say missing."""
    return item | {"properties": {name: value for name, value in item["properties"].items() if value is not None}}


@pytest.mark.parametrize("test", [{"op": "="}, {"op": "<>"}, {"op": "in"}])
def test_a_text_made_of_a_number_is_not_asked_for_by_a_number(test: Json) -> None:
    literal: Any = [0.0] if test["op"] == "in" else 0.0
    denied = {"op": "not", "args": [test | {"args": [{"property": "proj:code"}, literal]}]}
    item = members({
        "type": "Feature", "id": "a", "collection": "S2", "geometry": None, "links": [], "assets": {},
        "properties": {"datetime": "2020-01-01T00:00:00Z", "epsg": 32632},
    })  # fmt: skip
    query = Query(filter=check_filter(denied))
    asked = QUERIES.native(query)
    here, there = compile_query(query)(ITEMS.harmonised(item)), compile_query(asked.query)(item)
    assert there or not here
    assert not asked.exact or there is here


@examples(400)
@given(native_items(), FILTERS, st.sampled_from([None, ("sentinel-2-l2a",), ("landsat-c2-l2", "modis"), ("S2",)]))
def test_what_matches_here_matches_at_the_site(item: Json, filter_: Json, collections: tuple[str, ...] | None) -> None:
    checked = check_filter(filter_)
    query = Query(filter=checked, collections=collections)
    asked = QUERIES.native(query)
    here = compile_query(query)(ITEMS.harmonised(members(item)))
    at_the_site = compile_query(asked.query)(members(item))
    assert at_the_site or not here
    if asked.exact:
        assert at_the_site is here


@examples(200)
@given(native_items(), leaves())
def test_an_exact_predicate_is_exact_in_three_valued_logic(item: Json, leaf: Json) -> None:
    """Else a `not` around it would lose what is unknown, or find what is not."""
    checked = check_filter(leaf)
    asked = QUERIES.native(Query(filter=checked))
    if asked.exact and asked.query.filter is not None and leaf["op"] not in ("like", "="):
        here = compile_filter(checked)(decoded(ITEMS.harmonised(members(item))))
        there = compile_filter(asked.query.filter)(item)
        assert (here is True) == (there is True)
        if here is False:
            assert there is not True


@examples(200)
@given(native_items())
def test_an_item_said_in_native_words_and_back_is_the_same(item: Json) -> None:
    ours = decoded(ITEMS.harmonised(members(item)))
    native = ITEMS.native(ours, item["collection"])
    assert without_nulls(decoded(ITEMS.harmonised(members(native)))) == without_nulls(ours)


@examples(200)
@given(st.lists(native_items(), max_size=6), NAMES, st.booleans())
def test_a_sort_that_goes_to_the_site_is_ours(items: list[Json], name: str, descending: bool) -> None:
    order = (SortKey(field=name, descending=descending),)
    asked = QUERIES.native(Query(sortby=order)).query.sortby
    if name in QUERIES.unsortable:
        assert asked == ()
        return
    if name == "collection":
        return  # ties and order by native ids are not claimed
    native = sorted(map(members, items), key=compile_key(asked))
    keys = [compile_key(order)(ITEMS.harmonised(item)) for item in native]
    assert keys == sorted(keys)


def test_what_is_left_alone_is_passed_on_as_it_came() -> None:
    item = members(
        {"id": "a", "collection": "modis", "properties": {"datetime": None}, "assets": {"red": {"href": "x"}}}
    )
    assert ITEMS.harmonised(item) is item


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"collection": 1},
        {"collection": "S2"},
        {"collection": "S2", "properties": 7},
        {"collection": "S2", "properties": {}, "assets": 7},
    ],
)
def test_what_is_no_item_stays_as_it_is(item: Json) -> None:
    assert ITEMS.harmonised(members(item)) == members(item)


def test_a_part_without_native_words_leaves_the_rest_of_an_and() -> None:
    known: Json = {"op": "=", "args": [{"property": "eo:cloud_cover"}, 50]}
    unknown: Json = {"op": "=", "args": [{"property": "platform"}, {"property": "other"}]}
    asked = QUERIES.native(Query(filter={"op": "and", "args": [known, unknown]}))
    assert not asked.exact
    assert asked.query.filter is not None
    assert "platform" not in str(asked.query.filter)
    test = compile_filter(asked.query.filter)
    assert [test({"properties": {"cover": value}}) for value in (0.5, 0.51, None)] == [True, False, None]
    alone = QUERIES.native(Query(filter={"op": "or", "args": [known, unknown]}))
    assert alone.query.filter is None
    assert not alone.exact


def test_equality_across_a_table_asks_for_all_natives_of_a_value() -> None:
    asked = QUERIES.native(Query(filter={"op": "=", "args": [{"property": "platform"}, "sentinel-2a"]}))
    assert asked.exact
    assert asked.query.filter == {
        "op": "in",
        "args": [{"property": "platform"}, ["S2A", "Sentinel-2A", "sentinel-2a"]],
    }


def test_a_rule_for_some_collections_is_asked_of_these_only() -> None:
    tile: Json = {"op": "=", "args": [{"property": "grid:code"}, "MGRS-32TQM"]}
    assert QUERIES.native(Query(filter=tile, collections=("landsat-c2-l2",))).query.filter == tile
    assert "tile" in str(QUERIES.native(Query(filter=tile, collections=("sentinel-2-l2a",))).query.filter)


def test_fields_ask_for_all_that_ours_is_made_of() -> None:
    fields = Fields(include=("properties.grid:code", "assets.red.href", "nodata"), exclude=("assets.red", "links"))
    asked = QUERIES.native(Query(fields=fields)).query.fields
    assert asked == Fields(
        include=(
            "properties.grid:code", "properties.tile", "assets.red.href", "assets.B04.href", "nodata",
            "properties.coverage",
        ),
        exclude=("links",),
    )  # fmt: skip


def test_collections_are_told_in_our_words() -> None:
    told = ITEMS.collection(
        {
            "id": "S2",
            "summaries": {
                "platform": ["S2A", "Sentinel-2A", "S2B"],
                "coverage": {"minimum": 0, "maximum": 40},
                "tile": ["32TQM"],
            },
            "item_assets": {"B04": {"title": "Red", "eo:bands": [{"name": "B4"}]}, "qa": {}},
        }
    )
    assert told["id"] == "sentinel-2-l2a"
    assert told["summaries"] == {
        "platform": ["sentinel-2a", "2b"],
        "nodata": {"minimum": 60, "maximum": 100},
        "tile": ["32TQM"],
        "grid:code": ["MGRS-32TQM"],
    }
    assert told["item_assets"] == {"red": {"title": "Red", "bands": [{"name": "B4"}]}, "qa": {}}


def test_the_changes_name_both_words() -> None:
    item = members(
        {"id": "a", "collection": "S2", "properties": {"tile": "32TQM", "platform": "S2A"}, "assets": {"B04": {}}}
    )
    assert ITEMS.changes(item) == [
        {"field": "collection", "from": "S2", "to": "sentinel-2-l2a"},
        {"field": "platform", "from": "S2A", "to": "sentinel-2a"},
        {"field": "grid:code", "native": "tile", "from": "32TQM", "to": "MGRS-32TQM"},
        {"field": "assets.red", "native": "assets.B04"},
    ]


def test_fields_of_assets_and_of_their_bands_are_told_in_our_words_and_back() -> None:
    native = {
        "href": "s3://b/a", "resolution": 10, "kind": ["DATA"], "size_kb": 12,
        "eo:bands": [{"name": "B4", "center": 665}], "raster:bands": [{"spatial_resolution": 10_000}],
    }  # fmt: skip
    item = {"id": "a", "collection": "S2", "properties": {}, "assets": {"B04": native, "qa": {"href": "x"}}}
    ours = decoded(ITEMS.harmonised(members(item)))
    assert ours["assets"]["red"] == {
        "href": "s3://b/a", "gsd": 10, "roles": ["data"], "file:size": 12_000,
        "bands": [{"name": "B4", "eo:center_wavelength": 0.665, "raster:spatial_resolution": 10}],
    }  # fmt: skip
    assert ours["assets"]["qa"] == {"href": "x"}
    assert ITEMS.native(ours, "S2")["assets"] == item["assets"]
    told = {change["field"]: (change.get("from"), change.get("to")) for change in ITEMS.changes(members(item))}
    assert told["assets.red.gsd"] == (None, 10)
    assert told["assets.red.resolution"] == (10, None)
    assert told["assets.red.file:size"] == (None, 12_000)
    (asset,) = ITEMS.collection({"id": "S2", "item_assets": {"B04": native}})["item_assets"].values()
    assert asset["gsd"] == 10


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: AssetField(native="href", ours="url"),
        lambda: AssetField(native="gsd"),
        AssetRule,
        lambda: AssetRule(fields=(AssetField(native="a", ours="b"), AssetField(native="c", ours="b"))),
        lambda: AssetRule(fields=(AssetField(native="a", ours="b"), AssetField(native="b", ours="c", assets=("x",)))),
    ],
)
def test_fields_of_assets_that_could_not_be_turned_back_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        wrong()


def test_nothing_changed_is_told_as_nothing() -> None:
    item = members({"id": "a", "collection": "modis", "properties": {"platform": "terra"}, "assets": {}})
    assert ITEMS.changes(item) == []


def test_the_default_order_is_never_left_to_us() -> None:
    assert "datetime" not in QUERIES.unsortable
    assert total_order(()) == QUERIES.native(Query(sortby=total_order(()))).query.sortby
