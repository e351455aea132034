"""An item as a row of stac-geoparquet 1.1 and back. Pure but for the geometry library.

The specification moves properties to the top. What has no place there is kept beside, as JSON text: properties whose
names are those of item members in ``lakegate:properties``; members that the specification does not know, and a
geometry or bbox that its binary form would change, in ``lakegate:members``.
"""

import math
from typing import Any

import msgspec
import shapely

from edges.model import Json

KEPT_PROPERTIES, KEPT_MEMBERS = "lakegate:properties", "lakegate:members"
INSTANTS = frozenset(
    {"datetime", "start_datetime", "end_datetime", "created", "updated", "expires", "published", "unpublished"}
)
"""The columns that the specification wants as timestamps."""

_MEMBERS = ("type", "stac_version", "stac_extensions", "id", "links", "assets", "collection")
_TAKEN = frozenset({*_MEMBERS, "geometry", "bbox", KEPT_PROPERTIES, KEPT_MEMBERS})
_PLANE = ("xmin", "ymin", "xmax", "ymax")
_SPACE = ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")

Row = dict[str, Any]


def to_row(item: Json) -> Row:
    """Return the columns of an item; the geometry as WKB."""
    row: Row = {name: item[name] for name in _MEMBERS if item.get(name) is not None}
    kept = {name: value for name, value in item.items() if name not in _TAKEN and name != "properties"}
    geometry, bbox = item.get("geometry"), item.get("bbox")
    row["geometry"] = None if geometry is None else to_wkb(geometry)
    if geometry is not None and row["geometry"] is None:
        kept["geometry"] = geometry
    row["bbox"] = None if bbox is None else _box(bbox)
    if bbox is not None and row["bbox"] is None:
        kept["bbox"] = bbox
    given = item.get("properties")
    if isinstance(given, dict):
        _flatten(row, given)
    elif given is not None:
        kept["properties"] = given
    if kept:
        row[KEPT_MEMBERS] = _text(kept)
    return row


def _flatten(row: Row, properties: Json) -> None:
    kept: Json = {}
    for name, value in properties.items():
        if name in _TAKEN or not name:
            kept[name] = value
        elif name == "proj:geometry" and value is not None:
            row[name] = to_wkb(value)
            if row[name] is None:
                kept[name] = value
        else:
            row[name] = value
    if kept:
        row[KEPT_PROPERTIES] = _text(kept)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def to_wkb(geometry: Any) -> bytes | None:
    """Return a GeoJSON geometry as ISO WKB; None where it would not come back as it is."""
    try:
        shape = shapely.from_geojson(msgspec.json.encode(geometry))
        binary: bytes = shapely.to_wkb(shape, flavor="iso")
    except (shapely.errors.ShapelyError, ValueError, TypeError, RecursionError):
        return None
    return binary if from_wkb(binary) == geometry else None


def from_wkb(binary: bytes) -> Json:
    """Return a WKB geometry as GeoJSON."""
    geometry: Json = msgspec.json.decode(shapely.to_geojson(shapely.from_wkb(binary)))
    return geometry


def _box(bbox: Any) -> Row | None:
    if not isinstance(bbox, list) or len(bbox) not in (4, 6) or not all(map(_is_finite, bbox)):
        return None
    return dict(zip(_PLANE if len(bbox) == 4 else _SPACE, bbox, strict=True))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def to_item(row: Row) -> Json:
    """Return the item of a row. A member that is null is left out, but for geometry and datetime, which must be there.

    Raises:
        KeyError: a kept column does not hold what :func:`to_row` writes.
    """
    kept = _object(row.get(KEPT_MEMBERS))
    properties = {name: value for name, value in row.items() if name not in _TAKEN and value is not None}
    if isinstance(properties.get("proj:geometry"), bytes):
        properties["proj:geometry"] = from_wkb(properties["proj:geometry"])
    properties |= _object(row.get(KEPT_PROPERTIES))
    properties.setdefault("datetime", None)
    item = {"type": "Feature"} | {name: row[name] for name in _MEMBERS if row.get(name) is not None}
    item["geometry"] = from_wkb(row["geometry"]) if row.get("geometry") is not None else None
    box = row.get("bbox")
    if box is not None:
        item["bbox"] = [box[side] for side in (_SPACE if box.get("zmin") is not None else _PLANE)]
    return item | {"properties": properties} | kept


def _object(text: str | None) -> Json:
    return {} if text is None else dict(msgspec.json.decode(text))
