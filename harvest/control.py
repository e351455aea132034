"""What people do with orders under way: approve, reject, suspend, resume, retry."""

from collections.abc import Callable

from harvest import orders
from harvest.admission import Admission, Reserved, holding_of
from harvest.database import Connection, Journal
from harvest.states import OrderEvent, order_after


class Control:
    """Acts on orders. ``changed`` is called after each act, so that workers look.

    Each method raises OrderNotFound, and ImpossibleTransition where the order's state does not allow it.
    """

    def __init__(self, *, journal: Journal, admission: Admission, changed: Callable[[], None]) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._admission = admission
        self._changed = changed

    def wake(self) -> None:
        """Let workers look: something has changed."""
        self._changed()

    async def approve(self, order_id: str) -> None:
        """Let an order that waits for approval begin: its quota is reserved now.

        Raises:
            QuotaExceeded: a policy stands in the way; the order goes on waiting for approval.
        """
        row = await self._database.run(lambda c: orders.row_of(c, order_id))
        order_after(row["state"], "approved")
        holding = await self._database.run(lambda c: holding_of(c, order_id))
        reserved = Reserved(key=f"harvest/{order_id}", amount=row["planned_bytes"], jobs=1)
        event: OrderEvent = "approved" if await self._admission.admit(holding, reserved) else "quota-lost"
        now = self._clock()
        await self._database.run(lambda c: orders.admitted(c, order_id, reserved, now, event))
        self._changed()

    async def reject(self, order_id: str, why: str) -> None:
        """End an order that waits for approval."""
        now = self._clock()

        def end(connection: Connection) -> None:
            order_after(orders.row_of(connection, order_id)["state"], "approved")
            orders.cancel(connection, order_id, now, f"rejected: {why}")

        await self._database.run(end)
        self._changed()

    async def suspend(self, order_id: str) -> None:
        """Stop work on an order; what is up stays, and its quota is kept."""
        now = self._clock()

        def pause(connection: Connection) -> None:
            orders.move(connection, order_id, "suspend", "suspended", now)
            connection.change("objects_unpaid", id=order_id)
            connection.change("objects_paused", id=order_id)

        await self._database.run(pause)
        self._changed()

    async def resume(self, order_id: str) -> None:
        """Go on with a suspended order where it was."""
        now = self._clock()

        def go_on(connection: Connection) -> None:
            orders.move(connection, order_id, "resume", "", now)
            connection.change("objects_adopt", id=order_id)

        await self._database.run(go_on)
        self._changed()

    async def retry(self, order_id: str, *, repair: bool = False) -> None:
        """Try what failed of an order once more. ``repair``: nobody asked for it."""
        now = self._clock()

        def again(connection: Connection) -> None:
            orders.move(connection, order_id, "retry", "", now)
            connection.change("order_next_round", id=order_id, repairs=int(repair))
            connection.change("reservations_used", id=order_id)
            connection.change("objects_want_again", id=order_id)
            connection.change("items_want_again", id=order_id)

        await self._database.run(again)
        self._changed()
