"""How a cluster comes to be: wish, placement, intent, lease, edge, route. Each step can be the last of a process.

The intent is durable before anything is held, and it has the id that the lease and (where it can) the edge carry: the
reconciliation finds what a crash left behind, and ends it.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping

import msgspec

from edges.compute.errors import ComputeRefused, NotRunning
from edges.compute.model import MARK_FIELD
from edges.errors import InvalidInput, NotFound, SiteMisbehaved
from edges.model import EdgeUser, Json
from edges.seams import DaskBackend
from gateway.dask.errors import NoPlacement
from gateway.dask.gpus import with_gpus
from gateway.dask.model import LEASE_PREFIX, ClusterRoute, Terms
from gateway.dask.offers import Offers
from gateway.dask.options import Wish, fit_options, merge_fields, read_wish, takes_mark, unfit
from gateway.dask.waiting import WaitingRoom, granted_cap
from gateway.placement.seam import ComputeNeed, Placer
from gateway.principal import Principal
from gateway.quota.holders import with_holders
from gateway.quota.turns import TrimmingLedger
from gateway.records import RecordTable
from quotas.errors import QuotaExceeded
from quotas.model import Refusal

_log = logging.getLogger(__name__)

REFUSED = (ComputeRefused, NotFound, NotRunning, InvalidInput)
"""Errors after which the edge certainly has no new cluster; after any other one it may."""

STARTS_AT_ONCE = 8
"""So many clusters an edge is asked for at once: a crowd must not make it slower than our time-out."""


class Creation:
    """Creates clusters, all on the same terms."""

    def __init__(
        self,
        *,
        backends: Mapping[str, DaskBackend],
        offers: Offers,
        routes: RecordTable[ClusterRoute],
        ledger: TrimmingLedger,
        placer: Placer,
        terms: Terms,
    ) -> None:
        self._backends = backends
        self._offers = offers
        self._routes = routes
        self._ledger = ledger
        self._placer = placer
        self._terms = terms
        self._under_way: set[str] = set()
        self._turns = {edge: asyncio.Semaphore(STARTS_AT_ONCE) for edge in backends}
        self.waiting = WaitingRoom(routes=routes, ledger=ledger, terms=terms, begin=self._begin)

    def under_way(self, route_id: str) -> bool:
        """Tell whether this process is creating that cluster at this moment."""
        return route_id in self._under_way

    async def create(self, principal: Principal, options: Json) -> ClusterRoute:
        """Create a cluster and return its live route; or its waiting one, where there is no room yet.

        Raises:
            edges.errors.InvalidInput: a wrong option.
            gateway.dask.errors.NoPlacement: no edge will do.
            quotas.errors.QuotaExceeded: the charging group has not that much left.
            edges.errors.EdgeError: the chosen edge refused, or did not answer.
        """
        wish = read_wish(options, list(self._backends), most_gpus=self._terms.most_gpus)
        edge = await self._place(wish, principal)
        fitted, markable = await self._fitted(edge, wish, principal)
        route = self._intent(edge, wish, principal, fitted, markable=markable)
        self._under_way.add(route.id)
        try:
            await self._routes.put(route)
            granted = await self._reserve(route, principal)
            return granted if granted.state == "waiting" else await self._start(granted)
        finally:
            self._under_way.discard(route.id)

    async def _begin(self, route: ClusterRoute) -> ClusterRoute:
        """Start what has waited, and now has its lease."""
        self._under_way.add(route.id)
        try:
            return await self._start(route)
        finally:
            self._under_way.discard(route.id)

    async def _place(self, wish: Wish, principal: Principal) -> str:
        user = EdgeUser(name=principal.user, groups=principal.groups)
        offers = await self._offers.of_all(user) if wish.rest else {}
        need = ComputeNeed(
            collections=wish.collections,
            items=wish.items,
            queries=wish.queries,
            prefix=wish.prefix,
            edge=wish.edge,
            cores=self._terms.cap.cores,
            memory=self._terms.cap.memory,
            gpus=float(wish.gpus),
            unfit=unfit(wish.rest, offers) if wish.edge is None else {},
        )
        decision = await self._placer.place(need, principal)
        if decision.edge is None or decision.edge not in self._backends:
            ready = [f"POST {one['path']} {msgspec.json.encode(one['body']).decode()}" for one in decision.harvest]
            told = "; ".join([*decision.reasons, *ready]) or "no edge with a Dask Gateway can take this"
            raise NoPlacement(told, decision.refusal)
        return decision.edge

    async def _fitted(self, edge: str, wish: Wish, principal: Principal) -> tuple[Json, bool]:
        user = EdgeUser(name=principal.user, groups=principal.groups)
        offered = await self._offers.of_edge(edge, user)
        foreign = set(wish.rest) - {str(field.get("field")) for field in offered}
        # the other edges are asked only where an option is not this edge's own
        shown = merge_fields(await self._offers.of_all(user)) if foreign else merge_fields({edge: offered})
        fitted = fit_options(wish.rest, edge=edge, offered=offered, merged=shown)
        return with_gpus(fitted, wish.gpus, edge=edge, offered=offered), takes_mark(offered)

    def _intent(self, edge: str, wish: Wish, principal: Principal, fitted: Json, *, markable: bool) -> ClusterRoute:
        route_id = f"{LEASE_PREFIX}{uuid.uuid4().hex}"
        return ClusterRoute(
            id=route_id,
            user=principal.user,
            groups=principal.groups,
            charging_group=principal.charging_group,
            edge=edge,
            cap=msgspec.structs.replace(self._terms.cap, gpus=float(wish.gpus)),
            lease=route_id,
            created_at=time.time(),
            options=fitted | {MARK_FIELD: route_id} if markable else fitted,
            wished=wish.echo,
        )

    async def _reserve(self, route: ClusterRoute, principal: Principal) -> ClusterRoute:
        """Reserve; return the route as it then is: with the cap that was granted, or waiting."""
        try:
            if not self.waiting.has_room(route):
                return await self._line_up(route, f"edge {route.edge} has no room now")
            # core hours are charged as they pass; without a minute's worth of them nothing new begins
            answer = await self._ledger.check(route.charge, [route.first_minute]) or await self._ledger.reserve(
                route.lease, route.charge, route.lines, ttl=self._terms.lease_seconds, why="dask cluster"
            )
            if isinstance(answer, Refusal) and answer.on_exceed == "trim":
                answer = await self._ledger.reserve_some(
                    route.lease, route.charge, route.lines, ttl=self._terms.lease_seconds, why="dask cluster, trimmed"
                )
        except BaseException:
            # nothing runs; a lease that was granted all the same ends with its time, or with the next reconciliation
            await self._routes.put(msgspec.structs.replace(route, state="ending"))
            raise
        if not isinstance(answer, Refusal):
            return msgspec.structs.replace(route, cap=granted_cap(answer, route.cap))
        if answer.on_exceed == "queue" and not answer.never:
            return await self._line_up(route, answer.sentence())
        await self._routes.delete(route.id)
        raise QuotaExceeded(await with_holders(answer, principal, self._ledger))

    async def _line_up(self, route: ClusterRoute, why: str) -> ClusterRoute:
        waiting = msgspec.structs.replace(route, state="waiting")
        await self._routes.put(waiting)
        self.waiting.enter(waiting, why)
        _log.info("cluster waits", extra={"cluster": route.id, "edge": route.edge, "user": route.user})
        return waiting

    async def _start(self, route: ClusterRoute) -> ClusterRoute:
        backend = self._backends[route.edge]
        try:
            async with self._turns[route.edge]:
                name = await backend.create(route.edge_user, route.options, route.cap)
        except REFUSED:
            await self._ledger.release(route.lease)
            await self._routes.delete(route.id)
            raise
        except BaseException:
            # the edge may have started it: the lease stays until the edge says what is true
            await self._routes.put(msgspec.structs.replace(route, state="ending"))
            raise
        if any(other.open and other.name == name for other in self._routes):
            await self._routes.put(msgspec.structs.replace(route, state="ending"))
            raise SiteMisbehaved(route.edge, "gave a cluster a name that is taken")
        async with self._routes.locked(route.id) as current:
            # who has waited knows our id, and may have ended it meanwhile
            ending = current is not None and current.state == "ending"
            live = msgspec.structs.replace(route, state="ending" if ending else "live", name=name)
            await self._routes.put(live)
        _log.info("cluster created", extra={"cluster": name, "edge": route.edge, "user": route.user})
        return live
