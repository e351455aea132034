"""Events sent to who wants them: at least once, signed, later and later where nobody answers.

Sources: CloudEvents 1.0 (structured mode over HTTP), Standard Webhooks 1.0 (headers and signature).
"""

import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import msgspec

from edges.errors import EdgeError
from edges.model import Json
from harvest import orders
from harvest.announcing import Announcement, announce
from harvest.database import Connection, Journal, Row
from harvest.errors import HarvestError
from harvest.model import Order, OrderRequest, Results, Value
from harvest.seams import World

logger = logging.getLogger(__name__)

SEND_SECONDS = 10.0
"""How long one delivery may take."""

AT_ONCE = 20
MAX_ATTEMPTS = 12
"""Deliveries that failed so often are dead letters."""

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


def pause_after(attempts: int) -> float:
    """Return after how many seconds a delivery is tried again: from 5 s to an hour.

    >>> [pause_after(attempts) for attempts in (0, 1, 5, 20)]
    [5.0, 10.0, 160.0, 3600.0]
    """
    return min(3_600.0, 5.0 * 2.0 ** min(attempts, 20))


def cloud_event(delivery: Delivery, source: str) -> Json:
    """Return an event in the JSON format of CloudEvents 1.0."""
    time = datetime.fromtimestamp(delivery.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "specversion": "1.0",
        "id": delivery.event,
        "source": source,
        "type": delivery.type,
        "subject": delivery.subject,
        "time": time,
        "datacontenttype": "application/json",
        "data": delivery.data,
    }


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of Standard Webhooks: HMAC-SHA256 over id, time and body.

    >>> signature(b"k", "id", 1, b"{}")[:3]
    'v1,'
    """
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


class Outbox:
    """Sends what waits. ``bucket_of`` tells the bucket of a target, for results."""

    def __init__(self, *, journal: Journal, world: World, bucket_of: Callable[[str], str]) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._checkpoint = journal.checkpoint
        self._session = world.session
        self._check = world.check
        self._webhooks = world.webhooks
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
            reason = await self._post(delivery, await self._body(delivery))
        except (aiohttp.ClientError, TimeoutError, EdgeError, HarvestError, OSError) as error:
            reason = str(error) or type(error).__name__
        self._checkpoint("event-sent")
        state = "sent" if not reason else "dead" if delivery.attempts + 1 >= MAX_ATTEMPTS else "waiting"
        if reason:
            extra = {"event": delivery.event, "attempts": delivery.attempts + 1, "state": state, "reason": reason[:200]}
            logger.warning("an event could not be delivered", extra=extra)
        values = {"state": state, "reason": reason[:500], "not_before": now + pause_after(delivery.attempts)}
        await self._database.run(lambda c: c.change("delivery_ended", seq=delivery.seq, now=now, **values))

    async def _body(self, delivery: Delivery) -> bytes:
        if delivery.kind == "cloudevent":
            return msgspec.json.encode(cloud_event(delivery, self._webhooks.source))

        def read(connection: Connection) -> tuple[Order, Results | None]:
            order = orders.order_of(connection, orders.row_of(connection, delivery.subject))
            if delivery.kind != "successUri":
                return order, None
            bucket = self._bucket_of(order.request.target)
            return order, orders.results(connection, delivery.subject, bucket, 0, MAX_RESULTS)

        order, results = await self._database.run(read)
        return msgspec.json.encode(self._webhooks.callbacks(delivery.kind, order, results))

    async def _post(self, delivery: Delivery, body: bytes) -> str:
        """Post; return an empty text, or why it was not taken."""
        self._check(delivery.url)
        kind = "application/cloudevents+json" if delivery.kind == "cloudevent" else "application/json"
        stamp = int(self._clock())
        headers = {"Content-Type": kind, "webhook-id": delivery.event, "webhook-timestamp": str(stamp)}
        key = self._webhooks.keys.get(delivery.secret)
        if delivery.secret and key is None:
            return f"no key {delivery.secret!r} is configured"
        if key is not None:
            headers["webhook-signature"] = signature(key, delivery.event, stamp, body)
        timeout = aiohttp.ClientTimeout(total=SEND_SECONDS)
        async with self._session.post(
            delivery.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            return "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"

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
