"""The rows of a journal, as PostgreSQL takes them: arrays of the tables' row types."""

from collections.abc import Mapping

import asyncpg

from quotas.binding import Fact
from quotas.book import Book
from quotas.journal import Ended, Journal
from quotas.office import Office
from quotas.postgres.schema import QUERIES
from quotas.rows import ended_row, grant_of, lease_of, lease_row, stored_of, text, waiting_of
from quotas.state import State

Rows = tuple[list[object], ...]


def batch_rows(journal: Journal, definitions: Mapping[str, str]) -> Rows:
    """Return what ``write_batch`` takes; ``definitions`` are those of the rates, by policy."""
    return (
        list(journal.revived),
        list(journal.ended),
        list(map(lease_row, journal.opened.values())),
        list(map(ended_row, journal.ended.values())),
        list(journal.returned.items()),
        list(journal.entries),
        [(*fact, amount) for fact, amount in journal.stock.items()],
        [(*fact, span, bucket, more) for (fact, span, bucket), more in journal.spent.items()],
        [(definitions[name], holder, tat) for (name, holder), tat in journal.rates.items()],
    )


def rest_rows(journal: Journal) -> Rows | None:
    """Return what ``write_rest`` takes; None where there is nothing of it."""
    if not (journal.policies or journal.grants or journal.waiting or journal.shares):
        return None
    return (
        [f"{source}/{name}" for (source, name), each in journal.policies.items() if each is None],
        [(*place, text(each)) for place, each in journal.policies.items() if each is not None],
        [grant_id for grant_id, grant in journal.grants.items() if grant is None],
        [(grant_id, text(g), g.expires_at) for grant_id, g in journal.grants.items() if g is not None],
        [key for key, waiting in journal.waiting.items() if waiting is None],
        [(key, text(waiting)) for key, waiting in journal.waiting.items() if waiting is not None],
        [(*place, share.amount, share.at) for place, share in journal.shares.items()],
    )


def meet(book: Book, ended: list[asyncpg.Record] | None, returned: list[asyncpg.Record] | None) -> None:
    """Have a book know the ended leases and returns that operations may meet."""
    book.ended, book.returned = {}, dict(map(tuple, returned or ()))
    for row in ended or ():
        *columns, how, at = row
        lease = lease_of(tuple(columns))
        book.ended[lease.key] = Ended(lease=lease, how=how, at=at)


async def read_office(connection: asyncpg.Connection) -> Office:
    """Read the policies and grants.

    Raises:
        LedgerUnavailable: one cannot be understood.
    """
    stored = [stored_of(name, body) for name, body in await connection.fetch(QUERIES["read_policies"])]
    grants = [grant_of(grant_id, body) for grant_id, body in await connection.fetch(QUERIES["read_permits"])]
    return Office(stored, grants)


async def read_state(connection: asyncpg.Connection, state: State, definitions: Mapping[str, str]) -> None:
    """Read all that a state counts; to be called in a transaction that sees one moment."""
    book = state.book
    for row in await connection.fetch(QUERIES["read_leases"]):
        book.load_lease(lease_of(tuple(row)))
    for *place, amount in await connection.fetch(QUERIES["read_stock"]):
        book.load_stock(Fact(*place), amount)
    for *place, span, bucket, amount in await connection.fetch(QUERIES["read_spent"]):
        book.load_spent(Fact(*place), span, bucket, amount)
    known = {definition: name for name, definition in definitions.items()}
    for definition, holder, tat in await connection.fetch(QUERIES["read_rates"]):
        if definition in known:
            book.load_rate(known[definition], holder, tat)
    for group, user, amount, at in await connection.fetch(QUERIES["read_shares"]):
        book.load_share((group, user), amount, at)
    for (body,) in await connection.fetch(QUERIES["read_waiting"]):
        state.turns.load(waiting_of(body))
