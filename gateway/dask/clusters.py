"""The clusters of all users at all edges: what the REST face asks and does."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import msgspec

from edges.compute.errors import NotRunning
from edges.compute.model import Adjustment, ClusterReport, Upstream
from edges.errors import EdgeError, SiteUnavailable
from edges.model import EdgeUser, Json
from edges.seams import DaskBackend
from gateway.background import beside
from gateway.dask.creation import Creation
from gateway.dask.errors import NotStarted, UnknownCluster, UnknownEdge
from gateway.dask.gpus import gpu_fields
from gateway.dask.model import ClusterRoute, Terms
from gateway.dask.offers import Offers
from gateway.dask.options import echoed, edge_field, merge_fields, own_fields, read_edge
from gateway.dask.reconciliation import Reconciliation
from gateway.dask.verdicts import is_young
from gateway.dask.view import ClusterView
from gateway.placement.seam import Placer
from gateway.placement.words import size
from gateway.principal import Principal
from gateway.quota.turns import TrimmingLedger
from gateway.records import RecordTable

_log = logging.getLogger(__name__)

LIST_SECONDS = 10.0
"""How long a list waits for an edge before it tells the last known state instead."""
WAIT_SECONDS = 20.0
"""How long ``?wait`` is held, as dask-gateway-server does."""


class Clusters:
    """Creates, shows, adjusts and ends clusters; routes their comms. Use inside :meth:`running`.

    ``routes`` is an open table: whoever opened it closes it after ``running`` has ended.
    """

    def __init__(
        self,
        *,
        backends: Mapping[str, DaskBackend],
        routes: RecordTable[ClusterRoute],
        ledger: TrimmingLedger,
        placer: Placer,
        terms: Terms,
    ) -> None:
        self._backends = backends
        self._routes = routes
        self._terms = terms
        self._offers = Offers(backends=backends)
        self._creation = Creation(
            backends=backends,
            offers=self._offers,
            routes=routes,
            ledger=ledger,
            placer=placer,
            terms=terms,
        )
        self.view = ClusterView(backends=backends, offers=self._offers, routes=routes)
        self._reconciliation = Reconciliation(
            backends=backends,
            routes=routes,
            ledger=ledger,
            under_way=self._creation.under_way,
            lease_seconds=terms.lease_seconds,
        )
        self._tasks: set[asyncio.Task[ClusterRoute]] = set()

    @asynccontextmanager
    async def running(self, *, reconcile_seconds: float) -> AsyncIterator[None]:
        """Reconcile in the background; at the end, let creations that are under way finish."""
        self._creation.waiting.resume()
        work = self._reconciliation.run(every_seconds=reconcile_seconds)
        try:
            async with beside(work, name="reconcile-clusters"):
                try:
                    yield
                finally:
                    await self._creation.waiting.close()
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def reconcile(self) -> None:
        """Compare with the edges' word now."""
        await self._reconciliation.once()

    async def options(self, principal: Principal, *, pinned: str | None = None) -> list[Json]:
        """Return the option fields that a user sees: our own, and those of the edges that answer.

        Raises:
            UnknownEdge: there is no edge ``pinned``.
            edges.errors.EdgeError: it does not answer.
        """
        user = _edge_user(principal)
        if pinned is None:
            own = own_fields(list(self._backends), most_gpus=self._terms.most_gpus)
            return own + merge_fields(await self._offers.of_all(user))
        if pinned not in self._backends:
            raise UnknownEdge(pinned)
        room = self._terms.rooms.get(pinned)
        fields = [edge_field(list(self._backends), default=pinned), *gpu_fields(0.0 if room is None else room.gpus)]
        return fields + merge_fields({pinned: await self._offers.of_edge(pinned, user)})

    async def create(self, principal: Principal, options: Json, *, pinned: str | None = None) -> str:
        """Create a cluster; return its name. See :meth:`gateway.dask.creation.Creation.create` for what it raises.

        An edge that the address pins is where it starts, whatever edge the options name: those of a kernel always name
        its own.

        A creation that has begun is finished even if the caller is cancelled, so that nothing is half done; the
        cluster that nobody waits for is then ended.
        """
        if pinned is not None:
            read_edge(options.get("edge"), list(self._backends))
            options = {**options, "edge": pinned}
        task = asyncio.create_task(self._creation.create(principal, options), name="create-cluster")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            route = await asyncio.shield(task)
        except asyncio.CancelledError:
            self._tasks.add(abandoned := asyncio.create_task(self._abandon(task), name="abandon-cluster"))
            abandoned.add_done_callback(self._tasks.discard)
            raise
        return route.name or route.id

    async def _abandon(self, task: asyncio.Task[ClusterRoute]) -> ClusterRoute:
        route = await task
        await self._stop(route)
        return route

    async def report(self, principal: Principal, name: str, *, wait: bool = False) -> Json:
        """Return a report as the client expects it.

        Raises:
            UnknownCluster: there is none of that name for this user.
            NotStarted: it was to be waited for, and has failed.
            edges.errors.EdgeError: the edge does not answer, and the cluster was running when it last did.
        """
        route = self.route(principal, name)
        if wait and route.state == "waiting":
            await self._creation.waiting.changed(route.id, seconds=WAIT_SECONDS)
            route = self.route(principal, name)
        if route.name is None:
            if wait and route.status == "FAILED":
                raise NotStarted(f"cluster {route.id} did not start: {route.told or 'nobody says why'}")
            return self._last_shown(route)
        try:
            report = await self._backends[route.edge].report(route.edge_user, route.name, wait=wait)
        except SiteUnavailable:
            if route.status == "PENDING":
                # the client polls until the cluster has started: a short silence of the edge shall not end that
                return self._last_shown(route)
            raise
        if report is None or report.ended:
            await self._reconciliation.settle(route, report)
        if report is None:
            if is_young(route, now=time.time()):
                return self._last_shown(route)
            raise UnknownCluster(name)
        if wait and report.status == "FAILED":
            raise NotStarted(f"edge {route.edge} could not start cluster {route.name}: its Dask Gateway's log says why")
        return _shown(report, route)

    async def reports(
        self, principal: Principal, statuses: Collection[str], *, pinned: str | None = None
    ) -> dict[str, Json]:
        """Return the user's clusters by name; those of a silent edge as last known."""
        chosen = tuple(statuses) or ("PENDING", "RUNNING")
        mine = [
            route
            for route in self._routes
            if route.user == principal.user and route.edge in self._backends and pinned in (None, route.edge)
        ]
        edges = {route.edge for route in mine}
        found = await asyncio.gather(*(self._reports(edge, mine, chosen) for edge in sorted(edges)))
        waiting = {route.id: self._last_shown(route) for route in mine if route.state == "waiting"}
        shown = waiting if "PENDING" in chosen else {}
        return shown | {name: report for reports in found for name, report in reports.items()}

    def _last_shown(self, route: ClusterRoute) -> Json:
        """Return the report of a cluster of which the edge says nothing (yet): with what it waits for."""
        shown = _shown(route.last_known(), route)
        told = self._creation.waiting.told(route.id) if route.state == "waiting" else route.told
        if told:
            shown["options"]["waiting" if route.state == "waiting" else "failed"] = told
        return shown

    async def _reports(self, edge: str, mine: list[ClusterRoute], statuses: tuple[str, ...]) -> dict[str, Json]:
        routes = {route.name: route for route in mine if route.edge == edge and route.name is not None}
        if not routes:
            return {}
        user = next(iter(routes.values())).edge_user
        try:
            async with asyncio.timeout(LIST_SECONDS):
                listed = await self._backends[edge].reports(user, statuses)
        except (EdgeError, TimeoutError) as error:
            _log.warning("an edge's clusters cannot be listed", extra={"edge": edge, "reason": str(error)})
            listed = {name: route.last_known() for name, route in routes.items() if route.status in statuses}
        return {name: _shown(report, routes[name]) for name, report in listed.items() if name in routes}

    async def stop(self, principal: Principal, name: str) -> None:
        """End a cluster. Idempotent: what is not there needs no ending. A silent edge is told later."""
        try:
            route = self.route(principal, name)
        except UnknownCluster:
            return
        if route.open:
            await self._stop(route)

    async def _stop(self, route: ClusterRoute) -> None:
        async with self._routes.locked(route.id) as current:
            if current is None or not current.open or await self._creation.waiting.leave(current):
                return
            await self._routes.put(msgspec.structs.replace(current, state="ending"))
            if current.name is None:
                return
            try:
                await self._backends[current.edge].stop(current.edge_user, current.name)
            except EdgeError as error:
                _log.warning("a cluster will be ended later", extra={"edge": current.edge, "reason": str(error)})

    async def scale(self, principal: Principal, name: str, count: int) -> Adjustment:
        """Ask for ``count`` workers within the cap."""
        route, edge_name = self._running(principal, name)
        return _explained(await self._backends[route.edge].scale(route.edge_user, edge_name, count), route)

    async def adapt(
        self, principal: Principal, name: str, *, minimum: int | None, maximum: int | None, active: bool
    ) -> Adjustment:
        """Let a cluster scale by itself within the cap."""
        route, edge_name = self._running(principal, name)
        done = await self._backends[route.edge].adapt(
            route.edge_user, edge_name, minimum=minimum, maximum=maximum, active=active
        )
        return _explained(done, route)

    def _running(self, principal: Principal, name: str) -> tuple[ClusterRoute, str]:
        route = self.route(principal, name)
        if route.name is None or route.state != "live":
            raise NotRunning(f"Cluster {name} is not running")
        return route, route.name

    def dashboard(self, principal: Principal, name: str) -> Upstream:
        """Return where a cluster's dashboard is.

        Raises:
            UnknownCluster: there is none of that name for this user.
        """
        route, edge_name = self._running(principal, name)
        return self._backends[route.edge].dashboard(edge_name)

    def lookup(self, name: str) -> tuple[str, int] | None:
        """Return where the TLS comms of a cluster go (see :class:`gateway.listener.CommRoutes`)."""
        route = self._open_by_name(name)
        return None if route is None or route.edge not in self._backends else self._backends[route.edge].comm_address

    def route(self, principal: Principal, name: str) -> ClusterRoute:
        """Return a user's route by the edge's name or by our id.

        Raises:
            UnknownCluster: there is none, it is another user's, or its edge is configured no more.
        """
        route = self._routes.get(name) or self._by_name(name)
        if route is None or route.user != principal.user or route.edge not in self._backends:
            raise UnknownCluster(name)
        return route

    def _by_name(self, name: str) -> ClusterRoute | None:
        return self._open_by_name(name) or next((route for route in self._routes if route.name == name), None)

    def _open_by_name(self, name: str) -> ClusterRoute | None:
        return next((route for route in self._routes if route.name == name and route.open), None)


def _edge_user(principal: Principal) -> EdgeUser:
    return EdgeUser(name=principal.user, groups=principal.groups)


def _explained(done: Adjustment, route: ClusterRoute) -> Adjustment:
    """Say to the edge's words what the limit is made of: the client shows both as a warning."""
    if done.ok:
        return done
    cap = route.cap
    gpus = f", {cap.gpus:g} GPUs" if cap.gpus else ""
    granted = f"{cap.cores:g} cores{gpus} and {size(cap.memory)}"
    why = f"this cluster was granted {granted} of the quota of {route.charging_group}"
    return Adjustment(ok=False, message=f"{done.message or 'trimmed'} ({why})")


def _shown(report: ClusterReport, route: ClusterRoute) -> Json:
    """Return a report as the client takes it: it knows these members and no other."""
    shown: Json = msgspec.to_builtins(report)
    shown["options"] = echoed(report.options, edge=route.edge, wished=route.wished)
    # the client divides by 1000 without asking whether there is a start
    shown["start_time"] = report.start_time if report.start_time is not None else int(route.created_at * 1000)
    dashboard = report.status == "RUNNING" and report.dashboard_route is not None
    shown["dashboard_route"] = f"/clusters/{report.name}/status" if dashboard else None
    return shown
