"""The documents of a STAC API: landing page, conformance, collections, pages of items.

Pure builders; every address comes from the ``base`` that the caller was configured with. Pages are joined
from the items' own bytes: an item that we only pass on is never decoded and encoded again.
"""

from collections.abc import Iterable, Sequence

import msgspec

from edges.model import Bytes, Json, Members
from edges.stac.free_text import FREE_TEXT_CLASS
from edges.stac.links import (
    GEOJSON_TYPE,
    JSON_TYPE,
    QUERYABLES_REL,
    SCHEMA_TYPE,
    SORTABLES_REL,
    link,
    own_collection,
    url_of,
)
from edges.unwritten import unwritten

STAC_VERSION = "1.1.0"
OPENAPI_TYPE = "application/vnd.oai.openapi+json;version=3.1"

_API = "https://api.stacspec.org"
_OGC = "http://www.opengis.net/spec"
_CQL2 = (
    "cql2-text",
    "cql2-json",
    "basic-cql2",
    "advanced-comparison-operators",
    "case-insensitive-comparison",
    "accent-insensitive-comparison",
    "basic-spatial-functions",
    "basic-spatial-functions-plus",
    "spatial-functions",
    "temporal-functions",
    "array-functions",
    "property-property",
    "arithmetic",
)

CONFORMANCE: tuple[str, ...] = (
    f"{_API}/v1.0.0/core",
    f"{_API}/v1.0.0/collections",
    f"{_API}/v1.0.0/ogcapi-features",
    f"{_API}/v1.0.0/item-search",
    # Clients recognise one version or the other: both are told, the behaviour is the same.
    f"{_API}/v1.0.0/item-search#sort",
    f"{_API}/v1.1.0/item-search#sort",
    f"{_API}/v1.1.0/item-search#sortables",
    f"{_API}/v1.0.0/ogcapi-features#sort",
    f"{_API}/v1.1.0/ogcapi-features#sort",
    f"{_API}/v1.0.0/item-search#fields",
    f"{_API}/v1.0.0/ogcapi-features#fields",
    f"{_API}/v1.0.0/item-search#query",
    f"{_API}/v1.0.0/ogcapi-features#query",
    f"{_API}/v1.0.0/item-search#filter",
    f"{_API}/v1.0.0-rc.2/item-search#filter",
    f"{_API}/v1.0.0-rc.1/item-search#free-text",
    f"{_API}/v1.0.0-rc.1/item-search#advanced-free-text",
    f"{_API}/v1.0.0-rc.1/ogcapi-features#free-text",
    f"{_API}/v1.0.0-rc.1/ogcapi-features#advanced-free-text",
    FREE_TEXT_CLASS,
    f"{_OGC}/ogcapi-common-2/1.0/conf/simple-query",
    f"{_OGC}/ogcapi-features-1/1.0/conf/core",
    f"{_OGC}/ogcapi-features-1/1.0/conf/geojson",
    f"{_OGC}/ogcapi-features-3/1.0/conf/queryables",
    f"{_OGC}/ogcapi-features-3/1.0/conf/filter",
    f"{_OGC}/ogcapi-features-3/1.0/conf/features-filter",
    f"{_OGC}/ogcapi-features-5/1.0/conf/sortables",
    *(f"{_OGC}/cql2/1.0/conf/{name}" for name in _CQL2),
)
"""What a face built on ``edges.stac`` evaluates by itself."""

_ENCODER = msgspec.json.Encoder()
_FRAME_ROOM, _MOST_ROOM = 8 * 1024, 8 << 20
"""Bytes that are kept for what stands around a page's items, and for all of a page, at most."""


def entry_links(own: str, *, root: str, described: str) -> list[Json]:
    """Return the links that every landing page has: its own address, the root's, and that of the OpenAPI document."""
    search = link("search", url_of(own, "search"), GEOJSON_TYPE, "Search")
    return [
        link("self", url_of(own)),
        link("root", url_of(root)),
        link("service-desc", url_of(described, "api"), OPENAPI_TYPE),
        link("service-doc", url_of(described, "api.html"), "text/html"),
        link("conformance", url_of(own, "conformance")),
        link("data", url_of(own, "collections")),
        search | {"method": "GET"},
        search | {"method": "POST"},
        link(QUERYABLES_REL, url_of(own, "queryables"), SCHEMA_TYPE),
    ]


def landing_page(
    *,
    base: str,
    catalogue_id: str,
    title: str,
    description: str,
    conformance: Sequence[str],
    collections: Iterable[Json] = (),
) -> Json:
    """Return the landing page (STAC API Core), with a ``child`` link for each collection."""
    children = [
        link("child", url_of(base, "collections", str(one["id"])), title=str(one.get("title") or one["id"]))
        for one in collections
    ]
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": catalogue_id,
        "title": title,
        "description": description,
        "conformsTo": list(conformance),
        "links": [
            *entry_links(base, root=base, described=base),
            link(SORTABLES_REL, url_of(base, "sortables"), SCHEMA_TYPE),
            *children,
        ],
    }


def conformance_page(conformance: Sequence[str]) -> Json:
    """Return the conformance declaration."""
    return {"conformsTo": list(conformance)}


def collections_page(collections: Sequence[Json], base: str) -> Json:
    """Return all collections, each with the links of the place where we serve it."""
    return {
        "collections": [own_collection(collection, base) for collection in collections],
        "links": [link("self", url_of(base, "collections")), link("root", url_of(base))],
        "numberMatched": len(collections),
        "numberReturned": len(collections),
    }


def page_links(base: str, own: str, following: Json | None, parent: str | None = None) -> list[Json]:
    """Return the links of a page of items; ``following`` is its ``next`` link, or None on the last."""
    links = [link("self", own, GEOJSON_TYPE), link("root", url_of(base))]
    if parent is not None:
        links += [link("parent", parent, JSON_TYPE), link("collection", parent, JSON_TYPE)]
    return links if following is None else [*links, following]


def item_collection(
    items: Sequence[Members], *, links: Sequence[Json], matched: int | None = None, extra: Json | None = None
) -> Bytes:
    """Return a page of items (GeoJSON FeatureCollection); ``matched`` only where it is exact."""
    page: Json = {
        "type": "FeatureCollection",
        "stac_version": STAC_VERSION,
        "features": items,  # their own bytes, copied once
        "links": list(links),
        "numberReturned": len(items),
    }
    if matched is not None:
        page["numberMatched"] = matched
    body = unwritten(_room(items))  # grown step by step, it would be copied twice over
    _ENCODER.encode_into(page | (extra or {}), body)
    return body


def _room(items: Sequence[Members]) -> int:
    """Guess the bytes of a page: its items are about as large as the first one."""
    first = len(_ENCODER.encode(items[0])) + 1 if items else 0
    return min(first * len(items) * 9 // 8 + _FRAME_ROOM, _MOST_ROOM)
