import json
from typing import Any

import msgspec

from edges.model import Members
from gateway.search.availability import availability
from gateway.search.collections import unite
from gateway.search.merge import Row
from gateway.search.render import merged_copies, preference, render_item

BASE = "http://gate.example"
PREFER = preference({"edge-a": 10, "edge-b": 20})


def raw(document: dict[str, Any]) -> Members:
    return msgspec.json.decode(json.dumps(document).encode(), type=Members)


def copy(site: str, **members: Any) -> Row:
    item = {"id": "x", "collection": "c d", "properties": {"n": 1.50}, "links": [], "assets": {}} | members
    return Row(key=(), site=site, item=raw(item))


def rendered(*rows: Row, near: str | None = None) -> Any:
    prefer = preference({"edge-a": 10, "edge-b": 20}, near)
    return msgspec.json.decode(msgspec.json.encode(render_item(list(rows), base=BASE, prefer=prefer)))


def test_links_are_ours_and_foreign_ones_are_kept_if_they_are_safe() -> None:
    links = [
        {"rel": "self", "href": "http://evil.example"},
        {"rel": "license", "href": "https://licence.example"},
        {"rel": "via", "href": "javascript:alert(1)"},
        {"rel": "thumbnail", "href": "https://data.example/self"},
    ]
    item = rendered(copy("edge-a", links=links))
    by_rel = {link["rel"]: link["href"] for link in item["links"]}
    assert by_rel["self"] == f"{BASE}/collections/c%20d/items/x"
    assert by_rel["license"] == "https://licence.example"
    assert by_rel["thumbnail"] == "https://data.example/self"
    assert "via" not in by_rel


def test_the_best_copy_stands_and_the_others_are_its_alternates() -> None:
    at_b = copy("edge-b", assets={"red": {"href": "s3://b/red", "file:size": 5}})
    at_a = copy("edge-a", assets={"red": {"href": "s3://a/red"}, "nir": {"href": "s3://a/nir"}})
    item = rendered(at_b, at_a)
    assert item["properties"]["federation:backends"] == ["edge-a", "edge-b"]
    assert item["assets"]["red"]["href"] == "s3://a/red"
    assert item["assets"]["red"]["alternate"] == {
        "edge-b": {"href": "s3://b/red", "alternate:name": "edge-b", "file:size": 5}
    }
    assert "alternate" not in item["assets"]["nir"]


def test_the_copy_near_the_user_stands_first() -> None:
    copies = (
        copy("edge-a", assets={"red": {"href": "s3://a/red"}}),
        copy("edge-b", assets={"red": {"href": "s3://b/red"}}),
    )
    assert rendered(*copies, near="edge-b")["assets"]["red"]["href"] == "s3://b/red"


def test_alternates_that_a_copy_already_tells_are_kept() -> None:
    told = {"red": {"href": "s3://a/red", "alternate": {"hub": {"href": "https://hub.example/red"}}}}
    item = rendered(copy("edge-a", assets=told), copy("edge-b", assets={"red": {"href": "s3://b/red"}}))
    assert sorted(item["assets"]["red"]["alternate"]) == ["edge-b", "hub"]


def test_numbers_pass_through_as_the_site_wrote_them() -> None:
    row = Row(
        key=(),
        site="edge-a",
        item=msgspec.json.decode(b'{"id":"x","collection":"c","properties":{"n":1.500}}', type=Members),
    )
    assert b"1.500" in msgspec.json.encode(render_item([row], base=BASE, prefer=PREFER))


def test_empty_properties_get_their_sites_too() -> None:
    assert rendered(copy("edge-a", properties={}))["properties"] == {"federation:backends": ["edge-a"]}


def test_a_site_that_is_a_gateway_itself_does_not_make_a_member_appear_twice() -> None:
    body = msgspec.json.encode(
        render_item([copy("edge-a", properties={"federation:backends": ["x"], "n": 1})], base=BASE, prefer=PREFER)
    )
    assert body.count(b"federation:backends") == 1
    assert msgspec.json.decode(body)["properties"] == {"federation:backends": ["edge-a"], "n": 1}


