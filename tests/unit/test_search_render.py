import json
from typing import Any

import msgspec

from edges.model import Members
from gateway.search.collections import unite
from gateway.search.merge import Row
from gateway.search.render import preference, render_item

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
