"""Queryables and sortables (OGC API Features part 3 and 5) of harmonised collections. Pure."""

from collections.abc import Sequence
from typing import Any

from edges.model import Json

_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
_ITEM = "https://schemas.stacspec.org/v1.0.0/item-spec/json-schema"
_ALWAYS: Json = {
    "id": {"title": "Item id", "type": "string"},
    "collection": {"title": "Collection id", "type": "string"},
    "datetime": {"title": "Instant", "type": "string", "format": "date-time"},
}
_GEOMETRY: Json = {"geometry": {"title": "Footprint", "format": "geometry-any"}}


def queryables(collections: Sequence[Json], own: str) -> Json:
    """Return what can be asked for. Others than those told can be asked for too: a missing value is null."""
    return _schema(own, "Queryables", _ALWAYS | _GEOMETRY | _summarised(collections))


def sortables(collections: Sequence[Json], own: str) -> Json:
    """Return what can be sorted by; items without the value stand last."""
    return _schema(own, "Sortables", _ALWAYS | _summarised(collections))


def _schema(own: str, title: str, properties: Json) -> Json:
    return {
        "$schema": _SCHEMA,
        "$id": own,
        "type": "object",
        "title": title,
        "properties": properties,
        "additionalProperties": True,
    }


def _summarised(collections: Sequence[Json]) -> Json:
    found: Json = {}
    for collection in collections:
        for name, summary in (collection.get("summaries") or {}).items():
            schema = _of_summary(name, summary)
            if schema is not None:
                found.setdefault(name, schema | {"federation:backends": collection.get("federation:backends", [])})
    return found


def _of_summary(name: str, summary: Any) -> Json | None:
    if isinstance(summary, list) and summary and all(isinstance(value, str) for value in summary):
        return {"title": name, "type": "string", "examples": sorted(set(summary))[:50]}
    values = summary if isinstance(summary, list) else []
    if isinstance(summary, dict):
        values = [summary.get("minimum"), summary.get("maximum")]
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return {"title": name, "type": "number"}
    return None
