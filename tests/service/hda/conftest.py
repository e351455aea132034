import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hda_lake import OLCI, S2, Client, collection, gateway_over, hub, item, site_of

from gateway.settings import HdaSettings

sys.path.append(str(Path(__file__).parents[1] / "auth"))  # where the real OpenID Connect server is started

WEST = [item(f"S3A_{day:02}", OLCI, day=day, **{"eo:cloud_cover": float(day)}) for day in range(1, 26)]
EAST = [
    item(f"S2A_{day:02}", S2, day=day, **{"eo:cloud_cover": float(day), "platform": "sentinel-2a"})
    for day in range(1, 8)
]
EAST += [item(f"S3B_{day:02}", OLCI, day=day, **{"eo:cloud_cover": 50.0}) for day in (3, 9)]


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def lake(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """Return a client of a gateway over two sites that share a collection; clients call the west ``eumetsat``."""
    folder = tmp_path_factory.mktemp("hda")
    short = {OLCI: collection(OLCI, title="OLCI Level 2 Water", keywords=["ocean colour"])}
    async with (
        site_of(WEST, folder / "west.db", described=short) as west,
        site_of(EAST, folder / "east.db", described=short) as east,
        gateway_over(
            [hub("west", west), hub("east", east)],
            folder / "state",
            hda=HdaSettings(backends={"eumetsat": "west", "EODC": "east"}),
        ) as client,
    ):
        yield client
