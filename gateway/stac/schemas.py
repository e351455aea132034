"""Queryables and sortables (OGC API Features part 3 and 5) of harmonised collections. Pure."""

from collections.abc import Sequence
from typing import Any

from edges.model import Json
from edges.stac.schemas import queryables_document, sortables_document


def queryables(collections: Sequence[Json], own: str) -> Json:
    """Return what can be asked for, from the collections' summaries."""
    return queryables_document(_summarised(collections), own)


def sortables(collections: Sequence[Json], own: str) -> Json:
    """Return what can be sorted by, from the collections' summaries."""
    return sortables_document(_summarised(collections), own)


def collection_queryables(own: str) -> Json:
    """Return what Collection Search can be asked for."""
    members = _OF_COLLECTIONS | {"summaries": {"title": "Summaries; summaries.platform is one of them"}}
    return queryables_document(members, own) | {"title": "Queryables of collections"}


def collection_sortables(own: str) -> Json:
    """Return what Collection Search can be sorted by."""
    sortable = {name: schema for name, schema in _OF_COLLECTIONS.items() if schema["type"] == "string"}
    return sortables_document(sortable, own) | {"title": "Sortables of collections"}


_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time"}
_OF_COLLECTIONS: dict[str, Json] = {
    "title": {"title": "Title"} | _TEXT,
    "description": {"title": "Description"} | _TEXT,
    "license": {"title": "Licence"} | _TEXT,
    "keywords": {"title": "Keywords", "type": "array", "items": _TEXT},
    "start_datetime": {"title": "Begin of the extent in time"} | _TIME,
    "end_datetime": {"title": "End of the extent in time"} | _TIME,
    "federation:backends": {"title": "Sites that hold it", "type": "array", "items": _TEXT},
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
