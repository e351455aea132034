"""The kernels of all users at all edges: what the REST face asks and does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from edges.compute.model import KernelModel, Upstream
from edges.errors import EdgeError, NotFound, SiteUnavailable
from edges.model import Json
from edges.seams import KernelBackend
from gateway.background import beside
from gateway.kernels.errors import UnknownKernel, UnknownSpec
from gateway.kernels.model import KernelRecord
from gateway.kernels.reconciliation import Reconciliation
from gateway.kernels.seam import KernelCredentials
from gateway.kernels.specs import merge_specs, split_name
from gateway.kernels.starting import KernelTerms, Starting
from gateway.placement.seam import Placer
from gateway.principal import Principal
from gateway.quota.turns import TrimmingLedger
from gateway.records import RecordTable

_log = logging.getLogger(__name__)

LIST_SECONDS = 5.0
"""How long a list waits for an edge before it tells the last known state instead."""


class Kernels:
    """Starts, shows, interrupts, restarts and ends kernels. Use inside :meth:`running`.

    ``records`` is an open table: whoever opened it closes it after ``running`` has ended.
    """

    def __init__(
        self,
        *,
        backends: Mapping[str, KernelBackend],
        records: RecordTable[KernelRecord],
        ledger: TrimmingLedger,
        placer: Placer,
        terms: KernelTerms,
        credentials: KernelCredentials | None = None,
    ) -> None:
        self._backends = backends
        self._records = records
        self._starting = Starting(
            backends=backends, records=records, ledger=ledger, placer=placer, terms=terms, credentials=credentials
        )
        self._reconciliation = Reconciliation(
            backends=backends,
            records=records,
            ledger=ledger,
            under_way=self._starting.under_way,
            give_back=self._starting.give_back,
            lease_seconds=terms.lease_seconds,
        )
        self._tasks: set[asyncio.Task[KernelRecord]] = set()

    @asynccontextmanager
    async def running(self, *, reconcile_seconds: float) -> AsyncIterator[None]:
        """Reconcile in the background; at the end, let starts that are under way finish."""
        work = self._reconciliation.run(every_seconds=reconcile_seconds)
        try:
            async with beside(work, name="reconcile-kernels"):
                yield
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def reconcile(self) -> None:
        """Compare with the edges' word now."""
        await self._reconciliation.once()

    async def specs(self) -> Json:
        """Return the kernelspecs of the edges that answer, in the shape of ``GET /api/kernelspecs``."""
        return merge_specs(await self._starting.offers())

    async def resource(self, name: str, path: str) -> tuple[str, bytes]:
        """Return a kernelspec's file as (content type, bytes).

        Raises:
            UnknownSpec: the name has no edge, or the edge has no such file.
        """
        spec, edge = split_name(name, list(self._backends))
        if edge is None:
            raise UnknownSpec(f"no kernelspec {name[:100]!r} with files of its own")
        try:
            return await self._backends[edge].resource(spec, path)
        except NotFound as error:
            raise UnknownSpec(f"kernelspec {name[:100]!r} has no such file") from error

    async def start(self, principal: Principal, name: str, env: Mapping[str, str]) -> Json:
        """Start a kernel; return its model. See :meth:`gateway.kernels.starting.Starting.start` for what it raises.

        A start that has begun is finished even if the caller is cancelled; the kernel that nobody waits for is ended.
        """
        task = asyncio.create_task(self._starting.start(principal, name, env), name="start-kernel")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            record = await asyncio.shield(task)
        except asyncio.CancelledError:
            self._tasks.add(abandoned := asyncio.create_task(self._abandon(task), name="abandon-kernel"))
            abandoned.add_done_callback(self._tasks.discard)
            raise
        return record.shown(record.last)

    async def _abandon(self, task: asyncio.Task[KernelRecord]) -> KernelRecord:
        record = await task
        await self._stop(record)
        return record

    async def all_of(self, principal: Principal) -> list[Json]:
        """Return the user's kernels; those of a silent edge as last known."""
        mine = [record for record in self._records if record.user == principal.user and record.state == "live"]
        edges = sorted({record.edge for record in mine if record.edge in self._backends})
        found = await asyncio.gather(*(self._listed(edge) for edge in edges))
        by_edge = dict(zip(edges, found, strict=True))
        shown: list[Json] = []
        for record in mine:
            listed = by_edge.get(record.edge)
            if listed is None:
                shown.append(record.shown(None))
            elif record.kernel_id in listed:
                shown.append(record.shown(listed[record.kernel_id]))
        return shown

    async def _listed(self, edge: str) -> dict[str, KernelModel] | None:
        try:
            async with asyncio.timeout(LIST_SECONDS):
                return await self._backends[edge].kernels()
        except (EdgeError, TimeoutError) as error:
            _log.warning("an edge's kernels cannot be listed", extra={"edge": edge, "reason": str(error)})
            return None

    async def model(self, principal: Principal, kernel_id: str) -> Json:
        """Return a kernel's model, as last known where its edge is silent.

        Raises:
            UnknownKernel: there is none of that id for this user, or it has ended.
        """
        record, backend = self._record(principal, kernel_id)
        try:
            model = await backend.kernel(kernel_id)
        except SiteUnavailable:
            return record.shown(None)
        if model is None:
            async with self._records.locked(record.id) as current:
                if current is not None:
                    await self._starting.give_back(current)
            raise UnknownKernel(kernel_id)
        return record.shown(model)

    async def stop(self, principal: Principal, kernel_id: str) -> None:
        """End a kernel. A silent edge is told later.

        Raises:
            UnknownKernel: there is none of that id for this user.
        """
        record, _ = self._record(principal, kernel_id)
        await self._stop(record)

    async def _stop(self, record: KernelRecord) -> None:
        async with self._records.locked(record.id) as current:
            if current is None:
                return
            ending = msgspec.structs.replace(current, state="ending")
            await self._records.put(ending)
            if ending.kernel_id is None:
                return
            try:
                await self._backends[ending.edge].stop(ending.kernel_id)
            except EdgeError as error:
                _log.warning("a kernel will be ended later", extra={"edge": ending.edge, "reason": str(error)})
            else:
                await self._starting.give_back(ending)

    async def interrupt(self, principal: Principal, kernel_id: str) -> None:
        """Interrupt what a kernel runs."""
        _, backend = self._record(principal, kernel_id)
        await backend.interrupt(kernel_id)

    async def restart(self, principal: Principal, kernel_id: str) -> Json:
        """Restart a kernel; return its model."""
        record, backend = self._record(principal, kernel_id)
        return record.shown(await backend.restart(kernel_id))

    def channels(self, principal: Principal, kernel_id: str, session_id: str | None) -> Upstream:
        """Return where a kernel's websocket is.

        Raises:
            UnknownKernel: there is none of that id for this user.
        """
        _, backend = self._record(principal, kernel_id)
        return backend.channels(kernel_id, session_id)

    def _record(self, principal: Principal, kernel_id: str) -> tuple[KernelRecord, KernelBackend]:
        for record in self._records:
            if record.kernel_id == kernel_id and record.user == principal.user and record.state == "live":
                backend = self._backends.get(record.edge)
                if backend is not None:
                    return record, backend
        raise UnknownKernel(kernel_id)
