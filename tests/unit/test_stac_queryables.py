import json
from typing import Any

import pytest

from edges.stac.queryables import MAX_NAMES, read_queryables


def read(document: Any) -> Any:
    return read_queryables(json.dumps(document).encode())


def test_names_and_types_are_taken_over_and_no_more() -> None:
    told = {
        "eo:cloud_cover": {"type": "number", "title": "x" * 10_000, "$ref": "http://bad.example/"},
        "properties.gsd": {"type": "integer"},
        "datetime": {"type": "string"},
        "geometry": {"$ref": "https://geojson.org/schema/Geometry.json"},
        "odd": {"type": ["string", "null"]},
        "x\u0000y": {"type": "string"},
        "n" * 200: {"type": "string"},
        "text": "string",
    }
    assert read({"properties": told}) == {
        "eo:cloud_cover": {"title": "eo:cloud_cover", "type": "number"},
        "gsd": {"title": "gsd", "type": "number"},
    }


@pytest.mark.parametrize("document", [None, [], {}, {"properties": []}, {"properties": None}, "x"])
def test_nonsense_tells_nothing(document: Any) -> None:
    assert read(document) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_tells_nothing(content: bytes) -> None:
    assert read_queryables(content) == {}


def test_there_is_an_end_to_names() -> None:
    assert len(read({"properties": {f"p{n}": {"type": "string"} for n in range(2 * MAX_NAMES)}})) == MAX_NAMES
