"""How a kernel comes to be: spec, edge, intent, lease, edge, record. Each step can be the last of a process."""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping

import msgspec

from edges.compute.errors import ComputeRefused
from edges.errors import EdgeError, NotFound, SiteMisbehaved, SiteUnavailable
from edges.model import Json
from edges.seams import KernelBackend
from gateway.kernels.environment import KernelLogin, kernel_environment, wished_collections
from gateway.kernels.errors import NoEdge, UnknownSpec
from gateway.kernels.gpus import gpus_of
from gateway.kernels.model import LEASE_PREFIX, KernelRecord
from gateway.kernels.seam import KernelCredentials
from gateway.kernels.specs import split_name
from gateway.placement.seam import ComputeNeed, Placer
from gateway.principal import Principal
from gateway.quota.holders import with_holders
from gateway.quota.turns import QueueingLedger, reserve_in_turn
from gateway.records import RecordTable
from quotas.book import Asked
from quotas.errors import QuotaExceeded
from quotas.model import Refusal

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""An edge that takes longer is left out of the kernelspecs; it costs the others nothing."""


class KernelTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What every kernel gets: the gateway's address as edges see it, and the life of an unrenewed lease (seconds).

    ``dask_proxies`` are the edges' own routers of comms (``host:port``), by edge.
    """

    gateway_url: str
    lease_seconds: float = 60.0
    dask_proxies: Mapping[str, str] = {}


