"""Harmonising a page of items: other names, values and asset keys, in items that otherwise stay bytes.

The peer does the same by orjson, decoding and encoding each item whole. The floor is what reading the page costs
anyway: one decode to members that are still bytes.
"""

from typing import Any

import msgspec
import orjson

from benchmarks.harness import Row, interleaved
from edges.model import Members
from edges.profiles.items import ItemWords
from edges.profiles.load import load_profile
from edges.profiles.queries import CollectionIds

ITEMS, QUICK_ITEMS = 400, 50
ROUNDS = 15
PROFILE = load_profile("planetary-computer")
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "AOT", "SCL", "WVP")

_PAGE = msgspec.json.Decoder(list[Members])


def run(*, quick: bool) -> list[Row]:
    """Return one row for items that change, and one for those that do not."""
    return [_row("Sentinel-2 items in harmonised words", "sentinel-2-l2a", 2.0, quick=quick), _unchanged(quick=quick)]


def _row(work: str, collection: str, target: float, *, quick: bool) -> Row:
    page = msgspec.json.encode([_item(n, collection) for n in range(QUICK_ITEMS if quick else ITEMS)])
    words = ItemWords(PROFILE, CollectionIds(PROFILE.collections))
    if orjson.loads(msgspec.json.encode([words.harmonised(item) for item in _PAGE.decode(page)])) != _by_orjson(page):
        raise AssertionError("ours and the peer's differ")
    times = interleaved(
        {
            "ours": lambda: [words.harmonised(item) for item in _PAGE.decode(page)],
            "peer": lambda: [orjson.dumps(item) for item in _by_orjson(page)],
            "floor": lambda: _PAGE.decode(page),
        },
        rounds=3 if quick else ROUNDS,
    )
    ratio = times["peer"] / times["ours"]
    return Row(
        work=work, unit="ms", ours=times["ours"], peer=times["peer"], peer_name="ms, orjson", floor=times["floor"],
        floor_name="ms, the decode alone", ratio=ratio, target=f">= {target:g} x orjson", held=ratio >= target,
    )  # fmt: skip


def _unchanged(*, quick: bool) -> Row:
    page = msgspec.json.encode([_ours(n) for n in range(QUICK_ITEMS if quick else ITEMS)])
    words = ItemWords(PROFILE, CollectionIds(PROFILE.collections))
    items = _PAGE.decode(page)
    if any(words.harmonised(item) is not item for item in items):
        raise AssertionError("an item without other words has changed")
    times = interleaved(
        {
            "ours": lambda: [words.harmonised(item) for item in _PAGE.decode(page)],
            "floor": lambda: _PAGE.decode(page),
        },
        rounds=3 if quick else ROUNDS,
    )
    ratio = times["ours"] / times["floor"]
    return Row(
        work="items that need no change", unit="ms", ours=times["ours"], floor=times["floor"],
        floor_name="ms, the decode alone", ratio=ratio, target="<= 2 x the decode", held=ratio <= 2.0,
    )  # fmt: skip


def _by_orjson(page: bytes) -> list[Any]:
    """Do what the profile does to these items, by hand."""
    platforms = dict(PROFILE.properties[0].values)
    keys = dict(PROFILE.assets[0].keys)
    items = orjson.loads(page)
    for item in items:
        properties = item["properties"]
        properties["platform"] = platforms.get(properties["platform"], properties["platform"])
        properties["constellation"] = "sentinel-2"
        properties["grid:code"] = f"MGRS-{properties['s2:mgrs_tile']}"
        properties["proj:code"] = f"EPSG:{properties['proj:epsg']}"
        item["assets"] = {keys.get(key, key): asset for key, asset in item["assets"].items()}
    return list(items)


def _item(n: int, collection: str) -> dict[str, Any]:
    properties = {f"s2:measure_{index}": index * 1.25 + n for index in range(30)} | {
        "datetime": "2024-01-01T00:00:00Z",
        "platform": "Sentinel-2A" if n % 2 else "Sentinel-2B",
        "constellation": "Sentinel 2",
        "s2:mgrs_tile": f"{n % 60:02}TQM",
        "proj:epsg": 32600 + n % 60,
    }
    return {
        "type": "Feature", "id": f"item-{n}", "collection": collection, "geometry": None, "links": [],
        "properties": properties,
        "assets": {band: _asset(n, band) for band in (*BANDS, "visual", "preview")},
    }  # fmt: skip


def _ours(n: int) -> dict[str, Any]:
    item = _item(n, "naip")
    kept = {name: value for name, value in item["properties"].items() if name not in ("s2:mgrs_tile", "proj:epsg")}
    return item | {"properties": kept | {"platform": "naip", "constellation": "naip"}}


def _asset(n: int, band: str) -> dict[str, Any]:
    return {
        "href": f"https://data.example/sentinel-2/{n}/GRANULE/IMG_DATA/R10m/{band}.tif",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
        "proj:shape": [10980, 10980],
        "proj:transform": [10.0, 0.0, 300000.0, 0.0, -10.0, 6500040.0],
        "eo:bands": [{"name": band, "common_name": band.lower(), "center_wavelength": 0.665, "description": "x" * 120}],
    }
