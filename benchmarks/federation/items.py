"""Synthetic scenes: 11 kB each, 17 assets, like Sentinel-2 ones; the same on every run."""

import random
from datetime import UTC, datetime

COLLECTION = "s2"
NEWEST = 1_790_000_000
"""Unix time of the newest item."""


def item(site: int, number: int) -> dict[str, object]:
    """Return the item ``number`` (0 is the newest) of a site, as a STAC Item."""
    rng = random.Random(site * 100_003 + number)
    moment = NEWEST - number * 977 - site * 131
    name = f"S2A_{site}_{number:06d}"
    href = f"https://data.example/sentinel-s2-l2a/{site}/{number}"
    assets = {
        f"B{band:02d}": {
            "href": f"{href}/B{band:02d}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "title": f"Band {band} surface reflectance",
            "roles": ["data", "reflectance"],
            "eo:bands": [{"name": f"B{band:02d}", "center_wavelength": rng.random(), "full_width_half_max": 0.018}],
            "raster:bands": [{"nodata": 0, "data_type": "uint16", "spatial_resolution": 10, "scale": 0.0001}],
            "proj:shape": [10980, 10980],
            "proj:transform": [10.0, 0.0, 399960.0, 0.0, -10.0, 4200000.0],
            "file:checksum": "1220" + rng.randbytes(32).hex(),
            "file:size": rng.randrange(1 << 28),
        }
        for band in range(17)
    }
    west, south = rng.uniform(-170, 170), rng.uniform(-80, 80)
    ring = [[west, south], [west + 1, south], [west + 1, south + 1], [west, south + 1], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": COLLECTION,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, west + 1, south + 1],
        "properties": {
            "datetime": instant(moment),
            "platform": "sentinel-2a",
            "eo:cloud_cover": rng.uniform(0, 100),
            "description": "x" * 400,
        },
        "assets": assets,
        "links": [
            {"rel": rel, "href": f"https://site-{site}.example/{rel}", "type": "application/json"}
            for rel in ("self", "parent", "collection", "root", "thumbnail", "license")
        ],
    }


def instant(seconds: int) -> str:
    """Return Unix seconds as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