def test_collections_are_united() -> None:
    a = {
        "id": "s2", "license": "proprietary", "description": "ours", "keywords": ["x"],
        "extent": {
            "spatial": {"bbox": [[0, 0, 10, 10]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]]},
        },
        "summaries": {"eo:cloud_cover": {"minimum": 5, "maximum": 50}, "platform": ["a"]},
    }  # fmt: skip
    b = {
        "id": "s2", "license": "other", "description": "theirs", "keywords": ["x", "y"],
        "extent": {
            "spatial": {"bbox": [[-5, 0, 0, 5, 20, 9]]},
            "temporal": {"interval": [["2019-01-01T00:00:00Z", None]]},
        },
        "summaries": {"eo:cloud_cover": {"minimum": 0, "maximum": 40}, "platform": ["b"]},
    }  # fmt: skip
    (united,) = unite([("edge-a", a), ("edge-b", b)], base=BASE)
    assert united["description"] == "ours"
    assert united["license"] == "other"
    assert united["extent"]["spatial"]["bbox"] == [[-5, 0, 10, 20]]
    assert united["extent"]["temporal"]["interval"] == [["2019-01-01T00:00:00Z", None]]
    assert united["summaries"] == {"eo:cloud_cover": {"minimum": 0, "maximum": 50}, "platform": ["a", "b"]}
    assert united["federation:backends"] == ["edge-a", "edge-b"]
    assert united["keywords"] == ["x", "y"]


CHECKSUM = "1220" + "ab" * 32


def test_a_copy_that_is_online_stands_before_one_on_tape_whatever_the_priority() -> None:
    tape = copy("edge-a", properties={"order:status": "orderable"}, assets={"red": {"href": "s3://a/red"}})
    online = copy("edge-b", assets={"red": {"href": "s3://b/red"}})
    item = rendered(tape, online)
    assert item["assets"]["red"]["href"] == "s3://b/red"
    assert [
        (each["backend"], each["relation"], each["availability"]) for each in item["properties"]["federation:copies"]
    ] == [
        ("edge-b", "self", "online"),
        ("edge-a", "replica", "orderable"),
    ]
    assert rendered(tape, online, near="edge-a")["assets"]["red"]["href"] == "s3://a/red"


def test_a_site_that_is_unwell_stands_behind_one_of_the_same_priority() -> None:
    rows = [copy("edge-a"), copy("edge-b")]
    assert min(rows, key=preference({}, unwell={"edge-a"})).site == "edge-b"


def test_assets_that_cannot_be_the_same_bytes_are_told_as_conflicts_and_are_no_alternates() -> None:
    at_a = copy("edge-a", assets={"red": {"href": "s3://a/red", "file:checksum": CHECKSUM, "file:size": 5}})
    at_b = copy("edge-b", assets={"red": {"href": "s3://b/red", "file:checksum": CHECKSUM.upper(), "file:size": 6}})
    item = rendered(at_a, at_b)
    assert "alternate" not in item["assets"]["red"]
    assert item["properties"]["federation:conflicts"] == [
        {"asset": "red", "field": "file:size", "values": {"edge-a": 5, "edge-b": 6}}
    ]


def test_checksums_of_different_algorithms_are_no_conflict() -> None:
    at_a = copy("edge-a", assets={"red": {"href": "s3://a/red", "file:checksum": CHECKSUM}})
    at_b = copy("edge-b", assets={"red": {"href": "s3://b/red", "file:checksum": "1340" + "cd" * 64}})
    assert "edge-b" in rendered(at_a, at_b)["assets"]["red"]["alternate"]


def test_equal_bytes_are_an_alternate_under_another_name_of_the_asset() -> None:
    at_a = copy("edge-a", assets={"red": {"href": "s3://a/red", "file:checksum": CHECKSUM}})
    at_b = copy("edge-b", assets={"B04": {"href": "s3://b/B04", "file:checksum": CHECKSUM}})
    assert rendered(at_a, at_b)["assets"]["red"]["alternate"]["edge-b"]["href"] == "s3://b/B04"


