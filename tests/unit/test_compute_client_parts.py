from typing import Any

from gateway.client.parts import holders, localised, split


def item(item_id: str, *sites: str, size: int = 1) -> dict[str, Any]:
    assets = {"x": {"href": f"s3://{sites[0] if sites else 'hub'}/{item_id}", "file:size": size}}
    return {"id": item_id, "properties": {"federation:backends": list(sites)}, "assets": assets}


def ids(parts) -> dict[str, list[str]]:
    return {edge: [each["id"] for each in items] for edge, items in parts.edges.items()}


def test_each_item_goes_to_one_edge_that_holds_it() -> None:
    parts = split([item("1", "a"), item("2", "b", "hub"), item("3", "hub")], ["a", "b"])
    assert ids(parts) == {"a": ["1"], "b": ["2"]}
    assert [each["id"] for each in parts.nowhere] == ["3"]


def test_replicas_go_where_there_is_less_to_do() -> None:
    items = [item("r1", "a", "b", size=10), item("only-a", "a", size=100), item("r2", "a", "b", size=10)]
    assert ids(split(items, ["a", "b"])) == {"a": ["only-a"], "b": ["r1", "r2"]}


def test_without_a_lost_edge_its_replicas_go_to_the_other_one() -> None:
    parts = split([item("1", "a", "b"), item("2", "a")], ["a", "b"], without=["a"])
    assert ids(parts) == {"b": ["1"]}
    assert [each["id"] for each in parts.nowhere] == ["2"]


def test_the_same_items_give_the_same_parts() -> None:
    items = [item(str(number), "a", "b") for number in range(9)]
    assert split(items, ["a", "b"]) == split(items, ["b", "a"])


def test_assets_are_addressed_at_the_edge_that_has_copies_of_them() -> None:
    there = {"href": "s3://b/1", "alternate:name": "b", "file:size": 7}
    both = item("1", "a", "b")
    both["assets"]["x"]["alternate"] = {"b": there}
    assert localised(both, "b")["assets"]["x"]["href"] == "s3://b/1"
    assert localised(both, "a")["assets"]["x"]["href"] == "s3://a/1"
    assert both["assets"]["x"]["href"] == "s3://a/1"


def test_who_holds_an_item_is_read_from_its_properties() -> None:
    assert holders(item("1", "a", "b")) == {"a", "b"}
    assert holders({"id": "x"}) == frozenset()
