"""Queryables and sortables of a catalogue, read off a sample of its items. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from edges.model import Json, Members

_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
_ALWAYS: Json = {
    "id": {"title": "Item id", "type": "string"},
    "collection": {"title": "Collection id", "type": "string"},
    "datetime": {"title": "Instant", "type": "string", "format": "date-time"},
}
_GEOMETRY: Json = {"geometry": {"title": "Footprint", "format": "geometry-any"}}
_TYPES = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_SORTABLE = ("boolean", "number", "string")


def queryables(items: Iterable[Members], own: str) -> Json:
    """Return what can be asked for. Other names can be asked for too: where an item has none, it is null."""
    return _schema(own, "Queryables", _ALWAYS | _GEOMETRY | _seen(items))


def sortables(items: Iterable[Members], own: str) -> Json:
    """Return what can be sorted by; items without the value stand last."""
    seen = {name: schema for name, schema in _seen(items).items() if schema["type"] in _SORTABLE}
    return _schema(own, "Sortables", _ALWAYS | seen)


def _schema(own: str, title: str, properties: Json) -> Json:
    return {
        "$schema": _SCHEMA,
        "$id": own,
        "type": "object",
        "title": title,
        "properties": properties,
        "additionalProperties": True,
    }


def _seen(items: Iterable[Members]) -> Json:
    """Return a schema for each property of the sample; one that is seen with several types tells them all."""
    types: dict[str, set[str]] = {}
    for item in items:
        properties: Any = msgspec.json.decode(item["properties"])
        for name, value in properties.items():
            types.setdefault(name, set()).update({_TYPES[type(value)]} if value is not None else set())
    return {
        name: {"title": name, "type": found.pop() if len(found) == 1 else sorted(found)}
        for name, found in sorted(types.items())
        if found and name not in _ALWAYS
    }
