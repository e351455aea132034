"""What EODAG tells of a product or a collection, as STAC 1.1. Pure: works on plain values.

EODAG's own ``as_dict`` validates each item against a model that it builds anew, at about 15 ms; what it adds (the
declared extensions, no internal values) is done here from the names of the properties.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edges.model import Frozen, Json, Members

NOT_AVAILABLE = "Not Available"
"""What EODAG says where a provider tells nothing."""

_MEMBERS = msgspec.json.Decoder(Members)
_SAFE = ("https://", "http://", "s3://", "gs://", "az://", "abfs://", "ftp://")
_TIERS = {
    "succeeded": "online",
    "orderable": "offline",
    "ordered": "staging",
    "pending": "staging",
    "shipping": "staging",
}
_EXTENSIONS = {
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "sar": "https://stac-extensions.github.io/sar/v1.0.0/schema.json",
    "sat": "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
    "view": "https://stac-extensions.github.io/view/v1.0.0/schema.json",
    "grid": "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
    "order": "https://stac-extensions.github.io/order/v1.1.0/schema.json",
    "storage": "https://stac-extensions.github.io/storage/v1.0.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "product": "https://stac-extensions.github.io/product/v1.0.0/schema.json",
    "sci": "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
}


class Product(Frozen):
    """A product as EODAG told it: ``geometry`` is GeoJSON, ``bounds`` west, south, east, north."""

    collection: str
    properties: Mapping[str, Any]
    assets: Mapping[str, Mapping[str, Any]]
    geometry: Json | None
    bounds: tuple[float, ...] = ()


def item_of(product: Product) -> Members | None:
    """Return the product as a STAC item; None for what has no id."""
    told = product.properties
    item_id = told.get("id")
    if not isinstance(item_id, str) or not item_id:
        return None
    properties = _properties(told)
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": sorted({_EXTENSIONS[name] for name in _prefixes(properties) if name in _EXTENSIONS}),
        "id": item_id,
        "collection": product.collection,
        "geometry": product.geometry,
        "bbox": list(product.bounds),
        "properties": properties,
        "links": [],
        "assets": _assets(product),
    }
    return _MEMBERS.decode(msgspec.json.encode(item))


def _properties(told: Mapping[str, Any]) -> Json:
    """Keep what is STAC: nothing internal, nothing that says that there is nothing."""
    kept = {name: _plain(value) for name, value in told.items() if _is_told(name, value)}
    status = kept.get("order:status")
    if status in _TIERS:
        kept.setdefault("storage:tier", _TIERS[status])
    kept["datetime"] = kept.get("datetime") or kept.get("start_datetime")
    return kept


def _is_told(name: str, value: Any) -> bool:
    internal = name in ("id", "geometry", "collection", "federation:backends") or name.startswith(("eodag:", "_"))
    return not internal and value is not None and value != NOT_AVAILABLE


def _plain(value: Any) -> Any:
    """Return the value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items() if each != NOT_AVAILABLE}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _prefixes(properties: Json) -> set[str]:
    return {name.partition(":")[0] for name in properties if ":" in name}


def _assets(product: Product) -> Json:
    found = {
        key: {name: _plain(value) for name, value in asset.items() if _is_told(name, value)}
        for key, asset in product.assets.items()
        if _is_address(asset.get("href"))
    }
    told = product.properties
    whole = told.get("eodag:download_link")
    if _is_address(whole) and all(asset["href"] != whole for asset in found.values()):
        found["downloadLink"] = {"href": whole, "title": "The whole product", "roles": ["data"]}
    picture = next((told[name] for name in ("eodag:thumbnail", "eodag:quicklook") if _is_address(told.get(name))), None)
    if picture is not None:
        found.setdefault("thumbnail", {"href": picture, "roles": ["thumbnail"]})
    return found


def _is_address(href: Any) -> bool:
    """Keep out paths of this machine, and addresses that EODAG has not filled in."""
    return isinstance(href, str) and href.startswith(_SAFE) and "%(" not in href


def collection_of(told: Mapping[str, Any]) -> Json:
    """Return a collection as EODAG describes it as a STAC Collection."""
    name = str(told.get("id") or "")
    summaries = {
        key: _listed(told.get(key))
        for key in ("platform", "constellation", "instruments", "processing:level", "gsd")
        if _listed(told.get(key))
    }
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "title": str(told.get("title") or name),
        "description": str(told.get("description") or told.get("title") or name),
        "license": str(told.get("license") or "other"),
        "keywords": _listed(told.get("keywords")),
        "extent": _extent(told.get("extent")),
        "summaries": summaries,
        "links": [],
    }


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip() and part != NOT_AVAILABLE]
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return [_plain(each) for each in value]
    return [] if value is None else [_plain(value)]


def _extent(told: Any) -> Json:
    extent = told if isinstance(told, Mapping) else {}
    spatial, temporal = extent.get("spatial") or {}, extent.get("temporal") or {}
    return {
        "spatial": {"bbox": _plain(spatial.get("bbox") or [[-180, -90, 180, 90]])},
        "temporal": {"interval": _plain(temporal.get("interval") or [[None, None]])},
    }
