"""Free text: its grammar, what words are, and how it goes in and out of a search."""

import pytest

from edges.errors import InvalidInput
from edges.model import Query
from edges.stac.free_text import check_text, compile_text, decided, folded, parse_text, texts_of_collections
from edges.stac.request import query_to_post, search_from_get, search_from_post

TEXT = folded(["Sentinel-2 Level-2A", "Multi-spectral images of the Earth; Forêt boréale", "SAR"])


def holds(*expressions: str) -> bool:
    return compile_text(expressions)(TEXT)


@pytest.mark.parametrize(
    "expression",
    [
        "sentinel",
        "SENTINEL-2",
        "sentinel 2 level",
        '"level 2a"',
        "landsat,sentinel",
        "landsat, foret boreale",
        "landsat OR sentinel",
        "sentinel AND sar",
        "sentinel AND (landsat OR earth)",
        "sentinel -landsat",
        "sentinel NOT landsat",
        "-landsat",
        "+sentinel landsat",
        "landsat +sentinel +earth",
        "multi-spectral",
        "spectr*",
        '"sentinel" "landsat"',
        "NOT (landsat OR modis)",
        "multi*",
    ],
)
def test_an_expression_finds_its_words(expression: str) -> None:
    assert holds(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "landsat",
        "sentine",
        "level sentinel",
        "2a multi",
        "landsat AND sentinel",
        "+landsat sentinel",
        "sentinel -earth",
        "sentinel AND NOT earth",
        "(landsat OR modis) AND sentinel",
        "landsat,modis",
    ],
)
def test_an_expression_does_not_find_what_is_not_there(expression: str) -> None:
    assert not holds(expression)


def test_several_expressions_are_alternatives() -> None:
    assert holds("landsat", "earth")
    assert not holds("landsat", "modis")


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "   ",
        "(",
        ")",
        "a AND",
        "OR a",
        "a OR",
        ",a",
        "!!!",
        '"',
        '"..."',
        "(" * 40 + "a" + ")" * 40,
        "a " * 300,
        "x" * 3_000,
    ],
)
def test_what_cannot_be_read_names_the_parameter(expression: str) -> None:
    with pytest.raises(InvalidInput) as error:
        check_text((expression,))
    assert error.value.field == "q"


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("sentinel", True),
        ("landsat", None),
        ("-sentinel", False),
        ("-landsat", None),
        ("landsat OR sar", True),
        ("landsat AND sar", None),
        ("NOT (sar OR landsat)", False),
        ("modis AND NOT sar", False),
    ],
)
def test_the_text_of_a_collection_may_decide_for_all_its_items(expression: str, answer: bool | None) -> None:
    assert decided(parse_text((expression,)), TEXT) is answer


def test_copies_of_a_collection_are_looked_at_together() -> None:
    texts = texts_of_collections([{"id": "a", "title": "One"}, {"id": "a", "keywords": ["two", 3]}, {"id": "b"}])
    assert compile_text(("one AND two",))(texts["a"])
    assert set(texts) == {"a", "b"}


def test_free_text_comes_in_by_get_and_post_and_goes_out_to_a_site() -> None:
    by_get = search_from_get({"q": "sea ice,climate"}, default_limit=10, max_limit=100).query
    assert by_get == Query(text=("sea ice,climate",))
    by_post = search_from_post(b'{"q": ["sea ice", "climate"]}', default_limit=10, max_limit=100).query
    assert query_to_post(by_post)["q"] == ["sea ice", "climate"]
    assert search_from_post(b'{"q": "sea ice"}', default_limit=10, max_limit=100).query.text == ("sea ice",)
    assert search_from_post(b'{"q": []}', default_limit=10, max_limit=100).query.text is None


@pytest.mark.parametrize("body", [b'{"q": 5}', b'{"q": [5]}', b'{"q": {"a": 1}}'])
def test_free_text_of_the_wrong_kind_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="q"):
        search_from_post(body, default_limit=10, max_limit=100)
