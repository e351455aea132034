"""Collections as a site tells them, with what cannot be served left out. Pure."""

from collections.abc import Iterable

from edges.model import Json
from edges.stac.hrefs import without_unsafe

MAX_ID = 256
"""Longest id of a collection, in characters."""


def safe_collections(told: Iterable[Json]) -> tuple[Json, ...]:
    """Return the collections that have an id to be found by, the first of equal ones, without unsafe addresses."""
    found: dict[str, Json] = {}
    for collection in told:
        name = collection.get("id")
        if isinstance(name, str) and 0 < len(name) <= MAX_ID and name.isprintable() and name not in found:
            found[name] = without_unsafe(collection)[0]
    return tuple(found.values())
