"""The bands of an asset: ``eo:bands`` and ``raster:bands`` (STAC 1.0) and the common ``bands`` (STAC 1.1). Pure."""

from typing import Any, TypeGuard

from edges.model import Json

_OLD = ("eo:bands", "raster:bands")
_EO_COMMON = frozenset({"name", "description"})
_RASTER_COMMON = frozenset({"nodata", "data_type", "statistics", "unit"})


def to_common(asset: Json) -> Json:
    """Return the asset with ``bands`` (STAC 1.1, migration of eo and raster v1); as it is where it has them already."""
    eo, raster = (asset.get(name) for name in _OLD)
    if "bands" in asset or not (_are_objects(eo) or _are_objects(raster)):
        return asset
    if _are_objects(eo) and _are_objects(raster) and len(eo) != len(raster):
        return asset  # no telling which belongs to which
    count = max(len(each) for each in (eo, raster) if _are_objects(each))
    bands = [
        _prefixed(eo, index, "eo:", _EO_COMMON) | _prefixed(raster, index, "raster:", _RASTER_COMMON)
        for index in range(count)
    ]
    return {name: value for name, value in asset.items() if name not in _OLD} | {"bands": bands}


def from_common(asset: Json) -> Json:
    """Return the asset with ``eo:bands`` and ``raster:bands`` in place of ``bands``."""
    bands = asset.get("bands")
    if not _are_objects(bands) or any(name in asset for name in _OLD):
        return asset
    told = {
        "eo:bands": [_bare(band, "eo:", _EO_COMMON) for band in bands],
        "raster:bands": [_bare(band, "raster:", _RASTER_COMMON) for band in bands],
    }
    kept = {name: value for name, value in asset.items() if name != "bands"}
    return kept | {name: each for name, each in told.items() if any(each)}


def _prefixed(bands: Any, index: int, prefix: str, common: frozenset[str]) -> Json:
    if not _are_objects(bands):
        return {}
    return {name if name in common or ":" in name else prefix + name: value for name, value in bands[index].items()}


def _bare(band: Json, prefix: str, common: frozenset[str]) -> Json:
    other = _RASTER_COMMON if common is _EO_COMMON else _EO_COMMON
    foreign = "raster:" if prefix == "eo:" else "eo:"
    home = prefix == "eo:"  # what belongs to neither stays with the first
    return {
        name.removeprefix(prefix): value
        for name, value in band.items()
        if name.startswith(prefix) or name in common or (home and name not in other and not name.startswith(foreign))
    }


def _are_objects(bands: Any) -> TypeGuard[list[Json]]:
    return isinstance(bands, list) and bool(bands) and all(isinstance(band, dict) for band in bands)
