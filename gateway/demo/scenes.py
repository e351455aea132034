"""Makes the demo's scenes: small cloud-optimised GeoTIFFs of three bands, and their STAC items. Deterministic.

Every scene shows the same landscape, a field that greens over the season, so that a mean NDVI has a meaning.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform_bounds

from edges.model import Frozen, Json
from gateway.demo.world import COLLECTION

SIDE = 256
"""Pixels per side."""
PIXEL = 60.0
"""Metres per pixel."""
EPSG = 32633
BANDS = ("red", "nir", "green")
_ORIGIN = {
    "33UUP": (300_000.0, 5_400_000.0),
    "33UVP": (400_000.0, 5_400_000.0),
    "33TWN": (500_000.0, 5_300_000.0),
}
_FIRST = datetime(2026, 4, 1, 10, 0, tzinfo=UTC)


class Scene(Frozen):
    """One acquisition: a tile on a day. ``holders`` are the sites that have it at first."""

    tile: str
    number: int
    holders: tuple[str, ...]

    @property
    def moment(self) -> datetime:
        """Return the acquisition time."""
        return _FIRST + timedelta(days=10 * self.number, minutes=len(self.tile) + ord(self.tile[2]) % 7)

    @property
    def id(self) -> str:
        """Return the item id."""
        return f"S2_{self.tile}_{self.moment:%Y%m%d}"

    @property
    def cloud_cover(self) -> float:
        """Return a made-up cloud cover, in percent."""
        return float((self.number * 37 + ord(self.tile[2]) * 11) % 60)


SCENES = (
    *(Scene(tile="33UUP", number=n, holders=("edge-a",)) for n in range(4)),
    *(Scene(tile="33UVP", number=n, holders=("edge-b",)) for n in range(4)),
    Scene(tile="33UUP", number=4, holders=("edge-a", "edge-b")),
    Scene(tile="33UVP", number=4, holders=("edge-a", "edge-b")),
    *(Scene(tile="33TWN", number=n, holders=("hub",)) for n in range(3)),
)


def scene_bands(scene: Scene) -> dict[str, np.ndarray[Any, np.dtype[np.uint16]]]:
    """Return the bands as surface reflectance x 10,000, each of shape (SIDE, SIDE)."""
    noise = np.random.default_rng(int.from_bytes(hashlib.sha256(scene.id.encode()).digest()[:8], "big"))
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    greenness = np.clip(0.25 + 0.1 * scene.number + 0.3 * np.sin(6 * rows) * np.cos(4 * columns), 0.0, 0.9)
    grain = noise.normal(0.0, 60.0, (3, SIDE, SIDE))
    red = 2_400 - 1_900 * greenness + grain[0]
    nir = 2_600 + 2_600 * greenness + grain[1]
    green = 1_500 - 500 * greenness + grain[2]
    return {
        name: np.clip(band, 1, 10_000).astype(np.uint16) for name, band in zip(BANDS, (red, nir, green), strict=True)
    }


def write_scene(scene: Scene, folder: Path) -> Json:
    """Write one scene's files below ``folder``; return its item with file names as hrefs."""
    folder.mkdir(parents=True, exist_ok=True)
    transform = from_origin(*_ORIGIN[scene.tile], PIXEL, PIXEL)
    assets: Json = {}
    for name, band in scene_bands(scene).items():
        path = folder / f"{scene.id}_{name}.tif"
        with rasterio.open(
            path, "w", driver="COG", width=SIDE, height=SIDE, count=1, dtype="uint16", nodata=0,
            crs=f"EPSG:{EPSG}", transform=transform, compress="DEFLATE", blocksize=128,
        ) as file:  # fmt: skip
            file.write(band, 1)
        assets[name] = _asset(path, name)
    return _item(scene, transform, assets)


def _asset(path: Path, band: str) -> Json:
    content = path.read_bytes()
    return {
        "href": path.name,
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
        "title": band,
        "eo:bands": [{"name": band, "common_name": band}],
        "raster:bands": [{"data_type": "uint16", "nodata": 0, "scale": 0.0001}],
        "file:size": len(content),
        "file:checksum": "1220" + hashlib.sha256(content).hexdigest(),
    }


def _item(scene: Scene, transform: Affine, assets: Json) -> Json:
    x, y = _ORIGIN[scene.tile]
    west, south, east, north = transform_bounds(f"EPSG:{EPSG}", "EPSG:4326", x, y - SIDE * PIXEL, x + SIDE * PIXEL, y)
    box = [round(edge, 6) for edge in (west, south, east, north)]
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
            "https://stac-extensions.github.io/file/v2.1.0/schema.json",
            "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
        ],
        "id": scene.id,
        "collection": COLLECTION,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": box,
        "properties": {
            "datetime": f"{scene.moment:%Y-%m-%dT%H:%M:%SZ}",
            "platform": "sentinel-2a",
            "eo:cloud_cover": scene.cloud_cover,
            "grid:code": f"MGRS-{scene.tile}",
            "proj:epsg": EPSG,
            "proj:shape": [SIDE, SIDE],
            "proj:transform": list(transform)[:6],
        },
        "assets": assets,
        "links": [],
    }


def located(item: Json, collection: str, address: str) -> Json:
    """Return the item as one site tells it: its own collection id, and its own addresses."""
    assets = {name: asset | {"href": f"{address}/{asset['href']}"} for name, asset in item["assets"].items()}
    return item | {"collection": collection, "assets": assets}
