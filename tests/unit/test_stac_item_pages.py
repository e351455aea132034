"""Pages whose items are found by guessing and proved by decoding: the same as decoding all of it."""

import json
import random
from typing import Any

import msgspec
import pytest

from edges.errors import SiteMisbehaved
from edges.stac.item_pages import ChangedItems, ItemPage, read_page

SHAPES = {
    "compact": {"separators": (",", ":")},
    "spaced": {},
    "indented": {"indent": 2},
}


def items(count: int, *, first: str = "type", sizes: tuple[int, ...] = (900,)) -> list[dict[str, Any]]:
    found = []
    for number in range(count):
        item = {"type": "Feature", "id": f"i{number}", "collection": "c"}
        item |= {"properties": {"text": "x" * sizes[number % len(sizes)], "list": [{first: "y"}, {first: "z"}]}}
        found.append({first: item.pop(first)} | item)
    return found


def page(features: list[Any], *, before: dict[str, Any] | None = None, shape: str = "compact") -> bytes:
    after = {"links": [{"rel": "next", "href": "n"}], "numberMatched": 7} if before is None else {}
    document = {"type": "FeatureCollection", **(before or {}), "features": features, **after}
    return json.dumps(document, **SHAPES[shape]).encode()


def decoded(found: Any) -> list[Any]:
    return [json.loads(msgspec.json.encode(one)) for one in found]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("first", ["type", "id"])
@pytest.mark.parametrize("sizes", [(900,), (10, 5_000, 30), (5_000, 5), (100, 101, 4_000, 100)])
def test_items_are_those_of_the_whole_page(shape: str, first: str, sizes: tuple[int, ...]) -> None:
    features = items(40, first=first, sizes=sizes)
    content = page(features, shape=shape)
    for found, frame in (read_page("s", content), read_page("s", bytearray(content))):
        assert decoded(found) == features
        assert len(found) == 40
        assert (frame.links[0].href, frame.numberMatched) == ("n", 7)


def test_links_may_stand_before_the_items() -> None:
    features = items(40)
    found, frame = read_page("s", page(features, before={"links": [{"rel": "next", "href": "n"}], "numberMatched": 7}))
    assert isinstance(found, ItemPage)
    assert decoded(found) == features
    assert (frame.links[0].href, frame.numberMatched) == ("n", 7)


def test_an_array_of_features_elsewhere_is_not_taken_for_the_items() -> None:
    features = items(40)
    found, _ = read_page("s", page(features, before={"links": [], "extra": {"features": items(3)}}))
    assert decoded(found) == features


def test_items_inside_of_items_are_not_taken_for_items() -> None:
    features = [item | {"nested": items(3)} for item in items(30)]
    found, _ = read_page("s", page(features))
    assert decoded(found) == features


def test_several_who_read_one_page_get_all_items_each_whoever_comes_first() -> None:
    features = items(40)
    features[38]["nested"] = items(3)  # where items are guessed to begin, too
    found, _ = read_page("s", page(features))
    assert isinstance(found, ItemPage)
    early, late = iter(found), iter(found)
    begun = [next(early) for _ in range(3)]
    assert decoded(found) == features
    assert decoded(found) == features
    assert decoded([*begun, *early]) == features
    assert decoded(late) == features


@pytest.mark.parametrize("place", [3, 20, 39])
def test_an_item_that_is_no_json_breaks_the_page_before_it_is_given(place: int) -> None:
    content = page(items(40)).replace(b'"id":"i%d"' % place, b'"id":nonsense')
    with pytest.raises(SiteMisbehaved):
        decoded(read_page("s", content)[0])


def test_bytes_that_would_end_the_item_early_do_not_get_out() -> None:
    evil = page(items(40)).replace(b'"id":"i5"', b'"id":"i5"}],"links":[{"rel":"next"}],"features":[{"id":"evil"')
    try:
        found = decoded(read_page("s", evil)[0])
    except SiteMisbehaved:
        return
    assert all(isinstance(one, dict) and "id" in one for one in found)


def test_random_bytes_changed_give_what_a_whole_decode_gives() -> None:
    rng = random.Random(5)
    content = page(items(30, sizes=(10, 3_000, 700)))
    for _ in range(300):
        place = rng.randrange(len(content))
        broken = content[:place] + bytes([rng.choice(b'{}[],":x1 ')]) + content[place + 1 :]
        try:
            whole = msgspec.json.decode(broken, type=dict[str, msgspec.Raw])
            expected = decoded(msgspec.json.decode(whole["features"], type=list[dict[str, msgspec.Raw]]))
        except (msgspec.DecodeError, KeyError):
            continue  # then nothing is promised but that each item is one whole object
        assert decoded(read_page("s", broken)[0]) == expected


def test_changed_items_are_changed_where_they_are_read() -> None:
    seen = []
    changed = ChangedItems([{"a": msgspec.Raw(b"1")}, {"b": msgspec.Raw(b"2")}], lambda one: seen.append(one) or {})
    assert len(changed) == 2
    assert seen == []
    assert (changed[0], changed[:1], list(changed)) == ({}, [{}], [{}, {}])
