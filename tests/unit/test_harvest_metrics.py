"""Measuring harvests goes on where the database did not answer for a while."""

import asyncio

from prometheus_client import CollectorRegistry

from gateway.harvests.metrics import HarvestMetrics
from harvest.beside.crew import CrewFigures, Told
from harvest.errors import DatabaseUnavailable
from harvest.stats import NOTHING, Claims, Stats


class Figures:
    """Fails twice, then tells."""

    def __init__(self) -> None:
        self.asked = 0
        self.told = asyncio.Event()

    async def stats(self) -> Stats:
        self.asked += 1
        if self.asked <= 2:
            raise DatabaseUnavailable("the server restarts")
        self.told.set()
        return Stats(
            **{name: getattr(NOTHING, name) for name in ("orders", "rules", "deliveries", "objects", "moved", "lag")},
            retries=7,
            claims=Claims(alive=1, lapsed=2, oldest=3.0),
        )

    def crew(self) -> CrewFigures:
        return CrewFigures(living=(Told(pid=9, in_hand=3, carried=5),), carried=12, deaths=1)


async def test_the_figures_come_again_when_the_database_does() -> None:
    registry, figures = CollectorRegistry(), Figures()
    metrics = HarvestMetrics(registry, harvester=figures, refresh_seconds=0.01)
    async with metrics.running():
        await asyncio.wait_for(figures.told.wait(), 10)
        async with asyncio.timeout(10):
            while registry.get_sample_value("lakegate_harvest_retries_total") != 7:  # noqa: ASYNC110 - a scrape
                await asyncio.sleep(0.01)
    assert registry.get_sample_value("lakegate_harvest_claims", {"state": "lapsed"}) == 2
    assert registry.get_sample_value("lakegate_harvest_claim_lapsed_seconds") == 3.0
    assert figures.asked >= 3
    told = {name: registry.get_sample_value(f"lakegate_harvest_processes{name}") for name in ("", "_objects")}
    told |= {
        name: registry.get_sample_value(f"lakegate_harvest_processes_{name}_total") for name in ("carried", "deaths")
    }
    assert told == {"": 1, "_objects": 3, "carried": 12, "deaths": 1}
