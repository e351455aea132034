"""Items to GeoParquet and back: mixed schemas lose no column and change no value."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples
from stac_geoparquet.arrow import stac_table_to_items

from edges.geoparquet import lines, write
from edges.geoparquet.lines import NotItems
from edges.geoparquet.read import NotGeoparquet, about, read_geoparquet
from edges.geoparquet.rows import INSTANTS, to_item, to_rows, to_wkbs
from edges.geoparquet.seen import BINARY, Seen
from edges.geoparquet.shapes import InstantShape, Shape
from edges.geoparquet.write import write_geoparquet

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1.5], [0, 0]]]}


def item(item_id: str = "i", **members: Any) -> dict[str, Any]:
    properties = {"datetime": "2024-01-01T00:00:00Z"} | members.pop("properties", {})
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": item_id, "collection": "c", "geometry": SQUARE,
        "bbox": [0, 0, 1, 1.5], "properties": properties, "assets": {"data": {"href": "x"}}, "links": [],
    } | members  # fmt: skip


def written(folder: Path, *items: dict[str, Any], **options: Any) -> Path:
    source, target = folder / "items.ndjson", folder / "items.parquet"
    source.write_text("".join(json.dumps(each) + "\n" for each in items))
    assert write_geoparquet(source, target, **options) == len(items)
    return target


MIXED = {
    "numbers and text": [1, "one"],
    "whole numbers and others": [1, 1.5],
    "large numbers and others": [2**53 + 1, 0.5],
    "numbers beyond 64 bits": [2**70, 1],
    "truth and numbers": [True, 1],
    "lists of different things": [[1, "a"], [{"a": 1}]],
    "lists of lists": [[[1, 2], [3]], [[]]],
    "lists with holes": [[1, None], [None]],
    "records of different members": [{"a": 1}, {"b": {"c": "x"}}],
    "a record that is a number elsewhere": [{"a": 1}, {"a": {"b": 2}}],
    "a record and a list": [{"a": 1}, [1]],
    "empty records": [{}, {}],
    "an empty record and another": [{}, {"a": 1}],
    "empty lists": [[], []],
    "an empty name": [{"": 1}, {"a": 2}],
    "records in lists": [[{"a": 1}], [{"a": "x", "b": [1.5]}]],
    "very deep nesting": [json.loads("[" * 20 + "]" * 20), json.loads('{"a":' * 20 + "1" + "}" * 20)],
}


@pytest.mark.parametrize("values", MIXED.values(), ids=MIXED)
def test_values_of_different_kinds_come_back_as_they_were(tmp_path: Path, values: list[Any]) -> None:
    items = [item(f"i{n}", properties={"value": value}) for n, value in enumerate(values)]
    assert list(read_geoparquet(written(tmp_path, *items))) == items


def test_a_column_that_only_later_items_have_is_kept(tmp_path: Path) -> None:
    items = [item("a"), item("b", properties={"eo:cloud_cover": 5}, assets={"other": {"href": "y", "eo:bands": [1]}})]
    assert list(read_geoparquet(written(tmp_path, *items))) == items


def test_properties_named_like_item_members_and_foreign_members_are_kept(tmp_path: Path) -> None:
    odd = item(properties={"id": 5, "type": "scene", "geometry": [1], "links": None}, foreign={"a": [1, None]})
    assert list(read_geoparquet(written(tmp_path, odd))) == [odd]


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {"type": "Point", "coordinates": [1, 2, 3]},
        {"type": "Point", "coordinates": [1, 2, 3, 4]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]},
        {"type": "Point", "coordinates": [1, 2], "crs": "x"},
        {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
        {"type": "GeometryCollection", "geometries": [SQUARE, {"type": "Point", "coordinates": [0.1, 0.2]}]},
        {"type": "Nothing"},
    ],
)
def test_a_geometry_comes_back_as_it_was_even_where_its_binary_form_cannot_hold_it(
    tmp_path: Path, geometry: dict[str, Any] | None
) -> None:
    items = [item("a"), item("b", geometry=geometry, properties={"proj:geometry": geometry or SQUARE})]
    assert list(read_geoparquet(written(tmp_path, *items))) == items


def test_boxes_of_four_and_of_six_numbers_and_broken_ones_stand_side_by_side(tmp_path: Path) -> None:
    items = [item(str(n), bbox=box) for n, box in enumerate([[0, 0, 1, 1], [0, 0, 5, 1, 1, 6], [1, 2], ["a"] * 4])]
    assert list(read_geoparquet(written(tmp_path, *items))) == items


def test_times_are_timestamps_where_these_hold_them_and_text_where_not(tmp_path: Path) -> None:
    times = {"datetime": None, "created": "2024-01-01T00:00:00.5+02:00", "updated": "2024-01-01T00:00:00.123456789Z"}
    target = written(tmp_path, item(properties=times | {"expires": "2016-12-31T23:59:60Z", "published": "2024-01-01"}))
    types = {field.name: str(field.type) for field in pq.read_schema(target)}
    assert types["datetime"] == types["created"] == "timestamp[us, tz=UTC]"
    assert types["updated"] == types["expires"] == types["published"] == "string"
    (found,) = read_geoparquet(target)
    told = times | {"expires": "2016-12-31T23:59:60Z", "published": "2024-01-01"}
    assert found["properties"] == told | {"created": "2023-12-31T22:00:00.500000Z"}


def test_null_members_are_left_out_but_for_geometry_and_datetime(tmp_path: Path) -> None:
    target = written(tmp_path, item(properties={"datetime": None, "platform": None}, geometry=None))
    (found,) = read_geoparquet(target)
    assert found["properties"] == {"datetime": None}
    assert found["geometry"] is None


def test_a_wide_file_keeps_its_widest_columns_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "MAX_LEAVES", 20)
    wide = item(assets={f"a{n}": {"href": str(n)} for n in range(50)})
    target = written(tmp_path, wide)
    assert about(target)["json"] == [["assets"]]
    assert list(read_geoparquet(target)) == [wide]


def test_row_groups_are_cut_and_the_metadata_is_that_of_the_specification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "SLICE_BYTES", 1_000)
    monkeypatch.setattr(write, "GROUP_ROWS", 10)
    items = [item(f"i{n:03}") for n in range(100)]
    target = written(tmp_path, *items, about={"resume": "abc"})
    with pq.ParquetFile(target) as file:
        assert 8 <= file.num_row_groups <= 10
        metadata = file.schema_arrow.metadata
    geo = json.loads(metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    assert json.loads(metadata[b"stac-geoparquet"])["version"] == "1.1.0"
    assert about(target)["resume"] == "abc"
    assert list(read_geoparquet(target)) == items


def test_the_reference_reader_reads_what_we_write(tmp_path: Path) -> None:
    items = [item(f"i{n}", properties={"eo:cloud_cover": n / 2}) for n in range(5)]
    told = list(stac_table_to_items(pq.read_table(written(tmp_path, *items))))
    assert [each["properties"]["eo:cloud_cover"] for each in told] == [0, 0.5, 1, 1.5, 2]
    assert [(each["id"], each["geometry"], each["assets"]) for each in told] == [
        (each["id"], each["geometry"], each["assets"]) for each in items
    ]


def test_no_items_make_a_file_without_rows(tmp_path: Path) -> None:
    assert list(read_geoparquet(written(tmp_path))) == []


def test_a_line_that_is_no_item_is_named(tmp_path: Path) -> None:
    source = tmp_path / "x.ndjson"
    source.write_text(json.dumps(item()) + "\n[1]\n")
    with pytest.raises(NotItems, match="line 2"):
        write_geoparquet(source, tmp_path / "x.parquet")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(NotGeoparquet):
        list(read_geoparquet(tmp_path / "x.parquet"))


@pytest.mark.parametrize(
    "told", [b"[]", b'{"json": 1}', b'{"json": [["id", "x"]]}', b'{"json": [["id", "[]", "x"]]}', b'{"json": [[]]}']
)
def test_a_file_that_lies_of_where_its_json_text_stands_is_refused(tmp_path: Path, told: bytes) -> None:
    table = pq.read_table(written(tmp_path, item()))
    pq.write_table(table.replace_schema_metadata(table.schema.metadata | {b"lakegate": told}), tmp_path / "x.parquet")
    with pytest.raises(NotGeoparquet):
        list(read_geoparquet(tmp_path / "x.parquet"))


def test_the_command_tells_how_far_it_is_and_what_went_wrong(tmp_path: Path) -> None:
    source = tmp_path / "x.ndjson"
    source.write_text(json.dumps(item()) + "\n")
    command = [sys.executable, "-m", "edges.geoparquet", str(source)]
    done = subprocess.run([*command, str(tmp_path / "x.parquet")], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {"phase": "done", "items": 1}
    wrong = subprocess.run([*command, str(tmp_path / "no" / "x.parquet")], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "No such file" in wrong.stderr
    assert "Traceback" not in wrong.stderr


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "", "c.d"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def pruned(value: Any) -> Any:
    """Drop null members, which Parquet does not tell from absent ones."""
    if isinstance(value, dict):
        return {name: pruned(member) for name, member in value.items() if member is not None}
    return [pruned(each) for each in value] if isinstance(value, list) else value


@examples(60)
@given(
    given_=st.lists(st.dictionaries(st.sampled_from(["p", "q", "id", "created"]), JSON_VALUES), min_size=1, max_size=4)
)
def test_whatever_properties_come_none_is_lost(tmp_path_factory: pytest.TempPathFactory, given_: list[Any]) -> None:
    items = [item(f"i{n}", properties=properties) for n, properties in enumerate(given_)]
    found = list(read_geoparquet(written(tmp_path_factory.mktemp("any"), *items)))
    assert [pruned(each["properties"]) for each in found] == [pruned(each["properties"]) for each in items]


BOXES = [None, [0, 0, 1, 1], [0, 0.5, 1, 1], [0, 0, 0, 1, 1, 1], [0], ["a"] * 4]


@examples(200)
@given(
    given_=st.lists(
        st.dictionaries(st.sampled_from(["p", "q", "created", "proj:geometry", "assets"]), JSON_VALUES)
        | st.fixed_dictionaries({"p": st.integers(min_value=2**53 - 1, max_value=2**53 + 1) | st.floats(-2, 2)}),
        min_size=1, max_size=6,
    ),
    bboxes=st.lists(st.sampled_from(BOXES), min_size=6, max_size=6),
)  # fmt: skip
def test_looking_only_at_strange_items_finds_what_looking_at_each_value_finds(
    given_: list[Any], bboxes: list[Any]
) -> None:
    items = [item(properties=each, bbox=bbox) for each, bbox in zip(given_, bboxes, strict=False)]
    shapes: dict[str, Shape] = {}
    for row in to_rows(items):
        for name, value in row.items():
            shape = shapes.setdefault(name, InstantShape() if name in INSTANTS else Shape())
            shape.see(None if name in BINARY else value)
    seen = Seen()
    seen.see([json.dumps(each).encode() for each in items], 1)
    assert seen.columns() == {name: shape.column() for name, shape in shapes.items()}


def test_a_row_is_an_item_again() -> None:
    one = item()
    assert [to_item(row) for row in to_rows([one, one])] == [one, one]
    assert to_wkbs([{"type": "Point"}, None]) == [None, None]
    assert Shape().absent
