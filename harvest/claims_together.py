"""What many claims do at the same time. Each function runs inside one transaction, with one statement for all.

Each answers for every claim by itself: a result, or the exception that its caller is told.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec

from harvest.claims import LOST, ObjectClaim, as_rows
from harvest.database import Connection
from harvest.errors import ClaimLost
from harvest.model import Value


class Checked(Value, frozen=True):
    """All ``total`` bytes of an object came and are right; ``digest`` is their multihash."""

    claim: ObjectClaim
    total: int
    digest: str | None


class Available(Value, frozen=True):
    """An object that was put whole can be read: ``moved`` bytes of it at ``now`` (epoch seconds)."""

    claim: ObjectClaim
    moved: int
    now: float


def checked(connection: Connection, told: Sequence[Checked]) -> list[bool | Exception]:
    """Remember that bytes are right; tell False of those for which not enough is reserved: nothing was written."""
    for each in told:
        each.claim.after("check")
    written = as_rows(
        [
            (each.claim.id, each.claim.fence, each.total, each.digest, msgspec.json.encode(each.claim.source).decode())
            for each in told
        ]
    )
    if connection.change("objects_checked", rows=written) == len(told):
        return [True] * len(told)
    rows = as_rows([(each.claim.id, each.total) for each in told])
    uncovered = {row["id"] for row in connection.gathered("objects_uncovered", rows=rows)}
    verifying = {row["id"] for row in connection.gathered("objects_verifying", rows=written)}
    return [_checked(each.claim, uncovered, verifying) for each in told]


def _checked(claim: ObjectClaim, uncovered: Collection[int], verifying: Collection[int]) -> bool | Exception:
    if claim.id in uncovered:
        return False
    return True if claim.id in verifying else ClaimLost(LOST)


def available(connection: Connection, told: Sequence[Available]) -> list[Exception | None]:
    """Note that objects can be read at the target: their items have to be registered, and who pays has moved them."""
    written = as_rows([(each.claim.id, each.claim.fence, each.now) for each in told])
    rows = {row["id"]: row for row in connection.gathered("objects_verifying", rows=written)}
    items = Counter(row["item"] for row in rows.values())
    if items:
        connection.change("objects_available", rows=written)
        connection.change("items_changed", rows=as_rows(items.items()))
    moved: Counter[str] = Counter()
    for each in {each.claim.id: each for each in told}.values():
        if each.claim.id in rows and rows[each.claim.id]["payer"] is not None:
            moved[rows[each.claim.id]["payer"]] += each.moved
    for payer, size in moved.items():
        connection.change("payer_moved", id=payer, size=size, now=max(each.now for each in told))
    return [None if each.claim.id in rows else ClaimLost(LOST) for each in told]
