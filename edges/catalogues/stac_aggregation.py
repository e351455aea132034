"""A STAC API's own aggregation: asked for in its words, believed only where it adds up. Pure."""

from typing import Any

import msgspec

from edges.catalogues.aggregating import CannotAggregate
from edges.model import Bytes, Json, Query
from edges.stac.aggregation import AGGREGATIONS, OWN_CLASS, Tally, Wanted, wanted_to_post
from edges.stac.aggregation_document import Misaligned, read_document
from edges.stac.request import query_to_post

_STANDARD = frozenset(
    {"total_count", "datetime_min", "datetime_max", "collection_frequency", "platform_frequency"}
    | {"grid_code_frequency", "datetime_frequency", "cloud_cover_frequency"}
)
"""Those that other servers mean as we do; their answers show whether the buckets are the same."""


def aggregates_of(conformance: list[str]) -> frozenset[str]:
    """Return the aggregations that a site with these conformance classes may be asked for."""
    if OWN_CLASS in conformance:
        return frozenset(AGGREGATIONS)
    spoken = any("/aggregation" in uri and "stacspec.org/v0.3" in uri for uri in conformance)
    return _STANDARD if spoken else frozenset()


def aggregate_body(query: Query, wanted: Wanted) -> Json:
    """Return the body of ``POST /aggregate``; the total is always asked for, so that the rest can be checked."""
    body = {name: value for name, value in query_to_post(query).items() if name not in ("limit", "sortby", "fields")}
    return body | wanted_to_post(_with_total(wanted))


def read_answer(content: Bytes, wanted: Wanted) -> Tally:
    """Read the answer.

    Raises:
        CannotAggregate: it does not add up, or has other buckets than ours.
    """
    try:
        document: Any = msgspec.json.decode(content)
        return read_document(document, _with_total(wanted))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Misaligned) as error:
        raise CannotAggregate(str(error)[:300]) from error


def _with_total(wanted: Wanted) -> Wanted:
    names = dict.fromkeys(("total_count", *wanted.names))
    return msgspec.structs.replace(wanted, names=tuple(names))
