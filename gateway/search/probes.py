"""What to ask a site so that it shows its copies of given scenes: few requests, whatever the number of scenes. Pure.

A probe names ids, or windows of time and place. It carries nothing of the user's query: who reads the answers checks
each against all of it.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from edges.model import Capabilities, Frozen, Interval, Json, Members, Query
from edges.stac.datetimes import format_instant
from edges.stac.geometry import covering_boxes
from gateway.search.scene import Span

Box = tuple[float, float, float, float]
_T = TypeVar("_T")

MAX_REQUESTS = 16
"""Requests of one probe, pages not counted: a site that cannot filter is asked for one window at a time."""
_WINDOWS_AT_ONCE = 16
"""Windows in one filter; servers bound the parts of one."""
_MARGIN = 0.01
"""Degrees around a footprint: providers draw the same one a little differently."""


class Window(Frozen):
    """Where and when the copies of a scene are: ``span`` in microseconds, ``box`` None for anywhere."""

    span: Span
    box: Box | None = None


class Ask(Frozen):
    """What one site is asked: for these ids, and for what lies in these windows. ``collections`` None is all."""

    ids: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    id_collections: tuple[str, ...] | None = None
    window_collections: tuple[str, ...] | None = None


def window_of(item: Members, span: Span) -> Window:
    """Return the window of a scene: its times, and the item's footprint with a margin."""
    boxes = covering_boxes(bytes(item.get("geometry", msgspec.Raw(b"null"))))
    if len(boxes) != 1:
        return Window(span=span)  # nowhere, or over the antimeridian: anywhere will do
    west, south, east, north = boxes[0]
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        return Window(span=span)  # metres of some projection: real items have them
    return Window(
        span=span,
        box=(
            max(-180.0, west - _MARGIN),
            max(-90.0, south - _MARGIN),
            min(180.0, east + _MARGIN),
            min(90.0, north + _MARGIN),
        ),
    )


def requests_of(ask: Ask, can: Capabilities) -> list[Query]:
    """Return the requests that put a probe to a site of these capabilities; too many is the caller's to refuse."""
    queries = [
        Query(collections=ask.id_collections, ids=chunk, limit=len(chunk))
        for chunk in _chunks(ask.ids, can.ids_at_once)
    ]
    windows = united(ask.windows)
    if not can.filter:
        return queries + [_plain(window, ask.window_collections) for window in windows]
    return queries + [
        msgspec.structs.replace(
            _plain(_around(chunk), ask.window_collections), filter=_any([_test(each) for each in chunk])
        )
        for chunk in _chunks(windows, _WINDOWS_AT_ONCE)
    ]


def united(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Return one window for all of the same time: a page's scenes are often of one pass, and neighbours."""
    boxes: dict[Span, Box | None] = {}
    for window in windows:
        boxes[window.span] = _hull(boxes[window.span], window.box) if window.span in boxes else window.box
    return tuple(Window(span=span, box=box) for span, box in sorted(boxes.items(), key=lambda pair: pair[0]))


def _around(windows: Sequence[Window]) -> Window:
    """Return one window around all, which an index serves better than many alternatives."""
    spans = [window.span for window in windows]
    box = functools.reduce(_hull, (window.box for window in windows))
    return Window(span=(min(start for start, _ in spans), max(end for _, end in spans)), box=box)


def _hull(one: Box | None, other: Box | None) -> Box | None:
    if one is None or other is None:
        return None
    return (min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3]))


def _plain(window: Window, collections: tuple[str, ...] | None) -> Query:
    start, end = window.span
    return Query(collections=collections, datetime=Interval(start=start, end=end), bbox=window.box)


def _test(window: Window) -> Json:
    first, last = ({"timestamp": format_instant(moment)} for moment in window.span)
    at_once = _all([_compared(">=", "datetime", first), _compared("<=", "datetime", last)])
    timeless: Json = {"op": "isNull", "args": [{"property": "datetime"}]}  # first: it decides for nearly all items
    over_time = _all([timeless, _compared("<=", "start_datetime", last), _compared(">=", "end_datetime", first)])
    within: list[Json] = [_any([at_once, over_time])]
    if window.box is not None:
        within.append({"op": "s_intersects", "args": [{"property": "geometry"}, _polygon(window.box)]})
    return _all(within)


def _compared(sign: str, name: str, value: Json) -> Json:
    return {"op": sign, "args": [{"property": name}, value]}


def _polygon(box: Box) -> Json:
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _all(tests: list[Json]) -> Json:
    return tests[0] if len(tests) == 1 else {"op": "and", "args": tests}


def _any(tests: list[Json]) -> Json:
    return tests[0] if len(tests) == 1 else {"op": "or", "args": tests}


def _chunks(values: Sequence[_T], size: int) -> Iterator[tuple[_T, ...]]:
    for start in range(0, len(values), size):
        yield tuple(values[start : start + size])
