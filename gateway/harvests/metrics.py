"""Harvests as Prometheus metrics. Labels are states, edges and a bounded number of rules; never a user's words."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.background import beside
from harvest.beside.crew import CrewFigures
from harvest.errors import HarvestError
from harvest.stats import NOTHING, Stats

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 15.0


def rest_after(took: float, refresh: float = REFRESH_SECONDS) -> float:
    """Return how long to rest after a reading (seconds): those of many copies have a twentieth of the time at most.

    >>> rest_after(0.1), rest_after(2.0)
    (15.0, 40.0)
    """
    return max(refresh, 20 * took)


class Figures(Protocol):
    """What is measured: a harvester."""

    async def stats(self) -> Stats:
        """Return the figures; raise HarvestError where they cannot be read."""
        ...

    def crew(self) -> CrewFigures:
        """Return what is to be told of the processes that carry beside the gateway's own."""
        ...


class HarvestMetrics(Collector):
    """Tells the figures as they were read last; ``running`` reads them again and again, never a scrape."""

    def __init__(
        self, registry: CollectorRegistry, *, harvester: Figures, refresh_seconds: float = REFRESH_SECONDS
    ) -> None:
        self._harvester = harvester
        self._seconds = refresh_seconds
        self._stats = NOTHING
        registry.register(self)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read regularly."""
        async with beside(self._read_regularly(), name="harvest metrics"):
            yield

    async def _read_regularly(self) -> None:
        while True:
            begun = time.monotonic()
            try:
                await self.read()
            except HarvestError as error:
                logger.warning("harvests cannot be measured", extra={"error": str(error)})
            await asyncio.sleep(rest_after(time.monotonic() - begun, self._seconds))

    async def read(self) -> None:
        """Read the figures now.

        Raises:
            DatabaseUnavailable: the orders' database cannot be read; the figures stay as they were.
        """
        self._stats = await self._harvester.stats()

    def collect(self) -> Iterable[Metric]:
        """Tell the figures (the seam of prometheus_client)."""
        stats = self._stats
        orders = GaugeMetricFamily("lakegate_harvest_orders", "Orders by state.", labels=("state",))
        rules = GaugeMetricFamily("lakegate_harvest_rules", "Rules by state.", labels=("state",))
        events = GaugeMetricFamily("lakegate_harvest_deliveries", "Webhooks by state.", labels=("state",))
        for family, figures in ((orders, stats.orders), (rules, stats.rules), (events, stats.deliveries)):
            for state, count in figures.items():
                family.add_metric((state,), count)
        objects = GaugeMetricFamily("lakegate_harvest_objects", "Copies by state.", labels=("edge", "state"))
        size = GaugeMetricFamily("lakegate_harvest_stored_bytes", "Bytes of copies that are there.", labels=("edge",))
        for (edge, state), (count, total) in stats.objects.items():
            objects.add_metric((edge, state), count)
            if state == "AVAILABLE":
                size.add_metric((edge,), total)
        moved = CounterMetricFamily("lakegate_harvest_moved_bytes", "Bytes that were transferred.", labels=("edge",))
        for edge, count in stats.moved.items():
            moved.add_metric((edge,), count)
        retries = CounterMetricFamily("lakegate_harvest_retries", "Orders that were tried again.")
        retries.add_metric((), stats.retries)
        lag = GaugeMetricFamily(
            "lakegate_harvest_lag_seconds", "How far a standing rule may be behind its source.", labels=("rule",)
        )
        for rule, seconds in stats.lag.items():
            lag.add_metric((rule,), seconds)
        return (
            orders,
            rules,
            events,
            objects,
            size,
            moved,
            retries,
            lag,
            *_work(stats),
            *_crew(self._harvester.crew()),
        )


def _crew(figures: CrewFigures) -> Iterable[Metric]:
    """Tell of the processes beside this one."""
    living = GaugeMetricFamily("lakegate_harvest_processes", "Processes that carry small objects beside the gateway's.")
    living.add_metric((), len(figures.living))
    held = GaugeMetricFamily("lakegate_harvest_processes_objects", "Objects that these processes have in hand.")
    held.add_metric((), sum(each.in_hand for each in figures.living))
    carried = CounterMetricFamily("lakegate_harvest_processes_carried", "Objects that these processes have carried.")
    carried.add_metric((), figures.carried)
    deaths = CounterMetricFamily("lakegate_harvest_processes_deaths", "Such processes that ended unasked.")
    deaths.add_metric((), figures.deaths)
    return (living, held, carried, deaths)


def _work(stats: Stats) -> Iterable[Metric]:
    """Tell who works: claims, and runs elsewhere."""
    claims = GaugeMetricFamily("lakegate_harvest_claims", "Objects in somebody's hand, by state.", labels=("state",))
    claims.add_metric(("alive",), stats.claims.alive)
    claims.add_metric(("lapsed",), stats.claims.lapsed)
    lapsed = GaugeMetricFamily(
        "lakegate_harvest_claim_lapsed_seconds", "Since when the first lapsed claim waits to be taken up."
    )
    lapsed.add_metric((), stats.claims.oldest)
    runs = GaugeMetricFamily("lakegate_harvest_runs", "Runs of workers elsewhere.", labels=("executor", "state"))
    for (executor, state), count in stats.runs.items():
        runs.add_metric((executor, state), count)
    failures = CounterMetricFamily("lakegate_harvest_run_failures", "Runs that failed.", labels=("executor",))
    for executor, count in stats.run_failures.items():
        failures.add_metric((executor,), count)
    silence = GaugeMetricFamily(
        "lakegate_harvest_run_silent_seconds", "How long the workers of a run have said nothing.", labels=("executor",)
    )
    for executor, seconds in stats.silence.items():
        silence.add_metric((executor,), seconds)
    return (claims, lapsed, runs, failures, silence)
