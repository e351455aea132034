"""Quotas as Prometheus metrics: how full each policy is, and what was refused. Few series, whatever users do."""

import asyncio
import logging
from collections import Counter as Counts
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edges.model import Frozen
from gateway.background import beside
from quotas.errors import QuotaError
from quotas.ledger import Ledger, PolicyOffice
from quotas.model import RESOURCES, Explanation, Usage

logger = logging.getLogger(__name__)

MOST_SERIES = 500
"""So many pairs of policy and edge are told; of more, the fullest."""
OTHER = "(others)"
"""The label of what is beyond the bound."""
REFRESH_SECONDS = 15.0


class QuotaSource(Ledger, PolicyOffice, Protocol):
    """What is measured."""


class Level(Frozen):
    """How full one policy is at one edge, over all its holders; ``fullest`` is the fullest holder's part of its limit.

    ``limit`` is what each holder may take.
    """

    policy: str
    edge: str
    used: float
    reserved: float
    limit: float
    fullest: float


class RefusalMetrics:
    """Counts refusals; give ``observe`` to the ledger, which may call it in any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refusals = Counter(
            "lakegate_quota_refusals",
            "Reservations refused, by the policy in the way; `never`: the request is more than the whole limit.",
            ("policy", "reason"),
            registry=registry,
        )
        self._shadow = Counter(
            "lakegate_quota_shadow_refusals",
            "Reservations that a policy in shadow mode would have refused.",
            ("policy",),
            registry=registry,
        )
        self._names: set[str] = set()

    def observe(self, explanation: Explanation, enforced: bool) -> None:  # noqa: FBT001 - as the ledger calls it
        """Count one refusal."""
        if len(self._names) < MOST_SERIES:
            self._names.add(explanation.policy)
        policy = explanation.policy if explanation.policy in self._names else OTHER
        if enforced:
            self._refusals.labels(policy, "never" if explanation.never else explanation.on_exceed).inc()
        else:
            self._shadow.labels(policy).inc()


class LevelMetrics(Collector):
    """Tells the levels as they were read last; ``running`` reads them again and again, never a scrape."""

    def __init__(self, registry: CollectorRegistry, *, ledger: QuotaSource) -> None:
        self._ledger = ledger
        self._levels: tuple[Level, ...] = ()
        self._leases: Mapping[str, int] = {}
        registry.register(self)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read regularly."""
        async with beside(self._read_regularly(), name="quota metrics"):
            yield

    async def _read_regularly(self) -> None:
        while True:
            try:
                await self.read()
            except QuotaError as error:
                logger.warning("quotas cannot be measured", extra={"error": str(error)})
            await asyncio.sleep(REFRESH_SECONDS)

    async def read(self) -> None:
        """Read the levels and the open leases now.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        groups = {stored.policy.group for stored in await self._ledger.policies()}
        self._levels = levels_of(await self._ledger.usage(sorted(groups)) if groups else [])
        self._leases = Counts(
            resource for lease in await self._ledger.leases() for resource in {line.resource for line in lease.lines}
        )

    def collect(self) -> Iterable[Metric]:
        """Tell the levels (the seam of prometheus_client)."""
        labels = ("policy", "edge")
        used = GaugeMetricFamily("lakegate_quota_used", "Used up or kept, over all holders.", labels=labels)
        reserved = GaugeMetricFamily("lakegate_quota_reserved", "Held by leases, over all holders.", labels=labels)
        limit = GaugeMetricFamily("lakegate_quota_limit", "What each holder may take.", labels=labels)
        fullest = GaugeMetricFamily("lakegate_quota_fullest_ratio", "The fullest holder's part taken.", labels=labels)
        for level in self._levels:
            place = (level.policy, level.edge)
            used.add_metric(place, level.used)
            reserved.add_metric(place, level.reserved)
            limit.add_metric(place, level.limit)
            fullest.add_metric(place, level.fullest)
        leases = GaugeMetricFamily("lakegate_quota_leases", "Open leases by what they hold.", labels=("resource",))
        for resource in RESOURCES:
            leases.add_metric((resource,), self._leases.get(resource, 0))
        return (used, reserved, limit, fullest, leases)


def levels_of(usages: Iterable[Usage]) -> tuple[Level, ...]:
    """Add up the holders of each policy at each edge; of too many, tell the fullest."""
    holders: dict[tuple[str, str], dict[str, Usage]] = {}
    for usage in usages:
        holders.setdefault((usage.policy.name, usage.edge), {})[usage.holder] = usage
    levels = [
        Level(
            policy=policy,
            edge=edge,
            used=sum(each.used for each in by_holder.values()),
            reserved=sum(each.reserved for each in by_holder.values()),
            limit=max(each.limit for each in by_holder.values()),
            fullest=max(_part(each) for each in by_holder.values()),
        )
        for (policy, edge), by_holder in holders.items()
    ]
    levels.sort(key=lambda level: level.fullest, reverse=True)
    return tuple(levels[:MOST_SERIES])


def _part(usage: Usage) -> float:
    taken = usage.used + usage.reserved
    return taken / usage.limit if usage.limit else float(taken > 0)
