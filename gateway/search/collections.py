"""One harmonised collection out of those of several sites: the union of what they tell. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from edges.model import Json
from edges.stac.links import collection_links

_UNITED = ("extent", "summaries", "providers", "item_assets", "keywords", "stac_extensions")


def unite(collections: Iterable[tuple[str, Json]], *, base: str) -> list[Json]:
    """Return the harmonised collections, by id, from (site, collection) pairs in the sites' order of priority."""
    by_id: dict[str, list[tuple[str, Json]]] = {}
    for site, collection in collections:
        by_id.setdefault(str(collection.get("id")), []).append((site, collection))
    return [_united(name, copies, base) for name, copies in sorted(by_id.items())]


def _united(name: str, copies: list[tuple[str, Json]], base: str) -> Json:
    first = copies[0][1]
    each = [collection for _, collection in copies]
    licences = {collection.get("license", "other") for collection in each}
    return {
        **{key: value for key, value in first.items() if key not in ("links", *_UNITED)},
        "type": "Collection",
        "id": name,
        "stac_version": first.get("stac_version", "1.0.0"),
        "stac_extensions": _distinct(value for one in each for value in one.get("stac_extensions") or []),
        "description": first.get("description") or name,
        "license": licences.pop() if len(licences) == 1 else "other",
        "extent": _extent([one.get("extent") or {} for one in each]),
        "summaries": _summaries([one.get("summaries") or {} for one in each]),
        "keywords": _distinct(value for one in each for value in one.get("keywords") or []),
        "providers": _distinct(value for one in each for value in one.get("providers") or []),
        "item_assets": {key: value for one in reversed(each) for key, value in (one.get("item_assets") or {}).items()},
        "federation:backends": sorted({site for site, _ in copies}),
        "links": collection_links(base, name),
    }


def _extent(extents: Sequence[Json]) -> Json:
    boxes = [box for extent in extents for box in ((extent.get("spatial") or {}).get("bbox") or [])[:1] if _is_box(box)]
    spans = [span for extent in extents for span in ((extent.get("temporal") or {}).get("interval") or [])[:1]]
    flat = [(box[0], box[1], box[len(box) // 2], box[len(box) // 2 + 1]) for box in boxes]
    hull = [
        min((box[0] for box in flat), default=-180.0),
        min((box[1] for box in flat), default=-90.0),
        max((box[2] for box in flat), default=180.0),
        max((box[3] for box in flat), default=90.0),
    ]
    starts, ends = [span[0] for span in spans], [span[1] for span in spans]
    return {
        "spatial": {"bbox": [hull]},
        "temporal": {
            "interval": [
                [
                    None if None in starts or not starts else min(starts),
                    None if None in ends or not ends else max(ends),
                ]
            ]
        },
    }


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) in (4, 6) and all(isinstance(value, int | float) for value in box)


def _summaries(summaries: Sequence[Json]) -> Json:
    united: Json = {}
    for summary in summaries:
        for key, value in summary.items():
            united[key] = _summary(united[key], value) if key in united else value
    return united


def _summary(ours: Any, theirs: Any) -> Any:
    """Unite two summaries: a range becomes the hull, a set the union; what differs in kind stays the first's."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return _distinct([*ours, *theirs])
    if _is_range(ours) and _is_range(theirs):
        return ours | {
            "minimum": min(ours["minimum"], theirs["minimum"]),
            "maximum": max(ours["maximum"], theirs["maximum"]),
        }
    return ours


def _is_range(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(end), int | float) for end in ("minimum", "maximum"))


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
