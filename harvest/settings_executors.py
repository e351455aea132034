"""The configuration of executors."""

from typing import Literal

import msgspec

ExecutorName = Literal["local", "dask", "kubernetes"]
"""``local``: in the gateway's own processes. ``dask``: on the target's Dask Gateway. ``kubernetes``: Jobs."""


class KubernetesJobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Jobs are made: in ``namespace``, of ``image``, which has this release of Lakegate.

    ``queue`` is the Kueue LocalQueue that admits them. ``cpu`` and ``memory`` are of each worker (Kubernetes
    quantities). ``targets`` are the edges that they are near; none is all. ``kubeconfig`` is a file; without one the
    gateway's own service account is used.
    """

    namespace: str
    image: str
    service_account: str = ""
    queue: str = ""
    priority_class: str = ""
    cpu: str = "1"
    memory: str = "512Mi"
    targets: tuple[str, ...] = ()
    kubeconfig: str = ""


class ExecutorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who carries the bytes of orders that do not say so themselves.

    ``usual`` carries all, but those of ``large_bytes`` and more, which ``large`` does; where it cannot reach the
    target, the gateway itself does. A run has ``workers`` processes at most, each with
    ``objects`` in hand, and lasts ``run_seconds`` at most: then
    its token is no longer good, and another begins. ``url`` is the gateway's address for them, by default its public
    one.
    """

    usual: ExecutorName = "local"
    large: ExecutorName = "local"
    large_bytes: int = 1 << 40
    workers: int = 2
    objects: int = 4
    run_seconds: float = 6 * 3_600.0
    url: str = ""
    kubernetes: KubernetesJobs | None = None

    def __post_init__(self) -> None:
        if "kubernetes" in (self.usual, self.large) and self.kubernetes is None:
            raise ValueError("executors: kubernetes is chosen, and not configured")
        if self.workers < 1 or self.objects < 1 or not self.run_seconds > 0:
            raise ValueError("executors: workers and objects must be at least 1, run_seconds more than 0")
