"""The loop that holds leases, routes and edges together: what runs is paid for, what has ended is given back."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

import msgspec

from edges.compute.model import ClusterReport
from edges.errors import EdgeError
from edges.model import EdgeUser
from edges.seams import DaskBackend
from gateway.dask.model import LEASE_PREFIX, ClusterRoute
from gateway.dask.verdicts import Verdict, judge, judge_answer
from gateway.quota.truth import LeaseTruth, ReconcilingLedger
from gateway.records import RecordsUnavailable, RecordTable
from quotas.errors import QuotaError
from quotas.records import Observed

_log = logging.getLogger(__name__)

LIVE = ("PENDING", "RUNNING", "STOPPING")
KEEP_ENDED_SECONDS = 24 * 3600.0
"""How long an ended route is remembered: its report can be read, and its user's orphans are looked for."""
ROUNDS_PER_ORPHAN_HUNT = 12
"""Users without a cluster are looked at in each so manieth round only: orphans are rare, and users are many."""
CONCURRENT_USERS = 8
"""Edges list clusters per user: so many lists are asked for at once, per edge."""


class Reconciliation:
    """Compares routes with the edges' word, again and again. Each step can be repeated."""

    def __init__(
        self,
        *,
        backends: Mapping[str, DaskBackend],
        routes: RecordTable[ClusterRoute],
        ledger: ReconcilingLedger,
        under_way: Callable[[str], bool],
        lease_seconds: float,
    ) -> None:
        self._backends = backends
        self._routes = routes
        self._ledger = ledger
        self._under_way = under_way
        self._truth = LeaseTruth(ledger, prefix=LEASE_PREFIX, lease_seconds=lease_seconds)
        self._round = 0

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
        hunt = self._round % ROUNDS_PER_ORPHAN_HUNT == 0
        self._round += 1
        await asyncio.gather(*(self._edge(edge, hunt=hunt) for edge in self._backends))
        await self._settle_leases()
        await self._forget()

    async def settle(self, route: ClusterRoute, report: ClusterReport | None) -> None:
        """Do what an edge's report of one cluster asks for, now rather than with the next round."""
        async with self._routes.locked(route.id) as current:
            if current is not None and current.open:
                await self._act(judge_answer(current, report, now=time.time()), current)

    async def _edge(self, edge: str, *, hunt: bool) -> None:
        users = {route.edge_user for route in self._routes if route.edge == edge and (route.holds or hunt)}
        places = asyncio.Semaphore(CONCURRENT_USERS)

        async def one(user: EdgeUser) -> None:
            async with places:
                await self._user(edge, user)

        await asyncio.gather(*(one(user) for user in _one_per_name(users)))

    async def _user(self, edge: str, user: EdgeUser) -> None:
        try:
            listed = await self._backends[edge].reports(user, LIVE)
        except EdgeError as error:
            _log.warning("an edge's clusters cannot be seen", extra={"edge": edge, "reason": str(error)})
            await self._hold(edge, user)
            return
        routes = self._of(edge, user)
        for verdict in judge(routes, listed, under_way=self._under_way):
            await self._try(verdict, edge, user)

    async def _try(self, verdict: Verdict, edge: str, user: EdgeUser) -> None:
        try:
            await self._carry_out(verdict, edge, user)
        except (EdgeError, QuotaError, RecordsUnavailable) as error:
            # the next round tries again; the other clusters of this round must not wait for it
            _log.warning("a cluster is not reconciled", extra={"edge": edge, "reason": str(error)})

    async def _hold(self, edge: str, user: EdgeUser) -> None:
        """Keep the leases of an edge that is silent: its clusters most likely run on."""
        for route in self._of(edge, user):
            if route.open:
                await self._try(Verdict(act="keep", route=route), edge, user)

    def _of(self, edge: str, user: EdgeUser) -> list[ClusterRoute]:
        # what waits has not come to the edge yet
        return [
            route
            for route in self._routes
            if route.edge == edge and route.user == user.name and route.state != "waiting"
        ]

    async def _carry_out(self, verdict: Verdict, edge: str, user: EdgeUser) -> None:
        route, report = verdict.route, verdict.report
        if route is not None:
            async with self._routes.locked(route.id) as current:
                # what has changed since it was judged is judged anew in the next round
                if current == route and not self._under_way(route.id):
                    await self._act(verdict, route)
        elif report is not None:
            _log.warning("an orphaned cluster is ended", extra={"edge": edge, "cluster": report.name})
            await self._backends[edge].stop(user, report.name)

    async def _act(self, verdict: Verdict, route: ClusterRoute) -> None:
        report = verdict.report
        match verdict.act:
            case "keep":
                await self._keep(route, report)
            case "adopt" if report is not None:
                _log.warning("a cluster is adopted", extra={"edge": route.edge, "cluster": report.name})
                await self._put(route, state="live", name=report.name, status=report.status)
            case "stop" if report is not None:
                await self._stop(route, report.name)
            case "ask":
                answer = await self._backends[route.edge].report(route.edge_user, route.name or route.id)
                await self._act(judge_answer(route, answer, now=time.time()), route)
            case _:
                await self._end(route, report)

    async def _keep(self, route: ClusterRoute, report: ClusterReport | None) -> None:
        if report is not None and report.status != route.status:
            await self._put(route, status=report.status)

    async def _stop(self, route: ClusterRoute, name: str) -> None:
        if route.name is None:
            route = await self._put(route, name=name)
        await self._backends[route.edge].stop(route.edge_user, name)

    async def _end(self, route: ClusterRoute, report: ClusterReport | None) -> None:
        status = report.status if report is not None else "STOPPED"
        await self._put(route, state="ended", status=status, ended_at=time.time())
        await self._ledger.release(route.lease)  # after it is told as ended: else it would be found without a lease
        _log.info("cluster ended", extra={"edge": route.edge, "cluster": route.name, "status": status})

    async def _settle_leases(self) -> None:
        """Have the ledger say what runs, now that the edges' word is known."""
        unsettled = [route.lease for route in self._routes if route.open and not _runs(route)]
        try:
            await self._truth.tell(lambda: [_observed(route) for route in self._routes if _runs(route)], unsettled)
        except QuotaError as error:
            _log.warning("the leases of clusters are not reconciled", extra={"reason": str(error)})

    async def _put(self, route: ClusterRoute, **changes: object) -> ClusterRoute:
        changed = msgspec.structs.replace(route, **changes)
        await self._routes.put(changed)
        return changed

    async def _forget(self) -> None:
        horizon = time.time() - KEEP_ENDED_SECONDS
        for route in self._routes:
            if route.ended_at is not None and route.ended_at < horizon:
                await self._routes.delete(route.id)


def _one_per_name(users: set[EdgeUser]) -> list[EdgeUser]:
    return list({user.name: user for user in users}.values())


def _runs(route: ClusterRoute) -> bool:
    """Tell whether its edge has it, as far as is known: then the whole cap is taken."""
    return route.name is not None and route.holds


def _observed(route: ClusterRoute) -> Observed:
    return Observed(key=route.lease, charge=route.charge, lines=route.lines)
