"""The spatial part of CQL2, by GEOS (OGC 21-065r2 section 7.7): planar, in longitude and latitude."""

from collections.abc import Callable
from typing import Any

import shapely

from edges.model import Json
from edges.stac.cql2_scalar import Test, Value
from edges.stac.geometry import shape_of

_PREDICATES: dict[str, Callable[[Any, Any], Any]] = {
    "s_contains": shapely.contains,
    "s_crosses": shapely.crosses,
    "s_disjoint": shapely.disjoint,
    "s_equals": shapely.equals,
    "s_intersects": shapely.intersects,
    "s_overlaps": shapely.overlaps,
    "s_touches": shapely.touches,
    "s_within": shapely.within,
}
_TURNED = {"s_contains": "s_within", "s_within": "s_contains"}
"""The predicate with its arguments exchanged; all others are symmetric."""


def shape_value(value: Value) -> Value:
    """Read a value as a shape; null where it is none."""
    return lambda item: shape_of(value(item))


def spatial_test(name: str, left: Value, right: Value, *, prepared_right: bool) -> Test:
    """Relate two shapes; unknown where one is null or GEOS cannot tell."""
    if prepared_right:  # GEOS is fast where the first shape is the prepared one
        name, left, right = _TURNED.get(name, name), right, left
    predicate = _PREDICATES[name]

    def test(item: Json) -> bool | None:
        a, b = left(item), right(item)
        if a is None or b is None:
            return None
        try:
            return bool(predicate(a, b))
        except shapely.errors.GEOSException:
            return None

    return test
