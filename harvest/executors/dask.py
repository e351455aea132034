"""Runs on the target's own Dask Gateway: a cluster near the bucket, each of whose workers has a process that carries.

A cluster belongs to a user of the run's own name, so that one that was made and not written down is met again.
"""

import pickle
from collections.abc import Callable, Mapping
from typing import Protocol

from edges.compute.dask_scheduler import PICKLE_PROTOCOL
from edges.compute.model import Adjustment, ClusterReport
from edges.errors import EdgeError
from edges.model import ClusterCap, EdgeUser
from harvest.executors.on_dask import carry
from harvest.executors.seams import Errand, ExecutorFailed, Look

WORKER_MEMORY = 2 << 30
"""Bytes of each worker and of the scheduler, at most."""

ALIVE = ("PENDING", "RUNNING")


class Clusters(Protocol):
    """An edge's Dask Gateway, as far as it is needed; see :class:`edges.compute.dask_gateway.DaskGateway`."""

    async def create(self, user: EdgeUser, options: Mapping[str, object], cap: ClusterCap) -> str: ...
    async def report(self, user: EdgeUser, name: str, *, wait: bool = False) -> ClusterReport | None: ...
    async def reports(self, user: EdgeUser, statuses: tuple[str, ...] = ()) -> dict[str, ClusterReport]: ...
    async def scale(self, user: EdgeUser, name: str, count: int) -> Adjustment: ...
    async def stop(self, user: EdgeUser, name: str) -> None: ...


class Workers(Protocol):
    """The workers of a cluster; see :class:`edges.compute.dask_scheduler.SchedulerComm`."""

    async def run_on_workers(self, function: bytes, arguments: bytes) -> Mapping[str, bool]:
        """Let each run a function; tell how it went."""
        ...


class DaskExecutor:
    """A :class:`harvest.executors.seams.Executor`; ``clusters`` are the edges' own, ``workers`` the way to one's."""

    def __init__(self, *, clusters: Mapping[str, Clusters], workers: Callable[[str, ClusterReport], Workers]) -> None:
        self._clusters = clusters
        self._workers = workers

    async def start(self, errand: Errand) -> str:
        """Make a cluster, or find the one that was made; return its name."""
        clusters, user = self._at(errand), _user(errand)
        cap = ClusterCap(cores=errand.workers + 1.0, memory=(errand.workers + 1) * WORKER_MEMORY)
        try:
            there = await clusters.reports(user, ALIVE)
            return next(iter(there), "") or await clusters.create(user, {}, cap)
        except EdgeError as error:
            raise ExecutorFailed(f"{errand.target}: {error}") from error

    async def look(self, errand: Errand, handle: str) -> Look:
        """Bring the cluster to its size, and each of its workers to work; ask for both again and again."""
        clusters, user = self._at(errand), _user(errand)
        try:
            report = await clusters.report(user, handle)
            if report is None or report.status not in ALIVE:
                return Look(health="failed", reason="its cluster is gone")
            if report.status == "PENDING" or not (report.tls_cert and report.tls_key):
                return Look(health="working", reason="its cluster is starting")
            await clusters.scale(user, handle, errand.workers)
            function, arguments = _pickled(errand)
            said = await self._workers(errand.target, report).run_on_workers(function, arguments)
        except EdgeError as error:
            raise ExecutorFailed(f"{errand.target}: {error}") from error
        return Look(health="working", reason="" if any(said.values()) else "none of its workers carries yet")

    async def stop(self, errand: Errand, handle: str) -> None:
        """End the run's clusters, also those that were never written down."""
        clusters, user = self._at(errand), _user(errand)
        try:
            for name in await clusters.reports(user, ALIVE):
                await clusters.stop(user, name)
        except EdgeError as error:
            raise ExecutorFailed(f"{errand.target}: {error}") from error

    def _at(self, errand: Errand) -> Clusters:
        clusters = self._clusters.get(errand.target)
        if clusters is None:
            raise ExecutorFailed(f"{errand.target} has no Dask Gateway")
        return clusters


def _user(errand: Errand) -> EdgeUser:
    return EdgeUser(name=f"harvest-{errand.run}", groups=(errand.group,))


def _pickled(errand: Errand) -> tuple[bytes, bytes]:
    """Return the function, by its name alone, and its arguments."""
    arguments = (errand.url, errand.run, errand.token)
    return pickle.dumps(carry, PICKLE_PROTOCOL), pickle.dumps(arguments, PICKLE_PROTOCOL)
