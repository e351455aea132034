"""What a site is asked to go on from the end of a page."""

from edges.model import Json, Query, SortKey
from edges.stac.order import total_order
from gateway.search.cursor import Anchor
from gateway.search.plan import after

ORDER = total_order((SortKey(field="datetime", descending=True),))
VALUES = ("2024-04-01T00:00:00Z", "c", "i")
BOUND: Json = {"op": "<=", "args": [{"property": "datetime"}, {"timestamp": "2024-04-01T00:00:00Z"}]}


def test_the_end_of_a_page_that_is_tied_with_nothing_is_asked_for_by_its_bound_alone() -> None:
    first, nulls = after(Query(), ORDER, Anchor(values=VALUES, alone=True), ties=True)
    assert first.filter == BOUND
    assert nulls.filter == {"op": "isNull", "args": [{"property": "datetime"}]}


def test_what_is_tied_with_the_end_of_a_page_is_left_out_by_the_site() -> None:
    first, _ = after(Query(), ORDER, Anchor(values=VALUES), ties=True)
    assert first.filter is not None
    assert first.filter["args"][0] == BOUND
    assert first.filter["args"][1]["op"] == "or"


def test_a_field_of_whose_values_nothing_is_known_is_not_compared_by_the_site() -> None:
    order = total_order((SortKey(field="eo:cloud_cover"),))
    anchor = Anchor(values=(12.5, "c", "i"), alone=True)
    assert after(Query(), order, anchor, ties=True) == (Query(),)
    assert after(Query(), order, anchor, ties=True, kinds={"eo:cloud_cover": frozenset({"text"})}) == (Query(),)
    first, nulls = after(Query(), order, anchor, ties=True, kinds={"eo:cloud_cover": frozenset({"number"})})
    assert first.filter == {"op": ">=", "args": [{"property": "eo:cloud_cover"}, 12.5]}
    assert nulls.filter == {"op": "isNull", "args": [{"property": "eo:cloud_cover"}]}
