"""Clusters, kernels and comms as Prometheus metrics: few series, by edge and state, read when they are told."""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.dask.model import ClusterRoute
from gateway.kernels.model import KernelRecord

CLUSTER_STATES = ("waiting", "creating", "live", "ending")
KERNEL_STATES = ("starting", "live", "ending")


class ClusterMetrics(Collector):
    """Tells the clusters at each of the ``edges``, from the ``routes`` as they are."""

    def __init__(self, registry: CollectorRegistry, *, edges: Iterable[str], routes: Iterable[ClusterRoute]) -> None:
        self._edges = tuple(edges)
        self._routes = routes
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Tell how many there are now (the seam of prometheus_client)."""
        routes = [route for route in self._routes if route.open]
        clusters = GaugeMetricFamily("lakegate_clusters", "Clusters, which may hold something.", labels=_BY_STATE)
        _count(clusters, self._edges, CLUSTER_STATES, ((route.edge, route.state) for route in routes))
        cores = GaugeMetricFamily("lakegate_cluster_cores", "Cores that clusters may grow to.", labels=("edge",))
        for edge in self._edges:
            cores.add_metric((edge,), sum(route.cap.cores for route in routes if route.edge == edge))
        return (clusters, cores)


class KernelMetrics(Collector):
    """Tells the kernels at each of the ``edges``, from the ``records`` as they are."""

    def __init__(self, registry: CollectorRegistry, *, edges: Iterable[str], records: Iterable[KernelRecord]) -> None:
        self._edges = tuple(edges)
        self._records = records
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Tell how many there are now (the seam of prometheus_client)."""
        kernels = GaugeMetricFamily("lakegate_kernels", "Kernels, which may hold something.", labels=_BY_STATE)
        _count(kernels, self._edges, KERNEL_STATES, ((record.edge, record.state) for record in self._records))
        return (kernels,)


_BY_STATE = ("edge", "state")


def _count(
    family: GaugeMetricFamily, edges: Iterable[str], states: Iterable[str], found: Iterable[tuple[str, str]]
) -> None:
    """Count by edge and state; what is at edges that are configured no more has no series."""
    counts: Counter[tuple[str, str]] = Counter(found)
    for edge in edges:
        for state in states:
            family.add_metric((edge, state), counts[edge, state])


def tell_comms(registry: CollectorRegistry, count: Callable[[], int]) -> None:
    """Tell how many comms of Dask clusters are open, as ``count`` says at that moment."""
    Gauge("lakegate_comms", "Comms of Dask clusters that are open.", registry=registry).set_function(count)
