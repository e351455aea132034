"""The assets of one item at several sites, told as one: where else its bytes are, and where the sites disagree. Pure.

Sources: STAC alternate-assets v1.2.0 (an alternate must be the same bytes), storage v2.0.0 (``storage:refs`` name
``storage:schemes`` of the item), file v2.1.0 (checksum and size).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from edges.model import Json, Members
from gateway.search.merge import Row
from gateway.search.rewriting import SAFE_SCHEMES

ALTERNATE_EXTENSION = "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json"
STORAGE_EXTENSION = "https://stac-extensions.github.io/storage/v2.0.0/schema.json"
FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"

_PROOFS = ("file:checksum", "file:size")
_TOLD = ("file:", "storage:", "order:", "auth:")
_ASSETS = msgspec.json.Decoder(dict[str, dict[str, Any]])
_OBJECT = msgspec.json.Decoder(dict[str, Any])

Assets = dict[str, Json]


class Merged(msgspec.Struct, frozen=True):
    """What the copies of an item tell together.

    ``conflicts`` are the assets that cannot be the same bytes: ``asset``, ``field`` and the ``values`` by site.
    ``schemes`` are all ``storage:schemes`` that the assets refer to.
    """

    assets: Assets
    conflicts: list[Json]
    schemes: Json
    extensions: tuple[str, ...]


def merge_assets(copies: Sequence[Row]) -> Merged:
    """Return the first copy's assets, each with the others' addresses as alternates, in the copies' order."""
    own = _assets(copies[0].item)
    schemes = _schemes(copies[0].item)
    conflicts: list[Json] = []
    offered: dict[str, dict[str, Json]] = {name: {} for name in own}
    for row in copies[1:]:
        theirs = _assets(row.item)
        renamed = _united(schemes, row)
        for name, asset in own.items():
            other = _same(name, asset, theirs)
            if other is None:
                continue
            disagreed = [proof for proof in _PROOFS if _disagree(asset, other, proof)]
            conflicts += [_conflict(name, proof, copies[0], asset, row, other) for proof in disagreed]
            if not disagreed:
                offered[name] |= _offers(row.site, other, asset, renamed)
    assets = {name: _with_alternates(asset, offered[name]) for name, asset in own.items()}
    return Merged(assets=assets, conflicts=conflicts, schemes=schemes, extensions=_extensions(assets, schemes))


def _assets(item: Members) -> Assets:
    try:
        return _ASSETS.decode(item.get("assets", b"{}"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}  # assets that are no assets: the copy has nothing to offer


def _schemes(item: Members) -> Json:
    properties = bytes(item.get("properties", b"{}"))
    if b"storage:schemes" not in properties:
        return {}
    try:
        schemes = _OBJECT.decode(properties).get("storage:schemes")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return schemes if isinstance(schemes, dict) else {}


def _united(schemes: Json, row: Row) -> Mapping[str, str]:
    """Take in a copy's storage schemes; return the names of those whose own name means something else already."""
    renamed: dict[str, str] = {}
    for name, scheme in _schemes(row.item).items():
        if schemes.setdefault(name, scheme) != scheme:
            renamed[name] = f"{row.site}:{name}"
            schemes[renamed[name]] = scheme
    return renamed


def _same(name: str, asset: Json, theirs: Assets) -> Json | None:
    """Return the copy's asset of this name, or of this checksum under another name."""
    if name in theirs:
        return theirs[name]
    checksum = asset.get("file:checksum")
    if not isinstance(checksum, str):
        return None
    return next((other for other in theirs.values() if other.get("file:checksum") == checksum), None)


def _disagree(ours: Json, theirs: Json, proof: str) -> bool:
    """Tell whether two assets cannot be the same bytes; checksums of different algorithms say nothing."""
    one, other = ours.get(proof), theirs.get(proof)
    if one is None or other is None:
        return False
    if isinstance(one, str) and isinstance(other, str):
        one, other = one.lower(), other.lower()
        return one != other and one[:4] == other[:4] and len(one) == len(other)
    return bool(one != other)


def _conflict(name: str, proof: str, ours: Row, asset: Json, theirs: Row, other: Json) -> Json:
    return {"asset": name, "field": proof, "values": {ours.site: asset[proof], theirs.site: other[proof]}}


def _offers(site: str, other: Json, asset: Json, renamed: Mapping[str, str]) -> dict[str, Json]:
    """Return where a site has the asset's bytes: its address, unless it is ours too, and those it tells of."""
    found = {name: value for name, value in _object(other.get("alternate")).items() if isinstance(value, dict)}
    href = other.get("href")
    if isinstance(href, str) and href.startswith(SAFE_SCHEMES) and href != asset.get("href"):
        told = {name: value for name, value in other.items() if name.startswith(_TOLD)}
        found[site] = {"href": href, "alternate:name": site} | told
    return {name: _renamed(value, renamed) for name, value in found.items()}


def _renamed(alternate: Json, renamed: Mapping[str, str]) -> Json:
    refs = alternate.get("storage:refs")
    if not renamed or not isinstance(refs, list):
        return alternate
    return alternate | {"storage:refs": [renamed.get(ref, ref) if isinstance(ref, str) else ref for ref in refs]}


def _with_alternates(asset: Json, offered: dict[str, Json]) -> Json:
    if not offered:
        return asset
    return asset | {"alternate": offered | _object(asset.get("alternate"))}


def _extensions(assets: Assets, schemes: Json) -> tuple[str, ...]:
    alternates = [each for asset in assets.values() for each in _objects(asset.get("alternate"))]
    told = {name for each in (*assets.values(), *alternates) for name in each}
    used = (
        (ALTERNATE_EXTENSION, bool(alternates)),
        (STORAGE_EXTENSION, bool(schemes)),
        (FILE_EXTENSION, not told.isdisjoint(_PROOFS)),
    )
    return tuple(extension for extension, is_used in used if is_used)


def _objects(value: Any) -> Iterable[Json]:
    return (each for each in _object(value).values() if isinstance(each, dict))


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
