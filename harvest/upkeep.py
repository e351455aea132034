"""What has to be done beside the copying: leases renewed, orders settled, quota asked for again."""

import logging
from typing import NamedTuple

from harvest import orders
from harvest.admission import Admission, Holding, as_holding
from harvest.database import Connection, Journal
from harvest.holds import RELEASED_AT_ONCE, release
from harvest.places import is_private
from harvest.states import ORDERS
from quotas.errors import QuotaError, QuotaExceeded
from quotas.model import Charge

logger = logging.getLogger(__name__)

REFUNDS_AT_ONCE = 500
"""Removed copies whose storage is given back in one turn."""


class _Due(NamedTuple):
    """What there is to do."""

    abandoned: bool
    finished: bool
    waiting: bool
    to_release: bool
    refunds: bool


def _due(connection: Connection, now: float) -> _Due:
    """Look at all that may be due in one go: this is asked ten times a second while work goes on."""
    return _Due(
        abandoned=connection.one("orders_abandoned", now=now) is not None,
        finished=connection.one("orders_finished", now=now) is not None,
        waiting=connection.one("orders_waiting", now=now) is not None,
        to_release=connection.one("orders_to_release", now=now, limit=1) is not None,
        refunds=connection.one("refunds_due", limit=1) is not None,
    )


class Upkeep:
    """Does one turn at a time; repeatable, and safe beside others that do the same.

    ``pause_seconds`` is how long an order waits at most until it asks for quota again: limits may be raised.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        admission: Admission,
        lease_seconds: float,
        claim_seconds: float,
        pause_seconds: float,
    ) -> None:
        self._database = journal.database
        self._admission = admission
        self._renew_every = lease_seconds / 3
        self._claim_seconds = claim_seconds
        self._pause = pause_seconds
        self._clock = journal.clock
        self._checkpoint = journal.checkpoint
        self._renewed = 0.0

    async def turn(self) -> None:
        """Do what is due.

        Raises:
            LedgerUnavailable: the ledger cannot be written; all that is due stays due.
        """
        now = self._clock()
        due = await self._database.run(lambda c: _due(c, now))
        if due.abandoned:
            await self._forget_abandoned()
        if due.finished:
            await self._settle_finished()
        if due.waiting:
            await self._ask_again()
        if due.to_release:
            await self._release()
        if due.refunds:
            await self._give_back()
        if self._clock() - self._renewed >= self._renew_every:
            self._renewed = self._clock()
            await self._renew()

    async def _forget_abandoned(self) -> None:
        """Drop orders whose planner died: nobody was told of them, and nothing was written for them."""
        now = self._clock()

        def forget(connection: Connection) -> None:
            for row in connection.all("orders_abandoned", now=now):
                connection.change("order_forget", id=row["id"])

        await self._database.run(forget)

    async def _renew(self) -> None:
        rows = await self._database.run(lambda c: c.all("orders_holding"))
        for row in rows:
            refusal = await self._admission.renew(as_holding(row))
            if refusal is not None and row["state"] == "ACTIVE":
                later = self._clock() + min(refusal.retry_after or self._pause, self._pause)
                await self._wait(row["id"], refusal.sentence(), later)

    async def _wait(self, order_id: str, why: str, later: float) -> None:
        now = self._clock()
        await self._database.run(lambda c: orders.wait_for_quota(c, order_id, why, now, later))

    async def _ask_again(self) -> None:
        """Let orders that waited for quota go on, where there is some again."""
        now = self._clock()
        for row in await self._database.run(lambda c: c.all("orders_waiting", now=now)):
            refusal = await self._admission.renew(as_holding(row))
            await self._answer(row["id"], None if refusal is None else refusal.sentence(), now)

    async def _answer(self, order_id: str, refused: str | None, now: float) -> None:
        if refused is None:
            await self._database.run(lambda c: orders.go_on(c, order_id, now))
            return
        values = {"retry_at": now + self._pause, "message": refused, "now": now}
        await self._database.run(lambda c: c.change("order_release", id=order_id, **values))

    async def _settle_finished(self) -> None:
        now = self._clock()
        for row in await self._database.run(lambda c: c.all("orders_finished", now=now)):
            await self._settle(row["id"], now)

    async def _settle(self, order_id: str, now: float) -> None:
        until = now + self._claim_seconds
        row = await self._database.run(lambda c: c.one("order_claim", id=order_id, until=until, now=now))
        if row is None:  # another process was first
            return
        holding: Holding = as_holding(row)
        stored = await self._database.run(lambda c: _charge(c, order_id, free=is_private(holding.target)))
        self._checkpoint("charged")
        try:
            await self._admission.settle(holding, moved=row["moved"] - row["moved_settled"], stored=stored)
        except QuotaExceeded as error:  # its lease had ended: the bytes are there, so it is asked for until granted
            values = {"retry_at": now + self._pause, "message": str(error), "now": now}
            await self._database.run(lambda c: c.change("order_release", id=order_id, **values))
            return
        except QuotaError:
            values = {"retry_at": now, "message": row["message"], "now": now}
            await self._database.run(lambda c: c.change("order_release", id=order_id, **values))
            raise
        self._checkpoint("quota-settled")
        await self._database.run(lambda c: orders.finish(c, order_id, now))
        self._checkpoint("order-finished")
        logger.info("harvest order finished", extra={"order": order_id, "moved": row["moved"]})

    async def _release(self) -> None:
        """End the holds of orders whose copies' lifetime is over."""
        now = self._clock()

        def end(connection: Connection) -> int:
            rows = connection.all("orders_to_release", now=now, limit=RELEASED_AT_ONCE)
            for row in rows:
                if (row["state"], "expire") in ORDERS:
                    orders.tell(
                        connection, row["id"], orders.move(connection, row["id"], "expire", row["message"], now), now
                    )
                release(connection, row["id"], now)
            return len(rows)

        if await self._database.run(end):
            self._checkpoint("released")

    async def _give_back(self) -> None:
        """Give the storage of copies that are gone back to who paid for it."""
        for row in await self._database.run(lambda c: c.all("refunds_due", limit=REFUNDS_AT_ONCE)):
            charge = Charge(group=row["charged"], user=row["user"])
            await self._admission.give_back(charge, row["target"], row["bytes"], row["id"])
            self._checkpoint("given-back")
            await self._database.run(lambda c, row=row: c.change("refund_done", id=row["id"]))  # type: ignore[misc] # a default binds the loop's value
            self._checkpoint("give-back-remembered")


def _charge(connection: Connection, order_id: str, *, free: bool) -> int:
    """Write down which bytes are stored at an order's charge; return how many of them the ledger has to be told."""
    connection.change("order_charge_replaced", id=order_id)
    connection.change("order_charge", id=order_id, free=int(free))
    return int(connection.all("order_stored", id=order_id)[0]["stored"])
