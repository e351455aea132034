"""What a user's collections and items must be so that clients of STAC can read them; errors name the member. Pure.

Sources: STAC 1.0.0 and 1.1.0, item and collection specification; what else stands in a document is the user's.
"""

import math
from collections.abc import Sequence
from typing import Any

from edges.catalogues.writing import checked_item
from edges.errors import InvalidInput
from edges.model import Json
from edges.stac.datetimes import sortable_instant
from edges.stac.geometry import shape_of
from edges.stac.limits import kind_of
from gateway.contributed.model import check_name
from gateway.search.rewriting import SAFE_SCHEMES

_VERSIONS = ("1.0.0", "1.1.0")
_MAX_ITEM_ID = 256
_MAX_NUMBERS = 40_000
"""Numbers in a footprint: what is finer costs searches more than it tells them."""
_RESERVED = ("federation:", "lakegate:")


def collection_checked(body: Json, name: str | None = None) -> Json:
    """Return a collection as it is kept: without links of the place that it came from.

    Raises:
        InvalidInput: names the member that is wrong.
    """
    _expect(body, "type", "Collection")
    told = check_name(body.get("id"))
    if name is not None and told != name:
        raise InvalidInput("id", repr(told)[:80], f"{name!r}, as in the address")
    _version(body)
    for member in ("description", "license"):
        _text(body, member)
    extent = _object("extent", body.get("extent"))
    _boxes(_object("extent.spatial", extent.get("spatial")).get("bbox"))
    _intervals(_object("extent.temporal", extent.get("temporal")).get("interval"))
    return _kept(body)


def item_checked(body: Json, home: str, name: str | None = None) -> Json:
    """Return an item as it is kept: of this collection, without links of the place that it came from.

    Raises:
        InvalidInput: names the member that is wrong.
    """
    _expect(body, "type", "Feature")
    _version(body)
    item = checked_item(home, body)
    told = str(item["id"])
    if len(told) > _MAX_ITEM_ID or "/" in told:
        raise InvalidInput("id", repr(told)[:80], f"at most {_MAX_ITEM_ID} characters, without '/'")
    if name is not None and told != name:
        raise InvalidInput("id", repr(told)[:80], f"{name!r}, as in the address")
    _times(_object("properties", item["properties"]))
    _geometry(item)
    _assets(item.get("assets"))
    return _kept(item)


def _kept(body: Json) -> Json:
    """Return a document without what the gateway tells itself."""
    links = body.get("links", [])
    if not isinstance(links, list) or not all(_is_link(one) for one in links):
        raise InvalidInput("links", "not an array of Link Objects", "objects with `rel` and `href`")
    kept = {name: value for name, value in body.items() if not name.startswith(_RESERVED)}
    if isinstance(kept.get("properties"), dict):
        kept["properties"] = {n: v for n, v in kept["properties"].items() if not n.startswith(_RESERVED)}
    return kept | {"links": [one for one in links if one.get("rel") not in _PLACES]}


def _is_link(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("rel"), str) and isinstance(value.get("href"), str)


_PLACES = frozenset({"self", "root", "parent", "collection", "items", "item", "child", "queryables", "aggregate"})


def _expect(body: Json, member: str, value: str) -> None:
    if body.get(member) != value:
        raise InvalidInput(member, repr(body.get(member))[:80], repr(value))


def _version(body: Json) -> None:
    if body.get("stac_version") not in _VERSIONS:
        raise InvalidInput("stac_version", repr(body.get("stac_version"))[:80], " or ".join(_VERSIONS))
    extensions = body.get("stac_extensions", [])
    if not isinstance(extensions, list) or not all(isinstance(one, str) for one in extensions):
        raise InvalidInput("stac_extensions", "not an array of texts", "an array of URIs")


def _text(body: Json, member: str) -> None:
    value = body.get(member)
    if not isinstance(value, str) or not value:
        raise InvalidInput(member, f"a JSON {kind_of(value)}" if value != "" else "empty", "text")


def _object(field: str, value: Any) -> Json:
    if not isinstance(value, dict):
        raise InvalidInput(field, f"a JSON {kind_of(value)}", "an object")
    return value


