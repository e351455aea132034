"""Clusters, kernels and comms as Prometheus metrics: few series, by edge and state, read when they are told."""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.dask.model import ClusterRoute
from gateway.kernels.model import KernelRecord

CLUSTER_STATES = ("waiting", "creating", "live", "ending")
KERNEL_STATES = ("starting", "live", "ending")


class ComputeMetrics(Collector):
    """Tells what runs at each of the ``edges``, from the records as they are; ``comms`` counts open comms."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        edges: Iterable[str],
        clusters: Iterable[ClusterRoute],
        kernels: Iterable[KernelRecord],
    ) -> None:
        self.comms: Callable[[], int] = int
        self._edges = tuple(edges)
        self._clusters = clusters
        self._kernels = kernels
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Tell how many there are now (the seam of prometheus_client)."""
        clusters = [route for route in self._clusters if route.open]
        cores = GaugeMetricFamily("lakegate_cluster_cores", "Cores that clusters may grow to.", labels=("edge",))
        for edge in self._edges:
            cores.add_metric((edge,), sum(route.cap.cores for route in clusters if route.edge == edge))
        comms = GaugeMetricFamily("lakegate_comms", "Comms of Dask clusters that are open.", value=self.comms())
        return (
            self._counted("lakegate_clusters", "Clusters that may hold something.", CLUSTER_STATES, clusters),
            cores,
            self._counted("lakegate_kernels", "Kernels that may hold something.", KERNEL_STATES, self._kernels),
            comms,
        )

    def _counted(
        self, name: str, text: str, states: tuple[str, ...], records: Iterable[ClusterRoute | KernelRecord]
    ) -> GaugeMetricFamily:
        """Count by edge and state; those of edges that are configured no more have no series."""
        counts: Counter[tuple[str, str]] = Counter((record.edge, record.state) for record in records)
        family = GaugeMetricFamily(name, text, labels=("edge", "state"))
        for edge in self._edges:
            for state in states:
                family.add_metric((edge, state), counts[edge, state])
        return family
