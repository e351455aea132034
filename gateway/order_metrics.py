"""Orders of data, and orders at HOOK's face, as Prometheus metrics: few series, by site and state."""

from collections import Counter
from collections.abc import Iterable
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edges.ordering.model import OrderStatus
from gateway.hook.model import HookOrder, Status
from gateway.orders.model import Staging


class DataOrderMetrics(Collector):
    """Tells the orders at providers (``stagings``, as they are), at each of the ``sites`` that take orders."""

    def __init__(self, registry: CollectorRegistry, *, sites: Iterable[str], stagings: Iterable[Staging]) -> None:
        self._sites = tuple(sites)
        self._stagings = stagings
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Tell how many there are now (the seam of prometheus_client)."""
        family = GaugeMetricFamily(
            "lakegate_data_orders", "Orders of data at providers, which are remembered.", labels=("site", "state")
        )
        counts = Counter((each.site, each.status) for each in self._stagings)
        for site in self._sites:
            for state in get_args(OrderStatus):
                family.add_metric((site, state), counts[site, state])
        return (family,)


class HookOrderMetrics(Collector):
    """Tells the orders at HOOK's face, from ``orders`` as they are."""

    def __init__(self, registry: CollectorRegistry, *, orders: Iterable[HookOrder]) -> None:
        self._orders = orders
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Tell how many there are now (the seam of prometheus_client)."""
        family = GaugeMetricFamily("lakegate_hook_orders", "HOOK orders, which are remembered.", labels=("state",))
        counts = Counter(each.status for each in self._orders)
        for state in get_args(Status):
            family.add_metric((state,), counts[state])
        return (family,)
