"""What each site holds of a set of items: counted over groups of copies. Pure."""

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from edges.model import Frozen, Members
from gateway.search.merge import Group

_BYTES = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "int32": 4, "uint32": 4, "float32": 4}
_DEFAULT_BYTES = 8
_ASSETS = msgspec.json.Decoder(dict[str, dict[str, Any]])
_METADATA_ROLES = frozenset({"metadata", "thumbnail", "overview"})


class Holding(Frozen):
    """Items and bytes at one site; ``estimated`` bytes are those that no ``file:size`` tells."""

    site: str
    items: int = 0
    bytes: int = 0
    estimated: int = 0


class Holdings(Frozen):
    """What the sites hold of a set of ``items`` distinct items of ``bytes`` in all. ``cut``: there were more."""

    items: int
    bytes: int
    sites: tuple[Holding, ...]
    cut: bool = False

    def at(self, site: str) -> Holding:
        """Return one site's holding, which may be empty."""
        return next((holding for holding in self.sites if holding.site == site), Holding(site=site))


Sizes = dict[str, tuple[int, int]]
"""Bytes of one item at each site that has a copy, and how many of them are estimated."""


def sizes_of(group: Group) -> Sizes:
    """Measure the copies of one item; the first one of a site that has several productions of its scene."""
    return {row.site: item_bytes(row.item) for row in reversed(group)}


def weigh(measured: Iterable[Sizes], *, limit: int) -> Holdings:
    """Count items and bytes per site, over at most ``limit`` items."""
    items = total = 0
    tally: dict[str, list[int]] = {}
    for sizes in measured:
        if items == limit:
            return _holdings(items, total, tally, cut=True)
        items += 1
        total += max(size for size, _ in sizes.values())
        for site, (size, estimated) in sizes.items():
            counts = tally.setdefault(site, [0, 0, 0])
            counts[0] += 1
            counts[1] += size
            counts[2] += estimated
    return _holdings(items, total, tally, cut=False)


def _holdings(items: int, total: int, tally: dict[str, list[int]], *, cut: bool) -> Holdings:
    sites = tuple(
        Holding(site=site, items=counts[0], bytes=counts[1], estimated=counts[2])
        for site, counts in sorted(tally.items())
    )
    return Holdings(items=items, bytes=total, sites=sites, cut=cut)


def item_bytes(item: Members) -> tuple[int, int]:
    """Return the bytes of an item's data assets, and how many of them are estimated."""
    assets = _ASSETS.decode(item.get("assets", msgspec.Raw(b"{}")))
    properties = msgspec.json.decode(item.get("properties", msgspec.Raw(b"{}")))
    known = estimated = 0
    for asset in assets.values():
        size = asset.get("file:size")
        if isinstance(size, int) and size >= 0:
            known += size
        elif not _METADATA_ROLES.intersection(asset.get("roles") or ()):
            estimated += _estimate(asset, properties)
    return known + estimated, estimated


def _estimate(asset: dict[str, Any], properties: dict[str, Any]) -> int:
    """Bound an asset's size from above by its grid: ``proj:shape`` x bands x bytes per sample; 0 if unknown."""
    shape = asset.get("proj:shape") or properties.get("proj:shape")
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(side, int) and side > 0 for side in shape)):
        return 0
    bands = asset.get("raster:bands") or asset.get("bands") or [{}]
    kind = asset.get("data_type") or (bands[0].get("data_type") if isinstance(bands[0], dict) else None)
    return math.prod(shape) * len(bands) * _BYTES.get(str(kind), _DEFAULT_BYTES)
