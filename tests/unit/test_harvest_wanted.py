"""What is wanted of found items, from where; and the item that stands at the target afterwards."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest import wanted as judging
from harvest.estimate import estimated_sizes, part_size, spread
from harvest.model import FoundItem, Source, Wanted
from harvest.replica import Copy, Scheme, Standing, minimal_collection, replica_item
from harvest.wanted import Aim, select

SHA = "1220" + "ab" * 32
OTHER = "1220" + "cd" * 32
AIM = Aim(target="edge-a", bucket="b")


def item(asset=None, *, item_id="i1", **changes):
    told = {"href": "https://hub.org/B02.tif", "file:checksum": SHA, "file:size": 10} if asset is None else asset
    return {"id": item_id, "collection": "s2", "assets": {"B02": told}, "links": [], "properties": {}} | changes


def found(each, site="hub"):
    return FoundItem(site=site, item=each)


def test_an_asset_that_is_nowhere_near_is_wanted_with_what_it_announces():
    (wanted,) = select([found(item())], {}, AIM).wanted
    assert wanted.sources == (Source(site="hub", href="https://hub.org/B02.tif", own=True),)
    assert (wanted.size, wanted.checksum, wanted.key) == (10, SHA, "s2/i1/B02/B02.tif")


@pytest.mark.parametrize(
    ("there", "present"),
    [
        ({"href": "s3://b/k", "file:checksum": SHA}, True),
        ({"href": "s3://b/k", "file:checksum": OTHER}, False),
        ({"href": "s3://b/k", "file:size": 10}, True),
        ({"href": "s3://b/k", "file:size": 11}, False),
        ({"href": "https://edge-a.org/native.tif"}, True),
    ],
)
def test_what_the_target_holds_is_present_only_if_it_is_the_same(there, present):
    selection = select([found(item())], {("s2", "i1"): item(there)}, AIM)
    assert (selection.present, len(selection.wanted)) == ((1, 0) if present else (0, 1))


def test_an_asset_that_an_earlier_harvest_left_elsewhere_is_wanted():
    partly = item({"href": "https://hub.org/B02.tif"}, properties={"storage:schemes": {"edge-a": {}}})
    assert len(select([found(item())], {("s2", "i1"): partly}, AIM).wanted) == 1


def test_an_item_that_the_target_itself_has_told_is_present():
    assert select([found(item()), found(item(), "edge-a")], {}, AIM).present == 1


def test_requiring_a_checksum_leaves_out_what_has_none():
    aim = Aim(target="edge-a", bucket="b", integrity="require")
    selection = select([found(item({"href": "https://hub.org/x"}))], {}, aim)
    assert "checksum" in selection.skipped[0].reason


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user:pw@hub.org/x",
        "https://hub.org/",
        "https://hub.org/dir/",
        "https:///x",
        "http://[::1/x",
        "https://hub.org/a\r\nb",
        "relative.tif",
        "x" * 9000,
        7,
        None,
    ],
)
def test_addresses_that_must_not_be_read_are_left_out_with_the_reason(href):
    selection = select([found(item({"href": href}))], {}, AIM)
    assert selection.wanted == ()
    assert "address" in selection.skipped[0].reason


PIECES = [
    "http",
    "https:",
    "s3:",
    "zip:",
    "/",
    "//",
    "?",
    "#",
    "@",
    "a",
    "b.tif",
    "host",
    ":80",
    ":",
    "[::1]",
    "..",
    "%20",
    "!",
    "\\",
]


@given(
    before=st.sampled_from(["", "http://h/", "s3://b.x:8080/a/"]), pieces=st.lists(st.sampled_from(PIECES), max_size=10)
)
def test_an_ordinary_address_is_judged_as_any_other(before, pieces):
    href = before + "".join(pieces)
    judged = judging._address({}, {"href": href})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "_ORDINARY", re.compile(r"(?!)"))
        assert judging._address({}, {"href": href}) == judged


def test_a_relative_address_is_read_from_beside_its_item():
    links = [{"rel": "self", "href": "https://hub.org/items/i1.json"}]
    (wanted,) = select([found(item({"href": "./B02.tif"}, links=links))], {}, AIM).wanted
    assert wanted.sources[0].href == "https://hub.org/items/B02.tif"


def test_s3_addresses_are_believed_of_the_items_own_site_only():
    asset = {"href": "s3://hub-bucket/x", "alternate": {"edge-c": {"href": "s3://edge-c-private/x"}}}
    (wanted,) = select([found(item(asset))], {}, AIM).wanted
    assert wanted.sources == (Source(site="hub", href="s3://hub-bucket/x", own=True),)


@pytest.mark.parametrize("assets", [None, [], "x", {"B02": 3}, {"B02": {"href": []}}])
def test_items_of_any_shape_are_survived(assets):
    select([found(item(assets=assets)), found({"id": 7}), found({})], {}, AIM)


def test_an_asked_asset_that_is_missing_is_told():
    aim = Aim(target="edge-a", bucket="b", assets=("B02", "B99"))
    selection = select([found(item())], {}, aim)
    assert (len(selection.wanted), selection.skipped[0].asset) == (1, "B99")


def wanted(size, asset="B02"):
    return Wanted(collection="s2", item_id="i", asset=asset, key="k", media_type="", sources=(), size=size)


def test_unknown_sizes_are_the_mean_of_their_kind_else_assumed():
    assert estimated_sizes([wanted(10), wanted(30), wanted(None), wanted(None, "B03")], 7) == [10, 30, 20, 7]


def test_what_was_used_fills_one_reservation_after_the_other_and_never_more():
    assert spread(5, [10, 10]) == [5, 0]
    assert spread(50, [10, 10]) == [10, 10]


@pytest.mark.parametrize("total", [0, 1, 80 << 30, 5 << 40])
def test_parts_are_large_enough_for_the_number_that_s3_takes(total):
    size = part_size(total, 8 << 20)
    assert size >= 8 << 20
    assert -(-total // size) <= 10_000


SCHEME = Scheme(name="edge-a", endpoint="https://s3.edge-a.org", bucket="b", region="eu")
COPY = Copy(href="s3://b/k", checksum=SHA, size=10, site="hub", source="https://hub.org/B02.tif?sig=1")


def test_a_replica_keeps_everything_but_where_its_assets_are():
    original = item(properties={"datetime": "2026-01-01T00:00:00Z"}, geometry=None)
    original["assets"]["B03"] = {"href": "https://hub.org/B03.tif"}
    original["links"] = [{"rel": "self", "href": "https://hub.org/i1"}, {"rel": "license", "href": "https://l.org"}]
    replica = replica_item(original, {"B02": COPY}, SCHEME, Standing())
    assert replica["assets"]["B02"]["href"] == "s3://b/k"
    assert replica["assets"]["B02"]["alternate"]["hub"]["href"] == COPY.source
    assert replica["assets"]["B03"] == original["assets"]["B03"]
    assert {name: replica[name] for name in ("id", "collection", "geometry")} == {
        name: original[name] for name in ("id", "collection", "geometry")
    }
    assert replica["properties"].pop("storage:schemes")["edge-a"]["type"] == "custom-s3"
    assert replica["properties"] == original["properties"]
    assert [link["rel"] for link in replica["links"]] == ["license"]
    assert "storage:schemes" not in original["properties"]


def test_what_was_copied_earlier_stays_copied():
    first = replica_item(item(), {"B02": COPY}, SCHEME, Standing())
    both = item()
    both["assets"]["B03"] = {"href": "https://hub.org/B03.tif"}
    other = Copy(href="s3://b/k3", checksum=SHA, size=1, site="hub", source="https://hub.org/B03.tif")
    second = replica_item(both, {"B03": other}, SCHEME, Standing(existing=first))
    assert [second["assets"][name]["href"] for name in ("B02", "B03")] == ["s3://b/k", "s3://b/k3"]


def test_a_collection_of_which_nothing_is_known_spans_its_items():
    items = [{"bbox": [0, 0, 1, 1]}, {"bbox": [-5, 2, 3, 4]}, {}]
    assert minimal_collection("c", items)["extent"]["spatial"]["bbox"] == [[-5, 0, 3, 4]]


def test_files_are_read_of_the_items_own_site_where_it_has_a_folder_only():
    aim = msgspec.structs.replace(AIM, folders=frozenset({"hub"}))
    asset = {"href": "file:///data/x.tif", "alternate": {"edge-c": {"href": "file:///data/y.tif"}}}
    (wanted,) = select([found(item(asset))], {}, aim).wanted
    assert wanted.sources == (Source(site="hub", href="file:///data/x.tif", own=True),)
    assert select([found(item(asset))], {}, AIM).wanted == ()


def test_members_of_archives_are_named_as_they_are_within():
    asset = {"href": "zip://T32/B02 x.tif::https://hub.org/T32.zip".replace(" ", "%20")}
    (wanted,) = select([found(item(asset))], {}, AIM).wanted
    assert wanted.key == "s2/i1/B02/B02!20x.tif"


@pytest.mark.parametrize(
    "href",
    [
        "zip://x::ftp://hub.org/a.zip",
        "zip://x::file:///etc/a.zip",
        "zip://::https://hub.org/a.zip",
        "zip://x::zip://y::https://hub.org/a.zip",
        "zip://folder/::https://hub.org/a.zip",
        "zip://x",
    ],
)
def test_archives_that_must_not_be_read_are_left_out(href):
    selection = select([found(item({"href": href}))], {}, AIM)
    assert (selection.wanted, len(selection.skipped)) == ((), 1)
