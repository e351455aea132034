"""Links of items that are written by pattern: they must be those that each item read by itself would get."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edges.stac.links import OWN_RELS
from gateway.search.rewriting import _pattern, own_links

BASE = "https://lake.example"
WORDS = ["self", "license", "thumbnail", "javascript", "https", "collection", "S2A_1234567", "0073elf"]


def told(links: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(links))


def foreign(links: msgspec.Raw, item_id: str, collection: str = "s2") -> list[object]:
    ours: list[object] = msgspec.json.decode(own_links(links, BASE, collection, item_id))
    return ours[4:]


def expected(links: list[dict[str, str]]) -> list[dict[str, str]]:
    return [
        link
        for link in links
        if link["rel"] not in OWN_RELS and link["href"].startswith(("http://", "https://", "s3://"))
    ]


texts = st.lists(
    st.one_of(st.sampled_from([*WORDS, "://", "/", "http", "s3", "{", '"', "\\", "é"]), st.text(max_size=4)), max_size=4
).map("".join)
item_ids = st.one_of(st.sampled_from(WORDS), st.from_regex(r"[A-Za-z0-9_.~-]{1,12}", fullmatch=True))


@given(st.lists(st.fixed_dictionaries({"rel": texts, "href": texts, "title": texts}), max_size=4), item_ids)
def test_links_by_pattern_are_those_of_the_item_read_alone(links: list[dict[str, str]], item_id: str) -> None:
    links = [link | {"title": f"{link['title']}{item_id}"} for link in links]
    assert foreign(told(links), item_id) == expected(links)


@pytest.mark.parametrize("item_id", ["license", "S2A_1234567"])
def test_items_of_one_pattern_keep_their_own_ids(item_id: str) -> None:
    links = [
        {"rel": "self", "href": f"https://site.example/{item_id}"},
        {"rel": "thumbnail", "href": f"https://site.example/{item_id}/{item_id}.png"},
        {"rel": item_id, "href": "https://site.example/about"},
    ]
    assert foreign(told(links), item_id) == links[1:]


def test_an_id_cannot_smuggle_a_relation_past_the_pattern() -> None:
    harmless = [{"rel": "aaaaaaaa", "href": "https://site.example/"}]
    assert foreign(told(harmless), "aaaaaaaa") == harmless
    assert foreign(told([{"rel": "collection", "href": "https://site.example/"}]), "collection") == []
    assert foreign(told([{"rel": "collection", "href": "https://site.example/"}]), "ollecti") == []
    assert foreign(msgspec.Raw(b'[{"rel":"\\u0073elf","href":"https://site.example/"}]'), "u0073elf") == []
    assert foreign(msgspec.Raw(b'[{"rel":"\\u0073elf","href":"https://site.example/"}]'), "0073elf") == []


def test_numbers_and_broken_links_are_read_one_by_one() -> None:
    links = [{"rel": "via", "href": "https://site.example/", "size": 1234567}]
    assert foreign(told(links), "1234567") == links
    assert foreign(msgspec.Raw(b'{"S2A_1234567":1}'), "S2A_1234567") == []


def test_a_text_that_looks_like_the_place_of_an_id_stays() -> None:
    links = [{"rel": "via", "href": "https://site.example/x-place-of-the-id-x/S2A_1234567"}]
    assert foreign(told(links), "S2A_1234567") == links


def test_a_collection_that_looks_like_the_place_of_an_id_keeps_its_name() -> None:
    ours = msgspec.json.decode(own_links(told([]), BASE, "x-place-of-the-id-x", "S2A_1234567"))
    assert ours[0]["href"] == f"{BASE}/collections/x-place-of-the-id-x/items/S2A_1234567"


def test_patterns_of_long_links_are_not_kept() -> None:
    before = _pattern.cache_info().currsize
    for number in range(8):
        links = [{"rel": "via", "href": f"https://site.example/{number}/{'x' * 100_000}"}]
        assert foreign(told(links), f"S2A_{number:07}") == links
    assert _pattern.cache_info().currsize == before
