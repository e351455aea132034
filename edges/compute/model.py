"""The nouns of compute at an edge. Frozen values; nothing here does I/O."""

from collections.abc import Mapping
from typing import Any

from edges.model import Frozen

MARK_FIELD = "lakegate_id"
"""The cluster option that carries the gateway's own id: a cluster is found again after a crash between two steps."""


class Upstream(Frozen):
    """Where a proxied request goes: the edge's URL, and the headers that open it (never a user's credentials)."""

    url: str
    headers: Mapping[str, str] = {}


class Adjustment(Frozen):
    """What an edge made of a scale or adapt request: ``ok`` is False where it was trimmed, ``message`` says how."""

    ok: bool
    message: str | None = None


class ClusterReport(Frozen):
    """What an edge says of one cluster (dask-gateway REST API, ``GET /api/v1/clusters/{name}``).

    ``status`` is PENDING, RUNNING, STOPPING, STOPPED or FAILED. Times are milliseconds since the epoch. The TLS pair
    (PEM) is present only in a full report of a running cluster.
    """

    name: str
    status: str
    options: Mapping[str, Any] = {}
    dashboard_route: str | None = None
    start_time: int | None = None
    stop_time: int | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    @property
    def ended(self) -> bool:
        """Tell whether the cluster holds nothing any more."""
        return self.status in ENDED


ENDED = frozenset({"STOPPED", "FAILED"})
STATUSES = frozenset({"PENDING", "RUNNING", "STOPPING"}) | ENDED


class KernelModel(Frozen):
    """A kernel as its gateway tells it (Jupyter Server REST API, ``Kernel``).

    ``last_activity`` is an RFC 3339 instant. ``execution_state`` is one of the protocol's words; ``unknown`` where
    the edge does not answer.
    """

    id: str
    name: str
    last_activity: str = ""
    execution_state: str = "unknown"
    connections: int = 0
