"""Items out of stac-geoparquet 1.x, batch by batch. Needs the extra ``parquet``."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

_ROWS = 2_000
"""Rows of one batch: some tens of megabytes of items."""


class ParquetUnreadable(Exception):
    """The file is no stac-geoparquet, or the libraries for it are not installed."""


def parquet_items(path: Path) -> Iterator[bytes]:
    """Yield the items of a stac-geoparquet file, as JSON.

    Raises:
        ParquetUnreadable: see there.
    """
    try:
        # Here, not above: an optional extra that takes longer to import than all the rest of a site together.
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
        from stac_geoparquet.arrow import stac_table_to_items  # noqa: PLC0415
    except ImportError as error:
        raise ParquetUnreadable("reading Parquet needs the extra: pip install 'lakegate[parquet]'") from error
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                yield from map(msgspec.json.encode, stac_table_to_items(pa.Table.from_batches([batch])))
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ParquetUnreadable(f"not stac-geoparquet ({error})") from error