def test_storage_schemes_of_all_copies_are_told_and_clashing_names_kept_apart() -> None:
    def at(site: str, bucket: str) -> Row:
        scheme = {"type": "custom-s3", "platform": "https://s3.example", "bucket": bucket}
        assets = {"red": {"href": f"s3://{bucket}/red", "storage:refs": ["main"]}}
        return copy(site, properties={"storage:schemes": {"main": scheme}}, assets=assets, stac_extensions=["x"])

    item = rendered(at("edge-a", "a"), at("edge-b", "b"))
    schemes = item["properties"]["storage:schemes"]
    assert {name: scheme["bucket"] for name, scheme in schemes.items()} == {"main": "a", "edge-b:main": "b"}
    assert item["assets"]["red"]["storage:refs"] == ["main"]
    assert item["assets"]["red"]["alternate"]["edge-b"]["storage:refs"] == ["edge-b:main"]
    assert item["stac_extensions"][0] == "x"
    assert sum("alternate-assets/v1.2.0" in each or "storage/v2" in each for each in item["stac_extensions"]) == 2


def test_other_productions_are_links_and_no_alternates() -> None:
    name = "S2A_MSIL2A_20240402T173901_N0510_R098_T13TDE_2024040{}T012353"
    strip = {"s2:datastrip_id": "S2A_OPER_MSI_L2A_DS_2APS_20240403T012353_S20240402T174230_N05.10"}
    ours, theirs = (
        copy(site, id=name.format(day), collection=site, properties=strip, assets={"red": {"href": f"s3://{site}/red"}})
        for site, day in (("edge-a", 3), ("edge-b", 4))
    )
    item = rendered(ours, Row(key=(1,), site="edge-b", item=theirs.item))
    assert item["collection"] == "edge-a"
    assert "alternate" not in item["assets"]["red"]
    assert item["properties"]["federation:backends"] == ["edge-a"]
    assert [each["relation"] for each in item["properties"]["federation:copies"]] == ["self", "observation"]
    (link,) = (link for link in item["links"] if link["rel"] == "related")
    assert link["href"] == f"{BASE}/collections/edge-b/items/{name.format(4)}"
    assert link["federation:relation"] == "observation"


def test_a_copy_at_another_place_of_the_order_never_stands_though_its_site_is_the_best() -> None:
    first = copy("edge-b", assets={"red": {"href": "s3://b/red"}})
    later = Row(key=(1,), site="edge-a", item=copy("edge-a", assets={"red": {"href": "s3://a/red"}}).item)
    item = rendered(first, later)
    assert item["assets"]["red"]["href"] == "s3://b/red"
    assert item["properties"]["federation:backends"] == ["edge-a", "edge-b"]


def test_alternates_of_unsafe_addresses_are_left_out() -> None:
    at_a = copy("edge-a", assets={"red": {"href": "s3://a/red"}})
    at_b = copy("edge-b", assets={"red": {"href": "javascript:alert(1)"}})
    assert "alternate" not in rendered(at_a, at_b)["assets"]["red"]


def test_a_harvest_sees_the_copies_assets_but_no_federation() -> None:
    group = [
        copy("edge-a", assets={"red": {"href": "s3://a/red"}}),
        copy("edge-b", assets={"red": {"href": "s3://b/red"}}),
    ]
    item = msgspec.json.decode(msgspec.json.encode(merged_copies(group, prefer=PREFER)))
    assert item["properties"] == {"n": 1.5}
    assert list(item["assets"]["red"]["alternate"]) == ["edge-b"]


def test_what_is_online_is_told_by_orders_and_tiers() -> None:
    def of(properties: Any, assets: Any = None) -> str:
        return availability(raw({"properties": properties, "assets": assets or {}}))

    assert of({}) == of({"order:status": "succeeded"}) == of({"storage:tier": "ONLINE"}) == "online"
    assert of({"order:status": "pending"}) == of({"storage:tier": "STAGING"}) == "ordered"
    assert of({"order:status": "orderable"}) == of({}, {"red": {"storage:tier": "Glacier"}}) == "orderable"
    assert of({}, {"thumb": {"roles": ["thumbnail"], "storage:tier": "archive"}}) == "online"
    assert of({"order:status": 5}, {"red": {"order:status": {}}}) == of([], "order:status") == "online"
