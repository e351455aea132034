"""One harmonised collection out of those of several sites: the union of what they tell. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from edges.model import Json
from edges.stac.limits import is_number
from edges.stac.links import OWN_RELS, collection_links
from gateway.search.extents import united_extent

_SITES_RELS = OWN_RELS | {"item", "child", "children", "data", "search", "service-desc", "service-doc", "conformance"}
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
    licences = [one["license"] for one in each if isinstance(one.get("license"), str)]
    return {
        **{key: value for key, value in first.items() if key not in ("links", *_UNITED)},
        "type": "Collection",
        "id": name,
        "stac_version": first.get("stac_version", "1.0.0"),
        "stac_extensions": _distinct(value for one in each for value in _list(one, "stac_extensions")),
        "description": first.get("description") or name,
        "license": licences[0] if licences and len(set(licences)) == 1 else "other",
        "extent": united_extent([one.get("extent") for one in each]),
        "summaries": _summaries([_object(one, "summaries") for one in each]),
        "keywords": _distinct(value for one in each for value in _list(one, "keywords")),
        "providers": _distinct(value for one in each for value in _list(one, "providers")),
        "item_assets": {key: value for one in reversed(each) for key, value in _object(one, "item_assets").items()},
        "federation:backends": sorted({site for site, _ in copies}),
        "links": [*collection_links(base, name), *_foreign_links(each)],
    }


def _list(collection: Json, name: str) -> list[Any]:
    value = collection.get(name)
    return value if isinstance(value, list) else []


def _object(collection: Json, name: str) -> Json:
    value = collection.get(name)
    return value if isinstance(value, dict) else {}


def _foreign_links(collections: Iterable[Json]) -> list[Json]:
    """Return the links that lead elsewhere, as to a licence; not those that say where the sites serve things."""
    given = [one for collection in collections for one in _list(collection, "links") if isinstance(one, dict)]
    return _distinct(
        one
        for one in given
        if isinstance(one.get("rel"), str)
        and one["rel"] not in _SITES_RELS
        and isinstance(one.get("href"), str)
        and one["href"].startswith(("https://", "http://"))
    )


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
    return isinstance(value, dict) and all(is_number(value.get(end)) for end in ("minimum", "maximum"))


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
