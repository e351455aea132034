"""The ledger on SQLite: the embedded default."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

from quotas.book import Observer
from quotas.clock import steady_clock
from quotas.errors import LedgerUnavailable
from quotas.group_commit import GroupCommit
from quotas.model import Charge, Entry, Lease, Line, Policy, Refusal, Usage
from quotas.rules import PolicySet, fact_of
from quotas.schema import QUERIES
from quotas.store import Store

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
"""How often leases are looked through whose time is over, in seconds. Any operation ends them too."""

MAX_HISTORY = 1_000
"""Most entries in one page of history."""


class SqliteLedger:
    """A :class:`quotas.ledger.Ledger` in one SQLite file, as an async context manager.

    All tasks' operations go to one writer thread, which decides them one after the other and commits them
    together, with the disk flushed, before it tells the results. One process at a time owns the file.
    ``clock`` gives epoch seconds; by default one that cannot be set back or forth while we run. ``observer``
    is told of each refusal, in the writer thread.

    A caller that is cancelled while it waits may have been granted: ``release`` is safe in any case.

    Raises:
        LedgerUnavailable: on entering, when the file cannot be used or another process has it.
        ValueError: two policies have the same name.
    """

    def __init__(
        self,
        path: Path,
        policies: Iterable[Policy],
        *,
        clock: Callable[[], float] | None = None,
        observer: Observer | None = None,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._path = path
        self._policies = PolicySet(policies)
        self._store = Store(path, self._policies, clock=clock or steady_clock(), observer=observer)
        self._writer = GroupCommit(self._store, f"quota ledger {path.name}")
        self._sweep_seconds = sweep_seconds
        self._reading = threading.Lock()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._writer)
            self._reader = sqlite3.connect(
                self._path.absolute().as_uri() + "?mode=ro",
                uri=True,
                check_same_thread=False,
                isolation_level=None,
            )
            stack.callback(self._reader.close)
            sweeper = asyncio.create_task(self._sweep(), name="quota ledger sweeper")
            stack.push_async_callback(_end, sweeper)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_seconds)
            try:
                ended = await self.expire()
            except LedgerUnavailable:  # logged where it failed; the next turn tries again
                continue
            if ended:
                logger.info("reservations have expired", extra={"count": ended})

    async def set_policies(self, policies: Iterable[Policy]) -> None:
        """Replace all policies; what is taken is counted under the new ones at once.

        Raises:
            ValueError: two policies have the same name.
            LedgerUnavailable: the ledger cannot be written; the old policies hold.
        """
        new = PolicySet(policies)
        await self._writer.call(None, lambda _: self._store.set_policies(new))
        self._policies = new

    def binds(self, charge: Charge, lines: Iterable[Line]) -> tuple[Policy, ...]:
        """Tell which policies bind these lines (see :class:`quotas.ledger.Ledger`)."""
        return tuple(bound.policy for line in lines for bound in self._policies.bind(fact_of(charge, line)).all)

    async def reserve(
        self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, why: str
    ) -> Lease | Refusal:
        """Reserve (see :class:`quotas.ledger.Ledger`)."""
        return await self._writer.call(key, lambda now: self._store.book.reserve(now, key, charge, lines, ttl, why))

    async def renew(self, key: str, *, ttl: float) -> Lease:
        """Extend a lease (see :class:`quotas.ledger.Ledger`)."""
        return await self._writer.call(key, lambda now: self._store.book.renew(now, key, ttl))

    async def commit(self, key: str, actual: Mapping[str, float] | None = None) -> None:
        """End a lease by what was used (see :class:`quotas.ledger.Ledger`)."""
        await self._writer.call(key, lambda now: self._store.book.commit(now, key, actual))

    async def release(self, key: str) -> None:
        """End a lease unused (see :class:`quotas.ledger.Ledger`)."""
        await self._writer.call(key, lambda now: self._store.book.release(now, key))

    async def give_back(self, charge: Charge, line: Line, *, key: str, why: str) -> None:
        """Return stock (see :class:`quotas.ledger.Ledger`)."""
        await self._writer.call(None, lambda now: self._store.give_back(now, charge, line, key, why))

    async def usage(self, groups: Sequence[str], user: str | None = None) -> list[Usage]:
        """Tell where policies stand (see :class:`quotas.ledger.Ledger`)."""
        return await self._writer.call(None, lambda now: self._store.book.usage(now, groups, user))

    async def check(self, charge: Charge, lines: Sequence[Line]) -> Refusal | None:
        """Say what a reservation would answer (see :class:`quotas.ledger.Ledger`)."""
        return await self._writer.call(None, lambda now: self._store.book.check(now, charge, lines))

    async def leases(self, prefix: str = "") -> list[Lease]:
        """List the open leases (see :class:`quotas.ledger.Ledger`)."""
        return await self._writer.call(
            None,
            lambda _: [lease for key, lease in sorted(self._store.book.leases.items()) if key.startswith(prefix)],
        )

    async def history(self, group: str, *, after: int = 0, limit: int = 100) -> list[Entry]:
        """Read the history (see :class:`quotas.ledger.Ledger`)."""
        try:
            return await asyncio.to_thread(self._read_history, group, after, min(limit, MAX_HISTORY))
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the ledger cannot be read: {error}") from error

    def _read_history(self, group: str, after: int, limit: int) -> list[Entry]:
        values = {"grp": group, "after": after, "limit": limit}
        with self._reading:
            rows = self._reader.execute(QUERIES["read_history"], values).fetchall()
        names = Entry.__struct_fields__
        return [Entry(**dict(zip(names, row, strict=True))) for row in rows]

    async def expire(self) -> int:
        """End the leases whose time is over (see :class:`quotas.ledger.Ledger`)."""
        return await self._writer.call(None, lambda _: self._store.expired)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
