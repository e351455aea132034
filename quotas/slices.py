"""Slices (escrow): parts of the quota that an edge spends by itself. No I/O, no clock.

A slice is a lease whose user is the edge. At its end its concurrent amounts come back, and what is used up
counts as used, until the edge tells what its users really spent.
"""

from collections.abc import Sequence

from quotas.amounts import exact
from quotas.book import SLICES, Asked, Book
from quotas.errors import InvalidAmount, LeaseLost
from quotas.model import CONSUMED, Charge, Lease, Line, Refusal
from quotas.records import Slice, Spent

_EDGE = "edge:"
_SETTLE_SECONDS = 1.0


def slice_charge(edge: str, group: str) -> Charge:
    """Return who pays for a slice until it is settled."""
    return Charge(group=group, user=_EDGE + edge)


def slice_of(lease: Lease) -> Slice:
    """Tell a slice by its lease."""
    return Slice(
        id=lease.key.removeprefix(SLICES),
        edge=lease.charge.user.removeprefix(_EDGE),
        group=lease.charge.group,
        lines=lease.lines,
        expires_at=lease.expires_at,
    )


def settle(book: Book, now: float, key: str, spent: Sequence[Spent]) -> None:
    """End a slice by what was really spent (see :class:`quotas.ledger.Slices`)."""
    lease = book.leases.get(key)
    if lease is not None:
        _check(lease, spent)
        book.settle(now, lease)
    else:
        ended = book.ended.get(key)
        if ended is None or ended.how == "release":
            raise LeaseLost(f"slice {key.removeprefix(SLICES)!r} is unknown")
        if ended.how == "commit":
            return
        lease = ended.lease
        _check(lease, spent)
        book.unspend(now, ended)
    for number, each in enumerate(spent):
        if each.amount > 0 and each.resource in CONSUMED:
            _charge(book, now, f"{key}/{number}", lease, each)


def _check(lease: Lease, spent: Sequence[Spent]) -> None:
    for resource in {each.resource for each in spent}:
        had = sum(exact(line.amount) for line in lease.lines if line.resource == resource)
        used = sum(exact(each.amount) for each in spent if each.resource == resource)
        if used > had:
            raise InvalidAmount(f"{used:g} of {resource} spent of a slice that had {had:g}")


def _charge(book: Book, now: float, key: str, lease: Lease, spent: Spent) -> None:
    """Charge a user; where a policy for each user stands in the way, the edge pays: it was spent all the same."""
    edges = {line.edge for line in lease.lines if line.resource == spent.resource}
    lines = (Line(resource=spent.resource, amount=spent.amount, edge=edges.pop()),)
    for user in (spent.user, lease.charge.user):
        asked = Asked(Charge(group=lease.charge.group, user=user), lines, _SETTLE_SECONDS, "spent of a slice")
        answer = book.reserve(now, key, asked.charge, asked.lines, asked.ttl, asked.why)
        if not isinstance(answer, Refusal):
            book.commit(now, key, None)
            return
