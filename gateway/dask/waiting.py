"""Clusters for which there is no room yet: they are pending, in a fair order, and begin when it is their turn.

Who waits is on disk: a gateway that starts again takes the line up where it was.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from edges.errors import EdgeError
from edges.model import ClusterCap
from gateway.dask.model import ClusterRoute, Terms
from gateway.quota.turns import QueueingLedger
from gateway.records import RecordsUnavailable, RecordTable
from quotas.errors import LedgerUnavailable, QuotaError, QuotaExceeded
from quotas.model import Lease
from quotas.records import Ticket

_log = logging.getLogger(__name__)

TURN_SECONDS = 0.5
"""How often it is asked whether it is a cluster's turn."""

Begin = Callable[[ClusterRoute], Awaitable[ClusterRoute]]


class WaitingRoom:
    """Those who wait. ``begin`` starts a cluster whose lease was granted."""

    def __init__(
        self,
        *,
        routes: RecordTable[ClusterRoute],
        ledger: QueueingLedger,
        terms: Terms,
        begin: Begin,
    ) -> None:
        self._routes = routes
        self._ledger = ledger
        self._terms = terms
        self._begin = begin
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._begun: set[str] = set()
        self._told: dict[str, str] = {}

    def has_room(self, route: ClusterRoute) -> bool:
        """Tell whether the edge has room for a cluster beside those that run, or came before it."""
        room = self._terms.rooms.get(route.edge)
        if room is None:
            return True
        others = [other for other in self._routes if other.edge == route.edge and _before(other, route)]
        return room.fits([other.takes for other in others], route.takes)

    def enter(self, route: ClusterRoute, why: str) -> None:
        """Let a cluster wait, whose record says that it does."""
        self._told[route.id] = why
        task = asyncio.create_task(self._wait(route), name="cluster-waits")
        self._tasks[route.id] = task
        task.add_done_callback(lambda _: self._gone(route.id))

    def resume(self) -> None:
        """Take up the line that a former process left."""
        for route in sorted(self._routes, key=lambda each: each.created_at):
            if route.state == "waiting" and route.id not in self._tasks:
                self.enter(route, "the gateway was started again")

    def told(self, route_id: str) -> str:
        """Return what a cluster waits for, in words."""
        return self._told.get(route_id, "")

    async def changed(self, route_id: str, *, seconds: float) -> None:
        """Wait until a cluster waits no more, or so long."""
        task = self._tasks.get(route_id)
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)

    async def leave(self, route: ClusterRoute) -> bool:
        """Let a cluster wait no more; tell whether it was still waiting. What it may have been granted is given back.

        The caller holds the lock of the record.
        """
        if route.state != "waiting" or route.id in self._begun:
            return False
        task = self._tasks.get(route.id)
        if task is not None:
            task.cancel()
        await self._ledger.leave_line(route.lease)
        await self._ledger.release(route.lease)
        await self._routes.put(_ended(route, "STOPPED", "ended while it waited"))
        return True

    async def close(self) -> None:
        """Stop asking; those who wait keep their place on disk. What has begun is finished."""
        for route_id, task in self._tasks.items():
            if route_id not in self._begun:
                task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _gone(self, route_id: str) -> None:
        self._tasks.pop(route_id, None)
        self._told.pop(route_id, None)
        self._begun.discard(route_id)

    async def _wait(self, route: ClusterRoute) -> None:
        until = route.created_at + self._terms.queue_seconds
        while True:
            try:
                granted = await self._turn(route)
            except QuotaExceeded as error:
                await self._fail(route, str(error))
                return
            except (QuotaError, LedgerUnavailable, RecordsUnavailable) as error:
                _log.warning("a waiting cluster could not ask for its turn", extra={"reason": str(error)[:300]})
                granted = None
            if granted is not None:
                await self._start(granted)
                return
            if time.time() > until:
                await self._fail(route, f"waited too long; {self.told(route.id)}")
                return
            await asyncio.sleep(TURN_SECONDS)

    async def _turn(self, route: ClusterRoute) -> ClusterRoute | None:
        """Ask for the lease; return the route that may begin, or None."""
        if not self.has_room(route):
            ahead = sum(1 for other in self._routes if other.state == "waiting" and other.edge == route.edge
                        and other.created_at < route.created_at)  # fmt: skip
            self._told[route.id] = f"position {ahead + 1}: edge {route.edge} has no room now"
            return None
        answer = await self._ledger.line_up(
            route.lease, route.charge, route.lines, ttl=self._terms.lease_seconds, why="dask cluster"
        )
        if isinstance(answer, Lease):
            return msgspec.structs.replace(route, state="creating", cap=granted_cap(answer, route.cap))
        self._told[route.id] = _said(answer)
        return None

    async def _start(self, granted: ClusterRoute) -> None:
        self._begun.add(granted.id)
        try:
            async with self._routes.locked(granted.id) as current:
                if current is None or current.state != "waiting":
                    await self._ledger.release(granted.lease)
                    return
                await self._routes.put(granted)
            await self._begin(granted)
        except EdgeError as error:
            await self._fail(granted, str(error))

    async def _fail(self, route: ClusterRoute, why: str) -> None:
        _log.warning("a waiting cluster has failed", extra={"edge": route.edge, "reason": why[:300]})
        with suppress(QuotaError):
            await self._ledger.leave_line(route.lease)
        if self._routes.get(route.id) is None or route.state == "waiting":
            # where the edge may have it, the record says so and reconciliation sees to it
            await self._routes.put(_ended(route, "FAILED", why))


def granted_cap(lease: Lease, asked: ClusterCap) -> ClusterCap:
    """Return the cap of what was granted, which may have been cut."""
    amounts = {line.resource: line.amount for line in lease.lines}
    return ClusterCap(
        cores=min(asked.cores, amounts.get("cores", asked.cores)),
        memory=int(min(asked.memory, amounts.get("memory", asked.memory))),
        gpus=min(asked.gpus, amounts.get("gpus", asked.gpus)),
    )


def _before(other: ClusterRoute, route: ClusterRoute) -> bool:
    if other.id == route.id or not other.open:
        return False
    if other.state in ("live", "ending"):
        return True
    return other.state == "creating" and (other.created_at, other.id) < (route.created_at, route.id)


def _ended(route: ClusterRoute, status: str, why: str) -> ClusterRoute:
    return msgspec.structs.replace(route, state="ended", status=status, ended_at=time.time(), told=why)


def _said(ticket: Ticket) -> str:
    waits = "; ".join(each.sentence() for each in ticket.waits_for)
    return f"position {ticket.position}: {waits}" if waits else f"position {ticket.position}"
