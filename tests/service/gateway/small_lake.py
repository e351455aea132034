"""A small lake that holds one of each: copies, words, missing values, other names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from federated_lake import Client, gateway_over, hub, item, site_of

from gateway.settings import LimitSettings

DESCRIBED: dict[str, dict[str, Any]] = {
    "sentinel-2-l2a": {
        "title": "Sentinel-2 Level-2A",
        "description": "Surface reflectance of the land.",
        "keywords": ["optical", "land"],
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[-10.0, 35.0, 30.0, 60.0]]},
            "temporal": {"interval": [["2015-06-27T00:00:00Z", None]]},
        },
        "summaries": {"platform": ["sentinel-2a"], "eo:cloud_cover": {"minimum": 0, "maximum": 60}},
    },
    "sea-ice": {
        "title": "Sea ice concentration",
        "description": "Daily charts of the sea ice from microwave radiometers.",
        "keywords": ["polar", "ice"],
        "license": "CC-BY-4.0",
        "extent": {
            "spatial": {"bbox": [[160.0, 60.0, -160.0, 90.0]]},
            "temporal": {"interval": [["1979-01-01T00:00:00Z", "2020-12-31T00:00:00Z"]]},
        },
        "summaries": {"platform": ["dmsp-f17"]},
    },
    "dem": {
        "title": "Elevation",
        "description": "Heights of the land.",
        "keywords": ["terrain"],
        "license": "CC-BY-4.0",
        "extent": {
            "spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]},
            "temporal": {"interval": [["2010-12-12T00:00:00Z", "2015-01-01T00:00:00Z"]]},
        },
    },
}


def scene(number: int, **properties: Any) -> dict[str, Any]:
    return item(f"s{number}", "sentinel-2-l2a", day=number, **{"eo:cloud_cover": number * 5.0, **properties})


NORTH = [
    *(scene(number, platform="sentinel-2a") for number in range(1, 9)),
    *(
        item(f"ice{number}", "sea-ice", day=number, title=f"Chart {number} of the Barents Sea")
        for number in range(1, 5)
    ),
]
SOUTH = [
    *(scene(number, platform="sentinel-2a") for number in range(5, 13)),
    *(item(f"dem{number}", "dem", day=number, keywords=["Alps", "glacier"]) for number in range(1, 4)),
]


@asynccontextmanager
async def small_lake(folder: Path, **limits: Any) -> AsyncIterator[Client]:
    """Run a gateway over a northern and a southern site that share a collection."""
    async with (
        site_of(NORTH, folder / "north.db", described=DESCRIBED) as north,
        site_of(SOUTH, folder / "south.db", described=DESCRIBED) as south,
        gateway_over(
            [hub("north", north), hub("south", south)],
            folder / "state",
            limits=LimitSettings(probe_seconds=2.0, **limits),
        ) as client,
    ):
        yield client