class Starting:
    """Starts kernels. Without ``credentials`` cells must bring their own token for Dask."""

    def __init__(
        self,
        *,
        backends: Mapping[str, KernelBackend],
        records: RecordTable[KernelRecord],
        ledger: QueueingLedger,
        placer: Placer,
        terms: KernelTerms,
        credentials: KernelCredentials | None,
    ) -> None:
        self._backends = backends
        self._records = records
        self._ledger = ledger
        self._placer = placer
        self._terms = terms
        self._credentials = credentials
        self._under_way: set[str] = set()

    def under_way(self, record_id: str) -> bool:
        """Tell whether this process is starting that kernel at this moment."""
        return record_id in self._under_way

    async def offers(self) -> dict[str, Json]:
        """Return the kernelspecs of the edges that answer, in the order of the configuration."""
        found = await asyncio.gather(*(self._specs(edge) for edge in self._backends))
        return {edge: specs for edge, specs in zip(self._backends, found, strict=True) if specs is not None}

    async def _specs(self, edge: str) -> Json | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._backends[edge].specs()
        except (EdgeError, TimeoutError) as error:
            _log.warning("an edge's kernelspecs are missing", extra={"edge": edge, "reason": str(error)})
            return None

    async def start(self, principal: Principal, name: str, asked: Mapping[str, str]) -> KernelRecord:
        """Start a kernel and return its live record; an empty name is the default one.

        Raises:
            UnknownSpec: no edge offers it.
            NoEdge: the edges that offer it do not hold what is wished for, or none answers.
            quotas.errors.QuotaExceeded: the charging group has no kernel left.
            edges.errors.EdgeError: the edge refused, or did not answer.
        """
        spec, edge, gpus = await self._place(principal, name, asked)
        record_id = str(uuid.uuid4())
        record = KernelRecord(
            id=record_id,
            user=principal.user,
            charging_group=principal.charging_group,
            edge=edge,
            spec=spec,
            lease=LEASE_PREFIX + record_id,
            gpus=float(gpus),
            created_at=time.time(),
        )
        self._under_way.add(record.id)
        try:
            await self._records.put(record)
            await self._reserve(record, principal)
            return await self._launch(record, principal, asked)
        finally:
            self._under_way.discard(record.id)

    async def _place(self, principal: Principal, name: str, asked: Mapping[str, str]) -> tuple[str, str, int]:
        """Return the edge's own name of the kernelspec, the edge, and how many GPUs the kernel takes there."""
        spec, edge = split_name(name, list(self._backends))
        if edge is not None:
            try:
                offered = (await self._backends[edge].specs())["kernelspecs"]
            except SiteUnavailable as error:
                raise NoEdge(f"edge {edge} does not answer: {error.reason}") from error
            if spec not in offered:
                raise UnknownSpec(f"edge {edge} has no kernelspec {spec[:100]!r}; it has {', '.join(sorted(offered))}")
            return spec, edge, gpus_of(offered[spec], asked)
        offers = await self.offers()
        chosen = spec or next((str(offer.get("default") or "") for offer in offers.values()), "")
        able = [edge for edge, offer in offers.items() if chosen in offer["kernelspecs"]]
        if not able:
            if len(offers) < len(self._backends):
                raise NoEdge(f"no edge that answers offers kernelspec {chosen[:100]!r}")
            raise UnknownSpec(f"no edge offers kernelspec {chosen[:100]!r}")
        gpus = {edge: gpus_of(offers[edge]["kernelspecs"][chosen], asked) for edge in able}
        chosen_edge = await self._choose(principal, gpus, wished_collections(asked))
        return chosen, chosen_edge, gpus[chosen_edge]

    async def _choose(self, principal: Principal, able: Mapping[str, int], collections: tuple[str, ...]) -> str:
        """Choose one of the edges, given with the GPUs that the kernel takes there."""
        unable = set(self._backends) - able.keys()
        need = ComputeNeed(
            kind="kernel",
            collections=collections,
            gpus=float(min(able.values())),
            unfit=dict.fromkeys(unable, "it does not answer, or offers no such kernel"),
        )
        decision = await self._placer.place(need, principal)
        if decision.edge in able:
            return str(decision.edge)
        if collections:
            told = "; ".join(decision.reasons) or f"edge {decision.edge} offers no such kernel"
            raise NoEdge(told, decision.refusal)
        return next(iter(able))

    async def _reserve(self, record: KernelRecord, principal: Principal) -> None:
        try:
            asked = Asked(record.charge, record.lines, self._terms.lease_seconds, "jupyter kernel")
            answer = await reserve_in_turn(self._ledger, record.lease, asked)
        except BaseException:
            # nothing runs; a lease that was granted all the same ends with the next reconciliation
            await self._records.put(msgspec.structs.replace(record, state="ending"))
            raise
        if isinstance(answer, Refusal):
            await self._records.delete(record.id)
            raise QuotaExceeded(await with_holders(answer, principal, self._ledger))

    async def _launch(self, record: KernelRecord, principal: Principal, asked: Mapping[str, str]) -> KernelRecord:
        try:
            token = None
            if self._credentials is not None:
                token = await self._credentials.issue(principal, purpose=record.lease)
            proxy = self._terms.dask_proxies.get(record.edge, "")
            login = KernelLogin(url=self._terms.gateway_url, token=token, proxy=proxy)
            env = kernel_environment(asked, kernel_id=record.id, user=record.user, edge=record.edge, login=login)
            model = await self._backends[record.edge].start(record.spec, env)
        except (ComputeRefused, NotFound):
            await self.give_back(record)
            raise
        except BaseException:
            # the edge may have started it: the lease stays until the edge says what is true
            await self._records.put(msgspec.structs.replace(record, state="ending"))
            raise
        if any(other.kernel_id == model.id for other in self._records):
            await self._records.put(msgspec.structs.replace(record, state="ending"))
            raise SiteMisbehaved(record.edge, "gave a kernel an id that is taken")
        live = msgspec.structs.replace(record, state="live", kernel_id=model.id, last=model)
        await self._records.put(live)
        _log.info("kernel started", extra={"kernel": model.id, "edge": record.edge, "user": record.user})
        return live

    async def give_back(self, record: KernelRecord) -> None:
        """Forget a kernel that is no more: its token, its lease, its record. Can be repeated."""
        if self._credentials is not None:
            await self._credentials.revoke(purpose=LEASE_PREFIX + record.id)
        await self._records.delete(record.id)
        await self._ledger.release(record.lease)  # after the record: else it would be found without a lease
