"""Searches as clients of HDA write them, and the bodies of their orders."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.errors import InvalidInput
from gateway.hda.order_bodies import order_asked, order_body, survives
from gateway.hda.requests import (
    MEMBERS,
    Terms,
    following,
    plain_datetime,
    search_of_get,
    search_of_members,
    search_of_post,
    with_sites,
)

TERMS = Terms(default_limit=10, max_limit=100, sites={"west": "west", "eumetsat": "west", "east": "east"})


def read(**members: Any) -> Any:
    return search_of_post(msgspec.json.encode(members), TERMS).search


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-05-28T00:00Z", "2026-05-28T00:00:00Z"),
        ("2028-06-10T00:00:00Z", "2028-06-10T00:00:00Z"),
        ("2024-09-08", "2024-09-08T00:00:00Z/2024-09-08T23:59:59.999999Z"),
        ("2024-09-08T10:00:00", "2024-09-08T10:00:00Z"),
        ("2024-09-08T10:00:00+0200", "2024-09-08T10:00:00+02:00"),
        (
            "2026-04-20T00:00:00Z/2026-04-27T23:59:59.999999Z",
            "2026-04-20T00:00:00Z/2026-04-27T23:59:59.999999Z",
        ),
        ("../2024-01-01", "../2024-01-01T23:59:59.999999Z"),
        ("2024-01-01/..", "2024-01-01T00:00:00Z/.."),
    ],
)
def test_a_time_is_read_as_it_is_meant(written: str, meant: str) -> None:
    assert plain_datetime(written) == meant


def test_what_is_no_time_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="datetime"):
        read(datetime="yesterday")


def test_pins_of_all_kinds_are_taken_together() -> None:
    search = read(
        query={"federation:backends": {"eq": "eumetsat"}, "eo:cloud_cover": {"lte": 20}},
        filter="federation:backends='east' AND platform='s2a'",
    )
    assert search.query.sites == ("west", "east")
    assert b"federation:backends" not in msgspec.json.encode(search.query.filter)
    assert b"platform" in msgspec.json.encode(search.query.filter)


@pytest.mark.parametrize(
    "filter_",
    ["NOT (federation:backends='west')", "federation:backends='west' OR platform='x'", "federation:backends<'west'"],
)
def test_a_pin_that_is_none_is_refused(filter_: str) -> None:
    with pytest.raises(InvalidInput, match="federation:backends"):
        read(filter=filter_)


def test_a_token_says_which_backends_were_pinned_and_the_body_can_say_so_too() -> None:
    assert read(token=with_sites("abc", ("west",))).query.sites == ("west",)
    assert read(token="abc").query.sites is None
    body = following({"limit": 3, "page": 2}, "abc", ("west",))
    assert body == {"limit": 3, "token": "abc.west"}
    assert read(token="abc.west", query={"federation:backends": {"eq": "east"}}).query.sites == ("east",)
    assert read(query={"token": {"eq": "abc.west"}}).token == "abc"


def test_known_members_are_taken_in_any_case_only_where_that_is_wanted() -> None:
    with pytest.raises(InvalidInput, match="'bbox'"):
        read(BBox=[0, 0, 1, 1])
    lenient = msgspec.structs.replace(TERMS, compatible=True)
    search = search_of_post(b'{"BBox": [0, 0, 1, 1], "Something": 1}', lenient).search
    assert search.query.bbox == (0, 0, 1, 1)


def test_parameters_of_a_get_mean_what_the_members_of_a_body_mean() -> None:
    asked = search_of_get({"provider": "eumetsat", "page": "2", "limit": "5", "query": '{"a":{"eq":[1,2]}}'}, TERMS)
    assert (asked.page, asked.search.query.limit, asked.search.query.sites) == (2, 5, ("west",))


@pytest.mark.parametrize("page", [0, -1, "x", True, 1.5, 10_000_000_000])
def test_a_page_that_is_none_is_refused(page: Any) -> None:
    with pytest.raises(InvalidInput):
        search_of_members({"page": page}, TERMS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@examples(50, slow=True)
@given(st.dictionaries(st.sampled_from(sorted(MEMBERS)) | st.text(max_size=8), JSON, max_size=3))
def test_whatever_a_body_holds_it_is_read_or_refused_in_our_words(members: dict[str, Any]) -> None:
    for terms in (TERMS, msgspec.structs.replace(TERMS, compatible=True)):
        try:
            search_of_post(msgspec.json.encode(members), terms)
        except InvalidInput:
            continue


@examples(100, slow=True)
@given(st.dictionaries(st.text(min_size=1, max_size=8), JSON, max_size=4))
def test_every_body_that_is_offered_comes_through_eodag_as_it_is(told: dict[str, Any]) -> None:
    """EODAG writes it as Python does, makes quotation marks of apostrophes, and reads it as a part of an address."""
    body = order_body(told, "id-1", "cop_cds")
    written = str(body).replace("'", '"')
    assert "#" not in written
    assert msgspec.json.decode(written) == body
    assert body["federation:backends"] == ["cop_cds"]


def test_what_would_break_is_ordered_by_the_name_of_the_item() -> None:
    for broken in ({"name": "l'aquila"}, {"a": "#1"}, {"a": True}, {"a": None}, {"a": ["x", {"b": "é"}]}):
        assert not survives(broken)
        assert order_body(broken, "the-item", "cds") == {"id": "the-item", "federation:backends": ["cds"]}


def test_a_backend_behind_the_backend_is_kept() -> None:
    body = order_body({"year": ["2020"], "federation:backends": ["inner"]}, "i", "outer")
    assert body == {"year": ["2020"], "federation:via": ["inner"], "federation:backends": ["outer"]}


def test_parameters_lose_their_prefix() -> None:
    asked = order_asked({"ecmwf:year": ["2020"], "month": ["01"], "federation:backends": ["x"], "none": None})
    assert asked.parameters == {"year": ["2020"], "month": ["01"]}
    assert asked.backends == ("x",)
    with pytest.raises(InvalidInput, match="federation:backends"):
        order_asked({"federation:backends": 3})
