"""Collection Search: paging is cutting the sorted list, whatever collections tell; tokens stay short."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.errors import InvalidInput
from edges.model import Query, SortKey
from edges.stac.request import SearchRequest
from gateway.search.collection_search import CollectionPage, search_collections
from gateway.search.collections import unite

LONG = "x" * 5_000
TITLES = st.sampled_from([None, "b", "a", "B", 5, True, LONG, LONG + "y", {"a": 1}, ["t"]])
TOLD = st.lists(st.tuples(st.integers(0, 30), TITLES), max_size=12, unique_by=lambda pair: pair[0])
ORDERS = st.sampled_from(
    [
        (),
        (SortKey(field="title"),),
        (SortKey(field="title", descending=True),),
        (SortKey(field="license"), SortKey(field="id", descending=True)),
        (SortKey(field="start_datetime"),),
    ]
)


def united(told: list[tuple[int, Any]]) -> list[Any]:
    return unite([("s", {"id": f"c{number}", "title": title}) for number, title in told], base="http://x.example")


def page(collections: list[Any], query: Query, token: str | None = None) -> CollectionPage:
    return search_collections(collections, SearchRequest(query=query, token=token))


def ids(collections: list[Any]) -> list[str]:
    return [one["id"] for one in collections]


@examples(60)
@given(TOLD, ORDERS, st.integers(1, 5))
def test_pages_forth_and_back_are_the_sorted_list_cut(told: Any, order: Any, limit: int) -> None:
    collections = united(told)
    whole = ids(page(collections, Query(sortby=order, limit=1_000)).collections)
    query = Query(sortby=order, limit=limit)
    at, pages = page(collections, query), []
    while True:
        pages.append(ids(at.collections))
        assert at.matched == len(told)
        if at.next is None:
            break
        assert len(at.next) < 400
        at = page(collections, query, at.next)
    assert [name for names in pages for name in names] == whole
    back = [ids(at.collections)]
    while at.previous is not None:
        at = page(collections, query, at.previous)
        back.append(ids(at.collections))
    assert back == pages[::-1]


@pytest.mark.parametrize("gone", [[], [2], [3], [2, 3, 4]])
def test_a_page_is_taken_up_where_a_collection_has_gone(gone: list[int]) -> None:
    told = [(number, f"t{number}") for number in range(1, 8)]
    query = Query(sortby=(SortKey(field="title"),), limit=3)
    first = page(united(told), query)
    left = united([pair for pair in told if pair[0] not in gone])
    following = page(left, query, first.next)
    assert ids(following.collections) == [f"c{number}" for number in (4, 5, 6, 7) if number not in gone][:3]


def test_a_token_is_for_its_own_search() -> None:
    collections = united([(number, None) for number in range(5)])
    token = page(collections, Query(limit=2)).next
    assert token is not None
    with pytest.raises(InvalidInput, match="another search"):
        page(collections, Query(limit=2, text=("x",)), token)
    for broken in ("", "%%%", token[:-4], "AAAA"):
        with pytest.raises(InvalidInput, match="token"):
            page(collections, Query(limit=2), broken)
    assert ids(page(collections, Query(limit=9), token).collections) == ["c2", "c3", "c4"]