def _boxes(value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise InvalidInput("extent.spatial.bbox", f"a JSON {kind_of(value)}", "an array of one or more boxes")
    for box in value:
        _box("extent.spatial.bbox", box)


def _box(field: str, box: Any) -> None:
    numbers = box if isinstance(box, list) else []
    if len(numbers) not in (4, 6) or not all(_finite(each) for each in numbers):
        raise InvalidInput(field, repr(box)[:80], "4 or 6 numbers: west, south, (low,) east, north(, high)")
    half = len(numbers) // 2
    if numbers[1] > numbers[half + 1]:
        raise InvalidInput(field, f"south {numbers[1]:g} is north of north {numbers[half + 1]:g}", "south <= north")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _intervals(value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise InvalidInput("extent.temporal.interval", f"a JSON {kind_of(value)}", "an array of one or more intervals")
    for interval in value:
        if not isinstance(interval, list) or len(interval) != 2:
            raise InvalidInput("extent.temporal.interval", repr(interval)[:80], "pairs of times, null for an open end")
        for end in interval:
            _moment("extent.temporal.interval", end)


def _moment(field: str, value: Any) -> int | None:
    if value is None:
        return None
    instant = sortable_instant(value) if isinstance(value, str) else None
    if instant is None:
        raise InvalidInput(field, repr(value)[:80], "RFC 3339 text, as 2024-11-17T12:00:00Z")
    return instant


def _times(properties: Json) -> None:
    """Check the times of an item (STAC item specification, date and time)."""
    start, end = (_moment(f"properties.{name}", properties.get(name)) for name in ("start_datetime", "end_datetime"))
    if "datetime" not in properties:
        raise InvalidInput("properties.datetime", "missing", "a time, or null with start_datetime and end_datetime")
    if _moment("properties.datetime", properties["datetime"]) is None and (start is None or end is None):
        raise InvalidInput("properties.datetime", "null", "a time, or start_datetime and end_datetime beside it")
    if start is not None and end is not None and start > end:
        raise InvalidInput("properties.end_datetime", "before start_datetime", "an end that is not before the start")


def _geometry(item: Json) -> None:
    geometry = item.get("geometry")
    if geometry is None:
        return
    if _numbers(geometry) > _MAX_NUMBERS:
        raise InvalidInput("geometry", f"more than {_MAX_NUMBERS // 2} positions", "a coarser footprint")
    try:
        shape = shape_of(geometry)
    except InvalidInput:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidInput("geometry", "it cannot be read", "a GeoJSON geometry") from error
    if shape is None:
        raise InvalidInput("geometry", "it cannot be read", "a GeoJSON geometry")
    _box("bbox", item.get("bbox"))


def _numbers(geometry: Json) -> int:
    """Count the numbers of a geometry's positions, iteratively, and no further than is taken."""
    count, level = 0, [geometry.get("coordinates"), geometry.get("geometries")]
    while level and count <= _MAX_NUMBERS:
        value = level.pop()
        if isinstance(value, list):
            level += value
        elif isinstance(value, dict):
            level += [value.get("coordinates"), value.get("geometries")]
        elif value is not None:
            count += 1
    return count


def _assets(value: Any) -> None:
    for name, asset in _object("assets", value).items():
        href = _object(f"assets.{name}", asset).get("href")
        if not isinstance(href, str) or not href.startswith(SAFE_SCHEMES):
            raise InvalidInput(
                f"assets.{name}.href", repr(href)[:80], f"an absolute address: {', '.join(SAFE_SCHEMES)}"
            )


def features_of(body: Json) -> Sequence[Json]:
    """Return the items of an ItemCollection.

    Raises:
        InvalidInput: it has none, or something else.
    """
    features = body.get("features")
    if not isinstance(features, list) or not features or not all(isinstance(one, dict) for one in features):
        raise InvalidInput("features", "not an array of objects, or empty", "an array of STAC Items")
    seen: set[str] = set()
    for one in features:
        name = one.get("id")
        if isinstance(name, str) and name in seen:
            raise InvalidInput("features", f"item {name[:80]!r} stands twice", "each id once")
        seen.add(str(name))
    return features
