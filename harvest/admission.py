"""Quota for harvests: reserved before anything is written, renewed, and settled by what was done."""

import logging
from collections.abc import Callable, Sequence

from harvest.admission_ledger import HarvestLedger
from harvest.database import Connection, Database, Row
from harvest.estimate import spread
from harvest.model import Value
from harvest.places import is_private
from quotas.errors import LeaseLost, QuotaExceeded
from quotas.model import Charge, Lease, Line, Refusal
from quotas.records import Ticket

logger = logging.getLogger(__name__)

GROWTH = 64 << 20
"""Bytes by which a reservation grows for an object whose size nobody tells: not each part asks the ledger."""


HASTE = {1: 0.0, 2: 900.0, 3: 3_600.0, 4: 21_600.0, 5: 86_400.0}
"""What a priority is worth in the line, in seconds of waiting."""


class Holding(Value, frozen=True):
    """An order as the ledger sees it: who pays, at which edge, and how urgent it is."""

    id: str
    charge: Charge
    target: str
    priority: int = 3


class Reserved(Value, frozen=True):
    """One lease of an order: bytes, and whether it holds the order's place among concurrent jobs."""

    key: str
    amount: int
    jobs: int


def lines_for(target: str, amount: int, jobs: int) -> list[Line]:
    """Return what is asked of the ledger for so many bytes at an edge, and so many jobs."""
    lines = [Line(resource="harvest_jobs", amount=jobs, edge=target)] if jobs else []
    if amount:
        lines.append(Line(resource="harvest_bytes", amount=amount, edge=target))
        if not is_private(target):
            lines.append(Line(resource="storage_bytes", amount=amount, edge=target))
    return lines


class Admission:
    """Asks the ledger. ``lease_seconds`` is how long a reservation outlives us."""

    def __init__(
        self, *, ledger: HarvestLedger, database: Database, lease_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._ttl = lease_seconds
        self._clock = clock

    async def check(self, holding: Holding, amount: int) -> Refusal | None:
        """Tell what a reservation would be answered, without making it."""
        return await self._ledger.check(holding.charge, lines_for(holding.target, amount, 1))

    async def admit(self, holding: Holding, reserved: Reserved) -> bool:
        """Reserve for a whole order; tell False where it has to wait in line (ask by :meth:`renew`).

        Raises:
            QuotaExceeded: a policy stands in the way, and says nothing of waiting; nothing was reserved.
        """
        try:
            await self._reserve(holding, reserved)
        except QuotaExceeded as error:
            if error.refusal.on_exceed != "queue" or error.refusal.never:
                raise
            return False
        return True

    async def cover(self, object_id: int, needed: int, *, exact: bool) -> None:
        """Make sure that the payer of an object has reserved ``needed`` bytes for it.

        Raises:
            QuotaExceeded: no; the object must wait.
        """
        row = await self._database.run(lambda c: c.one("object_reserved", object=object_id))
        if row is None or row["payer"] is None or (row["reserved"] or 0) >= needed:
            return
        before = row["reserved"] or 0
        reserved = needed if exact else max(needed, before + GROWTH)
        holding = await self._database.run(lambda c: holding_of(c, row["payer"]))
        more = Reserved(
            key=f"harvest/{holding.id}/{object_id}/{row['round']}/{reserved}", amount=reserved - before, jobs=0
        )
        await self._reserve(holding, more)

        def remember(connection: Connection) -> None:
            connection.change("lease_insert", order_id=holding.id, key=more.key, amount=more.amount, jobs=0)
            linked = {"order_id": holding.id, "object": object_id, "reserved": reserved}
            connection.change("object_link", estimate=0, **linked)
            connection.change("object_raise_reserved", **linked)

        await self._database.run(remember)

    async def renew(self, holding: Holding) -> Refusal | None:
        """Keep an order's leases alive; take anew those that have ended; tell if that is refused."""
        for reserved in await self._open_leases(holding.id):
            try:
                await self._ledger.renew(reserved.key, ttl=self._ttl)
            except LeaseLost:
                try:
                    await self._reserve(holding, reserved)
                except QuotaExceeded as error:
                    return error.refusal
        return None

    async def settle(self, holding: Holding, moved: int, stored: int) -> None:
        """Tell the ledger what was really moved and stored. Repeatable.

        Raises:
            QuotaExceeded: a lease had ended, and there is no room for it any more; try again later.
        """
        rows = await self._database.run(lambda c: c.all("leases_of_round", id=holding.id))
        amounts = [row["amount"] for row in rows]
        shares = zip(rows, spread(moved, amounts), spread(stored, amounts), strict=True)
        for row, moved_share, stored_share in shares:
            if not row["ended"]:
                lease = Reserved(key=row["key"], amount=row["amount"], jobs=row["jobs"])
                await self._commit(holding, lease, moved_share, stored_share)
                await self._database.run(lambda c, key=lease.key: c.change("lease_ended", key=key))  # type: ignore[misc] # a default binds the loop's value

    async def give_back(self, charge: Charge, target: str, amount: int, key: str) -> None:
        """Return storage whose bytes are gone. Repeatable by ``key``."""
        line = Line(resource="storage_bytes", amount=amount, edge=target)
        await self._ledger.give_back(charge, line, key=f"harvest-refund/{key}", why="a copy was removed")

    async def _commit(self, holding: Holding, lease: Reserved, moved: int, stored: int) -> None:
        if not moved and not stored:  # also what still waits in line, or has ended meanwhile
            await self._ledger.leave_line(lease.key)
            await self._ledger.release(lease.key)
            return
        actual = {"harvest_bytes": float(moved)}
        if not is_private(holding.target):
            actual["storage_bytes"] = float(stored)
        try:
            await self._ledger.commit(lease.key, actual)
        except LeaseLost:
            await self._reserve(holding, lease)
            await self._ledger.commit(lease.key, actual)

    async def _open_leases(self, order_id: str) -> Sequence[Reserved]:
        rows = await self._database.run(lambda c: c.all("leases_open", id=order_id))
        return [Reserved(key=row["key"], amount=row["amount"], jobs=row["jobs"]) for row in rows]

    async def _reserve(self, holding: Holding, reserved: Reserved) -> Lease | None:
        lines = lines_for(holding.target, reserved.amount, reserved.jobs)
        if not lines:
            return None
        why = f"harvest order {holding.id}"
        answer = await self._ledger.reserve(reserved.key, holding.charge, lines, ttl=self._ttl, why=why)
        if isinstance(answer, Refusal) and answer.on_exceed == "queue" and not answer.never:
            haste = HASTE[holding.priority]
            in_line = await self._ledger.line_up(
                reserved.key, holding.charge, lines, ttl=self._ttl, priority=haste, why=why
            )
            answer = answer if isinstance(in_line, Ticket) else in_line
        if isinstance(answer, Refusal):
            logger.info("harvest quota refused", extra={"order": holding.id, "why": answer.sentence()})
            raise QuotaExceeded(answer)
        return answer


def holding_of(connection: Connection, order_id: str) -> Holding:
    """Return an order as the ledger sees it."""
    row = connection.one("order_by_id", id=order_id)
    if row is None:
        raise LookupError(f"no order {order_id}")
    return as_holding(row)


def as_holding(row: Row) -> Holding:
    """Return a row of an order as the ledger sees it."""
    charge = Charge(group=row["charged"], user=row["user"])
    return Holding(id=row["id"], charge=charge, target=row["target"], priority=row["priority"])
