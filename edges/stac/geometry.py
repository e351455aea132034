"""Boxes and shapes: checking what clients send, and testing what items are.

All coordinates are longitude and latitude in degrees (WGS 84, RFC 7946); shapes are planar. A box whose west
is greater than its east crosses the antimeridian.

No shape is ever seen by two threads. Shapely lets other threads run while GEOS works, and what GEOS finds out about a
shape it writes into it: a prepared one builds its index at its first test. Two threads at once end the process.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import shapely
from shapely.geometry.base import BaseGeometry as Shape

from edges.errors import InvalidInput
from edges.model import Json
from edges.stac.limits import MAX_DEPTH, MAX_VERTICES, is_number, kind_of

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees."""

_LEVELS = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}
"""How many arrays stand around the positions of each type (RFC 7946 section 3.1)."""

_RING_LEVEL = {"Polygon": 1, "MultiPolygon": 2}
MAX_BOXES = 8
"""Most boxes that stand for one shape; beyond it one box does."""

_BOX_RIGHT = "west,south,east,north (or with heights, six numbers), -180 to 180 and -90 to 90, south <= north"


def check_box(field: str, value: Any) -> Box:
    """Return the horizontal part of a ``bbox`` of four or six numbers.

    Raises:
        InvalidInput: another count, not numbers, or outside the world.
    """
    if not isinstance(value, list | tuple) or len(value) not in (4, 6) or not all(map(is_number, value)):
        raise InvalidInput(field, f"{str(value)[:80]}", _BOX_RIGHT)
    half = len(value) // 2
    west, south, east, north = (float(value[index]) for index in (0, 1, half, half + 1))
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise InvalidInput(field, f"{west:g},{south:g},{east:g},{north:g}", _BOX_RIGHT)
    return west, south, east, north


def check_geometry(field: str, value: Any) -> Json:
    """Return a GeoJSON geometry that is well formed and not too large; iterative.

    Raises:
        InvalidInput: not a geometry, a position outside the world, an open ring, or too many vertices.
    """
    vertices = 0
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        geometry, depth = pending.pop()
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list) and depth < MAX_DEPTH:
            pending.extend((member, depth + 1) for member in geometry["geometries"])
            if len(pending) > MAX_VERTICES:
                raise InvalidInput(field, "too many geometries", f"at most {MAX_VERTICES}")
        elif isinstance(kind, str) and kind in _LEVELS:
            vertices += _check_coordinates(field, kind, geometry.get("coordinates"))
        else:
            wrong = f"type {kind!r}" if isinstance(geometry, dict) else f"a JSON {kind_of(geometry)}"
            raise InvalidInput(field, wrong, f"a GeoJSON geometry: {', '.join(_LEVELS)} or GeometryCollection")
        if vertices > MAX_VERTICES:
            raise InvalidInput(field, "too many vertices", f"at most {MAX_VERTICES}")
    return dict(value)


def _check_coordinates(field: str, kind: str, coordinates: Any) -> int:
    level: list[Any] = [coordinates]
    for depth in range(_LEVELS[kind]):
        if not all(isinstance(part, list) and part for part in level):
            raise InvalidInput(field, f"the coordinates of a {kind} are not arrays all through", "RFC 7946 coordinates")
        if depth == _RING_LEVEL.get(kind):
            _check_rings(field, level)
        level = [child for part in level for child in part]
        if len(level) > MAX_VERTICES:
            raise InvalidInput(field, "too many vertices", f"at most {MAX_VERTICES}")
    for position in level:
        _check_position(field, position)
    if kind in ("LineString", "MultiLineString") and len(level) < 2:
        raise InvalidInput(field, "a line of one position", "two positions or more")
    return len(level)


def _check_rings(field: str, rings: Sequence[Any]) -> None:
    for ring in rings:
        if len(ring) < 4 or ring[0] != ring[-1]:
            raise InvalidInput(field, "a ring is not closed", "four positions or more, the last equal to the first")


def _check_position(field: str, position: Any) -> None:
    if not isinstance(position, list) or not 2 <= len(position) <= 4 or not all(map(is_number, position)):
        raise InvalidInput(field, f"position {str(position)[:40]}", "longitude, latitude and perhaps a height")
    if not (-180 <= position[0] <= 180 and -90 <= position[1] <= 90):
        raise InvalidInput(field, f"position {str(position)[:40]}", "longitude -180 to 180, latitude -90 to 90")


def split_box(box: Box) -> tuple[Box, ...]:
    """Return the one or two planar boxes of a box that may cross the antimeridian."""
    west, south, east, north = box
    if west <= east:
        return (box,)
    return ((west, south, 180.0, north), (-180.0, south, east, north))


def box_shape(box: Box) -> Shape:
    """Return a box as a shape: one polygon, or two where it crosses the antimeridian."""
    parts = [shapely.box(*part) for part in split_box(box)]
    shape = parts[0] if len(parts) == 1 else shapely.multipolygons(parts)
    shapely.prepare(shape)
    return shape


def query_shape(field: str, geometry: Json) -> Shape:
    """Return a checked query geometry, made valid and prepared for many tests; each caller has one of its own.

    Raises:
        InvalidInput: it cannot be made into a geometry.
    """
    shape = _read_shape(msgspec.json.encode(geometry))
    if shape is None:
        raise InvalidInput(field, "not a geometry", "a GeoJSON geometry")
    shapely.prepare(shape)
    return shape


