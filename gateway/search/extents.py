"""The extent of one collection out of those of its copies (STAC Collection, ``extent``). Pure; expects nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

from edges.model import Json
from edges.stac.datetimes import parse_instant
from edges.stac.limits import is_number

_WORLD = [-180.0, -90.0, 180.0, 90.0]


def united_extent(extents: Sequence[Any]) -> Json:
    """Return the hull in space and time. What cannot be read adds nothing; where nothing can, it is everything."""
    return {
        "spatial": {"bbox": [_hull([box for extent in extents for box in boxes_of(extent)[:1]])]},
        "temporal": {"interval": [_span([span for extent in extents for span in intervals_of(extent)[:1]])]},
    }


def boxes_of(extent: Any) -> list[list[float]]:
    """Return the boxes of an extent as west, south, east, north in degrees (west > east crosses the antimeridian)."""
    boxes = _inside(extent, "spatial", "bbox")
    flat = [[box[0], box[1], box[len(box) // 2], box[len(box) // 2 + 1]] for box in boxes if _is_box(box)]
    return [box for box in flat if box[1] <= box[3]]


def intervals_of(extent: Any) -> list[tuple[str | None, str | None]]:
    """Return the intervals of an extent; an end that is no instant counts as open."""
    spans = _inside(extent, "temporal", "interval")
    return [(_instant(span[0]), _instant(span[1])) for span in spans if isinstance(span, list) and len(span) == 2]


def _inside(extent: Any, *path: str) -> list[Any]:
    value = extent
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, list) else []


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) in (4, 6) and all(is_number(value) for value in box)


def _instant(value: Any) -> str | None:
    try:
        parse_instant(value)
    except (ValueError, TypeError):
        return None
    return str(value)


def _hull(boxes: Sequence[Sequence[float]]) -> list[float]:
    if not boxes:
        return list(_WORLD)
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    if all(box[0] <= box[2] for box in boxes):
        return [min(box[0] for box in boxes), south, max(box[2] for box in boxes), north]
    west, east = _arc([(box[0], box[2]) for box in boxes])
    return [west, south, east, north]


def _arc(spans: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the shortest arc around arcs of which some cross the antimeridian: all longitudes but the widest gap."""
    flat = sorted(
        part for west, east in spans for part in (((west, east),) if west <= east else ((west, 180.0), (-180.0, east)))
    )
    reach, widest, gap = flat[0][1], 0.0, (0.0, 0.0)
    for west, east in flat:
        if west - reach > widest:
            widest, gap = west - reach, (reach, west)
        reach = max(reach, east)
    return (gap[1], gap[0]) if widest > 0 else (-180.0, 180.0)


def _span(spans: Sequence[tuple[str | None, str | None]]) -> list[str | None]:
    starts, ends = [span[0] for span in spans], [span[1] for span in spans]
    first = None if None in starts else min((each for each in starts if each), key=parse_instant, default=None)
    last = None if None in ends else max((each for each in ends if each), key=parse_instant, default=None)
    return [first, last]
