"""One computation over several edges: a cluster at each, the function where the data is, the results combined.

An edge that fails is given up, and its items go to other edges that hold them. What a user's own function raises is no
failure of an edge: it ends the computation. Clusters are ended whatever happens.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from dask_gateway import GatewayClusterError, GatewayServerError
from distributed import CancelledError as FutureCancelled
from distributed import Client, Future, KilledWorker, as_completed
from distributed.comm.core import CommClosedError

from gateway.client.lake import Lake
from gateway.client.parts import Item, Parts, localised, split

LOST = (KilledWorker, FutureCancelled, CommClosedError, GatewayClusterError, GatewayServerError, OSError, TimeoutError)
"""What says that an edge is lost, rather than that the function is wrong."""
WATCH_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an edge stands: ``starting``, ``running``, ``done`` or ``failed`` (``reason`` says why)."""

    edge: str
    state: str
    done: int
    total: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.edge}: {self.state}, {self.done} of {self.total}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, kw_only=True)
class EdgeCost:
    """What an edge took: seconds that its cluster was held, and core hours of the workers asked for."""

    edge: str
    items: int
    seconds: float
    core_hours: float

    def __str__(self) -> str:
        return f"{self.edge}: {self.items} items, {self.seconds:.1f} s, {self.core_hours:.4f} core hours"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    ``partial`` are the edges' own results. ``missing`` items were computed nowhere; ``failed`` are lost edges.
    """

    value: Any
    partial: Mapping[str, Any]
    costs: Sequence[EdgeCost]
    missing: Sequence[Item]
    failed: Mapping[str, str]


@dataclass(kw_only=True)
class _Work:
    """What has come so far."""

    partial: dict[str, list[Any]] = field(default_factory=dict)
    costs: list[EdgeCost] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    lost: list[Item] = field(default_factory=list)


class _EdgeLost(Exception):
    """An edge cannot do its part."""


@dataclass(kw_only=True)
class Computation:
    """A computation of ``function`` over items.

    ``function`` gets one item, whose assets are addressed at its edge, and runs on a worker there. ``reduce`` gets the
    results of an edge as a list, runs there too, and only its result travels; without it all results do. ``combine``
    gets the list of the edges' results, here. ``workers`` are per edge, of ``worker_cores`` each; ``options`` are
    further cluster options. ``patience`` is how long (seconds) an edge may be out of reach before it is given up,
    ``start_seconds`` how long its cluster may take to start.
    """

    lake: Lake
    function: Callable[[Item], Any]
    reduce: Callable[[list[Any]], Any] | None = None
    combine: Callable[[list[Any]], Any] | None = None
    workers: int = 2
    worker_cores: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable[[Progress], None] = lambda _: None
    patience: float = 30.0
    start_seconds: float = 600.0

    async def over(self, search: Mapping[str, Any]) -> Outcome:
        """Compute over what a STAC search finds; see :meth:`over_items`."""
        return await self.over_items(await self.lake.search(search))

    async def over_items(self, items: Sequence[Item]) -> Outcome:
        """Compute over items as the gateway gave them.

        Raises:
            ExceptionGroup: of :class:`FunctionFailed`, with what the function, or a reduction, raised.
            NothingComputed: there were items, and no edge computed any of them.
        """
        work = _Work()
        edges = await self.lake.edges()
        parts = split(items, edges)
        missing = list(parts.nowhere)
        while parts.edges:
            await self._round(parts, work)
            # what a lost edge did not do goes to others that hold it; an edge is given up once
            parts = split(work.lost, edges, without=work.failed)
            work.lost = []
            missing += parts.nowhere
        if items and not work.partial:
            raise NothingComputed(_why(work.failed, missing))
        partial = {edge: _one_or_all(results) for edge, results in work.partial.items()}
        flat = [result for edge in sorted(work.partial) for result in work.partial[edge]]
        value = self.combine(flat) if self.combine is not None else flat
        return Outcome(value=value, partial=partial, costs=work.costs, missing=missing, failed=work.failed)

    async def _round(self, parts: Parts, work: _Work) -> None:
        """Let all edges do their parts at the same time; the first error of the function ends them all."""
        async with asyncio.TaskGroup() as group:
            for edge, items in sorted(parts.edges.items()):
                group.create_task(self._part(edge, items, work), name=f"compute-{edge}")

    async def _part(self, edge: str, items: Sequence[Item], work: _Work) -> None:
        started = time.monotonic()
        try:
            results = await self._at(edge, [localised(item, edge) for item in items])
        except (*LOST, _EdgeLost) as error:
            reason = str(error) or type(error).__name__
            work.failed[edge] = reason
            work.lost += items
            self.progress(Progress(edge=edge, state="failed", done=0, total=len(items), reason=reason))
        else:
            work.partial.setdefault(edge, []).extend(results)
            self.progress(Progress(edge=edge, state="done", done=len(items), total=len(items)))
        seconds = time.monotonic() - started
        cores = self.workers * self.worker_cores
        cost = EdgeCost(edge=edge, items=len(items), seconds=seconds, core_hours=cores * seconds / 3600)
        work.costs.append(cost)

    async def _at(self, edge: str, items: list[Item]) -> list[Any]:
        self.progress(Progress(edge=edge, state="starting", done=0, total=len(items)))
        async with self._client(edge) as client:
            computing = asyncio.create_task(self._computed(client, edge, items))
            watching = asyncio.create_task(self._watched(client))
            try:
                await asyncio.wait((computing, watching), return_when=asyncio.FIRST_COMPLETED)
                if computing.done():
                    return computing.result()
                raise _EdgeLost(f"out of reach for {self.patience:g} s")
            finally:
                for task in (computing, watching):
                    task.cancel()
                await asyncio.gather(computing, watching, return_exceptions=True)

    @asynccontextmanager
    async def _client(self, edge: str) -> AsyncIterator[Client]:
        """Hold a cluster at an edge, and a client of it; both are ended, also where the edge is lost."""
        async with self.lake.gateway() as gateway:
            try:
                name = await gateway.submit(edge=edge, worker_cores=self.worker_cores, **self.options)
            except ValueError as refused:
                raise _EdgeLost(str(refused)) from refused
            try:
                async with asyncio.timeout(self.start_seconds):
                    cluster = await gateway.connect(name)
                async with cluster:
                    await cluster.scale(self.workers)
                    async with connected(cluster.get_client(set_as_default=False)) as client:
                        yield client
            finally:
                with suppress(*LOST, ValueError):
                    await gateway.stop_cluster(name)

    async def _watched(self, client: Client) -> None:
        """Return when the scheduler has been out of reach for too long."""
        gone_since: float | None = None
        while True:
            await asyncio.sleep(min(WATCH_SECONDS, self.patience))
            if client.status == "running":
                gone_since = None
                continue
            now = time.monotonic()
            gone_since = now if gone_since is None else gone_since
            if now - gone_since >= self.patience:
                return

    async def _computed(self, client: Client, edge: str, items: list[Item]) -> list[Any]:
        futures: list[Future[Any]] = client.map(self.function, items, pure=False)
        done = 0
        async for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]  # the package has types in part
            await _checked(future)
            done += 1
            self.progress(Progress(edge=edge, state="running", done=done, total=len(items)))
        if self.reduce is None:
            return list(await client.gather(futures))  # type: ignore[no-untyped-call]  # as above
        reduced = client.submit(self.reduce, futures, pure=False)
        return [await _checked(reduced)]


@asynccontextmanager
async def connected(client: Client) -> AsyncIterator[Client]:
    """Connect a client, and close it at the end, also where that comes while it still connects.

    By itself it is closed only once it was connected, and otherwise when it is forgotten, which may be after its loop.
    """
    try:
        async with client:
            yield client
    finally:
        if client.status != "closed":
            await client.close()  # type: ignore[no-untyped-call]  # the package has types in part


async def _checked(future: Future[Any]) -> Any:
    """Return a future's result; an error of the function is marked, so that it cannot pass for a lost edge's."""
    error = await future.exception()  # type: ignore[no-untyped-call]  # the package has types in part
    if error is None:
        return await future.result()
    if isinstance(error, (KilledWorker, FutureCancelled, CommClosedError)):
        raise error
    raise FunctionFailed(repr(error)) from error


class FunctionFailed(Exception):
    """What the user's function, or the reduction, raised at an edge; the cause is the error itself."""


class NothingComputed(Exception):
    """No edge computed anything; the message says of each why. A sum over nothing would look like a result."""


def _why(failed: Mapping[str, str], missing: Sequence[Item]) -> str:
    if not failed:
        return f"no edge that computes holds any of the {len(missing)} items; harvest them to one first"
    return "; ".join(f"{edge}: {reason}" for edge, reason in sorted(failed.items()))


def _one_or_all(results: list[Any]) -> Any:
    return results[0] if len(results) == 1 else results
