"""Why something is where it is, in words. Reads inside one transaction."""

from harvest.database import Connection, Row
from harvest.model import OrderState
from harvest.rules_model import Explained, Reason
from harvest.rules_store import TOLD_ORDERS

ADVICE: dict[OrderState, str] = {
    "PENDING_ESTIMATE": "It is being estimated; nothing need be done.",
    "WAITING_APPROVAL": "An administrator has to approve it, or it has to ask for less.",
    "WAITING_QUOTA": "It goes on by itself as soon as there is quota; deleting copies or a larger quota help.",
    "ACTIVE": "It is at work.",
    "OK": "All that was found is there.",
    "STUCK": "Look at the reasons; `retry` tries what failed once more.",
    "SUSPENDED": "Somebody has suspended it; `resume` lets it go on.",
    "EXPIRED": "Its time is over.",
    "CANCELLED": "Somebody has ended it.",
}
"""What may be done in each state."""

_ADVICE_OBJECT = {
    "ORDERED": "the source fetches it from tape",
    "NO_SOURCE": "no source delivered",
    "BAD": "what came was not what is announced: it is kept apart (quarantine), never shown",
}
_QUERIES = ("reasons_of_order", "item_reasons_of_order", "skipped_reasons_of_order")


def explain_order(connection: Connection, row: Row) -> Explained:
    """Tell why an order is where it is."""
    state: OrderState = row["state"]
    return Explained(
        state=state,
        message=row["message"],
        advice=ADVICE[state],
        reasons=tuple(_reasons(connection, row["id"])),
        refusal=row["message"] if state == "WAITING_QUOTA" else None,
    )


def explain_rule(connection: Connection, row: Row) -> Explained:
    """Tell why a rule is where it is, by its latest orders."""
    state: OrderState = row["state"]
    reasons: list[Reason] = []
    for order in connection.all("rule_orders", rule=row["id"], limit=TOLD_ORDERS):
        if order["state"] not in ("OK", "EXPIRED", "CANCELLED"):
            reasons += _reasons(connection, order["id"])
    return Explained(
        state=state,
        message=row["message"],
        advice=ADVICE[state],
        reasons=tuple(reasons),
        refusal=row["message"] if state == "WAITING_QUOTA" else None,
    )


def _reasons(connection: Connection, order_id: str) -> list[Reason]:
    runs = connection.all("runs_latest", order_id=order_id)
    told = [
        Reason(state=f"RUN_{row['state'].upper()}", reason=f"{row['executor']}: {row['reason']}", count=1)
        for row in runs
        if row["reason"]
    ]
    return told + [
        Reason(
            state=row["state"],
            reason=row["reason"] or _ADVICE_OBJECT.get(row["state"], "its turn has not come"),
            count=row["times"],
            example=row["example"],
            retry_at=row["not_before"],
        )
        for name in _QUERIES
        for row in connection.all(name, id=order_id)
    ]
