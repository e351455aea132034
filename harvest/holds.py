"""Which orders count on which copies, and what happens when nobody does. Each function runs inside one transaction.

A copy goes in three steps: out of the catalogue, out of the bucket, and back to the quota. Each can be repeated.
"""

from collections.abc import Iterable

from harvest.database import Connection
from harvest.model import Held

RELEASED_AT_ONCE = 20
"""Orders whose hold is ended in one turn."""


def hold(connection: Connection, order_id: str, target: str, held: Iterable[Held], now: float) -> None:
    """Let an order count on copies that are at the target already."""
    for each in held:
        named = {"collection": each.collection, "item_id": each.item_id}
        if not each.asset:
            connection.change("item_hold", order_id=order_id, target=target, **named)
        for row in connection.all("held_objects", target=target, asset=each.asset, **named):
            if row["state"] == "DELETING" and not _spared(connection, row["id"], row["item"], now):
                continue
            connection.change("hold_insert", order_id=order_id, object=row["id"])
            connection.change("holds_superseded", order_id=order_id, object=row["id"])


def _spared(connection: Connection, object_id: int, item: int, now: float) -> bool:
    """Keep a copy that was about to be deleted; tell whether it was not too late."""
    if not connection.change("object_spared", id=object_id, now=now):
        return False
    connection.change("object_charge_again", id=object_id)
    connection.change("refund_withdraw", id=object_id)
    connection.change("item_dirty", id=item)
    return True


def release(connection: Connection, order_id: str, now: float) -> None:
    """End an order's hold; copies on which no other order counts begin to go."""
    connection.change("order_released", id=order_id, now=now)
    connection.change("objects_released", id=order_id)
    leave(connection, order_id)


def leave(connection: Connection, order_id: str) -> None:
    """Let the catalogue be told of an order's copies that go, and their charge be given back once they are gone."""
    connection.change("refunds_of_leaving", id=order_id)
    connection.change("charges_of_leaving", id=order_id)
    connection.change("items_leaving", id=order_id)
