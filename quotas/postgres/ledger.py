"""The ledger on PostgreSQL, for several gateways at once."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from typing import Self

import asyncpg

from quotas.binding import PolicySet
from quotas.errors import LedgerUnavailable
from quotas.group_commit import MAX_BATCH, AnyJob, Job, deliver
from quotas.journal import entry_of
from quotas.judging import Observer
from quotas.model import CONSUMED, Entry, Policy
from quotas.operations import Call, LedgerOperations, Result
from quotas.postgres.connecting import LOST, connect
from quotas.postgres.pruning import read_checkpoint
from quotas.postgres.schema import QUERIES, checked_schema
from quotas.postgres.store import PostgresStore
from quotas.postgres.upkeep import USUAL, Upkeep
from quotas.records import Wanted
from quotas.replay import Replayed
from quotas.rollup import Steps, Sums
from quotas.series import KEPT

logger = logging.getLogger(__name__)

LONG_SECONDS = 60.0
"""How long a long history may take to be summed up."""


class PostgresLedger(LedgerOperations):
    """A :class:`quotas.ledger.FullLedger` in one schema of a PostgreSQL database, as an async context manager.

    ``dsn`` is a libpq URI. What the tasks of this gateway ask for together is decided and committed together;
    any number of gateways may use the schema at once. Times are the database's, unless a ``clock`` of epoch
    seconds is given. ``observer`` is told of each refusal (again, where a batch had to be decided again).

    A caller that is cancelled while it waits, or told ``LedgerUnavailable``, may have been granted: ``release``
    is safe in any case.

    Raises:
        LedgerUnavailable: on entering, when the database cannot be used.
        InvalidPolicies: the policies do not go together.
        ValueError: the schema's name is none.
    """

    def __init__(
        self,
        dsn: str,
        policies: Iterable[Policy],
        *,
        schema: str = "lakegate_quotas",
        clock: Callable[[], float] | None = None,
        observer: Observer | None = None,
        upkeep: Upkeep = USUAL,
    ) -> None:
        configured = tuple(policies)
        PolicySet(configured)  # wrong ones are told before anything is opened
        self._dsn = dsn
        self._schema = checked_schema(schema)
        self._told = asyncio.Event()
        """Set when another gateway has changed policies or grants."""
        self._store = PostgresStore(
            dsn,
            self._schema,
            configured,
            clock=clock,
            observer=observer,
            upkeep=upkeep,
        )
        self._store.heard = self._told.set
        self._sweep_seconds = upkeep.sweep_seconds
        self._jobs: deque[AnyJob] = deque()
        self._asked = asyncio.Event()
        self._running = False
        self._reader: asyncpg.Connection | None = None
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._store.open()
            stack.push_async_callback(self._store.close)
            stack.push_async_callback(self._close_reader)
            writer = asyncio.create_task(self._write(), name="quota ledger")
            stack.push_async_callback(self._finish, writer)
            self._running = True
            sweeper = asyncio.create_task(self._sweep(), name="quota ledger sweeper")
            stack.push_async_callback(_end, sweeper)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def policy_set(self) -> PolicySet:
        """The policies that hold, as of the last operation."""
        return self._store.policies

    async def _call(self, run: Call[Result], *keys: str, fresh: bool = False) -> Result:
        if not self._running:
            raise LedgerUnavailable("the ledger is closed")
        store = self._store
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._jobs.append(Job(keys, lambda now: run(store.state, now), future, fresh=fresh))
        self._asked.set()
        return await future

    async def _finish(self, writer: "asyncio.Task[None]") -> None:
        """Write what waits, and end."""
        self._running = False
        self._asked.set()
        await writer

    async def _write(self) -> None:
        while self._running or self._jobs:
            if not self._jobs:
                self._asked.clear()
                await self._asked.wait()
                continue
            batch = [self._jobs.popleft() for _ in range(min(len(self._jobs), MAX_BATCH))]
            wanted = [job for job in batch if not job.future.cancelled()]
            try:
                await self._store.apply(wanted)
            except Exception as error:  # the task's boundary: a defect ends the batch, not the ledger
                logger.exception("the ledger failed", extra={"jobs": len(wanted)})
                for job in wanted:
                    job.error = LedgerUnavailable(f"the ledger failed: {error}")
            deliver(wanted)

    async def _sweep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._sweep_seconds):
                    await self._told.wait()
            self._told.clear()
            with suppress(LedgerUnavailable):  # logged where it failed; the next turn tries again
                await self.expire()

    # The history.

    async def _close_reader(self) -> None:
        if self._reader is not None:
            with suppress(asyncpg.PostgresError, *LOST):
                await self._reader.close(timeout=1.0)

    async def _read_history(self, group: str, after: int, limit: int, wanted: Wanted) -> list[Entry]:
        async with self._reading:
            try:
                if self._reader is None or self._reader.is_closed():
                    self._reader = await connect(self._dsn, self._schema)
                if wanted.since is not None:
                    after = max(after, await self._seq_before(self._reader, wanted.since))
                rows = await self._reader.fetch(
                    QUERIES["read_history"],
                    after,
                    group,
                    limit,
                    list(wanted.events),
                    wanted.user,
                    wanted.resource,
                    wanted.edge,
                    wanted.key,
                    -math.inf if wanted.since is None else wanted.since,
                    math.inf if wanted.until is None else wanted.until,
                )
            except (asyncpg.PostgresError, *LOST) as error:
                raise LedgerUnavailable(f"the ledger cannot be read: {type(error).__name__}") from error
        return [entry_of(tuple(row)) for row in rows]

    async def _read_usage(self, group: str, resource: str, last: int, steps: Steps) -> list[Sums]:
        query = "read_used" if resource in CONSUMED - KEPT else "read_usage"
        async with self._reading:
            try:
                if self._reader is None or self._reader.is_closed():
                    self._reader = await connect(self._dsn, self._schema)
                async with self._reader.transaction(readonly=True):
                    await self._reader.execute(QUERIES["for_long"])
                    after = await self._seq_before(self._reader, steps.since)
                    span = (steps.since, steps.until, steps.step, steps.total, resource in KEPT)
                    rows = await self._reader.fetch(
                        QUERIES[query], group, after, last, resource, *span, timeout=LONG_SECONDS
                    )
            except (asyncpg.PostgresError, *LOST) as error:
                raise LedgerUnavailable(f"the ledger cannot be read: {type(error).__name__}") from error
        return [Sums(*row) for row in rows]

    async def checkpoint(self) -> Replayed:
        """Tell where the history begins (see :class:`quotas.ledger.UsageHistory`)."""
        async with self._reading:
            try:
                if self._reader is None or self._reader.is_closed():
                    self._reader = await connect(self._dsn, self._schema)
                async with self._reader.transaction(isolation="repeatable_read", readonly=True):
                    return await read_checkpoint(self._reader)
            except (asyncpg.PostgresError, *LOST) as error:
                raise LedgerUnavailable(f"the ledger cannot be read: {type(error).__name__}") from error

    async def _seq_before(self, reader: asyncpg.Connection, at: float) -> int:
        """Find by halving the last entry before a time: the history grows with time."""
        low, high = await reader.fetchrow(QUERIES["read_bounds"])
        while low < high:
            middle = (low + high + 1) // 2
            found = await reader.fetchval(QUERIES["read_entry_time"], middle)
            if found is not None and found < at:
                low = middle
            else:
                high = middle - 1
        return int(low)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
