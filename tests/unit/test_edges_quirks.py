"""What a site was caught at: since when, how often, by which request."""

import msgspec

from edges.model import Query
from edges.quirks import KINDS, MAX_EXAMPLE_BYTES, TOLD, example_request, noted


def test_a_quirk_keeps_its_first_moment_its_last_its_count_and_the_latest_example() -> None:
    book = noted({}, "filter", 10.0, count=2, example={"n": 1})
    book = noted(book, "filter", 20.0, example={"n": 2})
    book = noted(book, "filter", 30.0)
    (quirk,) = book.values()
    assert (quirk.since, quirk.last, quirk.count, quirk.example) == (10.0, 30.0, 4, {"n": 2})
    assert quirk.text == "gives items that the filter excludes"


def test_every_kind_has_its_words() -> None:
    assert set(TOLD) == set(KINDS)


def test_an_example_is_a_request_that_one_can_send() -> None:
    example = example_request("https://x.example/v1/", Query(collections=("a",), limit=10), limit=5)
    assert example == {
        "method": "POST",
        "url": "https://x.example/v1/search",
        "body": {"limit": 5, "collections": ["a"]},
    }


def test_what_is_long_is_left_out_of_an_example_and_named() -> None:
    ring = [[float(n), float(n)] for n in range(5_000)]
    query = Query(ids=("x" * 3_000,), intersects={"type": "LineString", "coordinates": ring})
    example = example_request("https://x.example", query, limit=5)
    assert example["left_out"] == ["intersects", "ids"]
    assert len(msgspec.json.encode(example)) <= MAX_EXAMPLE_BYTES
