"""The item as it stands at the target after copying. Pure.

Sources: STAC File v2.1.0, Storage v2.0.0, Alternate Assets v1.2.0, Timestamps v1.1.0 (``expires``).
"""

from collections.abc import Iterable, Mapping

from edges.model import Json
from harvest.model import Value
from harvest.wanted import absolute_href

FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
STORAGE = "https://stac-extensions.github.io/storage/v2.0.0/schema.json"
ALTERNATE = "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json"
TIMESTAMPS = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json"

_CATALOGUE_LINKS = frozenset({"self", "parent", "root", "collection"})
"""Links that each catalogue gives for itself."""


class Copy(Value, frozen=True):
    """One copied asset.

    ``checksum`` is a multihash, if one is known; ``size`` in bytes; ``site`` and ``source`` are its origin.
    ``expires`` (RFC 3339) is when it may go.
    """

    href: str
    checksum: str | None
    size: int
    site: str
    source: str
    expires: str | None = None


class Scheme(Value, frozen=True):
    """Where the copies lie, as readers must know it: the target's name, and its S3 service and bucket."""

    name: str
    endpoint: str
    bucket: str
    region: str


class Standing(Value, frozen=True):
    """What stands at the target already: the item as it is, and as it was before our first copy (None: none).

    ``gone`` are addresses of copies that are being removed.
    """

    existing: Json | None = None
    native: Json | None = None
    gone: frozenset[str] = frozenset()


def replica_item(item: Json, copies: Mapping[str, Copy], scheme: Scheme, standing: Standing) -> Json:
    """Return the item with the copied assets at the target.

    Id, collection, geometry and properties stay; only the storage scheme is added to the properties. Each
    copied asset keeps its original address under ``alternate``. Assets that were not copied stay where they
    are, unless the item at the target says that they were copied earlier, or had them before any harvest.
    """
    earlier = _copied_earlier(standing, scheme)
    native = {name: asset for name, asset in _assets(standing.native).items() if name not in copies}
    assets = {
        name: _copied(asset, copies[name], scheme) if name in copies else earlier.get(name) or _left(item, asset)
        for name, asset in _assets(item).items()
    }
    properties = dict(item.get("properties") or {})
    if copies or earlier:
        schemes = properties.get("storage:schemes") or {}
        properties["storage:schemes"] = {**schemes, scheme.name: _scheme(scheme)}
    links = item.get("links") or []
    told = _with_extensions(item.get("stac_extensions") or (), expiring=any(each.expires for each in copies.values()))
    return {
        **item,
        "stac_extensions": told if copies or earlier else list(item.get("stac_extensions") or ()),
        "properties": properties,
        "assets": {**assets, **{name: asset for name, asset in earlier.items() if name not in assets}, **native},
        "links": [link for link in links if isinstance(link, dict) and link.get("rel") not in _CATALOGUE_LINKS],
    }


def registered_alike(item: Json, existing: Json | None) -> bool:
    """Tell whether a catalogue's item says what a found one does, wherever its assets lie now."""
    if existing is None or any(existing.get(name) != item.get(name) for name in ("geometry", "bbox")):
        return False
    told, there = (
        {name: value for name, value in (each.get("properties") or {}).items() if name != "storage:schemes"}
        for each in (item, existing)
    )
    held = _assets(existing)
    return told == there and all(
        name in held and ("storage:refs" in held[name] or held[name].get("href") == _left(item, asset).get("href"))
        for name, asset in _assets(item).items()
    )


def _assets(item: Json | None) -> dict[str, Json]:
    assets = (item or {}).get("assets")
    pairs = assets.items() if isinstance(assets, dict) else ()
    return {name: asset for name, asset in pairs if isinstance(asset, dict)}


def undangled(item: Json, gone: frozenset[str], site: str) -> Json:
    """Return a catalogue's item without the copies at these addresses: assets lie where they came from again."""
    assets: dict[str, Json] = {}
    for name, asset in _assets(item).items():
        if asset.get("href") not in gone:
            assets[name] = asset
            continue
        alternates = asset.get("alternate")
        others = [
            other for other in (alternates if isinstance(alternates, dict) else {}).values() if isinstance(other, dict)
        ]
        if others:
            left = {key: value for key, value in asset.items() if key not in ("storage:refs", "expires", "alternate")}
            assets[name] = {**left, "href": others[0].get("href")}
    properties = dict(item.get("properties") or {})
    if not any(site in (asset.get("storage:refs") or ()) for asset in assets.values()):
        properties["storage:schemes"] = {
            name: scheme for name, scheme in (properties.get("storage:schemes") or {}).items() if name != site
        }
    return {**item, "properties": properties, "assets": assets}


def minimal_collection(collection: str, items: Iterable[Json]) -> Json:
    """Return a collection of which nothing is known but some items: valid STAC 1.1, and honest about it."""
    boxes = [item["bbox"] for item in items if isinstance(item.get("bbox"), list) and len(item["bbox"]) == 4]
    columns = list(zip(*boxes, strict=True)) if boxes else [(-180.0,), (-90.0,), (180.0,), (90.0,)]
    box = [min(columns[0]), min(columns[1]), max(columns[2]), max(columns[3])]
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": collection,
        "description": f"Copies of items of {collection}",
        "license": "other",
        "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }


def _copied(asset: Json, copy: Copy, scheme: Scheme) -> Json:
    told = asset.get("alternate")
    alternates = {
        name: other for name, other in (told if isinstance(told, dict) else {}).items() if name != scheme.name
    }
    origin = copy.site or "source"
    return {
        **asset,
        "href": copy.href,
        **({} if copy.checksum is None else {"file:checksum": copy.checksum}),
        "file:size": copy.size,
        "storage:refs": [scheme.name],
        "alternate": {origin: {"href": copy.source, "alternate:name": origin}, **alternates},
        **({"expires": copy.expires} if copy.expires else {}),
    }


def _left(item: Json, asset: Json) -> Json:
    href = asset.get("href")
    return {**asset, "href": absolute_href(item, href)} if isinstance(href, str) else asset


def _copied_earlier(standing: Standing, scheme: Scheme) -> dict[str, Json]:
    if standing.existing is None:
        return {}
    ours = f"s3://{scheme.bucket}/"
    assets = _assets(standing.existing)
    found = {name: str(asset.get("href", "")) for name, asset in assets.items()}
    kept = {name for name, href in found.items() if href.startswith(ours) and href not in standing.gone}
    return {name: asset for name, asset in assets.items() if name in kept}


def _scheme(scheme: Scheme) -> Json:
    return {
        "type": "custom-s3",
        "platform": f"{scheme.endpoint.rstrip('/')}/{{bucket}}",
        "bucket": scheme.bucket,
        "region": scheme.region,
        "requester_pays": False,
    }


def _with_extensions(present: Iterable[str], *, expiring: bool) -> list[str]:
    kept = [uri for uri in present if isinstance(uri, str)]
    return list(dict.fromkeys([*kept, FILE, STORAGE, ALTERNATE, *([TIMESTAMPS] if expiring else [])]))
