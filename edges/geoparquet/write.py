"""NDJSON of items to one stac-geoparquet file: two passes over the input, in memory that does not grow with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from edges.geoparquet.json_text import change_at, json_paths
from edges.geoparquet.lines import decoded, slices
from edges.geoparquet.rows import Row, to_rows
from edges.geoparquet.seen import BINARY, Seen
from edges.geoparquet.shapes import JSON_COLUMN, Column
from edges.model import Json
from edges.stac.datetimes import parse_instant

MAX_LEAVES = 4_000
"""Most Parquet columns of a file; beyond it the widest columns are kept as JSON text."""
GROUP_ROWS, GROUP_BYTES = 20_000, 64 << 20
"""A row group: as large as one of these allows, for each costs its share of the footer."""

GEOPARQUET_VERSION, STAC_GEOPARQUET_VERSION = "1.1.0", "1.1.0"
_SCALARS = {
    "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "text": pa.string(), "json": pa.string(),
    "instant": pa.timestamp("us", tz="UTC"),
}  # fmt: skip
Progress = Callable[[str, int], None]
"""Told the phase (``look``, ``write``) and how many items it has done."""


def write_geoparquet(source: Path, target: Path, *, about: Json | None = None, progress: Progress | None = None) -> int:
    """Write the items of an NDJSON file as GeoParquet; return how many. ``about`` goes into the key ``lakegate``.

    Raises:
        NotItems: a line cannot be read.
        OSError: a file cannot be read or written.
    """
    tell = progress or _silent
    columns = _narrowed(look(source, tell))
    schema = _schema(columns, about or {})
    written = 0
    with pq.ParquetWriter(target, schema, compression="zstd", version="2.6") as writer:
        for table in _groups(source, schema, _Preparation(columns)):
            writer.write_table(table, row_group_size=table.num_rows)
            written += table.num_rows
            tell("write", written)
    return written


def _silent(phase: str, items: int) -> None:
    """Tell nobody."""


def look(source: Path, tell: Progress) -> dict[str, Column]:
    """Return the columns that hold everything in the file."""
    seen = Seen()
    for first, lines in slices(source):
        seen.see(lines, first)
        tell("look", first + len(lines) - 1)
    return seen.columns()


def _narrowed(columns: dict[str, Column]) -> dict[str, Column]:
    """Keep the widest columns as JSON text until the file is narrow enough."""
    kept = dict(columns)
    total = sum(column.leaves for column in kept.values())
    for name, column in sorted(columns.items(), key=lambda pair: -pair[1].leaves):
        if total <= MAX_LEAVES:
            break
        kept[name] = JSON_COLUMN
        total -= column.leaves - 1
    return kept


def _arrow(column: Column) -> pa.DataType:
    if column.element is not None:
        return pa.list_(_arrow(column.element))
    if column.kind == "record":
        return pa.struct([pa.field(name, _arrow(member)) for name, member in column.members.items()])
    return _SCALARS[column.kind]


def _schema(columns: dict[str, Column], about: Json) -> pa.Schema:
    fields = [
        pa.field(name, pa.binary() if name in BINARY else _arrow(column))
        for name, column in columns.items()
        if name not in ("geometry", "bbox")
    ]
    edge = pa.float64()
    deep = "zmin" in columns["bbox"].members if "bbox" in columns else False
    sides = ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax") if deep else ("xmin", "ymin", "xmax", "ymax")
    fields += [pa.field("geometry", pa.binary()), pa.field("bbox", pa.struct([pa.field(side, edge) for side in sides]))]
    return pa.schema(fields).with_metadata(_metadata(columns, about))


def _metadata(columns: dict[str, Column], about: Json) -> dict[str, str]:
    covering = {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
    geometry = {"encoding": "WKB", "geometry_types": [], "covering": {"bbox": covering}, "edges": "planar"}
    geo: Json = {"version": GEOPARQUET_VERSION, "primary_column": "geometry", "columns": {"geometry": geometry}}
    if "proj:geometry" in columns:  # null: each row has its own
        geo["columns"]["proj:geometry"] = {"encoding": "WKB", "geometry_types": [], "crs": None}
    ours = about | {"json": [list(path) for path in json_paths(columns)]}
    contents = {"geo": geo, "stac-geoparquet": {"version": STAC_GEOPARQUET_VERSION}, "lakegate": ours}
    return {name: msgspec.json.encode(content).decode() for name, content in contents.items()}


class _Preparation:
    """Turns the values of a row into what Arrow takes: JSON text where it stands, instants as microseconds."""

    def __init__(self, columns: dict[str, Column]) -> None:
        self._paths = json_paths({name: column for name, column in columns.items() if name not in BINARY})
        self._instants = [name for name, column in columns.items() if column.kind == "instant"]

    def row(self, row: Row) -> Row:
        for path in self._paths:
            change_at(row, path, _text)
        for name in self._instants:
            if row.get(name) is not None:
                row[name] = parse_instant(row[name])
        return row


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _groups(source: Path, schema: pa.Schema, prepared: _Preparation) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in _batches(source, schema, prepared):
        waiting.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(waiting, schema)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _batches(source: Path, schema: pa.Schema, prepared: _Preparation) -> Iterator[pa.RecordBatch]:
    for first, lines in slices(source):
        rows = to_rows([decoded(line, number) for number, line in enumerate(lines, start=first)])
        yield _batch([prepared.row(row) for row in rows], schema)


def _batch(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
