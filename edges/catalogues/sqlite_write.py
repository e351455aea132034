"""Write items and collections on the one writing connection. Blocking; the caller holds the transaction."""

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

from edges.catalogues.sqlite_rows import EARLIEST, LATEST, Row
from edges.catalogues.sqlite_store import SQL
from edges.model import Json
from edges.stac.datetimes import format_instant
from edges.stac.documents import STAC_VERSION

Stored = tuple[Row, bytes]
"""An item taken apart, and its bytes."""


def write_items(
    connection: sqlite3.Connection,
    items: Iterable[Stored],
    *,
    file: int | None = None,
    load: int | None = None,
) -> int:
    """Create or replace items whose collections exist; return how many were written.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    last = connection.execute(SQL["last_item"]).fetchone()[0]
    widest: dict[str, tuple[int, int, bool]] = {}
    written = 0
    for row, body in items:
        values = (row.collection, row.item_id, *row.values, file, load)
        number = connection.execute(SQL["put_item"], values).fetchone()[0]
        connection.execute(SQL["put_body"], (number, body))
        if number <= last:  # replaced
            connection.execute(SQL["delete_boxes"], {"item": number})
        else:
            last = number
        for side, box in enumerate(row.boxes):
            west, south, east, north = box
            connection.execute(SQL["put_box"], (2 * number + side, west, east, south, north))
        lead, lag, odd = widest.get(row.collection, (0, 0, False))
        widest[row.collection] = (max(lead, row.lead), max(lag, row.lag), odd or row.odd)
        written += 1
    for name, (lead, lag, odd) in widest.items():
        connection.execute(SQL["widen_collection"], {"id": name, "lead": lead, "lag": lag, "odd": int(odd)})
    return written


def derive_collection(connection: sqlite3.Connection, collection: str) -> None:
    """See to it that a collection exists; :func:`refresh_derived` fills in one that was made here."""
    body = msgspec.json.encode(_derived(collection, (None,) * 6))
    connection.execute(SQL["derive_collection"], {"id": collection, "body": body})


def refresh_derived(connection: sqlite3.Connection) -> int:
    """Bring the extents of derived collections up to date with their items; return how many there are."""
    names = [name for (name,) in connection.execute(SQL["derived_collections"]).fetchall()]
    for name in names:
        extent = connection.execute(SQL["collection_extent"], {"id": name}).fetchone()
        body = msgspec.json.encode(_derived(name, extent))
        connection.execute(SQL["refresh_collection"], {"id": name, "body": body})
    return len(names)


def _derived(name: str, extent: tuple[Any, ...]) -> Json:
    west, south, east, north, start, end = extent
    box = [-180.0, -90.0, 180.0, 90.0] if west is None else [west, south, east, north]
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": name,
        "description": f"The items of {name}; described from the items, for no collection came with them.",
        "license": "other",
        "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [[_moment(start), _moment(end)]]}},
        "links": [],
    }


def _moment(us: int | None) -> str | None:
    return None if us is None or us in (EARLIEST, LATEST) else format_instant(us)
