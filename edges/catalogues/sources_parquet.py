"""Items out of stac-geoparquet 1.x, batch by batch. Needs the extra ``parquet``."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import msgspec


class ParquetUnreadable(Exception):
    """The file is no stac-geoparquet, or the libraries for it are not installed."""


def parquet_items(path: Path) -> Iterator[bytes]:
    """Yield the items of a stac-geoparquet file, as JSON.

    Raises:
        ParquetUnreadable: see there.
    """
    try:
        # By name and here: an optional extra that takes longer to import than all the rest of a site together.
        reading = import_module("edges.geoparquet.read")
    except ImportError as error:
        raise ParquetUnreadable("reading Parquet needs the extra: pip install 'lakegate[parquet]'") from error
    try:
        yield from map(msgspec.json.encode, reading.read_geoparquet(path))
    except reading.NotGeoparquet as error:
        raise ParquetUnreadable(str(error)) from error
