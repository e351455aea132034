"""Clusters and kernels as metrics: counted by edge and state, in few series."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest

from edges.model import ClusterCap
from gateway.compute_metrics import CLUSTER_STATES, ClusterMetrics, tell_comms
from gateway.dask.model import ClusterRoute


def cluster(number: int, edge: str, state: str) -> ClusterRoute:
    return ClusterRoute(
        id=str(number),
        user=f"user-{number}",
        groups=(),
        charging_group=f"group-{number}",
        edge=edge,
        cap=ClusterCap(cores=4, memory=1),
        lease=str(number),
        created_at=0.0,
        state=state,  # type: ignore[arg-type]
    )


def told(routes: Iterable[ClusterRoute]) -> list[str]:
    registry = CollectorRegistry()
    ClusterMetrics(registry, edges=["edge-a", "edge-b"], routes=routes)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_clusters_are_counted_by_edge_and_state_and_those_that_ended_no_more():
    lines = told([cluster(1, "edge-a", "live"), cluster(2, "edge-a", "live"), cluster(3, "edge-b", "ended")])
    assert 'lakegate_clusters{edge="edge-a",state="live"} 2.0' in lines
    assert 'lakegate_clusters{edge="edge-b",state="live"} 0.0' in lines
    assert 'lakegate_cluster_cores{edge="edge-a"} 8.0' in lines
    assert 'lakegate_cluster_cores{edge="edge-b"} 0.0' in lines


def test_the_number_of_series_does_not_grow_with_users_clusters_or_former_edges():
    routes = [cluster(number, f"gone-{number}", "live") for number in range(1000)]
    assert len(told(routes)) == len(told([])) == 2 * (len(CLUSTER_STATES) + 1)


def test_a_scrape_counts_as_things_are_at_that_moment():
    registry = CollectorRegistry()
    open_comms = []
    tell_comms(registry, lambda: len(open_comms))
    open_comms.append("one")
    assert b"lakegate_comms 1.0" in generate_latest(registry)
