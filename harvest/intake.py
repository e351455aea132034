"""Orders taken in: planned, estimated, their quota reserved, or put in line."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harvest import orders
from harvest.admission import Admission, Holding, Reserved
from harvest.ahead import Ahead
from harvest.database import Connection, Journal
from harvest.executors.choice import Choice
from harvest.model import Estimate, Failure, OrderRequest
from harvest.orders import NewOrder
from harvest.planner import PlannedBatch, Planner
from harvest.rules import Sighting
from harvest.seams import Place
from harvest.states import OrderEvent
from harvest.wanted import Aim
from quotas.model import Charge

PLANNED_AHEAD = 4
"""Batches of a plan that are being written down while the next one is made."""

PLANNING_SECONDS = 120.0
"""How long an order that is being planned may show no sign of life before it is forgotten."""

MAX_TOLD_FAILURES = 100
"""Assets that an estimate names one by one as impossible."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """More than ``approval_bytes`` need an approval; ``choice`` tells who carries an order."""

    approval_bytes: int
    choice: Choice


class Intake:
    """Takes orders in; ``changed`` is called when there is work."""

    def __init__(
        self,
        *,
        journal: Journal,
        planner: Planner,
        admission: Admission,
        places: Mapping[str, Place],
        bounds: Bounds,
        changed: Callable[[], None],
    ) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._planner = planner
        self._admission = admission
        self._places = places
        self.approval_bytes = bounds.approval_bytes
        self._choice = bounds.choice
        self._changed = changed

    @staticmethod
    def new_id() -> str:
        """Return an id for an order."""
        return uuid.uuid4().hex

    def labels(self, group: str) -> dict[str, dict[str, str]]:
        """Return the labels of all places that take a group's copies, its own buckets among them."""
        return {
            name: {"id": name, "region": place.region, **place.labels}
            for name, place in self._places.items()
            if place.takes_copies and (not place.owner or f"{group}/".startswith(f"{place.owner}/"))
        }

    def check(self, request: OrderRequest, charge: Charge) -> Aim:
        """Return where an order's copies would go.

        Raises:
            InvalidInput, TargetRefused: they cannot.
        """
        aim = self._planner.aim(request, charge.group)
        self._choice.check(request.executor, request.target)
        return aim

    async def take(self, new: NewOrder, sighting: Sighting | None = None) -> str:
        """Take an order in; return its id, or that of the same one before. See ``Harvester.submit``.

        An order of a rule that finds nothing to do is dropped again. ``sighting`` is told of all items found.
        """
        charge = Charge(group=new.group, user=new.user)
        aim = self._planner.aim(new.request, charge.group, new.id)
        self._choice.check(new.request.executor, new.request.target)
        now = self._clock()
        known = await self._database.run(lambda c: orders.insert(c, new, now, now + PLANNING_SECONDS))
        if known is not None:
            return known
        try:
            await self._plan(new, aim, charge, sighting)
        except BaseException:  # also where the request is given up: nobody else has the id of what is half made
            await asyncio.shield(self._forget(new.id))
            raise
        self._changed()
        return new.id

    async def _forget(self, order_id: str) -> None:
        await self._database.run(lambda c: c.change("order_forget", id=order_id))

    async def estimate(self, request: OrderRequest, charge: Charge) -> Estimate:
        """Tell what an order would cost and whether there is quota for it; nothing is written."""
        aim = self._planner.aim(request, charge.group)
        items = objects = size = unknown = present = near = 0
        skipped: list[Failure] = []
        async for batch in self._planner.batches(request, aim):
            items += len(batch.items)
            objects += sum(len(item.wishes) for item in batch.items)
            size += sum(item.bytes for item in batch.items)
            unknown += batch.unknown
            present += batch.present
            near += batch.near
            skipped += batch.skipped
        self._choice.executor(request.executor, request.target, size, near)
        holding = Holding(id="estimate", charge=charge, target=request.target, priority=request.priority)
        refusal = await self._admission.check(holding, size) if objects else None
        rate = await self._rate(request.target)
        return Estimate(
            items=items,
            objects=objects,
            bytes=size,
            unknown=unknown,
            present=present,
            skipped=tuple(skipped[:MAX_TOLD_FAILURES]),
            refusal=refusal,
            approval=size > self.approval_bytes,
            seconds=0.0 if not size else size / rate if rate else None,
        )

    async def _rate(self, target: str) -> float:
        """Return at how many bytes a second the latest orders came to a target; 0 where none did."""
        rows = await self._database.run(lambda c: c.all("rates_of_target", target=target))
        seconds = sum(row["seconds"] for row in rows)
        return sum(row["moved"] for row in rows) / seconds if seconds > 0 else 0.0

    async def _plan(self, new: NewOrder, aim: Aim, charge: Charge, sighting: Sighting | None) -> None:
        found = told = near = 0
        async with Ahead[int](PLANNED_AHEAD) as adding:
            async for batch in self._planner.batches(new.request, aim):
                if sighting is not None:
                    sighting.meet(batch.found)
                await adding.begin(self._add(new, batch))
                near += batch.near
                found += len(batch.items)
                told += len(batch.skipped)
        total = sum(adding.results)
        if found:
            executor = self._choice.executor(new.request.executor, new.request.target, total, near)
            await self._database.run(lambda c: c.change("order_planned", id=new.id, bytes=total, executor=executor))
            await self._admit(new, charge, total)
        elif new.rule is not None and not told and new.request.lifetime is None:
            await self._forget(new.id)
        else:
            message, now = "nothing had to be copied", self._clock()
            await self._database.run(lambda c: orders.move(c, new.id, "admitted", message, now))

    async def _add(self, new: NewOrder, batch: PlannedBatch) -> int:
        now = self._clock()

        def add(connection: Connection) -> int:
            target, until = new.request.target, now + PLANNING_SECONDS
            return orders.add_batch(connection, new.id, target, batch, now=now, until=until)

        return await self._database.run(add)

    async def _admit(self, new: NewOrder, charge: Charge, total: int) -> None:
        now = self._clock()
        if total > self.approval_bytes and not new.approved:
            why = f"{total} bytes are more than {self.approval_bytes}: an administrator has to approve"
            await self._database.run(lambda c: orders.wait_for_approval(c, new.id, why, now))
            return
        holding = Holding(id=new.id, charge=charge, target=new.request.target, priority=new.request.priority)
        reserved = Reserved(key=f"harvest/{new.id}", amount=total, jobs=1)
        event: OrderEvent = "admitted" if await self._admission.admit(holding, reserved) else "quota-lost"
        await self._database.run(lambda c: orders.admitted(c, new.id, reserved, now, event))
