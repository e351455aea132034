"""Aggregations as documents, out and in (Aggregation v0.3.0, as its servers write it). Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from edges.model import Json
from edges.stac.aggregation import AGGREGATIONS, MAX_BUCKETS, RANGES, STEP, Aggregation, Key, Tally, Wanted
from edges.stac.aggregation_count import start_of
from edges.stac.datetimes import format_instant, parse_instant
from edges.stac.links import link

_MISSING = "lakegate:missing"
_BUCKET_TYPES = {
    "terms": "string", "cells": "string", "ranges": "numeric", "steps": "numeric", "times": "datetime",
}  # fmt: skip
_SHIFTING = frozenset({"cells"})
"""Distributions whose counts do not add up to the items: one is in several buckets."""


class Misaligned(ValueError):
    """A site's answer does not add up, or has other buckets than we have: it cannot be added to others' exactly."""


def aggregations_document(links: Iterable[Json]) -> Json:
    """Return ``/aggregations``: what can be asked for."""
    return {
        "type": "AggregationCollection",
        "aggregations": [_described(one) for one in AGGREGATIONS.values()],
        "links": list(links),
    }


def _described(one: Aggregation) -> Json:
    if one.has_buckets:
        kind = _BUCKET_TYPES[one.kind]
        return {"name": one.name, "data_type": "frequency_distribution", "frequency_distribution_data_type": kind}
    return {"name": one.name, "data_type": "integer" if one.kind == "count" else "datetime"}


def aggregation_links(own: str) -> list[Json]:
    """Return the links of a landing page or collection at ``own``, as the extension demands them."""
    return [
        link("aggregations", f"{own}/aggregations"),
        link("aggregate", f"{own}/aggregate") | {"method": "GET"},
        link("aggregate", f"{own}/aggregate") | {"method": "POST"},
    ]


def aggregate_document(tally: Tally, wanted: Wanted, links: Iterable[Json], *, exact: bool = True) -> Json:
    """Return ``/aggregate``. Where it is not ``exact`` each count is a lower bound, and so is said."""
    return {
        "type": "AggregationCollection",
        "aggregations": [_rendered(AGGREGATIONS[name], tally, wanted, exact=exact) for name in wanted.names],
        "links": list(links),
        "exact": exact,
    }


def _rendered(one: Aggregation, tally: Tally, wanted: Wanted, *, exact: bool) -> Json:
    said: Json = {"name": one.name} if exact else {"name": one.name, "exact": False, "bound": _bound(one)}
    if one.kind == "count":
        return said | {"data_type": "integer", "value": tally.total}
    if one.kind == "instant":
        instant = tally.first if one.name == "datetime_min" else tally.last
        return said | {"data_type": "datetime", "value": None if instant is None else format_instant(instant)}
    counts = tally.counts.get(one.name, {})
    missing = tally.missing.get(one.name, 0)
    shown = counts if len(counts) <= MAX_BUCKETS else _commonest(counts)
    left_out = sum(counts.values()) - sum(shown.values())
    told = said | {
        "data_type": "frequency_distribution",
        "overflow": missing + left_out,
        "buckets": [_bucket(one, key, count) for key, count in _sorted(one, shown)],
        _MISSING: missing,
    }
    return told | {"interval": wanted.interval} if one.kind == "times" else told


def _bound(one: Aggregation) -> str:
    return "upper" if one.name == "datetime_min" else "lower"


def _commonest(counts: Mapping[Key, int]) -> dict[Key, int]:
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
    return dict(ranked[:MAX_BUCKETS])


def _sorted(one: Aggregation, counts: Mapping[Key, int]) -> list[tuple[Key, int]]:
    """Order terms by their counts, most first; what has an order of its own by that, empty ranges included."""
    if one.kind == "ranges":
        return [(number, counts.get(number, 0)) for number in range(len(RANGES))]
    if one.kind in ("terms", "cells"):
        return sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
    return sorted(counts.items(), key=lambda pair: float(pair[0]))


def _bucket(one: Aggregation, key: Key, count: int) -> Json:
    told: Json = {"data_type": _BUCKET_TYPES[one.kind], "frequency": count}
    if one.kind == "times":
        return {"key": format_instant(int(key))} | told
    if one.kind == "ranges":
        start, end = RANGES[int(key)]
        ends = {name: value for name, value in (("from", start), ("to", end)) if value is not None}
        return {"key": f"{'*' if start is None else start}-{'*' if end is None else end}"} | told | ends
    if one.kind == "steps":
        return {"key": f"{float(key)}"} | told | {"from": float(key), "to": float(key) + STEP}
    return {"key": str(key)} | told


def read_document(document: Any, wanted: Wanted) -> Tally:
    """Read a site's answer to ``wanted``, which must name ``total_count``, to the counts that are ours.

    Raises:
        Misaligned: something is missing, does not add up, or has other buckets than ours.
    """
    if isinstance(document, dict) and document.get("exact", True) is not True:
        raise Misaligned("it counts a lower bound only")
    try:
        told = {one["name"]: one for one in document["aggregations"]}
        total = _count(told["total_count"]["value"])
        counts: dict[str, dict[Key, int]] = {}
        missing: dict[str, int] = {}
        for one in wanted.distributions:
            counts[one.name], missing[one.name] = _read(one, told[one.name], total, wanted)
        return Tally(
            total=total,
            first=_moment(told["datetime_min"]["value"]) if "datetime_min" in wanted.names else None,
            last=_moment(told["datetime_max"]["value"]) if "datetime_max" in wanted.names else None,
            counts=counts,
            missing=missing,
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Misaligned(f"no aggregation as it should be: {error!r}") from error
    except Misaligned:
        raise
    except ValueError as error:
        raise Misaligned(str(error)) from error


def _read(one: Aggregation, told: Json, total: int, wanted: Wanted) -> tuple[dict[Key, int], int]:
    counts: dict[Key, int] = {}
    for bucket in told["buckets"]:
        count = _count(bucket["frequency"])
        if count:
            counts[_key(one, bucket, wanted)] = count
    missing = told.get(_MISSING)
    if missing is None:
        if told.get("overflow"):
            raise Misaligned(f"{one.name}: some items are in no bucket that was told")
        missing = total - sum(counts.values())
    elif told.get("overflow", 0) != missing:
        raise Misaligned(f"{one.name}: not all buckets were told")
    if one.kind not in _SHIFTING and sum(counts.values()) + missing != total:
        raise Misaligned(f"{one.name}: the buckets do not add up to the total")
    return counts, _count(missing)


def _key(one: Aggregation, bucket: Json, wanted: Wanted) -> Key:
    if one.kind == "times":
        instant = _moment(bucket["key"])
        if instant is None or start_of(wanted.interval, instant) != instant:
            raise Misaligned(f"{one.name}: {bucket['key']!r:.40} begins no {wanted.interval}")
        return instant
    if one.kind == "ranges":
        return RANGES.index((bucket.get("from"), bucket.get("to")))
    if one.kind == "steps":
        low = float(bucket["key"])
        if low % STEP:
            raise Misaligned(f"{one.name}: other intervals than ours")
        return low
    return str(bucket["key"])


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Misaligned(f"{value!r:.40} is no count")
    return value


def _moment(value: Any) -> int | None:
    return None if value is None else parse_instant(value)
