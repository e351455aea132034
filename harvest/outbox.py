"""Events sent to who wants them: at least once, signed, later and later where nobody answers."""

import logging
from collections.abc import Callable

import msgspec

from edges.errors import EdgeError
from edges.model import Json
from harvest import orders
from harvest.announcing import Announcement, announce
from harvest.database import Connection, Journal, Row
from harvest.errors import HarvestError
from harvest.model import Order, OrderRequest, Results, Value
from harvest.seams import World
from harvest.webhooks import (
    CLOUD_EVENT_TYPE,
    MAX_ATTEMPTS,
    SEND_SECONDS,
    Event,
    Message,
    Poster,
    cloud_event,
    pause_after,
)

logger = logging.getLogger(__name__)

AT_ONCE = 20

MAX_RESULTS = 1_000
"""Copies that a callback tells one by one."""

EXPIRING_SECONDS = 86_400.0
"""How long before its end a hold on copies is told of."""


class Delivery(Value, frozen=True):
    """One event on its way. ``time`` in epoch seconds."""

    seq: int
    event: str
    type: str
    subject: str
    url: str
    kind: str
    secret: str
    attempts: int
    time: float
    data: Json


class Outbox:
    """Sends what waits. ``bucket_of`` tells the bucket of a target, for results."""

    def __init__(self, *, journal: Journal, world: World, bucket_of: Callable[[str], str]) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._checkpoint = journal.checkpoint
        self._webhooks = world.webhooks
        self._poster = Poster(session=world.session, check=world.check, keys=world.webhooks.keys)
        self._bucket_of = bucket_of

    async def turn(self) -> bool:
        """Send what is due; tell whether there was anything."""
        now = self._clock()
        await self._tell_of_ends(now)
        rows = await self._database.run(lambda c: _claimed(c, now))
        for row in rows:
            await self._send(_delivery(row))
        return bool(rows)

    async def told(self, state: str) -> list[Json]:
        """Return deliveries in a state, the latest first, without what they say."""
        rows = await self._database.run(lambda c: c.all("deliveries_told", state=state))
        return [dict(row) for row in rows]

    async def _send(self, delivery: Delivery) -> None:
        now = self._clock()
        try:
            reason = await self._poster.post(await self._message(delivery), int(self._clock()))
        except (EdgeError, HarvestError, OSError) as error:
            reason = str(error) or type(error).__name__
        self._checkpoint("event-sent")
        state = "sent" if not reason else "dead" if delivery.attempts + 1 >= MAX_ATTEMPTS else "waiting"
        if reason:
            extra = {"event": delivery.event, "attempts": delivery.attempts + 1, "state": state, "reason": reason[:200]}
            logger.warning("an event could not be delivered", extra=extra)
        values = {"state": state, "reason": reason[:500], "not_before": now + pause_after(delivery.attempts)}
        await self._database.run(lambda c: c.change("delivery_ended", seq=delivery.seq, now=now, **values))

    async def _message(self, delivery: Delivery) -> Message:
        body, kind = await self._body(delivery)
        return Message(id=delivery.event, url=delivery.url, secret=delivery.secret, body=body, kind=kind)

    async def _body(self, delivery: Delivery) -> tuple[bytes, str]:
        """Return what is posted, and its media type."""
        if delivery.kind == "cloudevent":
            event = Event(
                id=delivery.event,
                type=delivery.type,
                subject=delivery.subject,
                time=delivery.time,
                data=delivery.data,
            )
            return msgspec.json.encode(cloud_event(event, self._webhooks.source)), CLOUD_EVENT_TYPE

        def read(connection: Connection) -> tuple[Order, Results | None]:
            order = orders.order_of(connection, orders.row_of(connection, delivery.subject))
            if delivery.kind != "successUri":
                return order, None
            bucket = self._bucket_of(order.request.target)
            return order, orders.results(connection, delivery.subject, bucket, 0, MAX_RESULTS)

        order, results = await self._database.run(read)
        return msgspec.json.encode(self._webhooks.callbacks(delivery.kind, order, results)), "application/json"

    async def _tell_of_ends(self, now: float) -> None:
        """Tell in good time of copies that nobody will count on."""

        def tell(connection: Connection) -> None:
            for row in connection.all("orders_expiring_soon", until=now + EXPIRING_SECONDS):
                request = msgspec.json.decode(row["request"], type=OrderRequest)
                data: Json = {"order": row["id"], "target": row["target"], "expires": row["copies_until"]}
                said = Announcement(
                    state=row["state"], subject=row["id"], data=data, notify=request.notify, event="expiring"
                )
                announce(connection, said, now)
                connection.change("order_expiring_told", id=row["id"])

        await self._database.run(tell)


def _claimed(connection: Connection, now: float) -> list[Row]:
    rows = connection.all("deliveries_due", now=now, limit=AT_ONCE)
    until = now + 2 * SEND_SECONDS * AT_ONCE
    return [row for row in rows if connection.change("delivery_claim", seq=row["seq"], now=now, until=until)]


def _delivery(row: Row) -> Delivery:
    kept = {name: row[name] for name in Delivery.__struct_fields__}
    return Delivery(**kept | {"data": msgspec.json.decode(kept["data"], type=dict)})
