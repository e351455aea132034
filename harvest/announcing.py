"""Events, written in the transaction that makes them true (a transactional outbox; ``harvest.outbox`` sends them)."""

import uuid

import msgspec

from edges.model import Json
from harvest.database import Connection
from harvest.model import Notify, OrderState, Value

EVENT_OF: dict[OrderState, str] = {
    "ACTIVE": "started",
    "OK": "completed",
    "STUCK": "stuck",
    "CANCELLED": "cancelled",
    "EXPIRED": "expired",
    "WAITING_APPROVAL": "waiting",
    "WAITING_QUOTA": "waiting",
}
"""What a state is called where it is told."""

CALLBACKS = {"successUri": ("completed",), "failedUri": ("stuck", "cancelled"), "inProgressUri": ("started",)}
"""Which events a callback of the OGC API is for."""


class Announcement(Value, frozen=True):
    """What happened, to what, and who wants to know."""

    state: OrderState
    subject: str
    data: Json
    notify: tuple[Notify, ...] = ()
    kind: str = "harvest"
    event: str = ""


def announce(connection: Connection, told: Announcement, now: float) -> None:
    """Keep an event, and a delivery for each who wants it."""
    event_id = uuid.uuid4().hex
    name = told.event or EVENT_OF.get(told.state, told.state.lower())
    connection.change(
        "event_insert_told",
        id=event_id,
        type=f"org.lakegate.{told.kind}.{name}",
        subject=told.subject,
        now=now,
        data=msgspec.json.encode(told.data).decode(),
    )
    for each in told.notify:
        wanted = CALLBACKS.get(each.kind, each.events)
        if name in wanted:
            values = {"url": each.url, "kind": each.kind, "secret": each.secret}
            connection.change("delivery_insert", event=event_id, subject=told.subject, now=now, **values)
