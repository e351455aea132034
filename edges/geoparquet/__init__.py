"""Items as stac-geoparquet 1.1 and back, safe for mixed schemas: no column is lost and no value changed.

Needs the extra ``parquet``. Nothing here is imported by a server: conversions run in a process of their own
(``python -m edges.geoparquet``), for they hold the interpreter for long stretches.
"""
