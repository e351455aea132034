"""What may be kept of users' documents: whatever comes is refused by name, or can be kept and found again."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.catalogues.sqlite_rows import row_of
from edges.errors import InvalidInput
from edges.model import Query
from edges.stac.matching import compile_query
from edges.stac.tags import members_of, size_of, tag_of
from gateway.contributed.changes import PreconditionFailed, check_match, merged, replaced_members
from gateway.contributed.checks import collection_checked, features_of, item_checked
from gateway.contributed.model import Collection, Forbidden, Sharing, check_name, check_sharing
from gateway.contributed.tree_words import with_addresses
from gateway.principal import Principal

ITEM: dict[str, Any] = {
    "type": "Feature", "stac_version": "1.0.0", "id": "i", "collection": "c",
    "geometry": {"type": "Point", "coordinates": [1.0, 2.0]}, "bbox": [1.0, 2.0, 1.0, 2.0],
    "properties": {"datetime": "2024-01-01T00:00:00Z"}, "links": [],
    "assets": {"data": {"href": "https://data.example/i.tif"}},
}  # fmt: skip
COLLECTION: dict[str, Any] = {
    "type": "Collection", "stac_version": "1.1.0", "id": "c", "description": "d", "license": "other", "links": [],
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}},
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(["Point", "Polygon", "coordinates", "2024-01-01T00:00:00Z", "s3://x"]),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(
        st.text(max_size=4) | st.sampled_from(["type", "coordinates", "geometries", "href", "datetime", "rel"]), each,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@examples(300)
@given(member=st.sampled_from(sorted(ITEM)), value=JSON)
def test_an_item_is_refused_by_name_or_can_be_kept_and_found(member: str, value: Any) -> None:
    try:
        item = item_checked({**ITEM, member: value}, "c")
    except InvalidInput:
        return
    body = msgspec.json.encode(item)
    assert row_of(body, "c").item_id == item["id"]
    assert compile_query(Query(collections=("c",), ids=(item["id"],)))(members_of(item))
    assert size_of(members_of(item)) > 0


@examples(150)
@given(member=st.sampled_from(sorted(COLLECTION)), value=JSON)
def test_a_collection_is_refused_by_name_or_can_be_kept(member: str, value: Any) -> None:
    try:
        kept = collection_checked({**COLLECTION, member: value})
    except InvalidInput:
        return
    assert msgspec.json.decode(msgspec.json.encode(kept)) == kept


@pytest.mark.parametrize("link", [{}, {"rel": []}, {"rel": "x"}, {"href": "x"}, {"rel": "x", "href": 1}, "x", None])
def test_a_link_that_is_none_is_refused(link: Any) -> None:
    with pytest.raises(InvalidInput, match="links"):
        item_checked(ITEM | {"links": [link]}, "c")


@pytest.mark.parametrize("depth", [40, 2_000])
def test_a_geometry_nested_beyond_measure_is_refused(depth: int) -> None:
    coordinates: Any = [1.0, 2.0]
    for _ in range(depth):
        coordinates = [coordinates]
    with pytest.raises(InvalidInput, match="geometry"):
        item_checked(ITEM | {"geometry": {"type": "Polygon", "coordinates": coordinates}}, "c")


def test_a_footprint_of_too_many_positions_is_refused() -> None:
    ring = [[n / 1e4, 0.0] for n in range(20_001)]
    with pytest.raises(InvalidInput, match="positions"):
        item_checked(ITEM | {"geometry": {"type": "Polygon", "coordinates": [ring]}}, "c")


def test_what_the_gateway_tells_itself_is_not_kept() -> None:
    told = ITEM | {
        "links": [{"rel": "self", "href": "http://gate/x"}, {"rel": "license", "href": "http://licence"}],
        "properties": {**ITEM["properties"], "federation:backends": ["trusted"], "x": 1},
        "federation:copies": [],
    }
    item = item_checked(told, "c")
    assert [link["rel"] for link in item["links"]] == ["license"]
    assert "federation:backends" not in item["properties"]
    assert "federation:copies" not in item


def test_items_of_one_body_have_each_id_once() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        features_of({"features": [ITEM, ITEM]})
    for wrong in (None, [], ["x"], {}):
        with pytest.raises(InvalidInput):
            features_of({"features": wrong})


@pytest.mark.parametrize("name", ["", ".x", "a/b", "a b", "x" * 129, "é", None, 7, "a\n"])
def test_an_id_that_addresses_cannot_hold_is_refused(name: object) -> None:
    with pytest.raises(InvalidInput):
        check_name(name)


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_changes_as_its_standard_says(document: Any, patch: Any, result: Any) -> None:
    assert merged(document, patch) == result


def test_a_patch_leaves_alone_what_is_fixed() -> None:
    with pytest.raises(InvalidInput, match="id"):
        replaced_members({"id": "a"}, {"id": "b"}, ("id",))
    assert replaced_members({"id": "a"}, {"id": "a", "x": 1}, ("id",)) == {"id": "a", "x": 1}


@pytest.mark.parametrize(
    ("match", "none_match", "tag", "passes"),
    [
        (None, None, '"a"', True), ('"a"', None, '"a"', True), ('W/"a"', None, '"a"', True),
        ('"b"', None, '"a"', False), ('"b", "a"', None, '"a"', True), ("*", None, '"a"', True),
        ("*", None, None, False), (None, "*", '"a"', False), (None, "*", None, True), (None, '"a"', '"a"', False),
        (None, '"b"', '"a"', True), ('"a"', None, None, False),
    ],
)  # fmt: skip
def test_preconditions_hold_as_http_says(
    match: str | None, none_match: str | None, tag: str | None, passes: bool
) -> None:
    if passes:
        check_match(match, none_match, tag)
    else:
        with pytest.raises(PreconditionFailed):
            check_match(match, none_match, tag)


def test_a_tag_is_of_what_an_item_is_and_not_of_where_it_is_served() -> None:
    one = members_of(ITEM)
    assert tag_of(one) == tag_of(members_of(ITEM | {"links": [{"rel": "self", "href": "x"}]}))
    assert tag_of(one) != tag_of(members_of(ITEM | {"bbox": [0, 0, 1, 1]}))


def user(name: str, *groups: str, **more: Any) -> Principal:
    return Principal(user=name, groups=groups, charging_group="root", **more)


@pytest.mark.parametrize(
    ("sharing", "who", "reads", "writes"),
    [
        (Sharing(), user("ada"), True, True),
        (Sharing(), user("bob", "root/eo"), False, False),
        (Sharing(public=True), user("bob"), True, False),
        (Sharing(groups={"root/eo": "read"}), user("bob", "root/eo"), True, False),
        (Sharing(groups={"root/eo": "write"}), user("bob", "root/eo/flood"), True, True),
        (Sharing(groups={"root/eo": "write"}), user("bob", "root/eox"), False, False),
        (Sharing(groups={"root/eo/flood": "write"}), user("bob", "root/eo"), False, False),
        (Sharing(groups={"anonymous": "read"}), user("anonymous", "anonymous", anonymous=True), False, False),
        (Sharing(public=True), None, True, False),
        (Sharing(), None, False, False),
    ],
)  # fmt: skip
def test_who_sees_and_fills_a_collection(sharing: Sharing, who: Principal | None, reads: bool, writes: bool) -> None:
    record = Collection(id="c", owner="ada", charge="root", sharing=sharing)
    assert (record.readable(who), record.writable(who)) == (reads, writes)


def test_an_anonymous_user_of_the_owners_name_is_not_the_owner() -> None:
    record = Collection(id="c", owner="anonymous", charge="root")
    assert not record.readable(user("anonymous", anonymous=True))


def test_what_is_public_already_may_stay_so_when_it_is_shared_further() -> None:
    ada = user("ada", "root/eo")
    check_sharing(Sharing(public=True, groups={"root/eo": "read"}), Sharing(public=True), ada, "publisher")
    for role, who in (("publisher", "the role 'publisher'"), ("", "administrators")):
        with pytest.raises(Forbidden, match=who):
            check_sharing(Sharing(public=True), Sharing(), ada, role)
    with pytest.raises(InvalidInput, match="paths"):
        check_sharing(Sharing(groups={"//": "read"}), Sharing(), ada, "")
    with pytest.raises(InvalidInput, match="at most"):
        check_sharing(Sharing(groups={f"root/eo/g{n}": "read" for n in range(65)}), Sharing(), ada, "")


@pytest.mark.parametrize("href", ["../x", "a/../../x", "/etc/passwd", "a//b", "", "a\\b", "./"])
def test_an_address_that_leads_out_of_its_tree_is_refused(href: str) -> None:
    with pytest.raises(InvalidInput, match=r"assets\.data\.href"):
        with_addresses({"assets": {"data": {"href": href}}}, "s3://bucket/tree/")


@pytest.mark.parametrize(
    ("base", "href", "result"),
    [
        ("s3://b/t/", "data/x y.tif", "s3://b/t/data/x y.tif"),
        ("https://s3.example/b/t/", "data/x y?.tif", "https://s3.example/b/t/data/x%20y%3F.tif"),
        ("s3://b/t/", "./data/x.tif", "s3://b/t/data/x.tif"),
        ("s3://b/t/", "https://elsewhere/x", "https://elsewhere/x"),
    ],
)
def test_an_address_in_a_tree_becomes_absolute(base: str, href: str, result: str) -> None:
    told = with_addresses({"assets": {"data": {"href": href, "type": "image/tiff"}}}, base)
    assert told == {"assets": {"data": {"href": result, "type": "image/tiff"}}}
