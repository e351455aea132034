"""A site's own queryables (OGC API Features part 3, section 6.2): names and types are taken over, and no more. Pure."""

from typing import Any

import msgspec

from edges.model import Bytes, Json
from edges.stac.schemas import ALWAYS

MAX_BYTES = 1 << 20
"""Largest document that is read."""
MAX_NAMES = 500
"""Most properties that are taken over of one site."""
_MAX_NAME = 128
_TYPES = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "array": "array"}


def read_queryables(content: Bytes) -> Json:
    """Return a schema with ``title`` and ``type`` for each property whose type is told; nothing for nonsense."""
    try:
        document: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    told = document.get("properties") if isinstance(document, dict) else None
    if not isinstance(told, dict):
        return {}
    found: Json = {}
    for name, schema in told.items():
        kind = _kind(schema) if 0 < len(name) <= _MAX_NAME and name.isprintable() else None
        if kind is not None and len(found) < MAX_NAMES:
            bare = name.removeprefix("properties.")
            found[bare] = {"title": bare, "type": kind}
    return {name: schema for name, schema in found.items() if name not in ALWAYS}


def _kind(schema: Any) -> str | None:
    told = schema.get("type") if isinstance(schema, dict) else None
    return _TYPES.get(told) if isinstance(told, str) else None
