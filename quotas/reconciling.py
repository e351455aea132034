"""Leases compared with what really runs: the truth is where it runs. No I/O, no clock."""

from collections.abc import Sequence

from quotas.book import Book
from quotas.model import Lease, Refusal
from quotas.records import Observed, Reconciled

WHY = "found running"


def reconcile(
    book: Book, now: float, prefix: str, observed: Sequence[Observed], times: tuple[float, float]
) -> Reconciled:
    """Make the leases say what runs; ``times`` are the leases' new life and the grace, in seconds.

    See :class:`quotas.ledger.Ledger`.
    """
    ttl, grace = times
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
    if lease is not None:
        book.release(now, found.key)
    else:
        book.forget(found.key)
    answer = book.reserve(now, found.key, found.charge, found.lines, ttl, WHY)
    if isinstance(answer, Refusal) and lease is not None:
        book.reserve(now, found.key, lease.charge, lease.lines, ttl, WHY)
    return answer


def _release(book: Book, now: float, prefix: str, running: set[str], since: float) -> tuple[str, ...]:
    over = [
        key
        for key, lease in sorted(book.leases.items())
        if key.startswith(prefix) and key not in running and lease.expires_at <= since
    ]
    for key in over:
        book.release(now, key)
    return tuple(over)
