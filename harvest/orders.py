"""Orders in the database. Each function runs inside one transaction."""

import math

import msgspec

from edges.model import Json
from harvest.admission import Reserved, as_holding
from harvest.announcing import Announcement, announce
from harvest.claims import as_rows
from harvest.database import Connection, Row
from harvest.errors import KeyReused, OrderInFlight, OrderNotFound
from harvest.holds import hold, leave
from harvest.model import (
    Failure,
    JobFilter,
    ObjectResult,
    Order,
    OrderRequest,
    OrderState,
    Progress,
    Results,
    Value,
)
from harvest.planner import PlannedBatch, Wish
from harvest.states import ENDED_ORDERS, OrderEvent, order_after
from harvest.wanted import item_id_of

IN_FLIGHT = frozenset({"WANTED", "ORDERED", "CLAIMED", "TRANSFERRING", "VERIFYING"})
"""States of objects that are being brought."""
_TALLY = msgspec.json.Decoder(Progress)


class NewOrder(Value, frozen=True):
    """An order as it is taken in. ``rule`` is the standing rule that gives it; ``approved``: by whom already."""

    id: str
    user: str
    group: str
    idempotency: str | None
    fingerprint: str
    request: OrderRequest
    rule: str | None = None
    approved: bool = False


def insert(connection: Connection, new: NewOrder, now: float, until: float) -> str | None:
    """Take an order in; return the id of the same order where its idempotency key came before.

    Raises:
        KeyReused: the key came with another order.
        OrderInFlight: the same order is being planned right now.
    """
    owner = {"user": new.user, "charged": new.group, "idempotency": new.idempotency}
    known = connection.one("order_by_idempotency", **owner) if new.idempotency is not None else None
    if known is not None:
        if known["fingerprint"] != new.fingerprint:
            raise KeyReused("this Idempotency-Key came before with another order; use a new key")
        if known["state"] == "PENDING_ESTIMATE":
            raise OrderInFlight("this order is being planned; ask again in a moment")
        return str(known["id"])
    connection.change(
        "order_insert",
        id=new.id,
        fingerprint=new.fingerprint,
        request=msgspec.json.encode(new.request).decode(),
        target=new.request.target,
        now=now,
        until=until,
        rule=new.rule,
        content=new.request.content,
        priority=new.request.priority,
        lifetime=new.request.lifetime,
        **owner,
    )
    return None


def add_batch(
    connection: Connection, order_id: str, target: str, batch: PlannedBatch, *, now: float, until: float
) -> int:
    """Keep what one batch of the plan wants; return the bytes that this order has to reserve for it."""
    there = _there(connection, target, batch)
    rows = []
    for item in batch.items:
        wishes = tuple(_unshared(there.get(wish.wanted.key), wish) for wish in item.wishes)
        doc, told = msgspec.json.encode(item.doc).decode(), msgspec.json.encode(wishes).decode()
        name = kept_name(item.doc)
        rows.append((doc, told, len(wishes), sum(wish.estimate for wish in wishes), *name))
    if rows:
        connection.change("planned_insert", order_id=order_id, rows=as_rows(rows))
    for failure in batch.skipped:
        connection.change("skipped_insert", order_id=order_id, **msgspec.to_builtins(failure))
    hold(connection, order_id, target, batch.held, now)
    connection.change("order_present", id=order_id, count=batch.present)
    connection.change("order_keep_planning", id=order_id, until=until)
    return sum(row[3] for row in rows)


def kept_name(item: Json) -> tuple[str, str]:
    """Return the collection and id of an item as they are kept (:func:`harvest.claims.as_rows`)."""
    collection, item_id = item_id_of(item) or ("", "")
    return collection.replace("\0", "\ufffd"), item_id.replace("\0", "\ufffd")


def _there(connection: Connection, target: str, batch: PlannedBatch) -> dict[str, Row]:
    """Return the objects, by key, that were wished for before."""
    keys = [(wish.wanted.key,) for item in batch.items for wish in item.wishes]
    rows = connection.all("objects_by_key", target=target, rows=as_rows(keys)) if keys else []
    return {row["key"]: row for row in rows}


