"""Leases compared with what really runs: the truth is where it runs. No I/O, no clock."""

from collections.abc import Sequence

from quotas.binding import Fact, Part, demand_of
from quotas.book import Book
from quotas.model import Lease, Refusal
from quotas.records import Observed, Reconciled

FOUND = "found running"
OTHERWISE = "found running otherwise"
NOTHING = "nothing runs"
"""Why the history changed, as it tells it."""


def reconcile(
    book: Book, now: float, prefix: str, observed: Sequence[Observed], times: tuple[float, float]
) -> Reconciled:
    """Make the leases say what runs; ``times`` are the leases' new life and the grace, in seconds.

    See :class:`quotas.ledger.Ledger`.
    """
    ttl, grace = times
    for each in observed:
        book.parts(each.charge, each.lines, ttl)  # what is wrong is told before anything is changed
    held: list[Lease] = []
    adopted: list[Lease] = []
    refused: list[tuple[str, Refusal]] = []
    for each in observed:
        lease = book.leases.get(each.key)
        if lease is not None and (lease.charge, lease.lines) == (each.charge, each.lines):
            held.append(book.renew(now, each.key, ttl))
            continue
        answer = _adopt(book, now, each, lease, ttl)
        if isinstance(answer, Refusal):
            refused.append((each.key, answer))
        else:
            adopted.append(answer)
    released = _release(book, now, prefix, {each.key for each in observed}, now + ttl - grace)
    return Reconciled(held=tuple(held), adopted=tuple(adopted), released=released, refused=tuple(refused))


def _adopt(book: Book, now: float, found: Observed, lease: Lease | None, ttl: float) -> Lease | Refusal:
    """Reserve what runs in place of what was reserved; where it does not fit, keep what was."""
    if lease is None:
        book.forget(found.key)
        return book.reserve(now, found.key, found.charge, found.lines, ttl, FOUND)
    if lease.charge == found.charge and (refused := _refuse_more(book, now, lease, found)) is not None:
        book.renew(now, found.key, ttl)  # asked again and again: it must not fill the history
        return refused
    book.release(now, found.key, OTHERWISE)
    answer = book.reserve(now, found.key, found.charge, found.lines, ttl, FOUND)
    if isinstance(answer, Refusal):
        book.reserve(now, found.key, lease.charge, lease.lines, ttl, OTHERWISE)
    return answer


def _refuse_more(book: Book, now: float, lease: Lease, found: Observed) -> Refusal | None:
    """Say whether what runs beyond what was reserved does not fit."""
    reserved: dict[Fact, float] = {}
    for part in book.policies.parts(lease.charge, lease.lines):
        reserved[part.fact] = reserved.get(part.fact, 0.0) + part.amount
    more = [
        Part(part.fact, part.amount - reserved.get(part.fact, 0.0), part.bounds)
        for part in book.policies.parts(found.charge, found.lines)
        if part.amount > reserved.get(part.fact, 0.0)
    ]
    return book.judge.refuse(demand_of(more), now) if more else None


def _release(book: Book, now: float, prefix: str, running: set[str], since: float) -> tuple[str, ...]:
    over = [
        key
        for key, lease in sorted(book.leases.items())
        if key.startswith(prefix) and key not in running and lease.expires_at <= since
    ]
    for key in over:
        book.release(now, key, NOTHING)
    return tuple(over)
