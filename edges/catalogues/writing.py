"""What may be written into a catalogue: the checks that keep every stored item findable and servable."""

import unicodedata
from typing import Any

from edges.errors import InvalidInput
from edges.model import Json
from edges.stac.limits import kind_of

MAX_ID = 1_024
"""Longest id of an item or a collection, in characters."""


def check_id(field: str, value: Any) -> str:
    """Return an id.

    Raises:
        InvalidInput: not text, empty, too long, or with control characters.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID:
        wrong = f"{len(value)} characters" if isinstance(value, str) else f"a JSON {kind_of(value)}"
        raise InvalidInput(field, wrong, f"a string of 1 to {MAX_ID} characters")
    if not value.isprintable() and any(unicodedata.category(character) == "Cc" for character in value):
        raise InvalidInput(field, "a control character", "printable characters")
    return value


def checked_collection(collection: Json) -> Json:
    """Return a collection that can be stored.

    Raises:
        InvalidInput: no usable ``id``.
    """
    check_id("id", collection.get("id"))
    return collection


def checked_item(collection: str, item: Json) -> Json:
    """Return an item that can be stored in a collection; a missing ``collection`` is filled in.

    Raises:
        InvalidInput: names the member that is wrong.
    """
    check_id("id", item.get("id"))
    if item.get("collection") not in (None, collection):
        raise InvalidInput("collection", repr(item["collection"])[:80], f"{collection!r}, as in the address")
    properties = item.get("properties")
    if not isinstance(properties, dict):
        raise InvalidInput("properties", f"a JSON {kind_of(properties)}", "an object")
    for name in ("datetime", "start_datetime", "end_datetime"):
        check_time(name, properties.get(name))
    geometry = item.get("geometry")
    if geometry is not None and not isinstance(geometry, dict):
        raise InvalidInput("geometry", f"a JSON {kind_of(geometry)}", "a GeoJSON geometry or null")
    return item if item.get("collection") == collection else item | {"collection": collection}


def check_time(name: str, value: Any) -> None:
    """Refuse a time that is neither text nor null.

    Raises:
        InvalidInput: naming the property.
    """
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"properties.{name}", f"a JSON {kind_of(value)}", "RFC 3339 text or null")
