"""Counters and histograms that are kept by the event loop alone, so that counting costs next to nothing.

The client library's own ones take a lock for each of the dozens of steps of a search. These are plain numbers until
they are scraped. Source: Prometheus text format (counters end in ``_total``; buckets of histograms are cumulative).
"""

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Tallies(Collector):
    """A counter for each combination of labels. Only the event loop's own thread may count."""

    def __init__(self, name: str, told: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name, self._told, self._labelnames = name, told, tuple(labels)
        self._counts: dict[Labels, int] = {}
        registry.register(self)

    def add(self, *labels: str, count: int = 1) -> None:
        """Count so many."""
        self._counts[labels] = self._counts.get(labels, 0) + count

    def describe(self) -> Iterator[Metric]:
        """Tell the name, so that nobody else takes it."""
        yield CounterMetricFamily(self._name, self._told, labels=self._labelnames)

    def collect(self) -> Iterator[Metric]:
        """Tell what was counted."""
        family = CounterMetricFamily(self._name, self._told, labels=self._labelnames)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class _Spread:
    def __init__(self, bounds: int) -> None:
        self.counts = [0] * (bounds + 1)
        self.sum = 0.0


class Spreads(Collector):
    """A histogram for each value of one label, below and at ``bounds``; only the event loop's own thread observes."""

    def __init__(
        self, name: str, told: str, label: str, *, bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._told, self._labelnames = name, told, (label,)
        self._bounds = tuple(bounds)
        self._names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._spreads: dict[str, _Spread] = {}
        registry.register(self)

    def observe(self, label: str, value: float) -> None:
        """Count a value."""
        spread = self._spreads.get(label)
        if spread is None:
            spread = self._spreads[label] = _Spread(len(self._bounds))
        spread.counts[bisect_left(self._bounds, value)] += 1
        spread.sum += value

    def describe(self) -> Iterator[Metric]:
        """Tell the name, so that nobody else takes it."""
        yield HistogramMetricFamily(self._name, self._told, labels=self._labelnames)

    def collect(self) -> Iterator[Metric]:
        """Tell what was observed."""
        family = HistogramMetricFamily(self._name, self._told, labels=self._labelnames)
        for label, spread in self._spreads.items():
            buckets = list(zip(self._names, map(float, itertools.accumulate(spread.counts)), strict=True))
            family.add_metric((label,), buckets, spread.sum)
        yield family
