"""What a batch of operations changed, as the other replicas take it over. No I/O."""

import msgspec

from quotas.binding import Fact
from quotas.journal import Journal, Share, Waiting
from quotas.model import Lease
from quotas.state import State


class Change(msgspec.Struct, array_like=True):
    """One batch of changes: as :class:`quotas.journal.Journal`, without what only the database needs."""

    seq: int
    fence: int
    policies: bool
    """Whether policies or grants changed: then all is to be loaded anew."""
    closed: list[str]
    opened: list[Lease]
    stock: list[tuple[Fact, float]]
    spent: list[tuple[Fact, int, int, float]]
    rates: list[tuple[str, str, float]]
    waiting: list[tuple[str, Waiting | None]]
    shares: list[tuple[str, str, Share]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Change).decode


def encode(journal: Journal, seq: int, fence: int) -> bytes:
    """Write what a journal changed."""
    return _encode(
        Change(
            seq=seq,
            fence=fence,
            policies=bool(journal.policies or journal.grants),
            closed=[*journal.ended, *journal.revived],
            opened=list(journal.opened.values()),
            stock=list(journal.stock.items()),
            spent=[(*place, more) for place, more in journal.spent.items()],
            rates=[(*key, tat) for key, tat in journal.rates.items()],
            waiting=list(journal.waiting.items()),
            shares=[(*place, share) for place, share in journal.shares.items()],
        )
    )


def absorb(state: State, body: bytes) -> bool:
    """Take a batch of another replica over; return False where all must be loaded anew."""
    change = _decode(body)
    if change.policies:
        return False
    book = state.book
    for key in change.closed:
        book.unload_lease(key)
    for lease in change.opened:
        book.unload_lease(lease.key)
        book.load_lease(lease)
    for fact, amount in change.stock:
        book.load_stock(fact, amount)
    for fact, span, bucket, amount in change.spent:
        book.load_spent(fact, span, bucket, amount)
    for policy, holder, tat in change.rates:
        book.load_rate(policy, holder, tat)
    for key, waiting in change.waiting:
        state.turns.drop(key)
        if waiting is not None:
            state.turns.load(waiting)
    for group, user, share in change.shares:
        book.load_share((group, user), share.amount, share.at)
    book.seq, book.fence = change.seq, change.fence
    book.freed = True
    return True
