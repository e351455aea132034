"""Scenes of Landsat, of MODIS and VIIRS, and of HLS, by the names of their granules; and of any other mission. Pure.

Sources: Landsat Collection 2 Product Identifier (LSDS-1618 and LSDS-1619), MODIS and VIIRS Land file naming (LP DAAC),
HLS Product User Guide 2.0 §6.2.
"""

import re
from typing import Any

import msgspec

from edges.stac.datetimes import parse_instant
from gateway.search.scene import Facts, Scene, Span, compact_time, from_moment, named, whole_day

_LANDSAT = re.compile(
    r"(L[COTEM]\d\d)_(L[A-Z0-9]{3})_(\d{6})_(\d{8})_(?:(\d{8})_)?(\d\d)_(RT|T1|T2|A1|A2)(?:_(SR|ST))?"
)
_LANDSAT_TILE = re.compile(r"(L[COTEM]\d\d)_(CU|AK|HI)_(\d{6})_(\d{8})_(\d{8})_(\d\d)(?:_([A-Z]+))?")
_MODIS = re.compile(r"((?:MOD|MYD|MCD|VNP|VJ1|VJ2)[0-9A-Z_]+)\.A(\d{7})\.(h\d\dv\d\d|\d{4})\.(\d{3})\.(\d{13})")
_HLS = re.compile(r"HLS\.([LS]30)\.T(\d\d[A-Z]{3})\.(\d{7}T\d{6})\.v(\d+\.\d+)")
_CMR_ID = re.compile(r"G\d+-[A-Z0-9_]+")
_KNOWN = re.compile(r"(sentinel|landsat|terra|aqua|suomi|snpp|noaa|s[1-6][a-d]?$|s5p)")
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_COMPOSED_DAYS = 33
"""Composites of MODIS and VIIRS span up to 32 days; some providers date them by their middle."""


def landsat(facts: Facts) -> Scene | None:
    """Read a Landsat scene; its production is known by the date of processing, the collection and its tier."""
    found = named(_LANDSAT, facts, facts.told.landsat_product)
    if found is None:
        return _landsat_tile(facts)
    sensor, level, place, acquired, processed, collection, tier, part = found.groups()
    observation = ("landsat", sensor, level, place, acquired, part or _part(facts.assets))
    if processed is None:
        processed = _processed(f"{sensor}_{level}_{place}_{acquired}", f"{collection}_{tier}", facts)
    production = f"{processed}-{collection}-{tier}" if processed is not None else None
    return _scene(observation, production, whole_day(acquired))


def _part(assets: bytes) -> str:
    """Return which half of a Level-2 scene this is: USGS lists reflectance and temperature apart, under one id."""
    halves = [name for name in ("SR", "ST") if re.search(rb"_%b_B\d" % name.encode(), assets)]
    return halves[0] if len(halves) == 1 else ""


def _processed(head: str, tail: str, facts: Facts) -> str | None:
    pattern = rb"%b_(\d{8})_%b" % (head.encode(), tail.encode())
    days = {found[1].decode() for found in re.finditer(pattern, facts.assets)}
    if len(days) == 1:
        return days.pop()
    told = compact_time(facts.told.landsat_generated)
    return told[:8] if told is not None else None


def _landsat_tile(facts: Facts) -> Scene | None:
    found = named(_LANDSAT_TILE, facts, facts.told.landsat_product)
    if found is None:
        return None
    sensor, region, place, acquired, processed, collection, part = found.groups()
    return _scene(
        ("landsat", sensor, region, place, acquired, part or ""), f"{processed}-{collection}", whole_day(acquired)
    )


def modis(facts: Facts) -> Scene | None:
    """Read a granule of MODIS or VIIRS; collections (as 006, 061) and production times are its productions."""
    found = named(_MODIS, facts)
    if found is None:
        return None
    product, acquired, place, collection, produced = found.groups()
    return _scene(
        ("granule", product, acquired, place), f"{collection}-{produced}", whole_day(acquired, days=_COMPOSED_DAYS)
    )


def hls(facts: Facts) -> Scene | None:
    """Read a granule of Harmonized Landsat Sentinel-2, whose name CMR tells in addresses only."""
    found = named(_HLS, facts)
    if found is None and _CMR_ID.fullmatch(facts.id):
        names = {match[0]: match for match in _HLS.finditer(facts.assets.decode("utf-8", "replace"))}
        found = next(iter(names.values())) if len(names) == 1 else None
    if found is None:
        return None
    product, tile, acquired, version = found.groups()
    return _scene(("hls", product, tile, acquired), version, from_moment(acquired, before=120, after=120))


def gridded(facts: Facts) -> Scene | None:
    """Read an item of any other mission: one moment of one platform in one cell of a grid, within one collection.

    The footprint takes part, since an acquisition may come in pieces; mosaics over a span of time have no identity.
    """
    told = facts.told
    platform, cell, taken = told.platform, told.grid_code, _instant(told.datetime)
    if not (isinstance(platform, str) and isinstance(cell, str) and platform and cell) or taken is None:
        return None
    name = platform.strip().lower().replace("_", "-").replace(" ", "-")
    box = _rounded_box(facts.bbox)
    if _KNOWN.match(name) or "," in name or box is None or not _brief(told.start_datetime, told.end_datetime):
        return None
    kinds = (told.level, told.product_type, told.sar_mode, told.sar_type)
    words = [kind if isinstance(kind, str) else "" for kind in kinds]
    observation = ("grid", facts.collection, name, cell, str(taken), box, *words)
    production = compact_time(told.processed)
    if production is not None and isinstance(told.version, str):
        production += f"-{told.version}"
    return _scene(observation, production, (taken - _SECOND, taken + _SECOND))


def _instant(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_instant(value)
    except ValueError:
        return None


def _brief(start: Any, end: Any) -> bool:
    if start is None and end is None:
        return True
    first, last = _instant(start), _instant(end)
    return first is not None and last is not None and 0 <= last - first < _DAY


def _rounded_box(raw: bytes) -> str | None:
    try:
        return " ".join(f"{value:.2f}" for value in msgspec.json.decode(raw, type=list[float]))
    except (msgspec.DecodeError, RecursionError):
        return None


def _scene(observation: tuple[str, ...], production: str | None, around: Span | None) -> Scene | None:
    if around is None:
        return None
    product = (*observation, production) if production is not None else None
    return Scene(observation=observation, product=product, around=around)
