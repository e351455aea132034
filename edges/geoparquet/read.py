"""stac-geoparquet files, ours and others', as items. What we have written comes back as it was."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from edges.geoparquet.json_text import change_at
from edges.geoparquet.rows import to_item
from edges.model import Json
from edges.stac.datetimes import format_instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotGeoparquet(Exception):
    """The file is no stac-geoparquet."""


def read_geoparquet(path: Path, *, rows: int = 1_000) -> Iterator[Json]:
    """Yield the items of a file, ``rows`` at a time. Null members are left out, but for geometry and datetime.

    Raises:
        NotGeoparquet: it cannot be read, or holds something else.
        OSError: it cannot be opened.
    """
    try:
        with pq.ParquetFile(path) as file:
            paths = msgspec.json.decode(_own_words(file.schema_arrow), type=_Told).json
            for batch in file.iter_batches(batch_size=rows):
                yield from _items(batch, paths)
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise NotGeoparquet(f"not stac-geoparquet ({error})") from error


def about(path: Path) -> Json:
    """Return what the file says of its own export: the key ``lakegate``, empty in files of others."""
    return msgspec.json.decode(_own_words(pq.read_schema(path)), type=Json)


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of ours says of its rows: the paths of :mod:`edges.geoparquet.json_text`."""

    json: tuple[tuple[str, ...], ...] = ()


def _own_words(schema: pa.Schema) -> bytes:
    return bytes((schema.metadata or {}).get(b"lakegate", b"{}"))


def _items(batch: pa.RecordBatch, paths: Sequence[tuple[str, ...]]) -> Iterator[Json]:
    columns = batch.schema.names
    instants = [field.name for field in batch.schema if pa.types.is_timestamp(field.type)]
    for values in zip(*(_values(batch.column(index)) for index in range(len(columns))), strict=True):
        row = dict(zip(columns, values, strict=True))
        for name in instants:
            if row[name] is not None:
                row[name] = format_instant(row[name])
        for path in paths:
            change_at(row, path, _kept)
        yield to_item({name: _without_nulls(value) for name, value in row.items()})


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        # As integers: Python's own instants end at microseconds and at the year 9999.
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values


class _Kept:
    """A value that came as JSON text: its nulls are its own."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _kept(text: Any) -> _Kept:
    return _Kept(msgspec.json.decode(text))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(element) for element in value]
    if isinstance(value, datetime):  # nested in a file of somebody else
        since = (value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH
        return format_instant((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    return value.value if isinstance(value, _Kept) else value
