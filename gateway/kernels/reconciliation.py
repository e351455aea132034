"""The loop that holds leases, records and edges together for kernels."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from edges.compute.model import KernelModel
from edges.errors import EdgeError
from edges.seams import KernelBackend
from gateway.kernels.model import LEASE_PREFIX, KernelRecord
from gateway.kernels.verdicts import Verdict, judge
from gateway.quota.truth import LeaseTruth, ReconcilingLedger
from gateway.records import RecordsUnavailable, RecordTable
from quotas.errors import QuotaError
from quotas.records import Observed

_log = logging.getLogger(__name__)

WRITE_ACTIVITY_SECONDS = 60.0
"""How often a kernel's last activity goes to disk; in between it is only looked up at the edge."""


class Reconciliation:
    """Compares records with the edges' word, again and again. Each step can be repeated."""

    def __init__(
        self,
        *,
        backends: Mapping[str, KernelBackend],
        records: RecordTable[KernelRecord],
        ledger: ReconcilingLedger,
        under_way: Callable[[str], bool],
        give_back: Callable[[KernelRecord], Awaitable[None]],
        lease_seconds: float,
    ) -> None:
        self._backends = backends
        self._records = records
        self._under_way = under_way
        self._give_back = give_back
        self._truth = LeaseTruth(ledger, prefix=LEASE_PREFIX, lease_seconds=lease_seconds)
        self._written: dict[str, float] = {}

    async def run(self, *, every_seconds: float) -> None:
        """Go round for ever, at once and then every so many seconds."""
        while True:
            try:
                await self.once()
            except Exception:  # noqa: BLE001 - this loop gives leases back: it must outlive any single failure
                _log.exception("a round of reconciliation failed")
            await asyncio.sleep(every_seconds)

    async def once(self) -> None:
        """Go round once: all edges at the same time, none can hold up another's leases."""
        await asyncio.gather(*(self._edge(edge) for edge in self._backends))
        await self._settle_leases()
        for gone in self._written.keys() - {record.id for record in self._records}:
            del self._written[gone]

    async def _edge(self, edge: str) -> None:
        if not any(record.edge == edge for record in self._records):
            return
        try:
            listed = await self._backends[edge].kernels()
        except EdgeError as error:
            _log.warning("an edge's kernels cannot be seen", extra={"edge": edge, "reason": str(error)})
            verdicts = [Verdict(act="keep", record=record) for record in self._of(edge)]
        else:
            verdicts = judge(self._of(edge), listed, under_way=self._under_way)
        for verdict in verdicts:
            try:
                await self._carry_out(verdict, edge)
            except (EdgeError, QuotaError, RecordsUnavailable) as error:
                # the next round tries again; the other kernels of this round must not wait for it
                _log.warning("a kernel is not reconciled", extra={"edge": edge, "reason": str(error)})

    def _of(self, edge: str) -> list[KernelRecord]:
        return [record for record in self._records if record.edge == edge]

    async def _carry_out(self, verdict: Verdict, edge: str) -> None:
        record, model = verdict.record, verdict.model
        if record is not None:
            async with self._records.locked(record.id) as current:
                # what has changed since it was judged is judged anew in the next round
                if current == record and not self._under_way(record.id):
                    await self._act(verdict, record, self._backends[edge])
        elif model is not None:
            _log.warning("a kernel of an interrupted start is ended", extra={"edge": edge, "kernel": model.id})
            await self._backends[edge].stop(model.id)

    async def _act(self, verdict: Verdict, record: KernelRecord, backend: KernelBackend) -> None:
        model = verdict.model
        match verdict.act:
            case "keep":
                await self._keep(record, model)
            case "adopt" if model is not None:
                state = "live" if record.state == "starting" else record.state
                await self._records.put(msgspec.structs.replace(record, state=state, kernel_id=model.id, last=model))
            case "stop" if record.kernel_id is not None:
                await backend.stop(record.kernel_id)
            case "ask" if record.kernel_id is not None:
                answer = await backend.kernel(record.kernel_id)
                await (self._end(record) if answer is None else self._keep(record, answer))
            case _:
                await self._end(record)

    async def _end(self, record: KernelRecord) -> None:
        await self._give_back(record)
        _log.info("kernel ended", extra={"kernel": record.kernel_id, "edge": record.edge})

    async def _keep(self, record: KernelRecord, model: KernelModel | None) -> None:
        now = time.monotonic()
        if model is not None and now - self._written.get(record.id, float("-inf")) > WRITE_ACTIVITY_SECONDS:
            current = self._records.get(record.id)
            if current is not None:
                await self._records.put(msgspec.structs.replace(current, last=model))
            self._written[record.id] = now

    async def _settle_leases(self) -> None:
        """Have the ledger say what runs, now that the edges' word is known."""
        unsettled = [record.lease for record in self._records if record.kernel_id is None]
        try:
            await self._truth.tell(self._running, unsettled)
        except QuotaError as error:
            _log.warning("the leases of kernels are not reconciled", extra={"reason": str(error)})

    def _running(self) -> list[Observed]:
        return [
            Observed(key=record.lease, charge=record.charge, lines=record.lines)
            for record in self._records
            if record.kernel_id is not None
        ]
