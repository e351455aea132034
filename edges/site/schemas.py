"""Queryables and sortables of a catalogue, read off a sample of its items. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from edges.model import Json, Members
from edges.stac.schemas import ALWAYS, queryables_document, sortables_document

_TYPES = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_SORTABLE = ("boolean", "number", "string")


def queryables(items: Iterable[Members], own: str) -> Json:
    """Return what can be asked for, from a sample of the items."""
    return queryables_document(_seen(items), own)


def sortables(items: Iterable[Members], own: str) -> Json:
    """Return what can be sorted by, from a sample of the items."""
    seen = {name: schema for name, schema in _seen(items).items() if schema["type"] in _SORTABLE}
    return sortables_document(seen, own)


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
        if found and name not in ALWAYS
    }