def shape_of(geometry: Any) -> Shape | None:
    """Return the shape of an item's ``geometry`` (decoded, or its bytes); None where null or broken.

    It is this thread's, and to be read only: who asks for the same again may be given the same.
    """
    if geometry is None:
        return None
    return _last.read(msgspec.json.encode(geometry) if isinstance(geometry, dict) else bytes(geometry))


def _read_shape(text: bytes) -> Shape | None:
    try:
        shape = shapely.from_geojson(text)
    except (shapely.errors.GEOSException, ValueError):
        return None
    if shape is None or shape.is_empty:
        return None
    if shapely.get_dimensions(shape) == 2 and not shape.is_valid:
        with contextlib.suppress(shapely.errors.GEOSException):
            shape = shapely.make_valid(shape)
    return shape


class _LastShapes(threading.local):
    """The shapes that a thread read last: the tests of one filter look at one item after the other."""

    def __init__(self) -> None:
        self.read = functools.lru_cache(maxsize=2)(_read_shape)


_last = _LastShapes()


def box_test(box: Box) -> Callable[[bytes], bool]:
    """Return a test whether an item's geometry (its bytes) intersects the box.

    Exact: most are decided by their vertices alone (one inside, or all on one side), the rest by GEOS.
    """
    parts = split_box(box)
    shape = box_shape(box)

    def test(raw: bytes) -> bool:
        decided = [_decide(part, raw) for part in parts]
        if True in decided:
            return True
        if None not in decided:
            return False
        own = shape_of(raw)
        return own is not None and bool(shapely.intersects(shape, own))

    return test


def _decide(box: Box, raw: bytes) -> bool | None:
    """Tell whether the vertices alone decide; null, broken or ambiguous geometries are left to GEOS."""
    west, south, east, north = box
    try:
        geometry = msgspec.json.decode(raw)
        positions = [(point[0], point[1]) for point in _positions(geometry)]
    except (TypeError, IndexError, KeyError, msgspec.DecodeError, RecursionError):
        return None
    if not positions:
        return None
    try:
        if any(west <= x <= east and south <= y <= north for x, y in positions):
            return True
        xs, ys = [x for x, _ in positions], [y for _, y in positions]
        apart = max(xs) < west or min(xs) > east or max(ys) < south or min(ys) > north
    except TypeError:
        return None
    return False if apart else None


def _positions(geometry: Any) -> list[Any]:
    if geometry is None or geometry["type"] not in _LEVELS:
        return []
    level: list[Any] = [geometry["coordinates"]]
    for _ in range(_LEVELS[geometry["type"]]):
        level = [child for part in level for child in part]
    return level


def shape_test(shape: Shape) -> Callable[[bytes], bool]:
    """Return a test whether an item's geometry (its bytes) intersects the shape."""

    def test(raw: bytes) -> bool:
        own = shape_of(raw)
        return own is not None and bool(shapely.intersects(shape, own))

    return test


def covering_boxes(raw: bytes) -> tuple[Box, ...]:
    """Return boxes around all vertices of an item's geometry (its bytes); none where it has no vertices.

    Two where the geometry is split at the antimeridian (RFC 7946 section 3.1.9), so that neither is the
    world.
    """
    try:
        geometry = msgspec.json.decode(raw)
        parts = [_box_of(part) for part in _parts(geometry) if part["coordinates"]]  # real ones have empty parts
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        return ()
    if not parts:
        return ()
    whole = _hull(parts)
    if whole[2] - whole[0] <= 180 or len(parts) == 1:
        return (whole,)
    halves = [[part for part in parts if (part[0] >= 0) is side] for side in (False, True)]
    return tuple(_hull(half) for half in halves if half)


def _parts(geometry: Any) -> Iterator[Json]:
    """Yield the single geometries of a geometry; iterative, for collections may nest."""
    pending = [geometry]
    while pending:
        one = pending.pop()
        if one is None:
            continue
        kind = one["type"]
        if kind == "GeometryCollection":
            pending.extend(one["geometries"])
        elif kind.startswith("Multi"):
            single = kind.removeprefix("Multi")
            yield from ({"type": single, "coordinates": part} for part in one["coordinates"])
        else:
            yield one


def _box_of(geometry: Json) -> Box:
    positions = _positions(geometry)
    xs, ys = [float(point[0]) for point in positions], [float(point[1]) for point in positions]
    return min(xs), min(ys), max(xs), max(ys)


def _hull(boxes: Sequence[Box]) -> Box:
    wests, souths, easts, norths = zip(*boxes, strict=True)
    return min(wests), min(souths), max(easts), max(norths)


def shape_boxes(shape: Shape) -> tuple[Box, ...]:
    """Return boxes that together cover a query shape: one for each part, or one in all for many."""
    parts = [part for part in getattr(shape, "geoms", [shape]) if not part.is_empty]
    if len(parts) > MAX_BOXES:
        parts = [shape]
    return tuple(_bounds(part) for part in parts)


def _bounds(shape: Shape) -> Box:
    west, south, east, north = (float(edge) for edge in shape.bounds)
    return west, south, east, north
