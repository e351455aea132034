import pytest

from edges.errors import InvalidInput
from gateway.dask.options import (
    OWN_FIELDS,
    clean_field,
    echoed,
    fit_options,
    merge_fields,
    own_fields,
    read_wish,
    takes_mark,
    unfit,
)

CORES_A = {"field": "worker_cores", "label": "Cores", "default": 1, "spec": {"type": "int", "min": 1, "max": 2}}
CORES_B = {"field": "worker_cores", "label": "Cores", "default": 2, "spec": {"type": "int", "min": 2, "max": 8}}
IMAGE_A = {"field": "image", "label": "Image", "default": "py", "spec": {"type": "select", "options": ["py", "r"]}}
MARK = {"field": "lakegate_id", "label": "x", "default": "", "spec": {"type": "string"}}


def test_ranges_and_choices_of_edges_are_united_and_the_first_default_holds() -> None:
    image_b = IMAGE_A | {"spec": {"type": "select", "options": ["r", "julia"]}}
    cores, image = merge_fields({"a": [CORES_A, IMAGE_A, MARK], "b": [CORES_B, image_b]})
    assert (cores["default"], cores["spec"]) == (1, {"type": "int", "min": 1, "max": 8})
    assert image["spec"]["options"] == ["py", "r", "julia"]


def test_an_absent_bound_is_no_bound() -> None:
    unbounded = CORES_B | {"spec": {"type": "float", "min": 0.5}}
    (cores,) = merge_fields({"a": [CORES_A], "b": [unbounded]})
    assert cores["spec"] == {"type": "float", "min": 0.5}


@pytest.mark.parametrize(
    "field",
    [
        {"field": "x"},
        {"field": "not a name", "spec": {"type": "int"}},
        {"field": "x", "spec": {"type": "code"}},
        {"field": "x", "spec": {"type": "int", "min": "1"}},
        {"field": "x", "spec": {"type": "select", "options": []}},
        {"field": "x", "spec": {"type": "select", "options": [1]}},
    ],
)
def test_fields_that_would_break_a_client_are_left_out(field) -> None:
    assert clean_field(field) is None


def test_members_of_a_spec_that_the_client_does_not_know_are_dropped() -> None:
    field = clean_field({"field": "x", "default": 1, "spec": {"type": "int", "min": 0, "evil": 1}})
    assert field is not None
    assert field["spec"] == {"type": "int", "min": 0}


def test_an_edge_cannot_redefine_our_own_fields() -> None:
    fields = merge_fields({"a": [{"field": "edge", "default": "evil", "spec": {"type": "string"}}]})
    assert fields == []
    assert [field["field"] for field in own_fields(["a"])] == list(OWN_FIELDS)


def test_a_wish_is_read_from_text_and_mappings() -> None:
    wish = read_wish(
        {"edge": "auto", "collections": " s2, s1 ,s2", "items": {"s2": ["a", "b"], "s1": "c"}, "worker_cores": 2}, ["a"]
    )
    assert wish.edge is None
    assert wish.collections == ("s2", "s1")
    assert wish.items == {"s2": ("a", "b"), "s1": ("c",)}
    assert wish.rest == {"worker_cores": 2}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"edge": "x"}, "edge"),
        ({"edge": ["a"]}, "edge"),
        ({"collections": 3}, "collections"),
        ({"items": ["a"]}, "items"),
        ({"items": {"a": 3}}, "items"),
        ({"items": {"a": [3]}}, "items"),
        ({"items": {"a": ["x"] * 1001}}, "items"),
    ],
)
def test_a_wrong_wish_names_its_field(options, field) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_wish(options, ["a"])
    assert caught.value.field == field


def test_options_of_other_edges_are_dropped_while_untouched_and_refused_otherwise() -> None:
    merged = merge_fields({"a": [CORES_A, IMAGE_A], "b": [CORES_B]})
    shown = {"worker_cores": 4, "image": "py"}
    assert fit_options(shown, edge="b", offered=[CORES_B], merged=merged) == {"worker_cores": 4}
    with pytest.raises(InvalidInput, match="edge b has no such option"):
        fit_options({"image": "r"}, edge="b", offered=[CORES_B], merged=merged)
    with pytest.raises(InvalidInput, match="unknown option"):
        fit_options({"gpus": 1}, edge="b", offered=[CORES_B], merged=merged)


def test_users_cannot_set_the_mark_and_do_not_see_it() -> None:
    assert takes_mark([MARK])
    with pytest.raises(InvalidInput, match="unknown option"):
        fit_options({"lakegate_id": "x"}, edge="a", offered=[MARK], merged=[])
    assert echoed({"lakegate_id": "x", "worker_cores": 1, "edge": "evil"}, edge="a", wished={"collections": "s2"}) == {
        "worker_cores": 1,
        "collections": "s2",
        "edge": "a",
    }


def test_edges_that_cannot_do_what_is_wished_are_told_with_the_reason() -> None:
    offers = {"a": [CORES_A, IMAGE_A], "b": [CORES_B]}
    assert set(unfit({"worker_cores": 5}, offers)) == {"a"}
    assert "worker_cores must be within 1 and 2, got 5" in unfit({"worker_cores": 5}, offers)["a"]
    assert set(unfit({"image": "r"}, offers)) == {"b"}
    assert "image must be one of py, r" in unfit({"image": "julia"}, {"a": [IMAGE_A]})["a"]
    assert unfit({"worker_cores": 2}, offers) == {}


def test_a_search_and_a_bucket_prefix_are_read_as_wishes() -> None:
    wish = read_wish({"search": {"collections": ["c"], "bbox": [0, 0, 1, 1]}, "prefix": "s3://lake/s2/"}, ["a"])
    assert wish.queries[0].bbox == (0, 0, 1, 1)
    assert wish.prefix == "s3://lake/s2/"
    assert wish.echo["search"]["collections"] == ["c"]
    for wrong in ({"search": 3}, {"search": {"bbox": [1]}}, {"prefix": "http://x/y"}, {"prefix": 3}):
        with pytest.raises(InvalidInput):
            read_wish(wrong, ["a"])
