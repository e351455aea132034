"""Items as stac-geoparquet 1.1 and back, safe for mixed schemas: no column is lost and no value changed.

Needs the extra ``parquet``. Nothing here is imported by a server: conversions run in a process of their own
(``python -m edges.geoparquet``), for they hold the interpreter for long stretches.
"""

from importlib.util import find_spec
from typing import ClassVar


class NotInstalled(Exception):
    """Lakegate was installed without what the format needs."""

    status: ClassVar[int] = 501
    title: ClassVar[str] = "Format not installed"


def installed() -> bool:
    """Tell whether the extra is there, without importing it."""
    return find_spec("pyarrow") is not None and find_spec("stac_geoparquet") is not None
