"""Rules in the database. Each function runs inside one transaction."""

import hashlib

import msgspec

from edges.model import Json
from harvest.announcing import Announcement, announce
from harvest.database import Connection, Row
from harvest.errors import KeyReused, RuleNotFound
from harvest.model import OrderState, Progress
from harvest.rules_model import Rule, RuleRequest, Watermark
from harvest.states import RuleEvent, rule_after
from quotas.model import Charge

TOLD_ORDERS = 20
"""Latest orders that are told with a rule."""


def fingerprint(request: RuleRequest) -> str:
    """Return what tells two rules apart."""
    return hashlib.sha256(msgspec.json.encode(request, order="sorted")).hexdigest()


def insert(
    connection: Connection, rule_id: str, charge: Charge, request: RuleRequest, *, key: str | None, now: float
) -> str:
    """Take a rule in; return its id, or that of the same rule where its idempotency key came before.

    Raises:
        KeyReused: the key came with another rule.
    """
    owner = {"user": charge.user, "charged": charge.group, "idempotency": key}
    known = connection.one("rule_by_idempotency", **owner) if key is not None else None
    if known is not None:
        if known["fingerprint"] != fingerprint(request):
            raise KeyReused("this Idempotency-Key came before with another rule; use a new key")
        return str(known["id"])
    connection.change("rule_insert", id=rule_id, now=now, **owner, **_kept(request))
    return rule_id


def change(connection: Connection, rule_id: str, request: RuleRequest, *, anew: bool, now: float) -> None:
    """Replace what a rule asks for; ``anew``: its source or target is another one."""
    if anew:
        move(connection, rule_id, "change", "", now)
        connection.change("rule_anew", id=rule_id, now=now)
    connection.change("rule_changed", id=rule_id, now=now, **_kept(request))


def _kept(request: RuleRequest) -> dict[str, str | float | None]:
    return {
        "title": request.name,
        "request": msgspec.json.encode(request).decode(),
        "fingerprint": fingerprint(request),
        "expires": request.expires,
    }


def row_of(connection: Connection, rule_id: str) -> Row:
    """Return a rule's row; raise RuleNotFound where there is none."""
    row: Row | None = connection.one("rule_by_id", id=rule_id)
    if row is None:
        raise RuleNotFound(f"no rule {rule_id!r}")
    return row


def request_of(row: Row) -> RuleRequest:
    """Return what a rule asks for."""
    return msgspec.json.decode(row["request"], type=RuleRequest)


def watermark_of(row: Row) -> Watermark:
    """Return how far a rule is."""
    return msgspec.json.decode(row["progress"], type=Watermark)


def charge_of(row: Row) -> Charge:
    """Return who pays."""
    return Charge(group=row["charged"], user=row["user"])


def move(connection: Connection, rule_id: str, event: RuleEvent, message: str, now: float) -> OrderState:
    """Change the state of a rule by the table, and tell of it where it is another; return the new one."""
    row = row_of(connection, rule_id)
    before: OrderState = row["state"]
    after = rule_after(before, event)
    connection.change("rule_state", id=rule_id, before=before, after=after, message=message, now=now)
    if after != before:
        told: Json = {"rule": rule_id, "name": row["name"], "state": after, "message": message}
        notify = request_of(row).notify
        announce(connection, Announcement(state=after, subject=rule_id, data=told, notify=notify, kind="rule"), now)
    return after


def rule_of(connection: Connection, row: Row, now: float) -> Rule:
    """Return a rule as it stands."""
    request, mark = request_of(row), watermark_of(row)
    orders = connection.all("rule_orders", rule=row["id"], limit=TOLD_ORDERS)
    oldest = connection.all("rule_oldest_open", rule=row["id"])[0]["created"]
    ended = row["state"] in ("EXPIRED", "CANCELLED") or request.mode == "once"
    return Rule(
        id=row["id"],
        charge=charge_of(row),
        request=request,
        state=row["state"],
        message=row["message"],
        created=row["created"],
        updated=row["updated"],
        expires=row["expires"],
        next_run=row["next_run"],
        runs=row["runs"],
        attempts=row["attempts"],
        approved=row["approved"],
        watermark=mark,
        progress=_progress(connection, row["id"]),
        orders=tuple(each["id"] for each in orders),
        lag=None if ended else lag_of(row, oldest, now),
    )


def lag_of(row: Row, oldest: float | None, now: float) -> float:
    """Return how far a rule may be behind its source, in seconds: since it looked, or its oldest work is open."""
    looked = watermark_of(row).looked or row["created"]
    return max(0.0, now - (looked if oldest is None else min(oldest, looked)))


def _progress(connection: Connection, rule_id: str) -> Progress:
    counts = connection.all("rule_progress", rule=rule_id)[0]
    sizes = connection.all("rule_bytes", rule=rule_id)[0]
    planned = connection.all("rule_planned", rule=rule_id)[0]
    return Progress(
        items=counts["items"] + planned["items"],
        objects=counts["objects"] + planned["objects"],
        objects_done=counts["available"],
        objects_failed=counts["failed"],
        bytes=sizes["bytes"] + planned["bytes"],
        bytes_done=sizes["done"],
    )
