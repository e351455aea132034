import msgspec
import pytest

from edges.model import Fields, Members
from edges.stac.documents import CONFORMANCE, collections_page, item_collection, landing_page
from edges.stac.fields import apply_fields
from edges.stac.links import next_by_get, next_by_post, own_item

RAW = (
    b'{"type":"Feature","stac_version":"1.0.0","id":"a/b","collection":"c d","geometry":null,'
    b'"properties":{"datetime":"2020-01-01T00:00:00.000Z","eo:cloud_cover":1.50,"gsd":1e1},'
    b'"links":[{"rel":"self","href":"http://elsewhere/"},{"rel":"thumbnail","href":"t.png","x":1.0}],'
    b'"assets":{"red":{"href":"r.tif","roles":["data"]},"blue":{"href":"b.tif"}}}'
)


def members(raw: bytes = RAW) -> Members:
    return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])


def decoded(item: Members):
    return msgspec.json.decode(msgspec.json.encode(item))


def test_items_leave_as_the_bytes_they_came_as():
    assert item_collection([members(), members()], links=[]).find(b"[" + RAW + b"," + RAW + b"]") > 0


def test_a_page_tells_how_many_matched_only_where_that_is_known():
    page = msgspec.json.decode(item_collection([members()], links=[], matched=7))
    assert (page["numberMatched"], page["numberReturned"]) == (7, 1)
    assert "numberMatched" not in msgspec.json.decode(item_collection([], links=[]))
    assert item_collection([members()], links=[]).count(RAW) == 1


@pytest.mark.parametrize("sizes", [[10, 100_000], [100_000, 10], [5_000] * 7])
def test_a_page_is_whole_whatever_its_first_item_lets_expect(sizes: list[int]) -> None:
    items = [members() | {"description": msgspec.Raw(b'"' + b"x" * size + b'"')} for size in sizes]
    page = item_collection(items, links=[{"rel": "self"}], extra={"more": "y" * 10_000})
    assert msgspec.json.encode(msgspec.json.decode(page)["features"]) == msgspec.json.encode(
        [decoded(item) for item in items]
    )
    assert page.endswith(b'"}')


def test_an_item_gets_our_links_and_keeps_the_others():
    item = own_item(members(), "https://lake.example/stac/")
    links = decoded(item)["links"]
    assert {entry["rel"]: entry["href"] for entry in links} == {
        "self": "https://lake.example/stac/collections/c%20d/items/a%2Fb",
        "root": "https://lake.example/stac",
        "parent": "https://lake.example/stac/collections/c%20d",
        "collection": "https://lake.example/stac/collections/c%20d",
        "thumbnail": "t.png",
    }
    assert b'"x":1.0' in bytes(item["links"])
    assert item["properties"] == members()["properties"]


def test_the_next_links_carry_the_whole_search():
    by_get = next_by_get("http://h/search", [("bbox", "1,2,3,4"), ("token", "old")], "n&w")
    assert by_get["href"] == "http://h/search?bbox=1%2C2%2C3%2C4&token=n%26w"
    by_post = next_by_post("http://h/search", {"limit": 5, "token": "old"}, "new")
    assert by_post["body"] == {"limit": 5, "token": "new"}
    assert by_post["merge"] is False


@pytest.mark.parametrize(
    ("fields", "names", "properties"),
    [
        (Fields(), {"geometry", "links", "assets"}, {"datetime"}),
        (Fields(include=("properties.gsd",)), set(), {"gsd"}),
        (Fields(include=("gsd",)), set(), {"gsd"}),
        (Fields(include=("properties",), exclude=("properties.gsd",)), set(), {"datetime", "eo:cloud_cover"}),
        (Fields(include=("properties.gsd", "properties")), set(), {"datetime", "eo:cloud_cover", "gsd"}),
        (Fields(include=("properties", "properties.gsd")), set(), {"datetime", "eo:cloud_cover", "gsd"}),
        (Fields(include=("properties.gsd",), exclude=("properties",)), set(), {"gsd"}),
        (Fields(exclude=("properties", "links")), {"geometry", "assets"}, None),
        (Fields(exclude=("nothing", "assets.x.y")), {"geometry", "links", "assets"}, "all"),
        (Fields(include=("links",), exclude=("links",)), {"links"}, None),
    ],
)
def test_fields_follow_the_table_of_the_extension(fields, names, properties):
    result = decoded(apply_fields(members(), fields))
    always = {"type", "stac_version", "id", "collection"}
    own = decoded(members())["properties"]
    expected = set(own) if properties == "all" else properties
    assert set(result) - always == names | (set() if expected is None else {"properties"})
    if expected is not None:
        assert set(result["properties"]) == expected


@pytest.mark.parametrize(
    ("include", "exclude", "geometry", "properties"),
    [
        (("geometry",), ("geometry",), True, set()),
        (("properties.eo:cloud_cover",), ("properties",), False, {"eo:cloud_cover"}),
        (("eo:cloud_cover",), ("properties",), False, {"eo:cloud_cover"}),
        (("properties",), ("properties.eo:cloud_cover",), False, {"datetime"}),
        (("properties", "geometry"), ("properties.datetime", "geometry.coordinates"), True, {"eo:cloud_cover"}),
        (("properties.datetime",), ("properties.datetime", "properties"), False, {"datetime"}),
    ],
)
def test_the_longer_path_wins_and_of_equal_ones_what_is_included(include, exclude, geometry, properties):
    given = {"type": "Feature", "stac_version": "1.0.0", "id": "a", "collection": "c", "geometry": {"type": "Point"}}
    given |= {"properties": {"datetime": None, "eo:cloud_cover": 5}}
    result = decoded(apply_fields(members(msgspec.json.encode(given)), Fields(include=include, exclude=exclude)))
    assert ("geometry" in result) is geometry
    assert set(result.get("properties", {})) == properties


def test_what_fields_keep_is_kept_byte_by_byte():
    kept = apply_fields(members(), Fields(include=("properties.eo:cloud_cover", "assets.red.href")))
    assert bytes(kept["properties"]) == b'{"eo:cloud_cover":1.50}'
    assert bytes(kept["assets"]) == b'{"red":{"href":"r.tif"}}'


def test_no_fields_leave_an_item_as_it_is():
    assert apply_fields(members(), None) == members()


def test_the_landing_page_names_both_versions_of_sort_and_links_to_all():
    collection = {"id": "c", "title": "C", "links": [{"rel": "self", "href": "http://elsewhere"}]}
    page = landing_page(
        base="http://h",
        catalogue_id="x",
        title="X",
        description="d",
        conformance=CONFORMANCE,
        collections=[collection],
    )
    assert {f"https://api.stacspec.org/v1.{minor}.0/item-search#sort" for minor in (0, 1)} <= set(page["conformsTo"])
    assert all(entry["href"].startswith("http://h") for entry in page["links"])
    listed = collections_page([collection], "http://h")["collections"][0]
    assert all(entry["href"].startswith("http://h/") or entry["href"] == "http://h" for entry in listed["links"])
