"""Harvest requests that would make an edge fit, ready to be sent; and how a need is read from a request. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from edges.errors import InvalidInput
from edges.model import Json, Query
from edges.stac.request import query_to_post, search_from_post

SEARCH_MEMBERS = frozenset(
    {"collections", "ids", "bbox", "intersects", "datetime", "filter", "filter-lang", "filter-crs", "query"}
)
HARVEST_PATH = "/processes/harvest/execution"
_HARVESTED = ("collections", "ids", "bbox", "intersects", "datetime", "filter")
"""The members of a search that the harvest process takes."""
_BUCKET_PREFIX = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>[^\0]{0,1024})")


def harvest_requests(queries: Sequence[Query], edges: Iterable[str]) -> tuple[Json, ...]:
    """Return a request per edge and query: ``method``, ``path`` and ``body``, to be sent to the gateway as they are."""
    if any(query.text is not None for query in queries):
        return ()  # the harvest process takes no free text
    return tuple(
        {"edge": edge, "method": "POST", "path": HARVEST_PATH, "body": {"inputs": _inputs(query, edge)}}
        for edge in edges
        for query in queries
    )


def _inputs(query: Query, edge: str) -> Json:
    search = query_to_post(query)
    return {name: search[name] for name in _HARVESTED if name in search} | {"target": edge}


def read_queries(search: Mapping[str, Any], *, page_items: int) -> tuple[Query, ...]:
    """Read a STAC search that says which data is needed; none where it says nothing.

    Raises:
        InvalidInput: it is no search.
    """
    asked = {name: value for name, value in search.items() if name in SEARCH_MEMBERS}
    if not asked:
        return ()
    body = msgspec.json.encode(asked | {"limit": page_items})
    return (search_from_post(body, default_limit=page_items, max_limit=page_items).query,)


def read_prefix(value: object) -> tuple[str, str] | None:
    """Read a bucket prefix; None where there is none.

    >>> read_prefix("s3://eodata/Sentinel-2/"), read_prefix("")
    (('eodata', 'Sentinel-2/'), None)

    Raises:
        InvalidInput: it is none.
    """
    if value is None or value == "":
        return None
    found = _BUCKET_PREFIX.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidInput("prefix", f"got {value!r:.100}", "s3://bucket/path/")
    return found["bucket"], found["prefix"]


def read_amount(name: str, value: object) -> float:
    """Read an amount.

    Raises:
        InvalidInput: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e18:
        raise InvalidInput(name, f"got {value!r:.60}", "a number of 0 or more")
    return float(value)


def read_versions(value: object) -> Mapping[str, str]:
    """Read versions by name (``{"dask": "2026.8"}``).

    Raises:
        InvalidInput: it is something else.
    """
    if value is None:
        return {}
    if (
        not isinstance(value, dict)
        or len(value) > 32
        or not all(isinstance(one, str) and one for one in value.values())
    ):
        raise InvalidInput("versions", f"got {value!r:.100}", 'an object such as {"dask": "2026.8"}')
    return {str(name): one for name, one in value.items()}
