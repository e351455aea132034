"""An item as a row of stac-geoparquet 1.1 and back. Pure but for the geometry library.

The specification moves properties to the top. What has no place there is kept beside, as JSON text: properties whose
names are those of item members in ``lakegate:properties``; members that the specification does not know, and a
geometry or bbox that its binary form would change, in ``lakegate:members``.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import shapely

from edges.model import Json

KEPT_PROPERTIES, KEPT_MEMBERS = "lakegate:properties", "lakegate:members"
INSTANTS = frozenset(
    {"datetime", "start_datetime", "end_datetime", "created", "updated", "expires", "published", "unpublished"}
)
"""The columns that the specification wants as timestamps."""

MEMBERS = ("type", "stac_version", "stac_extensions", "id", "links", "assets", "collection")
_TAKEN = frozenset({*MEMBERS, "geometry", "bbox", KEPT_PROPERTIES, KEPT_MEMBERS})
PROJECTED = "proj:geometry"
_PLANE = ("xmin", "ymin", "xmax", "ymax")
_SPACE = ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")

Row = dict[str, Any]


def to_rows(items: Sequence[Json]) -> list[Row]:
    """Return the columns of items; geometries as WKB, all at once, for one by one they cost the most."""
    projected = [_properties(item).get(PROJECTED) for item in items]
    binaries = to_wkbs([item.get("geometry") for item in items])
    return [
        _row(item, geometry, proj) for item, geometry, proj in zip(items, binaries, to_wkbs(projected), strict=True)
    ]


def _properties(item: Json) -> Json:
    given = item.get("properties")
    return given if isinstance(given, dict) else {}


def _row(item: Json, geometry: bytes | None, projected: bytes | None) -> Row:
    row: Row = {name: item[name] for name in MEMBERS if item.get(name) is not None}
    kept = {name: value for name, value in item.items() if name not in _TAKEN and name != "properties"}
    row["geometry"] = geometry
    if item.get("geometry") is not None and geometry is None:
        kept["geometry"] = item["geometry"]
    bbox = item.get("bbox")
    row["bbox"] = None if bbox is None else box_of(bbox)
    if bbox is not None and row["bbox"] is None:
        kept["bbox"] = bbox
    given = item.get("properties")
    if isinstance(given, dict):
        _flatten(row, given, projected)
    elif given is not None:
        kept["properties"] = given
    if kept:
        row[KEPT_MEMBERS] = _text(kept)
    return row


def _flatten(row: Row, properties: Json, projected: bytes | None) -> None:
    kept: Json = {}
    for name, value in properties.items():
        if name in _TAKEN or not name or (name == PROJECTED and value is not None and projected is None):
            kept[name] = value
        else:
            row[name] = projected if name == PROJECTED else value
    if kept:
        row[KEPT_PROPERTIES] = _text(kept)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def to_wkbs(geometries: Sequence[Any]) -> list[bytes | None]:
    """Return GeoJSON geometries as ISO WKB; None for one that would not come back as it is."""
    try:
        texts = [None if each is None else _text(each) for each in geometries]
        binaries = shapely.to_wkb(shapely.from_geojson(texts, on_invalid="ignore"), flavor="iso")
        told = shapely.to_geojson(shapely.from_wkb(binaries))
    except (shapely.errors.ShapelyError, ValueError, TypeError, RecursionError):
        # One spoils the lot: find it.
        return [None] if len(geometries) == 1 else [to_wkbs([each])[0] for each in geometries]
    return [
        bytes(binary) if binary is not None and msgspec.json.decode(text) == geometry else None
        for binary, text, geometry in zip(binaries, told, geometries, strict=True)
    ]


def from_wkb(binary: bytes) -> Json:
    """Return a WKB geometry as GeoJSON."""
    geometry: Json = msgspec.json.decode(shapely.to_geojson(shapely.from_wkb(binary)))
    return geometry


def box_of(bbox: Any) -> Row | None:
    """Return a bbox as its column; None for one that the column cannot hold."""
    if not isinstance(bbox, list) or len(bbox) not in (4, 6) or not all(map(_is_finite, bbox)):
        return None
    return dict(zip(_PLANE if len(bbox) == 4 else _SPACE, bbox, strict=True))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def to_item(row: Row) -> Json:
    """Return the item of a row. A member that is null is left out, but for geometry and datetime, which must be there.

    Raises:
        KeyError: a kept column does not hold what :func:`to_rows` writes.
    """
    kept = _object(row.get(KEPT_MEMBERS))
    properties = {name: value for name, value in row.items() if name not in _TAKEN and value is not None}
    if isinstance(properties.get(PROJECTED), bytes):
        properties[PROJECTED] = from_wkb(properties[PROJECTED])
    properties |= _object(row.get(KEPT_PROPERTIES))
    properties.setdefault("datetime", None)
    item = {"type": "Feature"} | {name: row[name] for name in MEMBERS if row.get(name) is not None}
    item["geometry"] = from_wkb(row["geometry"]) if row.get("geometry") is not None else None
    box = row.get("bbox")
    if box is not None:
        item["bbox"] = [box[side] for side in (_SPACE if box.get("zmin") is not None else _PLANE)]
    return item | {"properties": properties} | kept


def _object(text: str | None) -> Json:
    return {} if text is None else dict(msgspec.json.decode(text))
