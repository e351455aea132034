"""What of a site's collections is served."""

from typing import Any

import pytest

from edges.stac.collections import safe_collections


@pytest.mark.parametrize("name", [None, 5, "", [], {"a": 1}, "x" * 257, "a\r\nSet-Cookie: b", "a\x00"])
def test_a_collection_without_a_usable_id_is_left_out(name: Any) -> None:
    assert safe_collections([{"id": name}, {}, {"id": "good"}]) == ({"id": "good"},)


def test_the_first_of_equal_ids_stands() -> None:
    assert safe_collections([{"id": "a", "n": 1}, {"id": "a", "n": 2}]) == ({"id": "a", "n": 1},)


def test_scripts_in_links_assets_and_providers_are_left_out() -> None:
    told = {
        "id": "a",
        "links": [{"rel": "about", "href": "javascript:x"}, {"rel": "license", "href": "https://x"}],
        "assets": {"thumbnail": {"href": "data:text/html,x"}},
        "providers": [{"name": "p", "url": "JAVASCRIPT:x"}],
    }
    assert safe_collections([told]) == (
        {"id": "a", "links": [{"rel": "license", "href": "https://x"}], "assets": {}, "providers": []},
    )