def _unshared(there: Row | None, wish: Wish) -> Wish:
    """Return a wish without its bytes where another order is bringing the same object already."""
    if there is not None and there["state"] in IN_FLIGHT and there["payer"] and same_bytes(there, wish):
        return Wish(wanted=wish.wanted, estimate=0)
    return wish


def admitted(connection: Connection, order_id: str, reserved: Reserved, now: float, event: OrderEvent) -> None:
    """Let an order begin, or (``quota-lost``) wait in line: what is reserved for it is remembered."""
    values = {"key": reserved.key, "amount": reserved.amount, "jobs": reserved.jobs}
    connection.change("lease_insert", order_id=order_id, **values)
    message = "waits in line for quota" if event == "quota-lost" else ""
    tell(connection, order_id, move(connection, order_id, event, message, now), now)


def wait_for_approval(connection: Connection, order_id: str, why: str, now: float) -> None:
    """Let an order wait until somebody approves it."""
    tell(connection, order_id, move(connection, order_id, "approval-needed", why, now), now)


def move(
    connection: Connection, order_id: str, event: OrderEvent, message: str, now: float, retry_at: float = 0.0
) -> OrderState:
    """Change the state of an order by the table; return the new one."""
    before: OrderState = row_of(connection, order_id)["state"]
    after = order_after(before, event)
    values = {"message": message, "now": now, "retry_at": retry_at, "ended": after in ENDED_ORDERS}
    connection.change("order_state", id=order_id, before=before, after=after, **values)
    return after


def row_of(connection: Connection, order_id: str) -> Row:
    """Return an order's row; raise OrderNotFound where there is none."""
    row: Row | None = connection.one("order_by_id", id=order_id)
    if row is None:
        raise OrderNotFound(f"no order {order_id!r}")
    return row


def same_bytes(there: Row, wish: Wish) -> bool:
    """Tell whether an object that is there, or on its way, and a wish announce the same bytes."""
    pairs = ((there["checksum"], wish.wanted.checksum), (there["size"], wish.wanted.size))
    return all(known is None or asked is None or known == asked for known, asked in pairs)


# -- ends --------------------------------------------------------------------------------------------------


def cancel(connection: Connection, order_id: str, now: float, why: str = "cancelled") -> None:
    """End an order: what only it wanted is discarded, what is whole already stays and is registered."""
    move(connection, order_id, "cancel", why, now)
    connection.change("planned_forget", id=order_id)
    connection.change("objects_dropped", id=order_id)
    leave(connection, order_id)
    connection.change("objects_unpaid", id=order_id)
    connection.change("order_unlink_open", id=order_id)
    connection.change("order_unsettled", id=order_id, now=now)


def wait_for_quota(connection: Connection, order_id: str, why: str, now: float, retry_at: float) -> None:
    """Put an order aside until there is quota; others that want the same objects go on with them."""
    if row_of(connection, order_id)["state"] == "ACTIVE":
        move(connection, order_id, "quota-lost", why, now, retry_at)
        connection.change("objects_unpaid", id=order_id)


def go_on(connection: Connection, order_id: str, now: float) -> None:
    """Let an order that waited for quota work again."""
    if row_of(connection, order_id)["state"] == "WAITING_QUOTA":
        move(connection, order_id, "quota-regained", "", now)
        connection.change("objects_adopt", id=order_id)


def finish(connection: Connection, order_id: str, now: float) -> None:
    """Close an order that the ledger has settled, and tell the world by an event."""
    row = row_of(connection, order_id)
    if row["state"] == "ACTIVE":
        failures = int(connection.all("order_failures", id=order_id)[0]["failures"])
        message = f"{failures} could not be copied" if failures else row["message"]
        move(connection, order_id, "failed" if failures else "completed", message, now)
    connection.change("order_charged", id=order_id)
    tally = msgspec.json.encode(_counted(connection, row)).decode()
    connection.change("order_settled", id=order_id, now=now, tally=tally)
    tell(connection, order_id, row_of(connection, order_id)["state"], now)


