"""Addresses that no client should open, however they are written."""

import json
import random
import string

import pytest

from edges.stac.hrefs import is_unsafe, looks_unsafe, without_unsafe

UNSAFE = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "  javascript:alert(1)",
    "java\tscript:alert(1)",
    "jav\nascript\r:alert(1)",
    "\x01javascript:alert(1)",
    "vbscript:x",
    "data:text/html,<script>",
    "DATA:text/html;base64,xx",
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "jar:http://x!/y",
    "view-source:http://x",
    "about:blank",
    "blob:http://x",
]
SAFE = [
    "https://x.example/a",
    "s3://bucket/key",
    "../relative",
    "/data/x",
    "",
    "urn:data:x",
    "https://x/?javascript:",
    "data",
]
SCRIPTS_AND_FILES = UNSAFE[:11]
"""What is looked for in bytes; the rest opens nothing by itself, and is left out where an item is decoded anyway."""


@pytest.mark.parametrize("href", UNSAFE)
def test_an_unsafe_address_is_known_as_such(href: str) -> None:
    assert is_unsafe(href)


@pytest.mark.parametrize("href", SAFE)
def test_an_ordinary_address_is_not(href: str) -> None:
    assert not is_unsafe(href)


@pytest.mark.parametrize("href", SCRIPTS_AND_FILES)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_an_unsafe_address_is_seen_in_the_bytes_of_a_page(href: str, ascii_only: bool) -> None:
    body = json.dumps({"assets": {"a": {"href": href}}}, ensure_ascii=ascii_only).encode()
    assert looks_unsafe(body)
    assert looks_unsafe(b" " * 300_000 + body)


def test_every_letter_may_be_written_as_an_escape_and_it_is_seen() -> None:
    for href in ("javascript:x", "data:x", "file:///x"):
        for place in range(len(href)):
            told = "".join(f"\\u{ord(c):04x}" if n == place else c for n, c in enumerate(href))
            assert looks_unsafe(b'{"href":"' + told.encode() + b'"}'), told


def test_a_page_of_ordinary_addresses_looks_safe() -> None:
    body = json.dumps(
        {
            "features": [
                {
                    "id": "x",
                    "properties": {"datetime": "2020-01-01T10:20:30Z", "file:size": 1, "sentinel:data_coverage": 5},
                    "assets": {"a": {"href": "https://x", "file:checksum": "1220"}, "b": {"href": "s3://b/k"}},
                    "title": 'say "when" & <go>',
                }
            ]
        }
    )
    assert not looks_unsafe(body.encode())
    assert not looks_unsafe(body.replace("&", "\\u0026").replace("<", "\\u003c").encode())


@pytest.mark.parametrize("body", [b"", b"{}", b":", b"a:", b"data:", b'"data:', b"pt:", b'"e:/'])
def test_short_bytes_break_nothing(body: bytes) -> None:
    assert looks_unsafe(body) in (True, False)


def test_at_whatever_place_of_a_long_page_it_stands_it_is_seen() -> None:
    random.seed(7)
    letters = [letter for letter in string.ascii_lowercase if letter not in "ate"]
    filler = "".join(random.choices([*letters, *'":,{}'], k=400_000))
    for place in [0, 1, 131_060, *range(131_066, 131_080), 262_140, 399_999]:
        body = (filler[:place] + ' javascript:alert(1)"' + filler[place:]).encode()
        assert looks_unsafe(body), place


def test_what_is_unsafe_is_left_out_as_a_whole_and_counted() -> None:
    item = {
        "assets": {
            "bad": {"href": "javascript:x", "roles": ["data"]},
            "good": {"href": "https://x", "alternate": {"s3": {"href": "data:x"}, "b": {"href": "s3://b/k"}}},
        },
        "links": [{"rel": "about", "href": "file:///x"}, {"rel": "via", "href": "https://y"}],
        "providers": [{"name": "p", "url": "javascript:x"}, {"name": "q", "url": "https://q"}],
        "properties": {"url": "https://z", "n": 5},
    }
    assert without_unsafe(item) == (
        {
            "assets": {"good": {"href": "https://x", "alternate": {"b": {"href": "s3://b/k"}}}},
            "links": [{"rel": "via", "href": "https://y"}],
            "providers": [{"name": "q", "url": "https://q"}],
            "properties": {"url": "https://z", "n": 5},
        },
        4,
    )
