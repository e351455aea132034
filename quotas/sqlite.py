"""The ledger on SQLite: the embedded default."""

import asyncio
import logging
import math
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

from quotas.binding import PolicySet
from quotas.clock import steady_clock
from quotas.errors import LedgerUnavailable
from quotas.group_commit import GroupCommit
from quotas.journal import entry_of
from quotas.judging import Observer
from quotas.model import CONSUMED, Entry, Policy
from quotas.operations import Call, LedgerOperations, Result
from quotas.records import Wanted
from quotas.replay import KEEP_HISTORY_SECONDS, Replayed, from_checkpoint
from quotas.rollup import Steps, Sums
from quotas.rows import text
from quotas.schema import QUERIES
from quotas.series import KEPT
from quotas.store import Store

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
"""How often leases are looked through whose time is over, in seconds. Any operation ends them too."""

CLOCK_STEP_SECONDS = 3_600.0
"""By how much the clock may have been set back between restarts, for finding times in the history."""


class SqliteLedger(LedgerOperations):
    """A :class:`quotas.ledger.FullLedger` in one SQLite file, as an async context manager.

    All tasks' operations go to one writer thread, which decides them one after the other and commits them
    together, with the disk flushed, before it tells the results. One process at a time owns the file.
    ``clock`` gives epoch seconds; by default one that cannot be set back or forth while we run. ``observer``
    is told of each refusal, in the writer thread. The history is kept for ``keep_history_seconds``.

    A caller that is cancelled while it waits may have been granted: ``release`` is safe in any case.

    Raises:
        LedgerUnavailable: on entering, when the file cannot be used or another process has it.
        InvalidPolicies: the policies do not go together.
    """

    def __init__(
        self,
        path: Path,
        policies: Iterable[Policy],
        *,
        clock: Callable[[], float] | None = None,
        observer: Observer | None = None,
        sweep_seconds: float = SWEEP_SECONDS,
        keep_history_seconds: float = KEEP_HISTORY_SECONDS,
    ) -> None:
        self._path = path
        configured = tuple(policies)
        PolicySet(configured)  # wrong ones are told before anything is opened
        self._store = Store(
            path,
            configured,
            clock=clock or steady_clock(),
            observer=observer,
            keep_history_seconds=keep_history_seconds,
        )
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

    @property
    def policy_set(self) -> PolicySet:
        """The policies that hold."""
        return self._store.policies

    async def _call(self, run: Call[Result], *keys: str, fresh: bool = False) -> Result:
        del fresh  # to look keys up costs no round trip here
        store = self._store
        return await self._writer.call(keys, lambda now: run(store.state, now))

    async def _read_history(self, group: str, after: int, limit: int, wanted: Wanted) -> list[Entry]:
        try:
            return await asyncio.to_thread(self._select_history, group, after, limit, wanted)
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the ledger cannot be read: {error}") from error

    async def checkpoint(self) -> Replayed:
        """Tell where the history begins (see :class:`quotas.ledger.UsageHistory`)."""
        try:
            return await asyncio.to_thread(self._select_checkpoint)
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the ledger cannot be read: {error}") from error

    def _select_checkpoint(self) -> Replayed:
        with self._reading:
            self._reader.execute("BEGIN")
            try:
                (seq,) = self._reader.execute(QUERIES["read_forgotten"]).fetchone()
                return from_checkpoint(seq, self._reader.execute(QUERIES["read_checkpoint"]).fetchall())
            finally:
                self._reader.execute("ROLLBACK")

    def _select_history(self, group: str, after: int, limit: int, wanted: Wanted) -> list[Entry]:
        values = {
            "grp": group,
            "after": after,
            "limit": limit,
            "events": text(wanted.events),
            "user": wanted.user,
            "resource": wanted.resource,
            "edge": wanted.edge,
            "key": wanted.key,
            "since": -math.inf if wanted.since is None else wanted.since,
            "until": math.inf if wanted.until is None else wanted.until,
        }
        with self._reading:
            if wanted.since is not None:
                values["after"] = max(after, self._seq_before(wanted.since))
            return [entry_of(row) for row in self._reader.execute(QUERIES["read_history"], values)]

    async def _read_usage(self, group: str, resource: str, last: int, steps: Steps) -> list[Sums]:
        try:
            return await asyncio.to_thread(self._select_usage, group, resource, last, steps)
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the ledger cannot be read: {error}") from error

    def _select_usage(self, group: str, resource: str, last: int, steps: Steps) -> list[Sums]:
        query = "read_used" if resource in CONSUMED - KEPT else "read_usage"
        with self._reading:
            values = {
                "grp": group,
                "resource": resource,
                "after": self._seq_before(steps.since),
                "last": last,
                "since": steps.since,
                "until": steps.until,
                "step": steps.step,
                "total": steps.total,
                "kept": resource in KEPT,
                "present": math.inf,
            }
            return [Sums(*row) for row in self._reader.execute(QUERIES[query], values)]

    def _seq_before(self, at: float) -> int:
        """Find by halving the last entry before a time: the history grows with time."""
        low, high = self._reader.execute(QUERIES["read_bounds"]).fetchone()
        while low < high:
            middle = (low + high + 1) // 2
            row = self._reader.execute(QUERIES["read_entry_time"], (middle,)).fetchone()
            if row is not None and row[0] < at - CLOCK_STEP_SECONDS:
                low = middle
            else:
                high = middle - 1
        return int(low)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