def tell(connection: Connection, order_id: str, state: OrderState, now: float) -> None:
    """Tell the world how an order stands, in the transaction that made it so."""
    row = row_of(connection, order_id)
    request = msgspec.json.decode(row["request"], type=OrderRequest)
    told: Json = {"order": order_id, "state": state, "target": row["target"], "message": row["message"]}
    if row["rule"]:
        told["rule"] = row["rule"]
    announce(connection, Announcement(state=state, subject=order_id, data=told, notify=request.notify), now)


# -- what is told ------------------------------------------------------------------------------------------


def order_of(connection: Connection, row: Row) -> Order:
    """Return an order as it stands, or as it stood when it was settled."""
    tally = row["tally"] if row["settled"] else None
    return Order(
        id=row["id"],
        charge=as_holding(row).charge,
        request=msgspec.json.decode(row["request"], type=OrderRequest),
        state=row["state"],
        message=row["message"] or ("" if tally else _reasons(connection, row)),
        created=row["created"],
        updated=row["updated"],
        started=row["started"],
        finished=row["finished"],
        settled=bool(row["settled"]),
        progress=_TALLY.decode(tally) if tally else _counted(connection, row),
        rule=row["rule"],
        copies_until=row["copies_until"],
    )


def jobs(connection: Connection, wanted: JobFilter, now: float, limit: int) -> list[Order]:
    """Return orders, the latest first, as a filter says."""
    before, before_id = wanted.before or (math.inf, "")
    rows = connection.all(
        "jobs" if wanted.group is None else "jobs_of_group",
        charged=wanted.group,
        states=None if wanted.states is None else f",{','.join(wanted.states)},",
        since=-math.inf if wanted.since is None else wanted.since,
        latest=before if wanted.until is None else min(before, wanted.until),
        least=wanted.least,
        most=wanted.most,
        before=before,
        before_id=before_id,
        now=now,
        limit=limit,
    )
    return [order_of(connection, row) for row in rows]


def _counted(connection: Connection, row: Row) -> Progress:
    objects = connection.all("order_progress", id=row["id"])[0]
    items = connection.all("order_item_progress", id=row["id"])[0]
    planned = connection.all("planned_of_order", id=row["id"])[0]
    return Progress(
        items=items["items"] + planned["items"],
        items_done=items["done"],
        objects=objects["objects"] + planned["objects"],
        objects_done=objects["available"],
        objects_failed=objects["failed"],
        bytes=objects["bytes"] + planned["bytes"],
        bytes_done=objects["done"],
        present=row["present"],
    )


def _reasons(connection: Connection, row: Row) -> str:
    reasons = connection.all("stuck_reasons", id=row["id"])
    return "; ".join(f"{each['times']} x {each['reason']}" for each in reasons)


def results(connection: Connection, order_id: str, bucket: str, after: int, limit: int) -> Results:
    """Return one page of what an order brought, from after the object ``after``."""
    rows = connection.all("results_objects", id=order_id, after=after, limit=limit + 1)
    failures = [] if after else [*connection.all("skipped_of_order", id=order_id)]
    told = [Failure(**dict(row)) for row in failures]
    if not after:
        told += [Failure(asset="", **dict(row)) for row in connection.all("results_items", id=order_id)]
    return Results(
        order_id=order_id,
        objects=tuple(result_of(row, bucket) for row in rows[:limit]),
        failures=tuple(told),
        next=rows[limit - 1]["id"] if len(rows) > limit else None,
    )


def result_of(row: Row, bucket: str) -> ObjectResult:
    """Return one copy as it stands."""
    there = row["state"] == "AVAILABLE"
    return ObjectResult(
        collection=row["collection"],
        item_id=row["item_id"],
        asset=row["asset"],
        state=row["state"],
        href=f"s3://{bucket}/{row['key']}" if there else None,
        size=row["total"] if there else None,
        checksum=row["digest"] if there else None,
        reason=row["reason"],
    )
