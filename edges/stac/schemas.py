"""Queryables and sortables as JSON Schema (OGC API Features part 3, section 6.2; part 5 for sortables). Pure."""

from edges.model import Json

ALWAYS: Json = {
    "id": {"title": "Item id", "type": "string"},
    "collection": {"title": "Collection id", "type": "string"},
    "datetime": {"title": "Instant", "type": "string", "format": "date-time"},
}
"""What every item can be asked for and sorted by."""

_GEOMETRY: Json = {"geometry": {"title": "Footprint", "format": "geometry-any"}}


def queryables_document(properties: Json, own: str) -> Json:
    """Return what can be asked for. Other names can be asked for too: where an item has none, it is null."""
    return _schema(own, "Queryables", ALWAYS | _GEOMETRY | properties)


def sortables_document(properties: Json, own: str) -> Json:
    """Return what can be sorted by; items without the value stand last."""
    return _schema(own, "Sortables", ALWAYS | properties)


def _schema(own: str, title: str, properties: Json) -> Json:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": own,
        "type": "object",
        "title": title,
        "properties": properties,
        "additionalProperties": True,
    }
